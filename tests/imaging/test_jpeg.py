"""XMP and IPTC of JPEG files in several segments."""

import hashlib
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from helpers import GRAY, RECIPE, Uniform, write
from PIL import Image

from cinn_colorize.imaging.metadata import joined, new_packet
from cinn_colorize.imaging.photo import open_photo, read_recipe

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">
<rdf:Description rdf:about="" tiff:Make="line&#xA;break"><dc:source>%s</dc:source></rdf:Description></rdf:RDF>
</x:xmpmeta><?xpacket end="w"?>"""
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP = b"Photoshop 3.0\0"
SOURCE, MAKE = "{http://purl.org/dc/elements/1.1/}source", "{http://ns.adobe.com/tiff/1.0/}Make"


def packet(size):
    return (PACKET % ("attic" * (size // 5))).encode()


def resource(size):
    """IPTC inside a Photoshop resource, after another resource of so many bytes."""
    iptc = b"\x1c\x02\x50\x00\x03Ada"
    other = b"8BIM\x07\xd0\0\0" + struct.pack(">I", size) + b"path" * (size // 4)
    return PHOTOSHOP + other + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc


def photo_with(path, **fields):
    blob = pyvips.GValue.blob_type
    return open_photo(write(path, GRAY, [(blob, f"{name}-data", value) for name, value in fields.items()]))


def save(photo, path, recipe=RECIPE):
    photo.compose([Uniform(5, 5)])[0].save(path, recipe=recipe)
    return open_photo(path)


def segments(path):
    with Image.open(path) as image:
        return [content for _, content in image.applist]


@pytest.mark.parametrize("size", [59_000, 59_800, 61_000, 65_500, 300_000])
def test_xmp_of_any_size_is_kept_with_the_recipe(tmp_path, size):
    photo = photo_with(tmp_path / "in.tif", xmp=packet(size))
    first = save(photo, tmp_path / "first.jpg")
    second = save(first, tmp_path / "second.jpg", {"seed": "6"})
    for path, made, recipe in (("first", first, RECIPE), ("second", second, {"seed": "6"})):
        root = ElementTree.fromstring(made._metadata.blob("xmp-data"))
        assert [element.text for element in root.iter(SOURCE)] == ["attic" * (size // 5)]
        assert "line\nbreak" in [element.get(MAKE) for element in root.iter()]
        assert read_recipe(tmp_path / f"{path}.jpg") == recipe
        parts = [part for part in segments(tmp_path / f"{path}.jpg") if part.startswith(EXTENSION)]
        assert bool(parts) == (size > 59_500)
        names = {part[35:67].decode() for part in parts}
        whole = b"".join(part[75:] for part in parts)
        assert names == ({hashlib.md5(whole).hexdigest().upper()} if parts else set())
        assert b"<?xpacket" not in whole
    plain = save(photo_with(tmp_path / "plain.tif"), tmp_path / "plain.jpg")
    np.testing.assert_array_equal(first.lab(64, 64), plain.lab(64, 64))


def test_a_recipe_of_any_size_is_kept(tmp_path):
    recipe = {"hints": "10,20,#a02832 " * 5000, "seed": "7"}
    save(photo_with(tmp_path / "in.png", xmp=packet(1000)), tmp_path / "out.jpg", recipe=recipe)
    assert read_recipe(tmp_path / "out.jpg") == recipe
    assert b"attic" in open_photo(tmp_path / "out.jpg")._metadata.blob("xmp-data")


@pytest.mark.parametrize("recipe", [None, RECIPE])
def test_large_xmp_that_is_malformed_leaves_nothing_dangling(tmp_path, recipe):
    made = save(photo_with(tmp_path / "in.png", xmp=packet(70_000)[:-60]), tmp_path / "out.jpg", recipe)
    assert b"HasExtendedXMP" not in made._metadata.blob("xmp-data")
    assert made.recipe == (recipe or {})


def test_an_excessive_extension_is_left_out_alone(tmp_path):
    whole = packet(9 * 2**20)
    name = hashlib.md5(whole).hexdigest().upper()
    parts = [b"http://ns.adobe.com/xap/1.0/\0" + new_packet(RECIPE, name)]
    for start in range(0, len(whole), 65_000):
        place = name.encode() + struct.pack(">II", len(whole), start)
        parts.append(EXTENSION + place + whole[start : start + 65_000])
    Image.fromarray(GRAY).save(tmp_path / "in.jpg")
    jpeg = (tmp_path / "in.jpg").read_bytes()
    written = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts)
    (tmp_path / "in.jpg").write_bytes(jpeg[:2] + written + jpeg[2:])
    assert open_photo(tmp_path / "in.jpg").recipe == RECIPE


def test_xmp_without_a_recipe_is_kept(tmp_path):
    made = save(photo_with(tmp_path / "in.png", xmp=packet(100_000)), tmp_path / "out.jpg", recipe=None)
    assert made._metadata.blob("xmp-data").count(b"attic") == 20_000
    assert made.recipe == {}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_an_extension_goes_into_other_formats(tmp_path, suffix):
    first = save(photo_with(tmp_path / "in.png", xmp=packet(100_000)), tmp_path / "first.jpg")
    packet_written = save(first, tmp_path / f"out{suffix}")._metadata.blob("xmp-data")
    assert packet_written.count(b"attic") == 20_000
    assert b"HasExtendedXMP" not in packet_written


@pytest.mark.parametrize("fault", ["a part is missing", "shorter than it says", "of another packet"])
def test_an_extension_that_is_not_whole_is_left_out(tmp_path, fault):
    path = tmp_path / "in.jpg"
    save(photo_with(tmp_path / "in.png", xmp=packet(100_000)), path)
    content = path.read_bytes()
    start = content.rindex(EXTENSION) - 4
    (size,) = struct.unpack(">H", content[start + 2 : start + 4])
    if fault == "a part is missing":
        path.write_bytes(content[:start] + content[start + 2 + size :])
    elif fault == "shorter than it says":
        name, length = content[start + 39 : start + 71], content[start + 71 : start + 75]
        more = struct.pack(">I", struct.unpack(">I", length)[0] + 1)
        path.write_bytes(content.replace(name + length, name + more))
    else:
        path.write_bytes(content.replace(EXTENSION + content[start + 39 : start + 71], EXTENSION + b"A" * 32))
    photo = open_photo(path)
    assert photo.recipe == RECIPE
    assert b"attic" not in photo._metadata.blob("xmp-data")


@pytest.mark.parametrize("size", [1000, 65_480, 65_600, 200_000])
@pytest.mark.parametrize("part", [1000, 65_000])
def test_iptc_of_any_size_is_kept(tmp_path, size, part):
    """Divided as other programs may divide it, and then as finely as necessary."""
    whole = resource(size).removeprefix(PHOTOSHOP)
    written = b""
    for start in range(0, len(whole), part):
        content = PHOTOSHOP + whole[start : start + part]
        written += b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content
    Image.fromarray(GRAY).save(tmp_path / "in.jpg")
    jpeg = (tmp_path / "in.jpg").read_bytes()
    (tmp_path / "in.jpg").write_bytes(jpeg[:2] + written + jpeg[2:])
    photo = open_photo(tmp_path / "in.jpg")
    assert photo._metadata.blob("iptc-data") == PHOTOSHOP + whole
    made = save(photo, tmp_path / "out.jpg")
    assert made._metadata.blob("iptc-data") == PHOTOSHOP + whole
    parts = [each for each in segments(tmp_path / "out.jpg") if each.startswith(PHOTOSHOP)]
    assert (len(parts) > 1) == (size > 65_500)
    assert b"Ada" in save(made, tmp_path / "out.tif")._metadata.blob("iptc-data")


@pytest.mark.parametrize(
    ("size", "suffix", "is_kept"), [(65_000, ".jpg", True), (70_000, ".jpg", False), (70_000, ".tif", True)]
)
def test_exif_that_is_too_large_is_left_out_with_a_word(tmp_path, caplog, size, suffix, is_kept):
    tags = Image.Exif()
    tags[0x010E] = "y" * size
    Image.fromarray(GRAY).save(tmp_path / "in.tif", exif=tags)
    path = tmp_path / f"out{suffix}"
    save(open_photo(tmp_path / "in.tif"), path)
    with Image.open(path) as out:
        assert len(out.getexif().get(0x010E, "")) == (size if is_kept else 0)
    assert caplog.messages == (
        [] if is_kept else [f"{path}: EXIF of more than 64 KiB is left out; a TIFF keeps it"]
    )


def test_parts_of_an_extension_come_in_any_order(tmp_path):
    whole = (PACKET % "".join(f"{i:05d}" for i in range(20_000))).encode()
    name = hashlib.md5(whole).hexdigest().upper()
    parts = []
    for start in range(0, len(whole), 30_000):
        place = name.encode() + struct.pack(">II", len(whole), start)
        parts.append(EXTENSION + place + whole[start : start + 30_000])
    assert len(parts) > 2
    packet = b"http://ns.adobe.com/xap/1.0/\0" + new_packet({"seed": "5"}, name)
    written = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(p)) + p for p in [packet, *reversed(parts)])
    Image.fromarray(GRAY).save(tmp_path / "in.jpg")
    jpeg = (tmp_path / "in.jpg").read_bytes()
    (tmp_path / "in.jpg").write_bytes(jpeg[:2] + written + jpeg[2:])
    xmp = open_photo(tmp_path / "in.jpg")._metadata.blob("xmp-data")
    assert b"<dc:source>000000000100002" in xmp
    assert b"1999819999</dc:source>" in xmp


OF_A_PREFIX = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns:p="%s"><rdf:Description rdf:about=""><p:title>%s</p:title></rdf:Description></rdf:RDF>'
    "</x:xmpmeta>"
)


def test_an_extension_that_means_something_else_by_a_prefix_is_left_out():
    packet, same, other = (
        (OF_A_PREFIX % each).encode()
        for each in (("urn:one", "first"), ("urn:one", "second"), ("urn:two", "third"))
    )
    both = joined(packet, same)
    assert b"first" in both
    assert b"second" in both
    assert joined(packet, other) == packet
