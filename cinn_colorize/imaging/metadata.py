"""The recipe of a colorization, stored in its file as XMP; and XMP and IPTC as formats require them.

The recipe (seed, temperature, model, ...) is a set of attributes in a namespace of its own, in an
``rdf:Description`` that is added to the photo's own packet.

In JPEG, libvips reads and writes only the first segment of each, of up to 64 KiB. The rest of IPTC is in more
segments of its kind; the rest of XMP in an extension, which the packet names by its MD5 (Adobe, XMP
Specification Part 3, 2020, 1.1.3.1).
"""

import codecs
import contextlib
import hashlib
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple
from xml.dom import minidom
from xml.parsers import expat

NAMESPACE = "https://cinn-colorize.readthedocs.io/ns/recipe/1.0/"
_PREFIX = "cinn"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_NOTE, _HAS_EXTENSION = "http://ns.adobe.com/xmp/note/", "HasExtendedXMP"
_PHOTOSHOP, _IPTC_RESOURCE = b"Photoshop 3.0\0", b"8BIM\x04\x04"
_LARGEST, _MOST_NODES, _DEEPEST = 2**23, 100_000, 100  # bytes, and nodes, of a packet that is read
_RDF_START = re.compile(rb"<(\w+):RDF\b")
_PADDING = b"\0 \r\n"
_HIDDEN = {ord(c): chr(0xD800 + ord(c)) for c in "\t\n\r"}  # surrogates, which no packet contains
_XMP, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_NAME, _PLACE = 32, 40  # bytes of an extension's name, and of that, its length and the place of a part
_START, _APP0, _APP1, _APP13, _APP15 = 0xD8, 0xE0, 0xE1, 0xED, 0xEF  # markers of segments
_BARE = {0x01, 0xFF, *range(0xD0, 0xD8)}  # without content, which no header needs
_LAST = (0xD9, 0xDA)  # the end, and a scan, after which no metadata follow
_MOST_SEGMENTS = 10_000  # that are looked at; a photo has a few, and each has up to 64 KiB
_MOST_XMP = 60_000  # bytes of a packet; libvips leaves out larger ones without a word
_MOST = 65_533  # bytes of a segment
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="{_META}"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
    '<?xpacket end="w"?>'
).encode()


def add_recipe(packet: bytes | None, recipe: Mapping[str, str]) -> bytes:
    """Write ``recipe`` into an XMP packet, replacing an older one, and return the new packet, UTF-8.

    An orientation is removed, since the picture is already upright. A packet that is missing, malformed or
    excessive is taken for an empty one. A name of more than letters, digits and underscores is a ValueError.
    """
    for name in recipe:
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"recipe: {name!r} is not a valid name; use letters, digits and underscores")
    document = _whole(_parse(packet))
    for description, node in _properties(document, _TIFF, "Orientation"):
        _remove(node, description)
    _remove_recipe(document)
    _describe(document, _PREFIX, NAMESPACE, recipe)
    return _serialised(document)


def new_packet(recipe: Mapping[str, str], extension: str) -> bytes:
    """Return a packet that says no more than ``recipe`` and the name of the extension with all else."""
    document = minidom.parseString(add_recipe(None, recipe))
    _describe(document, "xmpNote", _NOTE, {_HAS_EXTENSION: extension})
    return _serialised(document)


def find_extension(packet: bytes) -> str:
    """Return the name of the extension that a packet has; empty if there is none."""
    document = _parse(packet)
    notes = _properties(document, _NOTE, _HAS_EXTENSION) if document else []
    return next((_text(note) for _, note in notes), "")


def extended(packet: bytes, *, recipe: bool) -> bytes:
    """Return an extension with all of a packet, or all but its recipe; empty if it cannot be read."""
    document = _parse(packet)
    if document is None:
        return b""
    if not recipe:
        _remove_recipe(document)
    for node in [*document.childNodes]:
        if node is not document.documentElement:  # the marks around a packet
            document.removeChild(node)
    return _serialised(document)


def joined(packet: bytes, extension: bytes) -> bytes:
    """Return a packet that says what it and its extension do; itself if either is malformed or excessive."""
    document, more = _parse(packet), _parse(extension)
    if document is None or more is None:
        return packet
    for description, note in _properties(document, _NOTE, _HAS_EXTENSION):
        _remove(note, description)
    root, other = _root(document), _root(more)
    known, names = _prefixes(document), _prefixes(more)
    if any(known.get(name, value) != value for name, value in names.items()):
        return packet  # one prefix of two namespaces, which no program writes
    for name, value in names.items():
        root.setAttribute(name, value)
    for child in other.childNodes:
        if child.nodeType == child.ELEMENT_NODE:
            root.appendChild(document.importNode(child, True))
    whole = _serialised(document)
    return packet if _is_excessive(whole) else whole


def find_recipe(packet: bytes) -> dict[str, str]:
    """Return the recipe in an XMP packet; empty if there is none."""
    document = _parse(packet)
    return {node.localName: _text(node) for _, node in _properties(document, NAMESPACE)} if document else {}


def iptc_for(format: str, iptc: bytes) -> bytes:
    """Convert IPTC to the form of a format: inside a Photoshop resource in JPEG, bare in others."""
    plain = iptc
    if iptc.startswith(_PHOTOSHOP):
        start = iptc.find(_IPTC_RESOURCE) + len(_IPTC_RESOURCE)
        if not len(_IPTC_RESOURCE) <= start < len(iptc):  # there is none, or it is cut off
            return b"" if format != "jpg" else iptc
        start += 2 * (iptc[start] // 2 + 1)  # the resource's name, padded
        (length,) = struct.unpack_from(">I", iptc.ljust(start + 4, b"\0"), start)
        plain = iptc[start + 4 : start + 4 + length]
    if format != "jpg":
        return plain + bytes(-len(plain) % 4)  # TIFF counts it in words of 4 bytes
    if iptc is not plain:
        return iptc
    head = _PHOTOSHOP + _IPTC_RESOURCE + bytes(2) + struct.pack(">I", len(plain))
    return head + plain + bytes(len(plain) % 2)


def problem_of(packet: bytes) -> str:
    """Return why an XMP packet is to be left out; empty if it can be read, or is XML that says nothing."""
    if _is_excessive(packet):
        return "is too large, too deep or has a document type"
    if packet.strip(b"\0 \t\r\n") and _parse(packet) is None:
        try:
            expat.ParserCreate().Parse(packet.strip(_PADDING), True)
        except expat.ExpatError:
            return "cannot be read"
    return ""


def _is_excessive(packet: bytes) -> bool:
    """Return whether an XMP packet is too large, too deep or has a document type, as crafted ones do.

    XMP has none, and its entities would make any text of a few bytes. Nodes are counted, not kept.
    """
    if len(packet) > _LARGEST:
        return True
    number = depth = 0

    def count(nodes: int = 1, levels: int = 0) -> None:
        nonlocal number, depth
        number, depth = number + nodes, depth + levels
        if number > _MOST_NODES or depth > _DEEPEST:
            raise OverflowError

    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda _, attributes: count(1 + len(attributes), levels=1)
    parser.EndElementHandler = lambda _: count(0, levels=-1)
    for kind in ("CommentHandler", "ProcessingInstructionHandler", "StartCdataSectionHandler"):
        setattr(parser, kind, lambda *_: count())
    parser.StartDoctypeDeclHandler = lambda *_: count(_MOST_NODES + 1)
    try:
        parser.Parse(packet.strip(_PADDING), True)
    except OverflowError:
        return True
    except (expat.ExpatError, ValueError, LookupError):
        pass
    return False


def _parse(packet: bytes | None) -> minidom.Document | None:
    packet = _in_utf8(packet or b"").strip(_PADDING)
    start = _RDF_START.search(packet)
    end = b"</" + start[1] + b":RDF>" if start else b""
    # Other programs may wrongly have put something around the RDF.
    inside = packet[start.start() : packet.rfind(end) + len(end)] if start else b""
    for content in (packet, inside):
        if _is_excessive(content):
            return None
        with contextlib.suppress(expat.ExpatError, ValueError, LookupError):
            document = minidom.parseString(content)
            if document.getElementsByTagNameNS(_RDF, "RDF"):
                return document
    return None


def _whole(document: minidom.Document | None) -> minidom.Document:
    """Return a packet with the marks around it, without which other programs do not read it."""
    whole = minidom.parseString(_EMPTY)
    if document is None:
        return whole
    element, placeholder = document.documentElement, whole.documentElement
    assert element is not None
    assert placeholder is not None
    if element.namespaceURI != _META:  # the RDF alone, or inside what another program put there
        root = whole.importNode(_root(document), True)
        for name, value in _prefixes(document).items():
            root.setAttribute(name, value)
        placeholder.replaceChild(root, _root(whole))
    elif document.firstChild is element or document.lastChild is element:
        whole.replaceChild(whole.importNode(element, True), placeholder)
    else:
        return document
    return whole


def _in_utf8(packet: bytes) -> bytes:
    """Convert a packet in UTF-16, as XMP allows."""
    if packet[:2] in (codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE):
        form = "utf-16"
    elif packet[:4:2] == b"\0\0":
        form = "utf-16-be"
    elif packet[1:4:2] == b"\0\0":
        form = "utf-16-le"
    else:
        return packet
    return packet.decode(form, errors="ignore").encode()


def _serialised(document: minidom.Document) -> bytes:
    """Write a packet; line breaks and tabs are escaped, which minidom leaves to be lost by parsers."""
    for element in document.getElementsByTagName("*"):
        for attribute in element.attributes.values():
            attribute.value = attribute.value.translate(_HIDDEN)
        for child in element.childNodes:
            if child.nodeType == child.TEXT_NODE:
                child.data = child.data.replace("\r", _HIDDEN[ord("\r")])
    text = "\n".join(node.toxml() for node in document.childNodes)
    return text.translate({ord(hidden): f"&#{code};" for code, hidden in _HIDDEN.items()}).encode()


def _prefixes(document: minidom.Document) -> dict[str, str]:
    """Return the prefixes declared for all properties, as attributes."""
    above = [document.documentElement, _root(document)]
    attributes = [attribute for element in above if element for attribute in element.attributes.items()]
    return {name: value for name, value in attributes if name.startswith("xmlns:")}


def _root(document: minidom.Document) -> minidom.Element:
    return document.getElementsByTagNameNS(_RDF, "RDF")[0]


def _remove_recipe(document: minidom.Document) -> None:
    root = _root(document)
    for description, node in _properties(document, NAMESPACE):
        _remove(node, description)
    for description in _descriptions(document):
        if description.parentNode is root and _is_empty(description):
            root.removeChild(description)


def _describe(document: minidom.Document, prefix: str, namespace: str, values: Mapping[str, str]) -> None:
    """Add a description of the picture: values of a namespace."""
    root = _root(document)
    rdf = root.prefix or "rdf"
    description = document.createElementNS(_RDF, f"{rdf}:Description")
    description.setAttribute(f"xmlns:{rdf}", _RDF)
    description.setAttributeNS(_RDF, f"{rdf}:about", "")
    for name, value in values.items():
        description.setAttribute(f"xmlns:{prefix}", namespace)
        text = "".join(c if c.isprintable() else " " for c in value)  # XML cannot hold all characters
        description.setAttributeNS(namespace, f"{prefix}:{name}", text)
    root.appendChild(description)


def _properties(
    document: minidom.Document, namespace: str, name: str = ""
) -> list[tuple[minidom.Element, Any]]:
    """Return properties of a namespace, each after its description; other programs may write elements."""
    return [
        (description, node)
        for description in _descriptions(document)
        for node in (*description.attributes.values(), *description.childNodes)
        if node.namespaceURI == namespace and name in ("", node.localName)
    ]


def _descriptions(document: minidom.Document) -> list[minidom.Element]:
    return list(document.getElementsByTagNameNS(_RDF, "Description"))


def _remove(node: Any, description: minidom.Element) -> None:
    if node.nodeType == node.ATTRIBUTE_NODE:
        description.removeAttributeNode(node)
    else:
        description.removeChild(node)


def _text(node: Any) -> str:
    return "".join(child.data for child in node.childNodes if child.nodeType == child.TEXT_NODE)


def _is_empty(description: minidom.Element) -> bool:
    """Return whether only namespaces and the subject are left."""
    names = [name for name, _ in description.attributes.items() if not name.startswith("xmlns")]
    return len(names) <= 1 and all(node.nodeType != node.ELEMENT_NODE for node in description.childNodes)


class Segment(NamedTuple):
    """A segment of the header of a JPEG."""

    marker: int
    content: bytes


def read_jpeg(file: BinaryIO) -> dict[str, bytes]:
    """Return XMP and IPTC that have several segments, by libvips' names; extensions only if complete."""
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
