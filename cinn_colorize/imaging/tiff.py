"""EXIF, IPTC and pages of TIFF files: libvips neither reads nor writes the first, and truncates the second.

In a TIFF the tags of EXIF are in the file's own first directory and in others that it points to; in other
formats EXIF is a small TIFF of its own. Directories are copied byte by byte, whatever their tags mean, which
no library does: tifffile writes none of EXIF, and Pillow changes text that is not ASCII, and fractions.
"""

import contextlib
import errno
import io
import os
import shutil
import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

from PIL.ExifTags import Base as Tag

_POINTERS = (Tag.ExifOffset, Tag.GPSInfo, Tag.ExifInteroperabilityOffset)
# Tags of the first directory that people and cameras wrote; the others describe how the pixels are stored.
_DESCRIPTIVE = (
    Tag.DocumentName, Tag.ImageDescription, Tag.Make, Tag.Model, Tag.PageName, Tag.Software, Tag.DateTime,
    Tag.Artist, Tag.HostComputer, Tag.Rating, Tag.RatingPercent, Tag.Copyright,
    Tag.XPTitle, Tag.XPComment, Tag.XPAuthor, Tag.XPKeywords, Tag.XPSubject,
)  # fmt: skip
_UNCOMPRESSED, _YCBCR, _UNSPECIFIED, _REDUCED = 1, 6, 0, b"\1"  # values of tags
_ORDERS, _BIG_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}, {b"II+\0": "<", b"MM\0+": ">"}
_HEADER = b"II*\0\x08\0\0\0"
_EXIF = b"Exif\0\0"
_IPTC_MARKER = b"\x1c"  # that each of its fields begins with
_LONG, _UNDEFINED = 4, 7
_WORDS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}  # bytes, by type
_WORDS |= dict.fromkeys((16, 17, 18), 8)  # of BigTIFF
_SIZES = _WORDS | {5: 8, 10: 8}  # bytes of a value; a fraction has two words
_LARGEST, _MOST = 2**32 - 1, 2**26  # place in a file; bytes of its values


class _Entry(NamedTuple):
    kind: int
    value: bytes  # little-endian
    inner: "dict[int, _Entry] | None" = None  # of a pointer: the directory it points to

    @property
    def numbers(self) -> list[int]:
        """The value as unsigned integers."""
        size = _WORDS[self.kind]
        return [int.from_bytes(self.value[i : i + size], "little") for i in range(0, len(self.value), size)]


_Directory = dict[int, _Entry]


def read_fields(file: BinaryIO, page: int = 1) -> dict[str, bytes]:
    """Return EXIF without the orientation, and IPTC, by libvips' names; none of a damaged directory."""
    own = _intact_directory(file, page)
    fields = {}
    if exif := _of_exif(own):
        fields["exif-data"] = _EXIF + _HEADER + _packed(exif, len(_HEADER))
    file.seek(0)  # libvips writes a part of the IPTC into a BigTIFF
    if Tag.IPTCNAA in own and file.read(4) in _ORDERS:
        fields["iptc-data"] = _iptc_of(own[Tag.IPTCNAA])
    return fields


def is_raw(file: BinaryIO) -> bool:
    """Return whether it is a camera raw: a DNG, or begins with a preview whose photo lies further inside."""
    own = _intact_directory(file)
    is_reduced = Tag.NewSubfileType in own and own[Tag.NewSubfileType].value[:1] == _REDUCED
    return Tag.DNGVersion in own or (is_reduced and Tag.SubIFDs in own)


def other_channels(file: BinaryIO, page: int = 1) -> int:
    """Return how many channels of a page, after colours and alpha, are neither: selections, infrared, ..."""
    own = _intact_directory(file, page)
    extra = own[Tag.ExtraSamples].numbers if Tag.ExtraSamples in own else []
    return len(extra) if extra[:1] == [_UNSPECIFIED] else max(0, len(extra) - 1)


def is_cut_off(file: BinaryIO, page: int = 1) -> bool:
    """Return whether the file ends inside a page's profile, or before its last pixels if not compressed."""
    own, end = _intact_directory(file, page), file.seek(0, os.SEEK_END)
    if _end_of_profile(file, page) > end:
        return True

    def numbers(tag: int, default: int = 0) -> list[int]:
        return (own[tag].numbers if tag in own else []) or [default]  # damaged fields may be empty

    is_compressed = numbers(Tag.Compression, _UNCOMPRESSED) != [_UNCOMPRESSED]
    if is_compressed or numbers(Tag.PhotometricInterpretation) == [_YCBCR]:
        return False
    bits = numbers(Tag.BitsPerSample, 1)
    of_pixel = bits[0] * numbers(Tag.SamplesPerPixel, 1)[0] if len(bits) == 1 else sum(bits)
    needed = numbers(Tag.ImageWidth)[0] * numbers(Tag.ImageLength)[0] * of_pixel // 8
    strips = Tag.StripOffsets, Tag.StripByteCounts
    starts, sizes = strips if Tag.StripOffsets in own else (Tag.TileOffsets, Tag.TileByteCounts)
    places = zip(numbers(starts), numbers(sizes), strict=False)
    # Some programs state too large a size for the last strip.
    there = sum(max(0, min(size, end - start)) for start, size in places)
    return sizes in own and there < needed


def _end_of_profile(file: BinaryIO, page: int) -> int:
    """Return where the profile of a page ends in the file, or would; 0 if there is none."""
    with contextlib.suppress(OSError, ValueError, struct.error):
        tiff = _Tiff(file)
        for tag, kind, count, place in tiff.entries(tiff.page(page)):
            if tag == Tag.InterColorProfile:
                return tiff.number(place) + count * _SIZES.get(kind, 0)
    return 0


def add_fields(descriptor: int, exif: bytes, iptc: bytes) -> None:
    """Add EXIF and IPTC, unless damaged, to a TIFF that libvips wrote, in a new first directory."""
    added: _Directory = {Tag.IPTCNAA: _Entry(_UNDEFINED, iptc)} if iptc else {}
    added |= _of_exif(_exif_directory(exif))
    with os.fdopen(os.dup(descriptor), "r+b") as file:
        file.seek(0)
        if not added or file.read(4) != _HEADER[:4]:  # a BigTIFF
            return
        own = _Tiff(file).page_directory()
        start = _even_end(file)
        file.write(_packed(added | own, start))
        file.seek(4)
        file.write(struct.pack("<I", start))


def append_page(descriptor: int, page: BinaryIO) -> None:
    """Append another TIFF of one page, which libvips wrote in strips, to a TIFF as its last page.

    An OSError if the file would have more than 4 GB: its offsets have 32 bits.
    """
    too_large = OSError(errno.EFBIG, "its pages have more than 4 GB; choose fewer with --pages")
    with os.fdopen(os.dup(descriptor), "r+b") as file:
        for part in (file, page):
            part.seek(0)
            if part.read(4) != _HEADER[:4]:  # libvips wrote a BigTIFF
                raise too_large
        own = _Tiff(page).page_directory()
        (end_of_pages,) = (pointer for pointer, start in _Tiff(file).pages() if not start)
        base = _even_end(file)
        page.seek(0)
        shutil.copyfileobj(page, file)
        start = _even_end(file)
        if start + _MOST > _LARGEST:
            raise too_large
        places = own[Tag.StripOffsets].numbers
        own[Tag.StripOffsets] = _Entry(_LONG, struct.pack(f"<{len(places)}I", *(base + p for p in places)))
        file.write(_packed(own, start))
        file.seek(end_of_pages)
        file.write(struct.pack("<I", start))


def exif_size(exif: bytes) -> int:
    """Return how many bytes EXIF has without its preview; few if it is damaged."""
    return len(_packed(_exif_directory(exif), len(_HEADER)))


def exif_turned(exif: bytes) -> bytes:
    """Let the horizontal and the vertical resolution in EXIF change places; nothing else moves."""
    turned, (_, _, places) = bytearray(exif), _exif_entries(exif)
    if {Tag.XResolution, Tag.YResolution} <= places.keys():
        x, y = (slice(places[tag], places[tag] + 10) for tag in (Tag.XResolution, Tag.YResolution))
        turned[x], turned[y] = exif[y], exif[x]
    return bytes(turned)


def exif_with_unit(exif: bytes) -> bytes:
    """Replace a resolution in EXIF that has no unit, and so is none, by 72 dpi, which designates that."""
    start, order, places = _exif_entries(exif)
    changed = bytearray(exif)
    with contextlib.suppress(struct.error, KeyError):
        if struct.unpack_from(order + "H", exif, places[Tag.ResolutionUnit] + 6)[0] == 1:
            for tag in (Tag.XResolution, Tag.YResolution):
                (offset,) = struct.unpack_from(order + "I", exif, places[tag] + 6)
                struct.pack_into(order + "II", changed, start + offset, 72, 1)
            struct.pack_into(order + "H", changed, places[Tag.ResolutionUnit] + 6, 2)
    return bytes(changed)


def _exif_entries(exif: bytes) -> tuple[int, str, dict[int, int]]:
    """Return where offsets in EXIF count from, its byte order, and where what follows each tag of IFD0 is."""
    start = len(_EXIF) if exif.startswith(_EXIF) else 0
    order = ">" if exif[start : start + 2] == b"MM" else "<"
    places = {}
    with contextlib.suppress(struct.error):
        (offset,) = struct.unpack_from(order + "I", exif, start + 4)
        (count,) = struct.unpack_from(order + "H", exif, start + offset)
        for place in range(start + offset + 2, start + offset + 2 + 12 * count, 12):
            places[struct.unpack_from(order + "H", exif, place)[0]] = place + 2
    return start, order, places


def _iptc_of(entry: _Entry) -> bytes:
    """Return IPTC in its own order: in big-endian TIFFs of Photoshop bytes are called words, and are not."""
    swapped = _swapped(entry.value, _WORDS[entry.kind])
    return swapped if swapped[:1] == _IPTC_MARKER != entry.value[:1] else entry.value


def _swapped(value: bytes, size: int) -> bytes:
    return b"".join(value[i : i + size][::-1] for i in range(0, len(value), size))


def _of_exif(directory: _Directory) -> _Directory:
    return {tag: entry for tag, entry in directory.items() if tag in (*_DESCRIPTIVE, *_POINTERS)}


def _exif_directory(exif: bytes) -> _Directory:
    return _intact_directory(io.BytesIO(exif.removeprefix(_EXIF)))


def _intact_directory(file: BinaryIO, page: int = 1) -> _Directory:
    try:
        return _Tiff(file).page_directory(page)
    except (OSError, ValueError, struct.error):
        return {}


class _Tiff:
    """Reads directories, and no more values than the file has bytes: crafted tags name them repeatedly."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, file.seek(0, os.SEEK_END)
        self._left = min(self._size, _MOST)
        start = self._read(0, 4)
        if not (order := (_ORDERS | _BIG_ORDERS).get(start)):
            raise ValueError("not a TIFF")
        self._order, is_big = order, start in _BIG_ORDERS
        self._first = 8 if is_big else 4  # where the place of the first directory is
        forms = ("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s")
        self._place, self._length, self._entry = (order + form for form in forms)

    def pages(self) -> Iterator[tuple[int, int]]:
        """Yield where the place of each page's directory is written, and it; at the end, 0 is written."""
        pointer = self._first
        while True:
            start = self._number_at(pointer, self._place)
            yield pointer, start
            if not start:
                return
            length = self._number_at(start, self._length)
            pointer = self._file.tell() + length * struct.calcsize(self._entry)

    def page(self, number: int) -> int:
        """Return where the directory of a page is, from 1."""
        start = next((start for _, start in islice(self.pages(), number - 1, None)), 0)
        if not start:
            raise ValueError("no such page")
        return start

    def number(self, place: bytes) -> int:
        """Return the place in the file that an entry refers to."""
        return int(struct.unpack(self._place, place)[0])

    def _number_at(self, place: int, form: str) -> int:
        return int(struct.unpack(form, self._read(place, struct.calcsize(form)))[0])

    def _read(self, place: int, size: int) -> bytes:
        if place + size > self._size:
            raise ValueError("a part lies outside the file")
        self._file.seek(place)
        return self._file.read(size)

    def entries(self, start: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield the entries of a directory: tag, type, number of values, and place or value."""
        size = self._number_at(start, self._length) * struct.calcsize(self._entry)
        yield from struct.iter_unpack(self._entry, self._read(self._file.tell(), size))

    def page_directory(self, page: int = 1) -> _Directory:
        """Read the directory of a page, and those below it; a ValueError or struct.error if damaged."""
        return self.directory(self.page(page))

    def directory(self, start: int, pointers: tuple[int, ...] = _POINTERS) -> _Directory:
        """Read a directory, and those that its pointers lead to."""
        entries: _Directory = {}
        for tag, kind, count, place in self.entries(start):
            if kind not in _WORDS:
                continue
            value, inner = self._value(place, count * _SIZES[kind]), None
            if self._order == ">":
                value = _swapped(value, _WORDS[kind])
            if tag in pointers:
                below = tuple(other for other in pointers if other != tag)
                try:
                    inner = self.directory(int.from_bytes(value, "little"), below)
                except (ValueError, struct.error):  # the others may be intact
                    continue
            entries[tag] = _Entry(kind, value, inner)
        return entries

    def _value(self, place: bytes, size: int) -> bytes:
        if size <= len(place):
            return place[:size]
        self._left -= size
        if self._left < 0:
            raise ValueError("more values than the file has bytes")
        return self._read(self.number(place), size)


def _packed(entries: _Directory, start: int) -> bytes:
    """Serialise a directory that will start at ``start``, followed by the values it points to."""
    place = start + 2 + 12 * len(entries) + 4
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, (kind, value, inner) in sorted(entries.items()):
        count = len(value) // _SIZES[kind]
        if inner is not None:
            kind, count = _LONG, 1
            value, below = struct.pack("<I", place + len(tail)), _packed(inner, place + len(tail))
            tail += below
        elif len(value) > 4:
            value, outside = struct.pack("<I", place + len(tail)), value
            tail += outside + bytes(len(outside) % 2)
        head += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return head + bytes(4) + tail


def _even_end(file: BinaryIO) -> int:
    """Pad a file to an even length, go to its end, and return that."""
    file.write(bytes(file.seek(0, os.SEEK_END) % 2))
    return file.tell()
