import shutil
import subprocess
from xml.etree import ElementTree

import pytest
import pyvips
from helpers import GRAY, RECIPE, Uniform, write
from hypothesis import given
from hypothesis import strategies as st

from cinn_colorize.imaging.metadata import NAMESPACE, add_recipe, find_recipe, iptc_for
from cinn_colorize.imaging.photo import open_photo, read_recipe

LIGHTROOM = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="Canon">
   <dc:creator><rdf:Seq><rdf:li>Ada &amp; Ren\xc3\xa9</rdf:li></rdf:Seq></dc:creator>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>

<?xpacket end="w"?>\0\0"""


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text()))
def test_recipe_round_trip(recipe):
    expected = {name: "".join(c if c.isprintable() else " " for c in v) for name, v in recipe.items()}
    assert find_recipe(add_recipe(None, recipe)) == expected


def test_recipe_joins_the_packet_of_the_photo():
    packet = add_recipe(LIGHTROOM, {"seed": "5", "model": 'a "<&> b'})
    assert find_recipe(packet) == {"seed": "5", "model": 'a "<&> b'}
    assert packet.startswith(b'<?xpacket begin="')
    assert packet.endswith(b'<?xpacket end="w"?>')
    text = packet.decode()
    assert "Ada &amp; René" in text
    assert 'tiff:Make="Canon"' in text
    assert "Orientation" not in text  # the picture is upright
    ElementTree.fromstring(packet)


BARE = LIGHTROOM[LIGHTROOM.index(b"<x:") : LIGHTROOM.index(b"\n\n<?xpacket end")]
PACKETS = {
    "whole": LIGHTROOM,
    "marks that do not begin": LIGHTROOM.replace(b"<?xpacket begin", b"?xpacket begin"),
    "no marks": BARE,
    "no end": LIGHTROOM[: LIGHTROOM.index(b"<?xpacket end")],
    "RDF alone": BARE[BARE.index(b"<rdf:RDF") : BARE.index(b"</x:xmpmeta>")],
    "something else around": BARE.replace(b"x:xmpmeta", b"x:photo").replace(b"adobe:ns:meta/", b"urn:photo"),
}


@pytest.mark.parametrize("kind", PACKETS)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_other_programs_read_the_packet_of_a_picture(tmp_path, kind, suffix):
    """Which they refuse without the marks around it, or its root element."""
    photo = write(tmp_path / f"in{suffix}", GRAY, [(pyvips.GValue.blob_type, "xmp-data", PACKETS[kind])])
    (picture,) = open_photo(photo).compose([Uniform(5, 5)])
    path = tmp_path / f"out{suffix}"
    picture.save(path, recipe=RECIPE)
    packet = bytes(pyvips.Image.new_from_file(str(path)).get("xmp-data"))
    assert packet.startswith(b"<?xpacket begin=")
    assert packet.rstrip(b"\0").endswith(b'<?xpacket end="w"?>')
    assert [ElementTree.fromstring(packet).tag, packet.count(b"<?xpacket")] == ["{adobe:ns:meta/}xmpmeta", 2]
    form = ["-format", "%[XML:com.adobe.xmp]", "info:-"] if suffix == ".png" else ["xmp:-"]
    for command in (["magick", "-regard-warnings", path, *form], ["exiftool", "-b", "-XMP", path]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
            assert find_recipe(done.stdout.encode()) == RECIPE


def test_line_breaks_and_tabs_of_the_packet_are_kept():
    note, name = "Box 4\r\nShelf\t2\n", "Ada\r\n"
    written = note.replace("\r", "&#xD;").replace("\n", "&#xA;").replace("\t", "&#x9;").encode()
    packet = LIGHTROOM.replace(b"Canon", written).replace(b"Ada", b"Ada&#xD;\n")
    root = ElementTree.fromstring(add_recipe(packet, RECIPE))
    assert note in [element.get("{http://ns.adobe.com/tiff/1.0/}Make") for element in root.iter()]
    assert next(root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")).text.startswith(name)


def test_a_new_recipe_replaces_the_old_one():
    once = add_recipe(LIGHTROOM, {"seed": "5", "temperature": "0.8"})
    twice = add_recipe(once, {"seed": "6"})
    assert find_recipe(twice) == {"seed": "6"}
    assert twice.count(NAMESPACE.encode()) == 1
    assert b"Canon" in twice


def test_recipe_as_elements_is_found_and_replaced():
    """The same properties as exiftool and Adobe's toolkit may write them."""
    packet = add_recipe(None, {"seed": "5"}).replace(
        b' cinn:seed="5"/>', b"><cinn:seed>5</cinn:seed></rdf:Description>"
    )
    assert b"<cinn:seed>" in packet
    assert find_recipe(packet) == {"seed": "5"}
    assert find_recipe(add_recipe(packet, {"model": "natural"})) == {"model": "natural"}


@pytest.mark.parametrize(
    "packet", [None, b"", b"no xml", b"<a/>", LIGHTROOM[:300], b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>']
)
def test_packets_that_are_none(packet):
    assert find_recipe(packet or b"") == {}
    assert find_recipe(add_recipe(packet, {"seed": "5"})) == {"seed": "5"}


@pytest.mark.parametrize("name", ["", "a b", "1st", "a:b", "ä"])
def test_names_that_xml_does_not_allow(name):
    with pytest.raises(ValueError, match="recipe"):
        add_recipe(None, {name: "x"})


@pytest.mark.parametrize("plain", [b"\x1c\x02\x50\x00\x03Ada", b"\x1c\x02\x50\x00\x04Adam\0\0\0"])
def test_iptc_in_both_forms(plain):
    wrapped = iptc_for("jpg", plain)
    assert wrapped.startswith(b"Photoshop 3.0\0008BIM\x04\x04\0\0\0\0\0")
    assert iptc_for("tiff", wrapped) == plain + bytes(-len(plain) % 4)
    assert iptc_for("jpg", wrapped) == wrapped
    named = wrapped.replace(b"\x04\x04\0\0", b"\x04\x04\x03abc")
    assert iptc_for("tiff", named) == iptc_for("tiff", plain)
    assert iptc_for("tiff", b"Photoshop 3.0\0008BIM\x03\xed") == b""
    for end in range(14, 26):
        assert iptc_for("tiff", wrapped[:end]) == b""
        assert iptc_for("jpg", wrapped[:end]) == wrapped[:end]


def nested(depth):
    inner = b"<rdf:Bag>" * depth + b"</rdf:Bag>" * depth
    return LIGHTROOM.replace(b"<dc:creator>", b"<dc:creator>" + inner)


EXCESSIVE = {
    "deep": nested(3000),
    "deep, and cut off": nested(3000)[:20_000],
    "of many elements": LIGHTROOM.replace(b"<rdf:li>", b"<rdf:li/>" * 110_000 + b"<rdf:li>"),
    "of many comments": LIGHTROOM.replace(b"<rdf:li>", b"<!---->" * 110_000 + b"<rdf:li>"),
    "of many instructions": LIGHTROOM.replace(b"<rdf:li>", b"<?a?>" * 110_000 + b"<rdf:li>"),
    "of many sections": LIGHTROOM.replace(b"<rdf:li>", b"<rdf:li>" + b"<![CDATA[]]>" * 110_000),
    "of many attributes": LIGHTROOM.replace(
        b"<rdf:li>", b"<rdf:li %s>" % b" ".join(b'a%d=""' % k for k in range(110_000)), 1
    ),
    "large": LIGHTROOM.replace(b"Ada", b"Ada" * 3_000_000),
    "of entities": LIGHTROOM.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "A">]>', 1).replace(b"Ada", b"&a;da"),
}


@pytest.mark.parametrize("kind", EXCESSIVE)
def test_excessive_packets_are_dropped_with_a_word_and_the_photo_stays(tmp_path, caplog, kind):
    packet = EXCESSIVE[kind]
    path = write(tmp_path / "a.png", GRAY, [(pyvips.GValue.blob_type, "xmp-data", packet)])
    assert find_recipe(packet) == {}
    assert find_recipe(add_recipe(packet, RECIPE)) == RECIPE
    photo = open_photo(path)
    assert photo.recipe == {}
    assert caplog.messages == [
        f"{path}: its XMP is too large, too deep or has a document type, and is left out"
    ]
    photo.compose([Uniform(0, 0)])[0].save(tmp_path / "out.png", recipe=RECIPE)
    assert read_recipe(tmp_path / "out.png") == RECIPE
    photo.compose([Uniform(0, 0)])[0].save(tmp_path / "plain.png")
    assert open_photo(tmp_path / "plain.png")._metadata.blob("xmp-data") == b""


@pytest.mark.parametrize(
    "odd",
    [
        LIGHTROOM.decode().encode("utf-16"),
        LIGHTROOM.decode().encode("utf-16-le"),
        LIGHTROOM.decode().encode("utf-16-be"),
        LIGHTROOM.replace(b"\n<x:xmpmeta", b'\n<?xml version="1.0"?><x:xmpmeta'),
        LIGHTROOM + b"more",
    ],
    ids=["UTF-16", "little-endian", "big-endian", "declaration inside", "more after it"],
)
def test_packets_of_odd_forms_are_read(odd):
    assert "Ada &amp; René" in add_recipe(odd, RECIPE).decode()
    assert find_recipe(add_recipe(odd, RECIPE)) == RECIPE


@pytest.mark.parametrize("damage", [(b"Canon", b"\x01"), (b"Ren\xc3\xa9", b"Ren\xe9"), (b"</rdf:Seq>", b"")])
def test_a_packet_that_cannot_be_read_is_left_out_with_a_word(tmp_path, caplog, damage):
    path = write(
        tmp_path / "a.png", GRAY, [(pyvips.GValue.blob_type, "xmp-data", LIGHTROOM.replace(*damage))]
    )
    open_photo(path).compose([Uniform(0, 0)])[0].save(tmp_path / "out.png", recipe=RECIPE)
    assert read_recipe(tmp_path / "out.png") == RECIPE
    assert caplog.messages == [f"{path}: its XMP cannot be read, and is left out"]


@pytest.mark.parametrize("depth", [0, 90])
def test_packets_of_usual_depth_are_kept(tmp_path, caplog, depth):
    path = write(tmp_path / "a.png", GRAY, [(pyvips.GValue.blob_type, "xmp-data", nested(depth))])
    open_photo(path).compose([Uniform(0, 0)])[0].save(tmp_path / "out.png", recipe=RECIPE)
    assert b"Canon" in open_photo(tmp_path / "out.png")._metadata.blob("xmp-data")
    assert not caplog.messages


@pytest.mark.parametrize("plain", [b"\x1c\x02\x50\x00\x03Ada", b"\x1c\x02\x50\x00\x04Adam"])
def test_a_resource_of_photoshop_has_an_even_number_of_bytes(plain):
    """Or the next one, which other programs append, would not be found."""
    wrapped = iptc_for("jpg", plain)
    assert len(wrapped) % 2 == 0
    assert wrapped.removeprefix(b"Photoshop 3.0\0")[12:] == plain + bytes(len(plain) % 2)


def test_what_photoshop_wrote_into_a_tiff_stays_in_it(tmp_path):
    resources = b"8BIM\x03\xed\0\0\0\0\0\x02ab"
    source = write(tmp_path / "in.tif", GRAY, [(pyvips.GValue.blob_type, "photoshop-data", resources)])
    open_photo(source).compose([Uniform(0, 0)])[0].save(tmp_path / "out.tif")
    assert pyvips.Image.new_from_file(str(tmp_path / "out.tif")).get("photoshop-data") == resources


RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def test_a_description_says_what_it_is_about():
    """XMP requires it, and other programs take one without for that of another thing."""
    root = ElementTree.fromstring(add_recipe(None, {"seed": "5"}))
    assert [each.get(f"{RDF}about") for each in root.iter(f"{RDF}Description")] == [""]


@pytest.mark.parametrize("size", range(5, 9))
def test_iptc_of_a_tiff_is_of_whole_words(size):
    iptc = b"\x1c\x02\x50\0\0\0\0\0"[:size]
    assert iptc_for("tiff", iptc) == iptc.ljust(8, b"\0")
    assert iptc_for("tiff", iptc_for("jpg", iptc)) == iptc.ljust(8, b"\0")
