"""Photos given as arrays or as images of Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from cinn_colorize.color import Pixels


def as_pixels(array: NDArray[Any]) -> Pixels:
    """Code values of 8 or 16 bits; floats in [0, 1] become 16.

    Raises:
        ValueError: the shape, type or values are none of a photo.
    """
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))) or array.size == 0:
        raise ValueError(f"shape {array.shape} is no photo; give (H, W), (H, W, 3) or (H, W, 4)")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError("floats must lie in [0, 1]")
        return np.round(array * 65535.0).astype(np.uint16)
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{array.dtype} is no depth of a photo; give uint8, uint16 or floats in [0, 1]")
    return array


def pillow_pixels(image: PIL.Image.Image) -> tuple[NDArray[Any], dict[str, bytes]]:
    """Pixels of an image of Pillow, upright, and the metadata it carries by libvips' names.

    Raises:
        OSError, ValueError, SyntaxError: Pillow can't decode it.
    """
    image = PIL.ImageOps.exif_transpose(image)
    mode = image.mode
    if mode in ("P", "PA", "RGBa", "La"):
        has_alpha = mode != "P" or "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else "RGB")
    elif mode == "1":
        image = image.convert("L")
    elif mode not in ("L", "LA", "RGB", "RGBA", "F") and not mode.startswith("I"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if mode.startswith("I"):  # gray of 16 bits, in 32 or in foreign byte order
        pixels = pixels.clip(0, 65535).astype(np.uint16)
    names = {"icc-profile-data": "icc_profile", "exif-data": "exif", "xmp-data": "xmp"}
    attached = {field: image.info[key] for field, key in names.items() if image.info.get(key)}
    if mode == "CMYK":
        attached.pop("icc-profile-data", None)
    return pixels, attached
