"""docs/formats.md is true."""

import numpy as np
import pytest
import pyvips
from helpers import COLOR, GRAY, RECIPE, ROOT, Uniform, deep, write
from PIL import Image

from cinn_colorize.files.formats import FORMATS, READ_ONLY
from cinn_colorize.imaging.photo import open_photo, read_recipe

TABLES = (ROOT / "docs/formats.md").read_text().split("\n\n")
ROWS = {
    cells[0]: cells[1:]
    for table in TABLES if table.startswith("| written")
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
}  # fmt: skip
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif"}
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="an attic"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x50\x00\x03Ada"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A photo with everything, in 8 and 16 bits, in all formats: paths by format and depth."""
    folder = tmp_path_factory.mktemp("outputs")
    tags = Image.Exif()
    tags[0x013B] = "Ada"
    profile = bytes(pyvips.Operation.call("profile_load", "p3"))
    blobs = {"exif-data": tags.tobytes(), "xmp-data": XMP, "icc-profile-data": profile, "iptc-data": IPTC}
    fields = [(pyvips.GValue.blob_type, *item) for item in blobs.items()]
    alpha = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (240, 1))
    made = {}
    for depth in (8, 16):
        pixels = np.dstack([COLOR, alpha])
        pixels = deep(pixels) if depth == 16 else pixels
        (picture,) = open_photo(write(folder / f"in{depth}.tif", pixels, fields)).compose([Uniform(3, 3)])
        assert picture.rgb.dtype == pixels.dtype
        picture._metadata = picture._metadata.with_blobs(blobs)  # a TIFF by libvips has no EXIF
        for name, suffix in SUFFIXES.items():
            made[name, depth] = folder / f"out{depth}{suffix}"
            picture.save(made[name, depth], recipe=RECIPE)
    return made


def kept(path, what):
    image = pyvips.Image.new_from_file(str(path))
    with Image.open(path) as pillow:
        tags = pillow.getexif()
    blob = open_photo(path)._metadata.blob(what)
    if what == "alpha":
        return image.hasalpha()
    if what == "EXIF":
        return tags.get(0x013B) == "Ada"
    if what == "resolution":
        return image.xres == pytest.approx(11.811, abs=0.02)
    if what == "recipe":
        return read_recipe(path) == RECIPE
    return {"xmp-data": b"an attic", "iptc-data": b"Ada", "icc-profile-data": b"acsp"}[what] in blob


@pytest.mark.parametrize("name", SUFFIXES)
def test_table_of_what_is_kept(outputs, name):
    assert ROWS["written"] == list(SUFFIXES)
    column = ROWS["written"].index(name)
    fields = {"XMP": "xmp-data", "IPTC": "iptc-data", "profile": "icc-profile-data"}
    for row in ("alpha", "EXIF", "XMP", "IPTC", "profile", "resolution", "recipe"):
        said = {"kept": True, "-": False}[ROWS[row][column]]
        assert kept(outputs[name, 8], fields.get(row, row)) == said, row
    depths = []
    for depth in (8, 16):
        image = pyvips.Image.new_from_file(str(outputs[name, depth]))
        depths.append(12 if name == "AVIF" and depth == 16 else 16 if image.format == "ushort" else 8)
    assert ROWS["bits per channel"][column] == ", ".join(map(str, sorted(set(depths))))


def test_tables_name_all_formats():
    names = {"HEIF": "heif", "JPEG 2000": "jp2", "GIF": "gif", "BMP": "bmp", "PNM": "pnm", "PSD": "psd"}
    names |= {"TGA": "tga", "QOI": "qoi"}
    names["camera raw"] = "raw"
    (table,) = (table for table in TABLES if table.startswith("| only read"))
    listed = {line.split("|")[1].strip() for line in table.splitlines()[2:]}
    assert listed == set(names)
    assert set(names.values()) == READ_ONLY
    assert {suffix for f in FORMATS.keys() - READ_ONLY for suffix in FORMATS[f]} >= set(SUFFIXES.values())
    assert open_photo(GRAY).suffix == ""
