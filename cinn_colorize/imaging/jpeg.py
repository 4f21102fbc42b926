"""XMP and IPTC of JPEG files that take more than one segment: libvips reads and writes the first alone.

A segment has at most 64 KiB. The rest of IPTC is in more segments of its kind; the rest of XMP in an
extension, which the packet names by its MD5 (Adobe, XMP Specification Part 3, 2020, 1.1.3.1).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

from cinn_colorize.imaging.metadata import extended, find_extension, find_recipe, joined, new_packet

_XMP, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_NAME, _PLACE = 32, 40  # bytes of an extension's name, and of that, its length and the place of a part
_START, _APP0, _APP1, _APP13, _APP15 = 0xD8, 0xE0, 0xE1, 0xED, 0xEF
_BARE = {0x01, 0xFF, *range(0xD0, 0xD8)}  # without content, which no header needs
_MOST_SEGMENTS = 10_000  # that are looked at; a photo has a few, and each has up to 64 KiB
_LAST = (0xD9, 0xDA)  # the end, and a scan, after which no metadata follow
_MOST_XMP = 60_000  # bytes of a packet; libvips leaves out larger ones without a word
_MOST = 65_533  # bytes of a segment


class Segment(NamedTuple):
    """A segment of the header."""

    marker: int
    content: bytes


def read_fields(file: BinaryIO) -> dict[str, bytes]:
    """Return XMP and IPTC that have several segments, by libvips' names.

    An extension that is incomplete, or that the packet does not name, is treated as missing.
    """
    segments = [segment for _, segment in _segments(file, (_XMP, _EXTENSION, _PHOTOSHOP))]
    found = {}
    iptc = [segment.content for segment in segments if segment.marker == _APP13]
    if len(iptc) > 1:
        found["iptc-data"] = iptc[0] + b"".join(part.removeprefix(_PHOTOSHOP) for part in iptc[1:])
    app1 = [segment.content for segment in segments if segment.marker == _APP1]
    packet = next((part.removeprefix(_XMP) for part in app1 if part.startswith(_XMP)), b"")
    parts = [part.removeprefix(_EXTENSION) for part in app1 if part.startswith(_EXTENSION)]
    if packet and parts and (extension := _extension(parts, find_extension(packet))):
        found["xmp-data"] = joined(packet, extension)
    return found


def divided(fields: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[Segment]]:
    """Divide XMP, and IPTC inside a Photoshop resource, into what libvips is to write and more segments."""
    first, rest = dict(fields), []
    packet = fields.get("xmp-data", b"")
    recipe = find_recipe(packet) if len(packet) > _MOST_XMP else {}
    if sum(map(len, recipe.values())) > _MOST_XMP // 2:  # of thousands of hints
        recipe = {}
    if len(packet) > _MOST_XMP and (content := extended(packet, recipe=not recipe)):
        name = hashlib.md5(content, usedforsecurity=False).hexdigest().upper()
        first["xmp-data"] = new_packet(recipe, name)
        size = _MOST - len(_EXTENSION) - _PLACE
        for start in range(0, len(content), size):
            place = name.encode() + struct.pack(">II", len(content), start)
            rest.append(Segment(_APP1, _EXTENSION + place + content[start : start + size]))
    if len(iptc := fields.get("iptc-data", b"")) > _MOST:
        first["iptc-data"] = iptc[:_MOST]
        size = _MOST - len(_PHOTOSHOP)
        parts = (iptc[start : start + size] for start in range(_MOST, len(iptc), size))
        rest += [Segment(_APP13, _PHOTOSHOP + part) for part in parts]
    return first, rest


def add_segments(descriptor: int, segments: Sequence[Segment]) -> None:
    """Add segments to a JPEG that is open for reading and writing, after those of its header."""
    with os.fdopen(os.dup(descriptor), "r+b") as file:
        place = 2
        for end, segment in _segments(file):
            if _APP0 <= segment.marker <= _APP15:
                place = end
        file.seek(place)
        rest = file.read()
        file.seek(place)
        for marker, content in segments:
            file.write(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content)
        file.write(rest)


def _segments(file: BinaryIO, kinds: tuple[bytes, ...] = (b"",)) -> Iterator[tuple[int, Segment]]:
    """Yield the intact segments of a header whose content begins in such a way, after where each one ends."""
    file.seek(0)
    if file.read(2) != bytes([0xFF, _START]):
        return
    for _ in range(_MOST_SEGMENTS):
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in _LAST:
            return
        size = int.from_bytes(head[2:], "big") - 2
        content = file.read(max(size, 0))
        if head[1] in _BARE or size < 0 or len(content) < size:
            return
        if content.startswith(kinds):
            yield file.tell(), Segment(head[1], content)


def _extension(parts: Sequence[bytes], name: str) -> bytes:
    """Put the extension of a name together; empty if a part is missing."""
    found, whole = {}, -1
    for part in parts:
        if len(part) >= _PLACE and part[:_NAME] == name.encode():
            whole, start = struct.unpack(">II", part[_NAME:_PLACE])
            found[start] = part[_PLACE:]
    content = b"".join(found[start] for start in sorted(found))
    return content if len(content) == whole else b""
