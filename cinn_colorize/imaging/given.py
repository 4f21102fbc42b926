"""Photos as users give them: files by name or open, their content, and pixels of other libraries."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.formats import FORMATS
from cinn_colorize.files.limits import check_bytes, read_stream
from cinn_colorize.files.messages import printable_name
from cinn_colorize.imaging.arrays import Decoded
from cinn_colorize.imaging.source import first_bytes, format_of, path_or_content
from cinn_colorize.imaging.vips import raising_photo_errors

if TYPE_CHECKING:
    from torch import Tensor
else:  # for whoever reads annotations at run time
    Tensor = Any

Pixels: TypeAlias = NDArray[np.generic] | Tensor | PIL.Image.Image
PhotoSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Pixels


class File(NamedTuple):
    """A file of a photo.

    Attributes:
        content: its path, or its bytes.
        format: a key of ``FORMATS``.
        name: its name in messages.
        suffix: a suffix of the format, its own if that is one.
    """

    content: Path | bytes
    format: str
    name: str
    suffix: str


def file_of(source: PhotoSource, name: str | None, max_pixels: int) -> File:
    """Find out what a file of a photo is.

    Args:
        source: path, content, or an open file, which is read from its position on.
        name: the photo's name in messages; by default, that of the file.
        max_pixels: limit of its pixels, and so of its bytes.

    Raises:
        PhotoError: it cannot be read, or is not a photo.
        TypeError: ``source`` is nothing of this, or a file that is open as text or read asynchronously.
    """
    own_suffix = ""
    content: Path | bytes
    if isinstance(source, str | os.PathLike):
        name, own_suffix = name or printable_name(source), Path(source).suffix
        with raising_photo_errors(name):
            content = path_or_content(Path(source), name, max_pixels)
    elif isinstance(source, bytes | bytearray | memoryview):
        name, content = name or "bytes", bytes(source)
    elif hasattr(source, "read"):
        path = getattr(source, "name", None)  # a number, of a file without a name
        if isinstance(path, str):
            name, own_suffix = name or printable_name(path), Path(path).suffix
        name = name or "file"
        if getattr(source, "closed", False) is True:
            raise PhotoError(f"{name}: is closed; open the photo again")
        with raising_photo_errors(name):
            file = cast("BinaryIO", source)
            nothing: object = file.read(0)
            if inspect.iscoroutine(nothing):
                nothing.close()  # or Python warns that it was never awaited
                raise TypeError(f"{name}: is read asynchronously; pass await file.read()")
            if isinstance(nothing, str):
                raise TypeError(f"{name}: is open as text; open the photo in binary mode, 'rb'")
            content = read_stream(file, name, max_pixels)
        if not content:
            raise PhotoError(f"{name}: has nothing left to read; seek to the start of the photo")
    else:
        raise TypeError(
            "a photo must be a path, bytes, a binary file, a PIL image, a numpy array or a torch tensor, "
            f"not {type(source).__name__}"
        )
    with raising_photo_errors(name):
        if isinstance(content, bytes):
            check_bytes(len(content), max_pixels)
        start = content[:32] if isinstance(content, bytes) else first_bytes(content)
        if not start:
            raise PhotoError(f"{name}: is empty; get the photo again")
        # libvips would try all its readers and fail with a message from each.
        format = format_of(content, start, own_suffix)
    if not format:
        raise PhotoError(f"{name}: is not a photo in a known format; save it as JPEG, PNG or TIFF")
    suffix = own_suffix if own_suffix.lower() in FORMATS[format] else FORMATS[format][0]
    return File(content, format, name, suffix)


def array_of(source: PhotoSource) -> Decoded | None:
    """Return the pixels of an array or a tensor; None for anything else.

    Raises:
        ValueError: it is a tensor whose shape is not that of a photo.
    """
    torch = sys.modules.get("torch")  # which whoever has a tensor has imported
    if torch is not None and isinstance(source, torch.Tensor):
        shape = tuple(source.shape)
        if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 2, 3, 4))):
            raise ValueError(f"a tensor of shape {shape} is not a photo; pass (H, W), (3, H, W) or (4, H, W)")
        tensor = source.float() if source.is_floating_point() else source  # numpy has no bfloat16
        pixels = tensor.numpy(force=True)
        source = pixels if len(shape) == 2 else np.moveaxis(pixels, 0, -1)
    return Decoded(source, is_bilevel=source.dtype == bool) if isinstance(source, np.ndarray) else None
