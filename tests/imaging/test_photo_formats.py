"""Pixels of each format that is read, and how those that are written keep them."""

import pickle
import struct

import cv2
import numpy as np
import pytest
import pyvips
from helpers import COLOR, GRAY, Uniform, deep, write
from PIL import Image

from cinn_colorize.imaging.photo import PhotoError, open_photo
from cinn_colorize.imaging.profiles import space_of


def gray_of(path, **options):
    """L of the picture of a file, as gray."""
    photo = open_photo(path, **options)
    (picture,) = photo.compose([Uniform(0, 0)])
    return photo, picture.rgb[..., 1]


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".jp2", ".pgm", ".avif", ".tif", ".webp", ".png"])
def test_gray_of_every_format(tmp_path, suffix):
    path = tmp_path / f"in{suffix}"
    options = {"quality": 100} if suffix == ".avif" else {"lossless": True} if suffix == ".webp" else {}
    image = Image.fromarray(GRAY)
    (image.convert("RGB") if suffix in (".avif", ".webp") else image).save(path, **options)
    photo, gray = gray_of(path)
    assert (photo.width, photo.height, photo.bit_depth, photo.suffix) == (300, 240, 8, suffix)
    assert np.abs(gray.astype(int) - GRAY).mean() < 1


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".jp2", ".ppm", ".tif"])
def test_colors_of_every_format(tmp_path, suffix):
    image = Image.fromarray(COLOR)
    (image.quantize(256) if suffix == ".gif" else image).save(tmp_path / f"in{suffix}")
    difference = np.abs(open_photo(tmp_path / f"in{suffix}").lab(64, 64) - open_photo(COLOR).lab(64, 64))
    assert difference.mean() < (1.5 if suffix == ".gif" else 0.2)


def test_a_malformed_header_is_called_damage(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 hello")
    with pytest.raises(PhotoError, match=r"a\.pgm: cannot be read: damaged or unsupported"):
        open_photo(tmp_path / "a.pgm")


def pnm(pixels, largest):
    header = f"P{6 if pixels.ndim == 3 else 5}\n# a scan\n{pixels.shape[1]} {pixels.shape[0]}\n{largest}\n"
    return header.encode() + pixels.astype(">u2").tobytes()


@pytest.mark.parametrize("pixels", [deep(GRAY), deep(COLOR)], ids=["gray", "color"])
@pytest.mark.parametrize("kind", ["png", "tif", "pnm", "pnm of 12 bits", "jp2", "float", "0..255"])
def test_sixteen_bits_arrive(tmp_path, pixels, kind):
    path = tmp_path / f"in.{kind[:3]}"
    tolerance = 0
    if kind in ("png", "tif"):
        write(path, pixels)
    elif kind.startswith("pnm"):
        largest = 4095 if "12" in kind else 65535
        pixels = pixels // (16 if "12" in kind else 1)
        path.write_bytes(pnm(pixels, largest))
        pixels = np.round(pixels * (65535 / largest)).astype(np.uint16)
    elif kind == "jp2":
        channels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
        path.write_bytes(cv2.imencode(".jp2", channels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1])
    else:
        path, tolerance = tmp_path / "in.tif", 1
        top = 257 if kind == "0..255" else 65535
        floats = (pixels / top).astype(np.float32)
        pyvips.Image.new_from_array(floats).write_to_file(str(path))
    photo = open_photo(path)
    assert photo.bit_depth == 16
    expected = open_photo(pixels).compose([Uniform(0, 0)])[0].rgb.astype(int)
    assert np.abs(photo.compose([Uniform(0, 0)])[0].rgb - expected).max() <= 2 * tolerance


def test_a_long_header_with_a_comment_is_read_at_once(tmp_path):
    header = b"P6" + 40 * b" " + b"300 240 # of old\r65535 "
    (tmp_path / "in.ppm").write_bytes(header + deep(COLOR).astype(">u2").tobytes())
    assert open_photo(tmp_path / "in.ppm").bit_depth == 16
    header = b"P6" + 40 * b" " + b"300 240 #" + 40 * b"#" + b"\r255 "
    (tmp_path / "in.ppm").write_bytes(header + COLOR.tobytes())
    assert open_photo(tmp_path / "in.ppm").bit_depth == 8


def test_bilevel_and_palette(tmp_path):
    black = Image.fromarray(GRAY).convert("1")
    black.save(tmp_path / "in.tif", compression="group4")
    np.testing.assert_array_equal(gray_of(tmp_path / "in.tif")[1], np.where(np.asarray(black), 255, 0))
    Image.fromarray(COLOR).quantize(64).save(tmp_path / "in.png")
    assert np.abs(open_photo(tmp_path / "in.png").lab(8, 8) - open_photo(COLOR).lab(8, 8)).mean() < 2


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp"])
def test_the_first_of_several_pages_is_used(tmp_path, suffix):
    pages = [Image.fromarray(np.full((40, 60, 3), value, np.uint8)) for value in (50, 120, 200)]
    pages[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=pages[1:])
    photo, gray = gray_of(tmp_path / f"in{suffix}")
    assert photo.pages == 3
    assert np.abs(gray.astype(int) - 50).max() <= 3
    assert open_photo(GRAY).pages == 1


def test_sixteen_bits_become_twelve_in_avif(tmp_path):
    (picture,) = open_photo(deep(cv2.GaussianBlur(GRAY, (0, 0), 5))).compose([Uniform(10, 5)])
    picture.save(tmp_path / "out.avif")
    out = pyvips.Image.new_from_file(str(tmp_path / "out.avif"))
    assert (out.format, out.get("bits-per-sample")) == ("ushort", 12)
    assert np.abs(out.numpy().astype(int) - picture.rgb).mean() < 400


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".pgm", ".tif", ".jp2", ".avif", ".tga", ".qoi"])
def test_too_many_pixels(tmp_path, suffix):
    Image.fromarray(GRAY).convert("L" if suffix == ".pgm" else "RGB").save(tmp_path / f"in{suffix}")
    open_photo(tmp_path / f"in{suffix}", max_pixels=72000)
    with pytest.raises(PhotoError, match=r"300 x 240 .*--max-pixels"):
        open_photo(tmp_path / f"in{suffix}", max_pixels=71999)


@pytest.mark.parametrize(("kind", "is_alpha"), [(0, False), (1, True), (2, True)])
def test_a_channel_that_is_no_alpha_is_left_out(tmp_path, kind, is_alpha):
    """Such as a selection, or infrared."""
    pixels = np.dstack([COLOR, GRAY])
    Image.fromarray(pixels).save(tmp_path / "in.tif")
    content, tag = (tmp_path / "in.tif").read_bytes(), struct.pack("<HHI", 338, 3, 1)
    assert content.count(tag + b"\2\0") == 1
    (tmp_path / "in.tif").write_bytes(content.replace(tag + b"\2", tag + bytes([kind])))
    photo = pickle.loads(pickle.dumps(open_photo(tmp_path / "in.tif")))
    (picture,) = photo.compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == ("RGBA" if is_alpha else "RGB")
    if not is_alpha:
        np.testing.assert_array_equal(photo.lab(64, 64), open_photo(COLOR).lab(64, 64))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("kinds", "is_alpha"), [((0, 0), False), ((2, 0), True), ((1, 0), True), ((0, 2), False)]
)
def test_all_channels_that_are_no_alpha_are_left_out(tmp_path, kinds, is_alpha, deep):
    factor = 257 if deep else 1
    pixels = (
        np.dstack([COLOR, np.full_like(GRAY, 255), GRAY]).astype(np.uint16 if deep else np.uint8) * factor
    )
    image = pyvips.Image.new_from_array(pixels, interpretation="rgb16" if deep else "srgb")
    content = image.tiffsave_buffer()
    tag = struct.pack("<HHI", 338, 3, 2)
    place = content.index(tag) + len(tag)
    assert content.count(tag) == 1
    (tmp_path / "in.tif").write_bytes(content[:place] + struct.pack("<HH", *kinds) + content[place + 4 :])
    photo = open_photo(tmp_path / "in.tif")
    np.testing.assert_allclose(photo.lab(64, 64), open_photo(COLOR).lab(64, 64), atol=1e-3)
    (picture,) = photo.compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.png")
    assert pyvips.Image.new_from_file(str(tmp_path / "out.png")).bands == (4 if is_alpha else 3)


def test_a_wrong_number_of_channels_takes_no_colours(tmp_path):
    content = pyvips.Image.new_from_array(np.dstack([COLOR, GRAY]), interpretation="srgb").tiffsave_buffer()
    tag = struct.pack("<HHI", 338, 3, 1)
    place = content.index(tag)
    (tmp_path / "in.tif").write_bytes(
        content[:place] + struct.pack("<HHIHH", 338, 3, 2, 0, 0) + content[place + 12 :]
    )
    np.testing.assert_array_equal(open_photo(tmp_path / "in.tif").lab(64, 64), open_photo(COLOR).lab(64, 64))


@pytest.mark.parametrize(
    ("top", "expected"), [(1.0, 1.0), (1.02, 1.02), (200.0, 200 / 255), (60_000.0, 60_000 / 65535)]
)
def test_floats_that_reach_a_little_over_one_are_clipped(tmp_path, top, expected):
    values = np.linspace(0, top, 100 * 100, dtype=np.float32).reshape(100, 100)
    pyvips.Image.new_from_array(values).cast("float").write_to_file(str(tmp_path / "in.tif"))
    _, pixels = gray_of(tmp_path / "in.tif")
    wanted = np.clip(np.linspace(0, expected, 100 * 100), 0, 1).reshape(100, 100)
    assert np.abs(pixels / 65535 - wanted).max() < 1e-3


@pytest.mark.parametrize(("value", "places"), [(np.inf, 1), (np.nan, 1), (np.nan, 400)])
def test_floats_without_bounds_are_refused(tmp_path, value, places):
    values = np.full((20, 20), 0.5, np.float32)
    values.flat[:places] = value
    pyvips.Image.new_from_array(values).cast("float").write_to_file(str(tmp_path / "in.tif"))
    with pytest.raises(PhotoError, match="floats that are infinite or no numbers"):
        open_photo(tmp_path / "in.tif")


def test_a_jpeg_with_a_gain_map_is_read_like_others(tmp_path):
    """libvips has another reader for it, which knows no resolution."""
    if not pyvips.type_find("VipsOperation", "uhdrsave"):
        pytest.skip("this libvips writes no gain maps")
    linear = pyvips.Image.new_from_array(COLOR).copy(interpretation="srgb").colourspace("scrgb")
    linear.copy(xres=300 / 25.4, yres=300 / 25.4).uhdrsave(str(tmp_path / "in.jpg"))
    (picture,) = open_photo(tmp_path / "in.jpg").compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "in.jpg") as photo, Image.open(tmp_path / "out.jpg") as out:
        assert photo.info["dpi"] == out.info["dpi"] == (300, 300)


def test_a_bitmap_of_photoshop_is_not_its_negative(tmp_path):
    bits = np.packbits(GRAY[:40, :64] < 128, axis=1).tobytes()  # ones are black
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 40, 64, 1, 0)
    (tmp_path / "in.psd").write_bytes(head + bytes(4) + bytes(4) + bytes(4) + bytes(2) + bits)
    _, pixels = gray_of(tmp_path / "in.psd")
    np.testing.assert_array_equal(pixels > 128, GRAY[:40, :64] >= 128)


def test_a_table_in_a_profile_counts_more_than_its_matrix():
    icc = bytes(pyvips.Operation.call("profile_load", "p3"))
    assert space_of(icc) is not None
    assert space_of(icc.replace(b"chad", b"A2B0")) is None


class Stripes:
    """Colours that change from column to column."""

    def rows(self, y0, y1, L):
        columns = np.where(np.arange(L.shape[1]) % 2, 30, -30).astype(np.float32)
        return np.broadcast_to(columns, (2, *L.shape)).copy()


def test_avif_has_full_chroma(tmp_path):
    (picture,) = open_photo(np.full((64, 64), 128, np.uint8)).compose([Stripes()])
    picture.save(tmp_path / "out.avif", quality=100)
    out = pyvips.Image.new_from_file(str(tmp_path / "out.avif")).numpy()
    assert np.abs(out.astype(int) - picture.rgb).mean() < 5


@pytest.mark.parametrize("kind", ["lab", "labs", "xyz"])
def test_tiffs_in_lab_and_xyz_are_read(tmp_path, kind):
    image = pyvips.Image.new_from_array(COLOR).copy(interpretation="srgb").colourspace(kind)
    image.write_to_file(str(tmp_path / "in.tif"))
    photo = open_photo(tmp_path / "in.tif")
    difference = np.abs(photo.lab(64, 64) - open_photo(COLOR).lab(64, 64))
    assert difference.mean() < 0.5


def test_integers_of_32_bits_are_scaled_to_16(tmp_path):
    values = np.linspace(0, 2**32 - 1, 100 * 100).astype(np.uint32).reshape(100, 100)
    pyvips.Image.new_from_array(values).cast("uint").write_to_file(str(tmp_path / "in.tif"))
    photo = open_photo(tmp_path / "in.tif")
    (picture,) = photo.compose([Uniform(0, 0)])
    assert photo.bit_depth == 16
    wanted = np.rint(values / 65537).astype(int)
    assert np.abs(picture.rgb[..., 1] - wanted).max() <= 2
    assert picture.rgb[-1, -1, 1] == 65535


@pytest.mark.parametrize("width", range(61, 69))
def test_directories_and_values_of_a_tiff_begin_on_words(tmp_path, width):
    """As TIFF 6.0 requires (p. 13 and 15); readers of other programs refuse others."""
    tags = Image.Exif()
    tags[0x010E], tags[0x010F], tags[0x013B] = "even", "odd odd", "Ada, whose name is odd"
    image = Image.fromarray(np.arange(40 * width, dtype=np.uint8).reshape(40, width))
    image.save(tmp_path / "in.jpg", exif=tags)
    (picture,) = open_photo(tmp_path / "in.jpg").compose([Uniform(5, 5)])
    picture.save(tmp_path / "out.tif", recipe={"seed": "1" * width})
    content = (tmp_path / "out.tif").read_bytes()
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    places = [start]
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        _, kind, number, place = struct.unpack_from("<HHII", content, entry)
        if number * sizes[kind] > 4:
            places.append(place)
    assert len(places) > 3
    assert [place for place in places if place % 2] == []


def test_tiffs_are_compressed_without_loss(tmp_path):
    (picture,) = open_photo(GRAY).compose([Uniform(5, 5)])
    picture.save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as out:
        assert out.info["compression"] == "tiff_adobe_deflate"
        np.testing.assert_array_equal(np.asarray(out), picture.rgb)
