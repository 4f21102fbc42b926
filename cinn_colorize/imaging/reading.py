"""Which reader opens a photo of which format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cinn_colorize.imaging import jpeg, vips
from cinn_colorize.imaging.arrays import DECODED, Decoded, as_pixels, decode
from cinn_colorize.imaging.extras import decode_heic, decode_raw, is_hevc
from cinn_colorize.imaging.given import opened
from cinn_colorize.imaging.tiff import is_cut_off, other_channels, read_fields


def reader(
    content: Path | bytes, format: str, max_pixels: int, page: int
) -> tuple[Callable[[], vips.Image], Mapping[str, bytes]]:
    """Return a function that opens a photo, which can be pickled, and metadata that it does not return.

    Raises:
        TooLargeError: it has more pixels than ``max_pixels``.
        OSError, ValueError, SyntaxError: it cannot be decoded, or has no such page.
    """
    if page > 1 and format != "tiff":
        raise ValueError("only TIFFs have pages to choose from")
    with opened(content) as file:
        if format == "tiff":
            blobs = read_fields(file, page)
            if is_cut_off(file, page):
                raise ValueError("damaged, it ends before its last pixels; get the photo again")
            return partial(vips.open_image, content, max_pixels, page, other_channels(file, page)), blobs
        if format == "jpg":
            return partial(vips.open_image, content, max_pixels), jpeg.read_fields(file)
        if format == "raw":
            return in_memory(decode_raw(file.read(), max_pixels)), read_fields(file)
        if format in DECODED:
            decoded = decode(file.read(), format, max_pixels)
            return in_memory(decoded), decoded.blobs
        if format == "heif" and is_hevc(whole := file.read()):
            decoded = decode_heic(whole, max_pixels)
            return in_memory(decoded), decoded.blobs
    return partial(vips.open_image, content, max_pixels), {}


def in_memory(decoded: Decoded) -> Callable[[], vips.Image]:
    """Return a function that returns an image of pixels in memory, and can be pickled.

    Raises:
        ValueError: the pixels are not those of a photo.
    """
    return partial(_image_of, replace(decoded, pixels=np.ascontiguousarray(as_pixels(decoded.pixels))))


def _image_of(decoded: Decoded) -> vips.Image:
    image = vips.from_array(decoded.pixels, is_bilevel=decoded.is_bilevel)
    if decoded.dpi:
        image = image.copy(xres=decoded.dpi[0] / 25.4, yres=decoded.dpi[1] / 25.4)
    return image
