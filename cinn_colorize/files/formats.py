"""Formats of pictures, by the names of files and by their first bytes."""

import os
import re
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
    "psd": (".psd",),
    "qoi": (".qoi",),
    "tga": (".tga",),
    "raw": (
        ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2",
        ".rwl", ".pef", ".srw", ".x3f", ".3fr",
        ".fff", ".iiq", ".mef", ".mos", ".mrw", ".erf", ".dcr", ".kdc",
    ),
}  # fmt: skip
READ_ONLY = frozenset({"heif", "gif", "bmp", "jp2", "pnm", "psd", "qoi", "tga", "raw"})
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
OUTPUT_FORMATS = tuple(format for format in FORMATS if format not in READ_ONLY)
OUTPUT_SUFFIXES = frozenset(suffix for format in OUTPUT_FORMATS for suffix in FORMATS[format])
_SIGNATURES = {
    # Most camera raws are TIFFs, which their tags or their suffix tell from others.
    "raw": rb"II\*\0....CR|II(RO|RS|U\0)|MMOR|FUJIFILMCCD-RAW|....ftypcrx |FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR",
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
    "psd": rb"8BPS",
    "qoi": rb"qoif",
    # No signature, but a header of 18 bytes: kind of palette and image, palette, place, size, and depth.
    "tga": rb".(?:\0[\2\3\n\x0b]\0{5}|\x01[\x01\x09].{4}[\x0f\x10\x18\x20]).{4}"
    rb"(?!\0\0)..(?!\0\0)..[\x08\x10\x18\x20]",
}

_FILM_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".ogv", ".3gp", ".mxf", ".dv",
)  # fmt: skip
# MP4, Matroska, AVI, MPEG
_FILM = re.compile(rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01\xba", re.DOTALL)


def is_film(suffix: str, start: bytes = b"") -> bool:
    """Return whether a file that is no photo is a film, by its suffix or its first bytes."""
    return suffix.lower() in _FILM_SUFFIXES or bool(_FILM.match(start))


def format_of_name(path: str | os.PathLike[str]) -> str:
    """Return the format of a suffix, a key of ``FORMATS``; empty for others."""
    suffix = Path(path).suffix.lower()
    return next((format for format, suffixes in FORMATS.items() if suffix in suffixes), "")


def format_of_content(start: bytes) -> str:
    """Return the format of a file that begins with these (at least 18) bytes; empty for others."""
    matches = (format for format, sign in _SIGNATURES.items() if re.match(sign, start, re.DOTALL))
    return next(matches, "")


def own_suffix(path: Path) -> str:
    """Return a file's suffix or, if its name has none, that of its content; empty if that is no photo."""
    if path.suffix:
        return path.suffix
    try:
        if not path.is_file():  # a pipe can be read only once
            return ""
        with path.open("rb") as file:
            format = format_of_content(file.read(32))
    except OSError:
        return ""
    return FORMATS[format][0] if format else ""


def written_suffix(suffix: str) -> str:
    """Return the suffix of pictures of a photo with this one: the same where that format can be written."""
    return suffix if suffix.lower() in OUTPUT_SUFFIXES else ".png"
