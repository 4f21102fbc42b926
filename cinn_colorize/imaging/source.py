"""Where the content of a photo comes from: a file, a pipe, or memory."""

from __future__ import annotations

import io
import stat
from pathlib import Path

from cinn_colorize.errors import PhotoError
from cinn_colorize.files import missing, open_input
from cinn_colorize.imaging.tiff import read_fields
from cinn_colorize.limits import check_bytes, read_stream


def fields_of_tiff(source: Path | bytes) -> dict[str, bytes]:
    """See :func:`cinn_colorize.imaging.tiff.read_fields`."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        return read_fields(file)


def path_or_content(path: Path, name: str, max_pixels: int) -> Path | bytes:
    """Return the path of a regular file, or what a pipe holds, which can be read only once.

    Raises:
        PhotoError: there is no such file, it is a folder, or it is too large.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise PhotoError(missing(path, f"cannot be read: {error.strerror}")) from None
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
