"""How a colorization was made, kept inside the file as XMP.

The recipe (seed, temperature, model, ...) is a set of attributes in a namespace of its own, in an ``rdf:Description``
that joins the packet the photo already had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.dom import minidom
from xml.parsers.expat import ExpatError

NAMESPACE = "https://cinn-colorize.readthedocs.io/ns/recipe/1.0/"
_PREFIX = "cinn"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
    '<?xpacket end="w"?>'
).encode()


def add_recipe(packet: bytes | None, recipe: Mapping[str, str]) -> bytes:
    """Write ``recipe`` into an XMP packet in place of an older one.

    Args:
        packet: the photo's own; one that is missing or not well-formed is replaced by an empty one.
        recipe: names (letters, digits and underscores) and values.

    Returns:
        The new packet, UTF-8.

    Raises:
        ValueError: a name that XML does not allow.
    """
    for name in recipe:
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"recipe: {name!r} is no name; use letters, digits and underscores")
    document = _parse(packet) or minidom.parseString(_EMPTY)
    root = _rdf(document)
    for description in list(root.getElementsByTagNameNS(_RDF, "Description")):
        for attribute in _own_attributes(description):
            description.removeAttributeNode(attribute)
        for child in _own_children(description):
            description.removeChild(child)
        if description.parentNode is root and _says_nothing(description):
            root.removeChild(description)
    rdf = f"{root.prefix}:" if root.prefix else ""
    description = document.createElementNS(_RDF, f"{rdf}Description")
    description.setAttributeNS(_RDF, f"{root.prefix or 'rdf'}:about", "")
    description.setAttribute(f"xmlns:{_PREFIX}", NAMESPACE)
    for name, value in recipe.items():
        description.setAttributeNS(NAMESPACE, f"{_PREFIX}:{name}", _printable(value))
    root.appendChild(description)
    return "\n".join(node.toxml() for node in document.childNodes).encode()


def find_recipe(packet: bytes) -> dict[str, str]:
    """The recipe in an XMP packet; empty if it has none."""
    document = _parse(packet)
    recipe: dict[str, str] = {}
    if document is None:
        return recipe
    for description in document.getElementsByTagNameNS(_RDF, "Description"):
        recipe |= {attribute.localName: attribute.value for attribute in _own_attributes(description)}
        # Other programs may write the same as elements when they save the packet.
        for child in _own_children(description):
            recipe[child.localName] = "".join(node.data for node in child.childNodes if node.nodeType == node.TEXT_NODE)
    return recipe


def _parse(packet: bytes | None) -> minidom.Document | None:
    try:
        document = minidom.parseString((packet or b"").strip(b"\0 \r\n"))
    except (ExpatError, ValueError, LookupError):
        return None
    return document if document.getElementsByTagNameNS(_RDF, "RDF") else None


def _rdf(document: minidom.Document) -> minidom.Element:
    return document.getElementsByTagNameNS(_RDF, "RDF")[0]


def _own_attributes(element: minidom.Element) -> list[minidom.Attr]:
    attributes: Iterator[minidom.Attr] = iter(element.attributes.values())
    return [attribute for attribute in attributes if attribute.namespaceURI == NAMESPACE]


def _own_children(element: minidom.Element) -> list[minidom.Element]:
    return [child for child in element.childNodes if child.namespaceURI == NAMESPACE]


def _says_nothing(description: minidom.Element) -> bool:
    names = [name for name in description.attributes.keys() if not name.startswith("xmlns")]
    return len(names) <= 1 and not any(node.nodeType == node.ELEMENT_NODE for node in description.childNodes)


def _printable(value: str) -> str:
    """Without what XML can't hold."""
    return "".join(c if c.isprintable() else " " for c in value)
