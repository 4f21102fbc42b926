"""Metadata of photos in their pictures: EXIF, IPTC and resolution, from format to format."""

import io
import struct

import numpy as np
import pytest
import pyvips
from helpers import COLOR, GRAY, RECIPE, Uniform, write
from PIL import Image

from cinn_colorize.imaging import vips
from cinn_colorize.imaging.metadata import iptc_for
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.imaging.tiff import read_fields

TEXTS = {
    0x010D: "box 4", 0x010E: "a bridge", 0x010F: "Agfa", 0x0110: "Isolette", 0x011D: "page 7",
    0x0131: "ScanTool", 0x0132: "1957:10:04 19:28:34", 0x013B: "Ada", 0x013C: "scanner-2", 0x8298: "CC0",
}  # fmt: skip
RATINGS = {0x4746: 4, 0x4749: 80}
OF_WINDOWS = (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)  # title, comment, author, keywords and subject


def exif(**extra):
    tags = Image.Exif()
    tags[0x013B], tags[0x010F] = "Ada", "Agfa"
    tags.get_ifd(0x8769)[0x9003] = "1957:10:04 19:28:34"  # DateTimeOriginal
    tags.get_ifd(0x8825)[2] = (48.0, 12.0, 30.5)  # GPSLatitude
    return tags


def big_endian(tags):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    directory = ImageFileDirectory_v2(b"MM\0\x2a\0\0\0\x08")
    directory[0x013B] = tags[0x013B]
    directory[0x8825] = dict(tags.get_ifd(0x8825))
    return b"MM\0\x2a\0\0\0\x08" + directory.tobytes(8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("source", [".tif", ".jpg"])
def test_exif_goes_from_format_to_format(tmp_path, source, suffix):
    Image.fromarray(GRAY).save(tmp_path / "in.jpg", exif=exif())
    if source == ".tif":  # in which Pillow writes the first directory only
        open_photo(tmp_path / "in.jpg").compose([Uniform(5, 5)])[0].save(tmp_path / "in.tif")
    (picture,) = open_photo(tmp_path / f"in{source}").compose([Uniform(5, 5)])
    picture.save(tmp_path / f"out{suffix}", recipe=RECIPE)
    assert read_recipe(tmp_path / f"out{suffix}") == RECIPE
    with Image.open(tmp_path / f"out{suffix}") as out:
        assert np.asarray(out).shape == (240, 300, 3)
        tags = out.getexif()
    assert (tags[0x013B], tags[0x010F]) == ("Ada", "Agfa")
    assert tags.get_ifd(0x8769)[0x9003] == "1957:10:04 19:28:34"
    assert [float(v) for v in tags.get_ifd(0x8825)[2]] == [48.0, 12.0, 30.5]
    pixels = pyvips.Image.new_from_file(str(tmp_path / f"out{suffix}")).numpy()
    assert np.abs(pixels.astype(int) - picture.rgb).mean() < 2


def test_big_endian_exif_in_tiff(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "in.jpg", exif=b"Exif\0\0" + big_endian(exif()))
    (picture,) = open_photo(tmp_path / "in.jpg").compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as out:
        assert [float(v) for v in out.getexif().get_ifd(0x8825)[2]] == [48.0, 12.0, 30.5]
        assert out.getexif()[0x013B] == "Ada"


def iptc_in(path):
    image = pyvips.Image.new_from_file(str(path))
    return bytes(image.get("iptc-data")) if image.get_typeof("iptc-data") else None


@pytest.mark.parametrize("big", ["photo", "picture", "neither"])
def test_a_bigtiff_has_no_iptc_rather_than_a_part_of_it(tmp_path, monkeypatch, big):
    iptc = b"\x1c\x02\x50\x00\x03Ada\x1c\x02\x78\x00\x02hi\0\0"
    image = pyvips.Image.new_from_array(GRAY).copy()
    source = "tiff" if big == "photo" else "jpg"
    image.set_type(pyvips.GValue.blob_type, "iptc-data", iptc_for(source, iptc))
    if big == "photo":
        image.tiffsave(str(tmp_path / "in.tif"), bigtiff=True)
    else:
        image.jpegsave(str(tmp_path / "in.jpg"))
    if big == "picture":
        monkeypatch.setattr(vips, "_LARGEST_TIFF", 1)
    (photo,) = map(open_photo, tmp_path.glob("in.*"))
    for suffix in (".tif", ".jpg"):
        photo.compose([Uniform(5, 5)])[0].save(tmp_path / f"out{suffix}")
    kept = {".tif": iptc if big == "neither" else None, ".jpg": None if big == "photo" else iptc}
    found = read_fields((tmp_path / "out.tif").open("rb")).get("iptc-data")
    assert found is kept[".tif"] is None or found.startswith(kept[".tif"])
    assert (iptc_in(tmp_path / "out.tif") is None) == (kept[".tif"] is None)
    found = iptc_in(tmp_path / "out.jpg")
    assert found is kept[".jpg"] is None or kept[".jpg"] in found


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_a_bigtiff(order):
    """Its directories have other lengths, and places of 64 bits."""

    def directory(*entries):
        packed = (struct.pack(order + "HHQ", *entry[:3]) + entry[3].ljust(8, b"\0") for entry in entries)
        return struct.pack(order + "Q", len(entries)) + b"".join(packed) + bytes(8)

    start, size = 16, 8 + 2 * 20 + 8
    inner = directory((0x9003, 2, 20, struct.pack(order + "Q", start + 2 * size)), (0xA002, 3, 1, b"\1\1"))
    own = directory((0x013B, 2, 4, b"Ada\0"), (0x8769, 18, 1, struct.pack(order + "Q", start + size)))
    head = {"<": b"II+\0", ">": b"MM\0+"}[order] + struct.pack(order + "HHQ", 8, 0, start)
    content = head + own + inner + b"1957:10:04 19:28:34\0"
    tags = Image.Exif()
    tags.load(read_fields(io.BytesIO(content))["exif-data"])
    assert (tags[0x013B], tags.get_ifd(0x8769)) == ("Ada", {0x9003: "1957:10:04 19:28:34", 0xA002: 257})
    for end in range(len(content)):
        read_fields(io.BytesIO(content[:end]))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "its_words"), [(7, None), (4, ">"), (4, "<")])
def test_iptc_of_tiffs_of_either_order(order, kind, its_words):
    """Photoshop calls bytes words, libtiff swaps them as such, and other programs write bytes."""
    iptc = b"\x1c\x02\x50\x00\x03Ada\x1c\x02\x78\x00\x02hi\0"
    content, count = iptc, len(iptc)
    if its_words:
        count //= 4
        content = struct.pack(f"{order}{count}I", *struct.unpack(f"{its_words}{count}I", iptc))
    start = 8 + 2 + 12 + 4
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    entry = struct.pack(f"{order}HHHII", 1, 0x83BB, kind, count, start)
    assert read_fields(io.BytesIO(head + entry + bytes(4) + content))["iptc-data"] == iptc


@pytest.mark.parametrize(
    "exif", [b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff", b"II*\0\x08", b"garbage!"]
)
def test_damaged_exif_does_not_damage_a_tiff(tmp_path, exif):
    image = Image.fromarray(GRAY)
    image.info["exif"] = b"Exif\0\0" + exif
    (picture,) = open_photo(image).compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.tif")
    np.testing.assert_array_equal(pyvips.Image.new_from_file(str(tmp_path / "out.tif")).numpy(), picture.rgb)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_strip(tmp_path, suffix):
    profile = bytes(pyvips.Operation.call("profile_load", "p3"))
    fields = [
        ("exif-data", exif().tobytes()),
        ("icc-profile-data", profile),
        ("iptc-data", b"\x1c\x02\x78\0\x01a"),
    ]
    blobs = [(pyvips.GValue.blob_type, *pair) for pair in fields]
    (picture,) = open_photo(write(tmp_path / "in.jpg", COLOR, blobs)).compose([Uniform(5, 5)])
    picture.save(tmp_path / f"out{suffix}", recipe=RECIPE, strip=True)
    assert b"Agfa" not in (tmp_path / f"out{suffix}").read_bytes()
    assert read_recipe(tmp_path / f"out{suffix}") == RECIPE
    with Image.open(tmp_path / f"out{suffix}") as out:
        assert out.info["icc_profile"] == profile
        assert out.info.get("dpi", (72, 72)) != pytest.approx((300, 300), abs=1)


def test_resolution_of_images_of_pillow(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "BMP", dpi=(300, 300))
    (picture,) = open_photo(buffer.getvalue()).compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        assert out.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("tag", [0x8769, 0x8825, 0xA005])
def test_exif_that_points_to_itself_ends(tmp_path, tag):
    """A crafted TIFF; the photo is intact all the same."""
    tags = Image.Exif()
    tags[0x013B] = "Ada"
    Image.fromarray(GRAY).save(tmp_path / "in.tif", exif=tags)
    content = bytearray((tmp_path / "in.tif").read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    entries = [bytes(content[start + 2 + 12 * k : start + 14 + 12 * k]) for k in range(count)]
    place = len(content) + len(content) % 2
    entries.append(struct.pack("<HHII", tag, 4, 1, place))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    content += bytes(len(content) % 2) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    content[4:8] = struct.pack("<I", place)
    (tmp_path / "loop.tif").write_bytes(content)
    photo = open_photo(tmp_path / "loop.tif")
    assert photo.lab(64, 64).tobytes() == open_photo(tmp_path / "in.tif").lab(64, 64).tobytes()
    assert b"Ada" in photo._metadata.blob("exif-data")


@pytest.mark.parametrize("source", [".tif", ".jpg"])
def test_a_tiff_keeps_all_that_people_and_cameras_wrote(tmp_path, source):
    tags = Image.Exif()
    for tag, value in (TEXTS | RATINGS).items():
        tags[tag] = value
    for tag in OF_WINDOWS:
        tags[tag] = f"{tag:x}".encode("utf-16-le")
    Image.fromarray(GRAY).save(tmp_path / f"in{source}", exif=tags)
    (picture,) = open_photo(tmp_path / f"in{source}").compose([Uniform(5, 5)])
    picture.save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as out:
        found = out.getexif()
        np.testing.assert_array_equal(np.asarray(out), picture.rgb)
    assert {tag: found.get(tag) for tag in TEXTS | RATINGS} == TEXTS | RATINGS
    for tag in OF_WINDOWS:
        assert bytes(found[tag]).decode("utf-16-le") == f"{tag:x}"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("unit", "dpi"), [(1, 72), (2, 300), (3, 762)], ids=["none", "inch", "cm"])
def test_a_resolution_without_unit_is_none(tmp_path, format, unit, dpi):
    """Which exiftool adds to photos that have no resolution."""
    exif = Image.Exif()
    exif.update({0x010F: "maker", 0x011A: 300.0, 0x011B: 300.0, 0x0128: unit})
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, format, exif=exif)
    (picture,) = open_photo(buffer.getvalue()).compose([Uniform(0, 0)])
    for name in ("out.jpg", "out.png", "out.tif"):
        picture.save(tmp_path / name)
        with Image.open(tmp_path / name) as out:
            of_exif = out.getexif()
            assert out.info["dpi"] == pytest.approx((dpi, dpi), abs=0.5)
            assert of_exif[0x011A] == pytest.approx(300 if unit == 3 else dpi, abs=0.5)
            assert of_exif[0x0128] == (3 if unit == 3 else 2)
            assert of_exif[0x010F] == "maker"


def test_a_resolution_of_nothing_is_none(tmp_path):
    image = Image.fromarray(GRAY)
    image.info["dpi"] = (0, 0)
    (picture,) = open_photo(image).compose([Uniform(5, 5)])
    picture.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        assert out.info.get("dpi", (72, 72))[0] > 1
