"""Photos as users give them: files by name or open, pipes, content, and pixels of other libraries.

:func:`reader` chooses the reader of a file.
"""

from __future__ import annotations

import inspect
import io
import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.atomic import open_input
from cinn_colorize.files.formats import FORMATS, format_of_content, is_film
from cinn_colorize.files.limits import check_bytes, read_stream
from cinn_colorize.files.messages import printable_name
from cinn_colorize.imaging import jpeg, vips
from cinn_colorize.imaging.decoding import DECODED, HEVC, Decoded, as_pixels, decode, decode_heic, decode_raw
from cinn_colorize.imaging.tiff import is_cut_off, is_raw, other_channels, read_fields
from cinn_colorize.imaging.vips import raising_photo_errors

if TYPE_CHECKING:
    from torch import Tensor
else:  # for whoever reads annotations at run time
    Tensor = Any

Pixels: TypeAlias = NDArray[np.generic] | Tensor | PIL.Image.Image
PhotoSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Pixels

_START = 32  # bytes, which tell the format


class File(NamedTuple):
    """A file of a photo."""

    content: Path | bytes
    format: str  # a key of FORMATS
    name: str  # in messages
    suffix: str  # of the format; the file's own if that is one


def file_of(source: PhotoSource, name: str | None, max_pixels: int) -> File:
    """Find out what a file is; for errors, see :func:`~cinn_colorize.imaging.photo.open_photo`."""
    own_suffix = ""
    content: Path | bytes
    if isinstance(source, str | os.PathLike):
        name, own_suffix = name or printable_name(source), Path(source).suffix
        with raising_photo_errors(name):
            content = _path_or_content(Path(source), name, max_pixels)
    elif isinstance(source, bytes | bytearray | memoryview):
        name, content = name or "bytes", bytes(source)
    elif hasattr(source, "read"):
        path = getattr(source, "name", None)  # a number, of a file without a name
        if isinstance(path, str):
            name, own_suffix = name or printable_name(path), Path(path).suffix
        name = name or "file"
        content = _rest(cast("BinaryIO", source), name, max_pixels)
    else:
        raise TypeError(
            "a photo must be a path, bytes, a binary file, a PIL image, a numpy array or a torch tensor, "
            f"not {type(source).__name__}"
        )
    with raising_photo_errors(name):
        if isinstance(content, bytes):
            check_bytes(len(content), max_pixels)
        with opened(content) as file:
            start = file.read(_START)
            if not start:
                raise PhotoError(f"{name}: is empty; get the photo again")
            # libvips would try all its readers and fail with a message from each.
            format = format_of_content(start)
            if format == "tiff" and (own_suffix.lower() in FORMATS["raw"] or is_raw(file)):
                format = "raw"  # of many cameras, which only a suffix or tags tell from other TIFFs
    if not format and is_film(own_suffix, start):
        raise PhotoError(f"{name}: is a film; use cinn-colorize film")
    if not format:
        raise PhotoError(f"{name}: is not a photo in a known format; save it as JPEG, PNG or TIFF")
    suffix = own_suffix if own_suffix.lower() in FORMATS[format] else FORMATS[format][0]
    return File(content, format, name, suffix)


def opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    """Open the file of a photo."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _path_or_content(path: Path, name: str, max_pixels: int) -> Path | bytes:
    """Return the path of a regular file, or what a pipe holds, which can be read only once."""
    if "\0" in str(path):
        raise PhotoError(f"{name}: is no path: it has a zero byte")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{name}: is a folder, not a photo")
    if stat.S_ISREG(status.st_mode):
        check_bytes(status.st_size, max_pixels)
        return path
    with open_input(path) as file:
        return read_stream(file, name, max_pixels)


def _rest(file: BinaryIO, name: str, max_pixels: int) -> bytes:
    """Read an open file from its position on."""
    if getattr(file, "closed", False) is True:
        raise PhotoError(f"{name}: is closed; open the photo again")
    with raising_photo_errors(name):
        nothing: object = file.read(0)
        if inspect.iscoroutine(nothing):
            nothing.close()  # or Python warns that it was never awaited
            raise TypeError(f"{name}: is read asynchronously; pass await file.read()")
        if isinstance(nothing, str):
            raise TypeError(f"{name}: is open as text; open the photo in binary mode, 'rb'")
        content = read_stream(file, name, max_pixels)
    if not content:
        raise PhotoError(f"{name}: has nothing left to read; seek to the start of the photo")
    return content


def array_of(source: PhotoSource) -> Decoded | None:
    """Return the pixels of an array or a tensor, whose shape may be a ValueError; None for anything else."""
    torch = sys.modules.get("torch")  # which whoever has a tensor has imported
    if torch is not None and isinstance(source, torch.Tensor):
        shape = tuple(source.shape)
        if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 2, 3, 4))):
            raise ValueError(f"a tensor of shape {shape} is not a photo; pass (H, W), (3, H, W) or (4, H, W)")
        tensor = source.float() if source.is_floating_point() else source  # numpy has no bfloat16
        pixels = tensor.numpy(force=True)
        source = pixels if len(shape) == 2 else np.moveaxis(pixels, 0, -1)
    return Decoded(source, is_bilevel=source.dtype == bool) if isinstance(source, np.ndarray) else None


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
                raise ValueError("damaged, its end is missing; get the photo again")
            return partial(vips.open_image, content, max_pixels, page, other_channels(file, page)), blobs
        if format == "jpg":
            return partial(vips.open_image, content, max_pixels), jpeg.read_fields(file)
        if format == "raw":
            return in_memory(decode_raw(file.read(), max_pixels)), read_fields(file)
        if format in DECODED:
            decoded = decode(file.read(), format, max_pixels)
            return in_memory(decoded), decoded.blobs
        if format == "heif" and HEVC.search(whole := file.read()):
            decoded = decode_heic(whole, max_pixels)
            return in_memory(decoded), decoded.blobs
    return partial(vips.open_image, content, max_pixels), {}


def in_memory(decoded: Decoded) -> Callable[[], vips.Image]:
    """Return a function that returns an image, and can be pickled; a ValueError if it is no photo."""
    return partial(_image_of, replace(decoded, pixels=np.ascontiguousarray(as_pixels(decoded.pixels))))


def _image_of(decoded: Decoded) -> vips.Image:
    image = vips.from_array(decoded.pixels, is_bilevel=decoded.is_bilevel)
    if decoded.dpi:
        image = image.copy(xres=decoded.dpi[0] / 25.4, yres=decoded.dpi[1] / 25.4)
    return image
