"""Limits of what is read, which may be crafted to exhaust memory.

A photo has at most ``max_pixels`` pixels, and is not much longer than wide. Its file has at most 8 bytes for
each pixel, as 16 bits of RGB and alpha take, and 16 MiB for metadata; lists and tables have at most 64 MiB.
"""

import errno
import io
import stat
from pathlib import Path
from typing import BinaryIO

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.atomic import open_input
from cinn_colorize.files.formats import format_of_content

ADVICE = "raise --max-pixels to read it"

_LONGEST, _MOST_ASPECT = 500_000, 1000  # pixels of a side, and longer side by shorter one
_BYTES_OF_A_PIXEL, _BYTES_OF_METADATA = 8, 2**24
_BYTES_OF_A_LIST = 2**26
_START, _PART = 32, 2**20  # bytes of a stream that are read at a time


class TooLargeError(ValueError):
    """A photo or its file is larger than allowed."""


class TooLongError(ValueError):
    """A photo is much longer than wide, or wider than high."""


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise a TooLargeError for a photo of more than ``max_pixels``, a TooLongError for one too long."""
    if max(width, height) > min(_LONGEST, _MOST_ASPECT * min(width, height)):
        limits = f"{_LONGEST:,} pixels or {_MOST_ASPECT:,} times its other side"
        raise TooLongError(f"{width} x {height} pixels: a side has more than {limits}; cut it into parts")
    if width * height > max_pixels:
        millions = width * height / 1e6
        number = f"{millions:,.0f}" if millions >= 10 else f"{millions:.2g}"
        size = f"{width} x {height} = {number} million pixels"
        raise TooLargeError(f"{size} are more than {max_pixels / 1e6:,g} million")


def check_bytes(size: int, max_pixels: int) -> None:
    """Raise a TooLargeError for a file of more bytes than a photo of ``max_pixels`` can have."""
    limit = _BYTES_OF_A_PIXEL * max_pixels + _BYTES_OF_METADATA
    if size > limit:
        photo = f"a photo of {max_pixels / 1e6:,g} million pixels"
        raise TooLargeError(f"its file has more than {limit / 1e6:,.0f} MB, the most for {photo}")


def read_file(path: Path, max_pixels: int) -> bytes:
    """Read the file of a photo; one too large, or a pipe or device, which may be endless, is a ValueError."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError("not a file")
    check_bytes(status.st_size, max_pixels)
    return path.read_bytes()


def read_lines(file: BinaryIO) -> bytes:
    """Read a list or a table from a file, which may be endless; if it is too large, raise an OSError."""
    content = file.read(_BYTES_OF_A_LIST + 1)
    if len(content) > _BYTES_OF_A_LIST:
        raise OSError(errno.EFBIG, f"it has more than {_BYTES_OF_A_LIST >> 20} MiB")
    return content


def read_table(path: Path) -> bytes:
    """Do what :func:`read_lines` does, with a file by its path."""
    with open_input(path) as file:
        return read_lines(file)


def read_stream(file: BinaryIO, name: str, max_pixels: int) -> bytes:
    """Read the file of a photo from a stream, which may be endless; of anything else, only the start."""
    start = file.read(_START)
    if not format_of_content(start):
        return start
    content = io.BytesIO()  # which hands over its bytes without a copy
    content.write(start)
    while part := file.read(_PART):
        content.write(part)
        try:
            check_bytes(content.tell(), max_pixels)
        except TooLargeError as error:
            raise PhotoError(f"{name}: cannot be read: {error}; {ADVICE}") from None
    return content.getvalue()
