"""HEIC of phones, camera raws and PSD: what arrives, within the same bounds as of all formats."""

import zipfile

import numpy as np
import pytest
from helpers import (
    COLOR,
    GRAY,
    Uniform,
    deep,
    in_this_process,
    shared_data,
    the_line,
    write_heic,
    write_psd,
    write_raw,
)
from PIL import Image

from cinn_colorize.files.formats import format_of_content
from cinn_colorize.imaging import reading
from cinn_colorize.imaging.photo import PhotoError, open_photo

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def distance(photo, pixels):
    return np.abs(photo.lab(64, 64) - open_photo(pixels).lab(64, 64)).mean()


def write_by_pillow(path, pixels):
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path


def tags(**more):
    exif = Image.Exif()
    exif[0x013B] = "Ada"
    for tag, value in more.items():
        exif[int(tag[1:], 16)] = value
    return exif.tobytes()


@pytest.mark.parametrize("pixels", [GRAY, COLOR, deep(COLOR)], ids=["gray", "color", "deep"])
@pytest.mark.parametrize(("suffix", "write"), [(".heic", write_heic), (".psd", write_psd)])
def test_pixels_arrive(tmp_path, suffix, write, pixels):
    photo = open_photo(write(tmp_path / f"in{suffix}", pixels))
    assert (photo.width, photo.height, photo.suffix) == (300, 240, suffix)
    assert photo.bit_depth == (16 if pixels.dtype == np.uint16 else 8)
    if suffix == ".psd":
        expected = open_photo(pixels).compose([Uniform(0, 0)])[0].rgb
        np.testing.assert_array_equal(photo.compose([Uniform(0, 0)])[0].rgb, expected)
    assert distance(photo, pixels) < 0.5


def test_a_phone_held_upright(tmp_path):
    """HEIF rotates in its own way, and what EXIF says of it is a copy."""
    path = write_heic(tmp_path / "in.heic", COLOR, exif=tags(x0112=6))
    photo = open_photo(path)
    upright = photo.compose([Uniform(0, 0)])[0]
    upright.save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.size == (photo.width, photo.height)
        assert (out.getexif()[0x013B], out.getexif().get(0x0112, 1)) == ("Ada", 1)
    assert min(distance(photo, np.rot90(COLOR, k)) for k in (0, 3)) < 1


def test_what_a_psd_holds_is_kept(tmp_path):
    resolution = (300 << 16).to_bytes(4) + bytes([0, 1, 0, 1])
    resources = [(1005, 2 * resolution), (1058, tags().removeprefix(b"Exif\0\0")), (1060, XMP)]
    resources.append((1028, b"\x1c\x02\x50\x00\x03Ada"))
    photo = open_photo(write_psd(tmp_path / "in.psd", GRAY, resources))
    photo.compose([Uniform(5, 5)])[0].save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as out:
        assert out.getexif()[0x013B] == "Ada"
        assert out.info["dpi"] == pytest.approx((300, 300))
    again = open_photo(tmp_path / "out.tif")._metadata
    assert b"xmpmeta" in again.blob("xmp-data")
    assert b"Ada" in again.blob("iptc-data")


FOUR = np.dstack([COLOR, GRAY])


@pytest.mark.parametrize("compression", [None, "tga_rle"])
@pytest.mark.parametrize(
    "pixels", [GRAY, COLOR, FOUR, np.dstack([GRAY, GRAY])], ids=["L", "RGB", "RGBA", "LA"]
)
def test_a_tga_is_read_to_the_bit(tmp_path, pixels, compression):
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "in.tga", compression=compression)
    photo, expected = open_photo(tmp_path / "in.tga"), open_photo(np.ascontiguousarray(pixels))
    assert (photo.suffix, photo.bit_depth, photo._has_alpha) == (".tga", 8, pixels.shape[2:] in ((2,), (4,)))
    np.testing.assert_array_equal(photo.lab(64, 64), expected.lab(64, 64))
    content = bytearray((tmp_path / "in.tga").read_bytes())
    content[17] &= 0xF0  # says that no bit is alpha
    assert not open_photo(bytes(content))._has_alpha


def test_a_tga_with_a_palette_and_a_qoi_are_read(tmp_path):
    reduced = Image.fromarray(COLOR).quantize(200)
    reduced.save(tmp_path / "in.tga")
    assert distance(open_photo(tmp_path / "in.tga"), np.asarray(reduced.convert("RGB"))) == 0
    for pixels in (COLOR[:60, :80], FOUR[:60, :80]):
        pixels = np.ascontiguousarray(pixels)
        Image.fromarray(pixels).save(tmp_path / "in.qoi")
        photo = open_photo(tmp_path / "in.qoi")
        assert (photo.suffix, photo._has_alpha, distance(photo, pixels)) == (".qoi", pixels.shape[2] == 4, 0)
        photo.compose([Uniform(0, 0)])[0].save(tmp_path / "out.png")


def test_a_large_qoi_is_refused_by_its_header():
    """Pillow decodes it in Python."""
    with pytest.raises(PhotoError, match="more than 16 million pixels; save it as PNG"):
        open_photo(b"qoif" + (4001).to_bytes(4) + (4000).to_bytes(4) + b"\3\0" + bytes(8))


def test_nothing_else_is_taken_for_a_tga():
    """Which has no signature."""
    with zipfile.ZipFile(shared_data("corpus-formats.zip")) as archive:
        found = [n for n in archive.namelist() if format_of_content(archive.read(n)[:32]) == "tga"]
    assert all(name.endswith(".tga") for name in found)
    assert len(found) == 27


@pytest.mark.parametrize("exif", [b"II*\0\x08", b"garbage!"])
def test_damaged_exif_does_not_damage_a_psd(tmp_path, exif):
    photo = open_photo(write_psd(tmp_path / "in.psd", GRAY, [(1058, exif), (1060, XMP)]))
    assert distance(photo, GRAY) == distance(open_photo(GRAY), GRAY)
    assert photo._metadata.blob("exif-data") == b""
    assert b"xmpmeta" in photo._metadata.blob("xmp-data")


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_raw_is_developed_upright_in_16_bits(tmp_path, orientation):
    photo = open_photo(write_raw(tmp_path / "in.dng", COLOR, orientation))
    assert (photo.width, photo.height) == ((300, 240) if orientation == 1 else (240, 300))
    assert (photo.bit_depth, photo.suffix) == (16, ".dng")
    expected = open_photo(COLOR if orientation == 1 else np.rot90(COLOR, 3)).luminance(32, 32)
    assert np.corrcoef(photo.luminance(32, 32).ravel(), expected.ravel())[0, 1] > 0.95
    photo.compose([Uniform(5, 5)])[0].save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.getexif()[0x010F] == "Agfa"
        assert 0x0112 not in out.getexif() or out.getexif()[0x0112] == 1


def test_raws_are_told_from_tiffs(tmp_path):
    """By a tag, or by the suffix where the photo begins with a preview."""
    raw = write_raw(tmp_path / "in.tif")
    assert open_photo(raw.read_bytes()).suffix == ".dng"
    Image.fromarray(GRAY).save(tmp_path / "scan.tif")
    assert open_photo(tmp_path / "scan.tif").suffix == ".tif"
    (tmp_path / "scan.tif").rename(tmp_path / "scan.nef")
    with pytest.raises(PhotoError, match=r"scan.nef: cannot be read: damaged or unsupported \("):
        open_photo(tmp_path / "scan.nef")


@pytest.mark.parametrize("write", [write_heic, write_psd])
def test_pixels_are_limited(tmp_path, write):
    content = write(tmp_path / "in", GRAY).read_bytes()
    assert open_photo(content, max_pixels=72000).width == 300
    with pytest.raises(PhotoError, match=r"300 x 240 .*--max-pixels"):
        open_photo(content, max_pixels=71999)


def test_pixels_of_raws_are_limited(tmp_path):
    content = write_raw(tmp_path / "in.dng").read_bytes()
    assert open_photo(content, max_pixels=2000).width == 50
    with pytest.raises(PhotoError, match=r"50 x 40 .*--max-pixels"):
        open_photo(content, max_pixels=1999)


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".heic", write_heic), (".psd", write_psd), (".dng", lambda p, _: write_raw(p)),
        (".tga", write_by_pillow), (".qoi", write_by_pillow),
    ],
)  # fmt: skip
def test_half_a_file_is_one_line(tmp_path, suffix, write, capfd):
    path = write(tmp_path / f"in{suffix}", COLOR[:40, :50])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PhotoError) as error:
        open_photo(path).compose([Uniform(0, 0)])
    assert str(error.value).isprintable()
    assert f"in{suffix}: cannot be read" in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_damage_that_libraw_overlooks_is_one_line(tmp_path, monkeypatch):
    path, said = write_raw(tmp_path / "in.dng"), b"unknown file: data corrupted at 512\n"
    run = reading.subprocess.run

    def noisy(*arguments, **options):
        done = run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, b"")
        return reading.subprocess.CompletedProcess(done.args, 0, done.stdout, said)

    monkeypatch.setattr(reading.subprocess, "run", noisy)
    with pytest.raises(PhotoError, match=r"in.dng: cannot be read: damaged or unsupported \(data corrupted"):
        open_photo(path)


def test_without_the_extras(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    for path, package in (
        (write_heic(tmp_path / "a.heic", GRAY), "heic"),
        (write_raw(tmp_path / "a.dng"), "raw"),
    ):
        with pytest.raises(PhotoError, match=rf"pip install 'cinn-colorize\[{package}\]'"):
            open_photo(path)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".bmp", ".pbm"])
def test_scans_of_one_bit_are_said_to_be_so(tmp_path, colorizer, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(GRAY).convert("1").save(f"in{suffix}")
    Image.fromarray(GRAY).save("gray.png")
    run = in_this_process(monkeypatch, colorizer)
    assert f"in{suffix} is black and white without grays (1 bit)" in the_line(run(f"in{suffix}"))
    assert run("gray.png").stderr == ""
