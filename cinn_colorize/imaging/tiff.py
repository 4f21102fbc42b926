"""EXIF and IPTC of TIFF files: libvips neither reads nor writes the former, and truncates the latter.

In a TIFF the tags of EXIF are in the file's own first directory and in others that it points to; in other
formats EXIF is a small TIFF of its own. Directories are copied as they are, whatever their tags mean. BigTIFF
has directories of another form, for which neither is kept.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import struct
from typing import BinaryIO, NamedTuple

_EXIF, _GPS, _INTEROP, _IPTC = 0x8769, 0x8825, 0xA005, 0x83BB
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 0x0111, 0x0117, 0x0144, 0x0145
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0115
_UNCOMPRESSED, _YCBCR = 1, 6
_EXTRA_SAMPLES, _UNSPECIFIED = 0x0152, 0
_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 0x00FE, 0x014A, 0xC612
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_POINTERS = (_EXIF, _GPS, _INTEROP)
# Tags of the first directory that people and cameras wrote; the others describe how the pixels are stored.
# These are DocumentName, ImageDescription, Make, Model, PageName, Software, DateTime, Artist, HostComputer,
# the rating twice, Copyright, and the title, comment, author, keywords and subject of Windows.
_DESCRIPTIVE = (
    0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298,
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
)  # fmt: skip
_LARGEST = 2**32 - 1  # place in a file
_IPTC_MARKER = b"\x1c"  # that each of its fields begins with
_HEADER = b"II*\0\x08\0\0\0"
_WORDS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}  # bytes, by type
_LONGS_OF_A_FRACTION = 2
_FRACTIONS, _LONG, _UNDEFINED = (5, 10), 4, 7
_MOST = 2**26  # bytes of a file's values


class _Entry(NamedTuple):
    kind: int
    value: bytes  # little-endian
    inner: dict[int, _Entry] | None = None  # of a pointer: the directory it points to

    @property
    def length(self) -> int:
        size = _WORDS[self.kind] * (_LONGS_OF_A_FRACTION if self.kind in _FRACTIONS else 1)
        return len(self.value) // size

    @property
    def numbers(self) -> list[int]:
        """The value as unsigned integers."""
        size = _WORDS[self.kind]
        return [int.from_bytes(self.value[i : i + size], "little") for i in range(0, len(self.value), size)]


_Directory = dict[int, _Entry]


def read_fields(file: BinaryIO, page: int = 1) -> dict[str, bytes]:
    """Return EXIF, in the form of other formats and without the orientation, and IPTC, by libvips' names.

    A damaged directory is treated as missing: the photo may be intact all the same.

    Args:
        file: the TIFF.
        page: which of its pages, from 1.
    """
    first = _intact_directory(file, page)
    fields, kept = {}, _of_exif(first)
    if kept:
        fields["exif-data"] = b"Exif\0\0" + _HEADER + _packed(kept, len(_HEADER))
    if _IPTC in first:
        fields["iptc-data"] = _iptc_of(first[_IPTC])
    return fields


def is_raw(file: BinaryIO) -> bool:
    """Return whether it is a camera raw: a DNG, or begins with a preview whose photo lies further inside."""
    first = _intact_directory(file)
    is_reduced = _SUBFILE_TYPE in first and first[_SUBFILE_TYPE].value[:1] == b"\1"
    return _DNG_VERSION in first or (is_reduced and _SUB_IFDS in first)


def other_channels(file: BinaryIO, page: int = 1) -> int:
    """Return how many channels of a page, after colours and alpha, are neither: selections, say, or infrared.

    Args:
        file: the TIFF.
        page: which of its pages, from 1.
    """
    own = _intact_directory(file, page)
    extra = own[_EXTRA_SAMPLES].numbers if _EXTRA_SAMPLES in own else []
    return len(extra) if extra[:1] == [_UNSPECIFIED] else max(0, len(extra) - 1)


def is_cut_off(file: BinaryIO, page: int = 1) -> bool:
    """Return whether a page lacks pixels, since the file ends before them.

    libtiff gives black for the missing ones of one long strip. It notices if they are compressed, so only
    others are looked at.

    Args:
        file: the TIFF.
        page: which of its pages, from 1.
    """
    own = _intact_directory(file, page)
    end = file.seek(0, os.SEEK_END)

    def numbers(tag: int, default: int = 0) -> list[int]:
        return (own[tag].numbers if tag in own else []) or [default]  # damaged fields may be empty

    if numbers(_COMPRESSION, _UNCOMPRESSED) != [_UNCOMPRESSED] or numbers(_PHOTOMETRIC) == [_YCBCR]:
        return False
    bits = numbers(_BITS, 1)
    of_pixel = bits[0] * numbers(_SAMPLES, 1)[0] if len(bits) == 1 else sum(bits)
    needed = numbers(_WIDTH)[0] * numbers(_HEIGHT)[0] * of_pixel // 8
    tags = (_STRIP_OFFSETS, _STRIP_SIZES) if _STRIP_OFFSETS in own else (_TILE_OFFSETS, _TILE_SIZES)
    places = zip(*map(numbers, tags), strict=False)
    # Some programs state too large a size for the last strip.
    there = sum(max(0, min(size, end - start)) for start, size in places)
    return tags[1] in own and there < needed


def add_fields(descriptor: int, exif: bytes, iptc: bytes) -> None:
    """Add EXIF and IPTC to a TIFF that libvips wrote, in a new first directory at its end with the old tags.

    Damaged EXIF is left out.

    Args:
        descriptor: descriptor of the file, readable and writable.
        exif: EXIF in the form of other formats; may be empty.
        iptc: IPTC; may be empty.

    Raises:
        OSError: the file cannot be written.
    """
    added: _Directory = {_IPTC: _Entry(_UNDEFINED, iptc)} if iptc else {}
    with contextlib.suppress(ValueError, struct.error):
        added |= _of_exif(_first_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0"))))
    with contextlib.suppress(ValueError), os.fdopen(os.dup(descriptor), "r+b") as file:
        own = _first_directory(file)
        own.pop(_IPTC, None)
        end = file.seek(0, os.SEEK_END)
        start = end + end % 2
        content = _packed(added | own, start)
        file.seek(0)
        if added and file.read(4) == _HEADER[:4]:
            file.write(struct.pack("<I", start))
            file.seek(end)
            file.write(bytes(start - end) + content)


def exif_size(exif: bytes) -> int:
    """Return how many bytes EXIF has without its preview; 0 if it is damaged."""
    with contextlib.suppress(ValueError, struct.error):
        directory = _first_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
        return len(_packed(directory, len(_HEADER)))
    return 0


def exif_turned(exif: bytes) -> bytes:
    """Let the horizontal and the vertical resolution in EXIF change places; nothing else moves."""
    turned, (_, _, places) = bytearray(exif), _exif_entries(exif)
    if {_X_RESOLUTION, _Y_RESOLUTION} <= places.keys():
        x, y = (slice(places[tag], places[tag] + 10) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        turned[x], turned[y] = exif[y], exif[x]
    return bytes(turned)


def exif_with_unit(exif: bytes) -> bytes:
    """Replace a resolution in EXIF that has no unit, and so is none, by 72 dpi, which designates that."""
    start, order, places = _exif_entries(exif)
    changed = bytearray(exif)
    with contextlib.suppress(struct.error, KeyError):
        if struct.unpack_from(order + "H", exif, places[_RESOLUTION_UNIT] + 6)[0] == 1:
            for tag in (_X_RESOLUTION, _Y_RESOLUTION):
                (offset,) = struct.unpack_from(order + "I", exif, places[tag] + 6)
                struct.pack_into(order + "II", changed, start + offset, 72, 1)
            struct.pack_into(order + "H", changed, places[_RESOLUTION_UNIT] + 6, 2)
    return bytes(changed)


def _exif_entries(exif: bytes) -> tuple[int, str, dict[int, int]]:
    """Return where offsets in EXIF count from, its byte order, and where what follows each tag of IFD0 is."""
    start = len(b"Exif\0\0") if exif.startswith(b"Exif\0\0") else 0
    order = ">" if exif[start : start + 2] == b"MM" else "<"
    places = {}
    with contextlib.suppress(struct.error):
        (offset,) = struct.unpack_from(order + "I", exif, start + 4)
        (count,) = struct.unpack_from(order + "H", exif, start + offset)
        for place in range(start + offset + 2, start + offset + 2 + 12 * count, 12):
            places[struct.unpack_from(order + "H", exif, place)[0]] = place + 2
    return start, order, places


def append_page(descriptor: int, page: BinaryIO) -> None:
    """Append another TIFF, which libvips wrote in strips, to a TIFF as its last page.

    Args:
        descriptor: descriptor of the file, readable and writable.
        page: the other TIFF, of one page.

    Raises:
        OSError: the file cannot be written, or would have more than 4 GB, for which offsets of 32 bits would
            not suffice.
    """
    too_large = OSError(errno.EFBIG, "its pages have more than 4 GB; choose fewer with --pages")
    with os.fdopen(os.dup(descriptor), "r+b") as file:
        for part in (file, page):
            part.seek(0)
            if part.read(4) != _HEADER[:4]:  # libvips wrote a BigTIFF
                raise too_large
        own = _first_directory(page)
        file.seek(4)
        start = 4  # of the offset of the next directory
        while place := struct.unpack("<I", file.read(4))[0]:
            file.seek(place)
            (length,) = struct.unpack("<H", file.read(2))
            start = place + 2 + 12 * length
            file.seek(start)
        base = file.seek(0, os.SEEK_END)
        base += base % 2
        file.seek(base)
        page.seek(0)
        shutil.copyfileobj(page, file)
        end = file.tell() + file.tell() % 2
        if end + _MOST > _LARGEST:
            raise too_large
        places = own[_STRIP_OFFSETS].numbers
        own[_STRIP_OFFSETS] = _Entry(_LONG, struct.pack(f"<{len(places)}I", *(base + p for p in places)))
        file.seek(end)
        file.write(_packed(own, end))
        file.seek(start)
        file.write(struct.pack("<I", end))


def _iptc_of(entry: _Entry) -> bytes:
    """Return IPTC in its own order: in big-endian TIFFs of Photoshop bytes are called words, and are not."""
    swapped = _swapped(entry.value, _WORDS[entry.kind])
    return swapped if swapped[:1] == _IPTC_MARKER != entry.value[:1] else entry.value


def _swapped(value: bytes, size: int) -> bytes:
    """Reverse the bytes of each word of so many."""
    return b"".join(value[i : i + size][::-1] for i in range(0, len(value), size))


def _of_exif(directory: _Directory) -> _Directory:
    return {tag: entry for tag, entry in directory.items() if tag in _DESCRIPTIVE or tag in _POINTERS}


def _intact_directory(file: BinaryIO, page: int = 1) -> _Directory:
    """Do what :func:`_first_directory` does; a damaged directory is empty."""
    try:
        return _first_directory(file, page)
    except (OSError, ValueError, struct.error):
        return {}


def _first_directory(file: BinaryIO, page: int = 1) -> _Directory:
    """Read the first directory of a page of a TIFF, and those below it.

    Raises:
        ValueError, struct.error: it is damaged.
    """
    values = _Values(file)
    file.seek(0)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(file.read(4))
    if order is None:
        raise ValueError("not a TIFF")
    (start,) = struct.unpack(order + "I", file.read(4))
    for _ in range(page - 1):
        file.seek(start)
        (length,) = struct.unpack(order + "H", file.read(2))
        file.seek(12 * length, os.SEEK_CUR)
        (start,) = struct.unpack(order + "I", file.read(4))
    return _directory(values, start, order, _POINTERS)


class _Values:
    """What lies outside the directories of a TIFF, of which no more is read than the file has bytes.

    Tags are crafted if they say more: they name the same bytes again and again.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._left = min(file.seek(0, os.SEEK_END), _MOST)

    def read(self, start: int, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            ValueError: they are too many.
        """
        self._left -= size
        if self._left < 0:
            raise ValueError("the values are larger than the file")
        self.file.seek(start)
        return self.file.read(size)


def _directory(values: _Values, start: int, order: str, pointers: tuple[int, ...]) -> _Directory:
    entries: _Directory = {}
    values.file.seek(start)
    (length,) = struct.unpack(order + "H", values.file.read(2))
    for tag, kind, count, place in struct.iter_unpack(order + "HHI4s", values.file.read(12 * length)):
        if kind not in _WORDS:
            continue
        size = count * _WORDS[kind] * (_LONGS_OF_A_FRACTION if kind in _FRACTIONS else 1)
        value = place[:size]
        if size > len(place):
            value = values.read(struct.unpack(order + "I", place)[0], size)
        if len(value) < size:
            raise ValueError("a value ends outside the file")
        if order == ">":
            value = _swapped(value, _WORDS[kind])
        inner = None
        if tag in pointers:
            below = tuple(other for other in pointers if other != tag)
            try:
                inner = _directory(values, struct.unpack("<I", value)[0], order, below)
            except (ValueError, struct.error):  # the others may be intact
                continue
        entries[tag] = _Entry(kind, value, inner)
    return entries


def _packed(entries: _Directory, start: int) -> bytes:
    """Serialise a directory that will start at ``start``, followed by the values it points to."""
    place = start + 2 + 12 * len(entries) + 4
    head, tail = struct.pack("<H", len(entries)), b""
    for tag in sorted(entries):
        kind, value, inner = entries[tag]
        count = entries[tag].length
        if inner is not None:
            kind, count = _LONG, 1
            value, below = struct.pack("<I", place + len(tail)), _packed(inner, place + len(tail))
            tail += below
        elif len(value) > 4:
            value, outside = struct.pack("<I", place + len(tail)), value
            tail += outside + bytes(len(outside) % 2)
        head += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return head + bytes(4) + tail
