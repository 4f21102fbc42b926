"""Formats by name and content, names in messages, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

FORMATS = {
    "jpg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "avif": (".avif",),
    "heif": (".heic", ".heif", ".hif"),
    "gif": (".gif",),
    "bmp": (".bmp", ".dib"),
    "jp2": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "pnm": (".pnm", ".pbm", ".pgm", ".ppm"),
}
READ_ONLY = frozenset({"heif", "gif", "bmp", "jp2", "pnm"})
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
OUTPUT_SUFFIXES = frozenset(
    suffix for format, suffixes in FORMATS.items() if format not in READ_ONLY for suffix in suffixes
)
_SIGNATURES = {
    "jpg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "webp": rb"RIFF....WEBP",
    "avif": rb"....ftypavi[fs]",
    "heif": rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)",
    "gif": rb"GIF8[79]a",
    "bmp": rb"BM",
    "jp2": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "pnm": rb"P[1-6][\s#]",
}


def format_of_name(path: str | os.PathLike[str]) -> str:
    """The format that the suffix stands for, a key of ``FORMATS``; empty for others."""
    suffix = Path(path).suffix.lower()
    return next((format for format, suffixes in FORMATS.items() if suffix in suffixes), "")


def format_of_content(start: bytes) -> str:
    """The format of a file that begins with these (at least 12) bytes; empty for others."""
    matches = (format for format, sign in _SIGNATURES.items() if re.match(sign, start, re.DOTALL))
    return next(matches, "")


def printable_name(path: str | os.PathLike[str]) -> str:
    """The path for messages of one line, whatever bytes it has."""
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor to write to; what was written stands at ``path`` if all went well, else nothing is left.

    Raises:
        OSError: the file can't be made or put in its place.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
