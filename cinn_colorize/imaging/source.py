"""Where the content of a photo comes from: a file, a pipe, or memory."""

from __future__ import annotations

import io
import stat
from pathlib import Path

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.atomic import open_input
from cinn_colorize.files.formats import FORMATS, format_of_content
from cinn_colorize.files.limits import check_bytes, read_stream
from cinn_colorize.imaging.tiff import is_raw


def format_of(source: Path | bytes, start: bytes, suffix: str) -> str:
    """Return the format of a photo, a key of ``FORMATS``; empty for others.

    Args:
        source: the photo.
        start: its first bytes.
        suffix: suffix of its name; the raws of many cameras are TIFFs that nothing else tells from others.
    """
    format = format_of_content(start)
    if format != "tiff" or suffix.lower() in FORMATS["raw"]:
        return "raw" if format == "tiff" else format
    with opened(source) as file:
        return "raw" if is_raw(file) else format


def opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    """Open the file of a photo."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def path_or_content(path: Path, name: str, max_pixels: int) -> Path | bytes:
    """Return the path of a regular file, or what a pipe holds, which can be read only once.

    Raises:
        OSError: it cannot be read.
        PhotoError: it is a folder, too large, or no path.
    """
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


def first_bytes(path: Path) -> bytes:
    """Return the beginning of a file, which tells its format."""
    with path.open("rb") as file:
        return file.read(32)
