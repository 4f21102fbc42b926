import io
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from helpers import COLOR, ENVIRONMENT, GRAY, RECIPE, Uniform, deep, names, shared_data, write
from PIL import Image

from cinn_colorize.imaging import vips
from cinn_colorize.imaging.photo import PhotoError, open_photo, read_recipe
from cinn_colorize.imaging.tiff import is_cut_off


@pytest.mark.parametrize(
    "name", ["-x.jpg", "a[2].tif", "ü b'\".png", "q=1,Q=2].webp", "PHOTO.JPEG", b"caf\xe9.jpg"]
)
def test_odd_names(tmp_path, name):
    path = tmp_path / (os.fsdecode(name))
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("the file system has no such names")
    plain = write(tmp_path / f"plain{path.suffix.lower().replace('.jpeg', '.jpg')}", GRAY)
    plain.replace(path)
    photo = open_photo(path)
    assert photo.suffix == path.suffix
    photo.name.encode()  # printable
    (picture,) = photo.compose([Uniform(5, 5)])
    out = path.with_name("out" + path.name)
    picture.save(out, recipe=RECIPE)
    assert read_recipe(out) == RECIPE
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, out.name])


def test_suffix_is_that_of_the_format(tmp_path):
    write(tmp_path / "in.png", GRAY)
    (tmp_path / "in.png").rename(tmp_path / "in.jpg")
    assert open_photo(tmp_path / "in.jpg").suffix == ".png"
    assert open_photo((tmp_path / "in.jpg").read_bytes()).suffix == ".png"


def broken(folder, kind):
    path = folder / f"{kind}.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("I am no photo,\nI have two lines.")
    elif kind == "pcx":
        Image.fromarray(GRAY).save(path, "PCX")
    elif kind.startswith("truncated"):
        suffix = kind.split()[1]
        whole = write(folder / f"whole.{suffix}", np.tile(COLOR, (3, 3, 1))).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind.startswith("a strip"):
        deep = GRAY.astype(np.uint16) * 257 if kind.endswith("16 bits") else GRAY
        image = Image.fromarray(deep)
        image.save(path, "TIFF", strip_size=2**20)
        assert len(image.tobytes()) < path.stat().st_size < len(image.tobytes()) + 1000, "not compressed"
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "a hole in lzw":
        Image.fromarray(np.tile(COLOR, (3, 3, 1))).save(path, "TIFF", compression="tiff_lzw")
        content = bytearray(path.read_bytes())
        middle = slice(len(content) // 2, len(content) // 2 + 200)
        content[middle] = bytes(200)
        path.write_bytes(content)
    elif kind == "no width":
        Image.fromarray(GRAY).save(path, "TIFF")
        width = struct.pack("<HHI", 0x0100, 4, 1)  # tag, type, and number of values
        assert path.read_bytes().count(width) == 1
        path.write_bytes(path.read_bytes().replace(width, struct.pack("<HHI", 0x0100, 4, 0)))
    elif kind in LONG:
        image = Image.new("L", LONG[kind])
        image.save(path, kind.rpartition(" ")[2].upper())
    elif kind == "header only":
        path.write_bytes(b"\xff\xd8\xff\xe0")
    return path


LONG = {
    "tall PNG": (1, 200_000),
    "wide TIFF": (2_000_000, 1),
    "tall BMP": (1, 1001),
    "long JPEG": (65_000, 64),
}
KINDS = [
    "missing", "folder", "empty", "text", "pcx", "header only",
    "truncated jpg", "truncated png", "truncated webp", "truncated tif", "truncated avif",
    "a strip of gray", "a strip of 16 bits", "a hole in lzw", "no width", *LONG,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_photo_is_one_clear_line(tmp_path, kind):
    path = broken(tmp_path, kind)
    with pytest.raises(PhotoError) as problem:
        open_photo(path).lab(64, 64)
    assert str(problem.value).startswith(f"{path}: ")
    assert "\n" not in str(problem.value)
    with pytest.raises(PhotoError):
        open_photo(path).compose([Uniform(0, 0)])


def cut(share, turned=1, **options):
    """A JPEG that ends after a share of its bytes, with the mark of its end."""
    tags, buffer = Image.Exif(), io.BytesIO()
    tags[0x0112] = turned
    Image.fromarray(np.tile(COLOR, (2, 2, 1))).save(buffer, "JPEG", exif=tags, **options)
    return buffer.getvalue()[: int(share * len(buffer.getvalue()))] + b"\xff\xd9"


def told_of(caplog):
    """What this package logged; libvips logs too, which nobody sees."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("cinn_colorize")]


@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_a_jpeg_that_lacks_its_end_is_told_of_once_and_refused_if_most_is_missing(tmp_path, caplog, turned):
    (tmp_path / "in.jpg").write_bytes(cut(0.8, turned))
    photo = open_photo(tmp_path / "in.jpg").framed("auto")
    photo.luminance(256, 256)
    photo.whole.lab(64, 64)
    (told,) = told_of(caplog)
    (missing,) = re.fullmatch(r".*/in\.jpg: the last (\d+)% of its pixels are missing", told).groups()
    assert 5 < int(missing) < 35
    caplog.clear()
    nearly_empty = open_photo(cut(0.2, turned), name="in.jpg")
    for _ in range(2):
        with pytest.raises(PhotoError, match=r"in\.jpg: .* damaged, \d\d% of its pixels are missing"):
            nearly_empty.framed("auto").luminance(256, 256)
    assert not told_of(caplog)


def test_a_few_bytes_that_claim_a_large_photo_are_refused():
    image = io.BytesIO()
    Image.fromarray(GRAY[:16, :16]).save(image, "JPEG")
    head = image.getvalue().replace(b"\x08\0\x10\0\x10\1", b"\x08\x0b\xb8\x0b\xb8\1")  # 3000 x 3000
    with pytest.raises(PhotoError, match=r"damaged, (9.|100)% of its pixels are missing"):
        open_photo(head).framed("auto")


def test_a_plain_border_is_no_missing_part(caplog):
    bordered = np.pad(GRAY, ((0, 400), (0, 0)), constant_values=250)
    for options in ({}, {"progressive": True}):
        image = io.BytesIO()
        Image.fromarray(bordered).save(image, "JPEG", **options)
        open_photo(image.getvalue()).luminance(256, 256)
        # Bytes too many before a mark are a warning of the reader too, but nothing is missing then.
        open_photo(image.getvalue()[:-2] + bytes(9) + b"\xff\xd9").luminance(256, 256)
    assert not told_of(caplog)


@pytest.mark.parametrize("kind", LONG)
def test_a_photo_far_longer_than_wide_is_refused_by_its_header(tmp_path, kind):
    problem = (
        r"in\.jpg: cannot be read: {} x {} pixels: a side has more than .* 1,000 times .*; cut it into parts"
    )
    broken(tmp_path, kind).rename(tmp_path / "in.jpg")
    with pytest.raises(PhotoError, match=problem.format(*LONG[kind])):
        open_photo(tmp_path / "in.jpg")


def test_a_photo_of_a_thousand_to_one_has_all_its_rows():
    """In bands of few rows, for which libvips takes time by their square."""
    tall = np.arange(50_000, dtype=np.uint16)[:, None]
    assert open_photo(np.repeat(tall, 50, axis=1)).luminance(10, 1)[:, 0] == pytest.approx(
        [open_photo(part.repeat(50, axis=1)).luminance(1, 1)[0, 0] for part in np.split(tall, 10)], abs=1e-3
    )
    parts = [pixels for _, pixels in vips.bands(vips.from_array(tall))]
    assert np.array_equal(np.concatenate(parts)[..., 0], tall)
    assert max(map(len, parts)) <= 4096


def test_what_the_system_says_is_the_reason():
    """Not what libvips was doing then, which it says before that."""
    with open("/dev/full", "wb") as full, pytest.raises(vips.Error) as problem:  # noqa: PTH123
        vips.encode(full.fileno(), COLOR, None, vips.Metadata(), "png", 90)
    assert vips.reason(problem.value) == "No space left on device"


def test_nothing_is_printed_of_broken_files(tmp_path):
    assert_quiet([broken(tmp_path, kind) for kind in KINDS])


def test_nothing_is_printed_of_files_that_libvips_only_warns_about(tmp_path):
    with zipfile.ZipFile(shared_data("corpus-broken.zip")) as archive:
        paths = []
        for i, name in enumerate(sorted(archive.namelist())[::25]):
            paths.append(tmp_path / f"odd{i}")
            paths[-1].write_bytes(archive.read(name))
    assert_quiet(paths)


def assert_quiet(paths):
    """A process that opens these files prints nothing."""
    script = """
import sys
from cinn_colorize.imaging.photo import PhotoError, open_photo
for path in sys.argv[1:]:
    try:
        photo = open_photo(path)
        if photo.width * photo.height < 1e7:
            photo.lab(64, 64)
    except PhotoError:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], env=ENVIRONMENT, capture_output=True, check=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.zeros((3, 4, 5), np.uint8), "shape"), (np.zeros(3, np.uint8), "shape"),
        (np.zeros((0, 4)), "shape"), (np.full((4, 4), 2.0), "0, 1"), (np.full((4, 4), np.nan), "0, 1"),
        (np.zeros((4, 4), np.int32), "int32"), (np.full((4, 4), 200.0), "not from 200 to 200"),
        (torch.zeros(5, 4, 3), r"pass \(H, W\), \(3, H, W\)"), (torch.zeros(1, 3, 4, 4), "tensor of shape"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (Image.fromarray(np.zeros((4, 4), np.float32) + 9), "0, 1"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_photo(pixels, problem):
    with pytest.raises(PhotoError if isinstance(pixels, Image.Image) else ValueError, match=problem):
        open_photo(pixels)


@pytest.mark.parametrize("out", ["nowhere/out.png", "folder.png", "out.gif", "out", "wide.webp"])
def test_a_failed_save_leaves_nothing_behind(tmp_path, out):
    (tmp_path / "folder.png").mkdir()
    pixels = np.zeros((4, 17000), np.uint8) if out == "wide.webp" else GRAY  # WebP ends at 16383 pixels
    (picture,) = open_photo(pixels).compose([Uniform(5, 5)])
    with pytest.raises(PhotoError) as problem:
        picture.save(tmp_path / out)
    assert str(problem.value).startswith(f"{tmp_path / out}: ")
    assert "\n" not in str(problem.value)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(("format", "longest"), [("jpg", 65_500), ("webp", 16_383), ("avif", 16_384)])
def test_what_is_too_long_for_a_format_is_said_with_those_that_have_no_end(tmp_path, format, longest):
    fits, other = (
        open_photo(np.zeros((66, width), np.uint8)).compose([Uniform(5, 5)])[0]
        for width in (longest, longest + 1)
    )
    fits.save(tmp_path / f"fits.{format}")
    problem = rf"other\.{format}: {longest + 1}x66 pixels .* {format}, .* {longest}; choose png or tiff"
    with pytest.raises(PhotoError, match=problem):
        other.save(tmp_path / f"other.{format}")
    for boundless in ("png", "tif"):
        other.save(tmp_path / f"other.{boundless}")
    assert open_photo(tmp_path / f"fits.{format}").width == longest
    assert len(names(tmp_path)) == 3


def test_a_save_replaces_the_old_file_only_when_it_is_whole(tmp_path):
    """A file size limit simulates a full disk, for this process only."""
    pytest.importorskip("resource")
    np.save(tmp_path / "in.npy", np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    script = """
import resource, sys
import numpy as np
from cinn_colorize.imaging.photo import PhotoError, open_photo
class Uniform:
    def rows(self, y0, y1, L):
        return np.zeros((2, *L.shape), np.float32)
(picture,) = open_photo(np.load(sys.argv[1])).compose([Uniform()])
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for path in sys.argv[2:]:
    try:
        picture.save(path)
        print("saved")
    except PhotoError as error:
        print(error)
"""
    names = [str(out / f"out{suffix}") for suffix in (".png", ".jpg", ".webp", ".tif")]
    for name in names:
        Path(name).write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "in.npy", *names],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == ""
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == names
    assert sorted(str(p) for p in out.iterdir()) == sorted(names)
    assert all(Path(name).read_bytes() == b"old" for name in names)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'


def test_readers_that_libvips_does_not_trust_are_off(tmp_path):
    """Whatever open_photo makes of the first bytes: a file may say one thing and be another."""
    (tmp_path / "photo.svg").write_bytes(SVG)
    for source in (SVG, tmp_path / "photo.svg"):
        with pytest.raises(vips.Error, match="not in a known format"):
            vips.open_image(source, 1000)
    code = "import pyvips, sys; pyvips.Image.svgload_buffer(sys.argv[1].encode())"
    done = subprocess.run([sys.executable, "-c", code, SVG.decode()], capture_output=True, text=True)
    assert done.returncode == 0, f"this libvips has no such reader, and the test is none: {done.stderr}"


def strips(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", **options)
    return buffer.getvalue()


def tiles(pixels):
    return bytes(pyvips.Image.new_from_array(pixels).tiffsave_buffer(tile=True, compression="none"))


def one_number_of_bits():
    """RGB whose channels share one number, as some programs write it."""
    content = strips(COLOR)
    at = content.index(struct.pack("<HHI", 0x0102, 3, 3))
    return content[:at] + struct.pack("<HHII", 0x0102, 3, 1, 8) + content[at + 12 :]


TIFFS = {
    "gray": strips(GRAY), "of one strip": strips(GRAY, strip_size=2**20), "16 bits": strips(deep(GRAY)),
    "color": strips(COLOR), "color, one number of bits": one_number_of_bits(),
    "tiles": tiles(GRAY[:128, :256].copy()),
}  # fmt: skip


def with_its_last_tile_at_the_end(content):
    """libvips writes the tags after the tiles, so that no cut leaves the tags alone."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, number, place = struct.unpack_from("<HHII", content, entry)
        if tag == 0x0144:
            last = place + 4 * (number - 1)
            return content[:last] + struct.pack("<I", len(content) - 1) + content[last + 4 :]
    raise AssertionError("no tiles")


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_that_ends_before_its_last_pixels_is_known(kind):
    """By its tags: whether libtiff notices it depends on its version."""
    content = TIFFS[kind]
    assert not is_cut_off(io.BytesIO(content))
    if kind == "tiles":
        assert is_cut_off(io.BytesIO(with_its_last_tile_at_the_end(content)))
    else:
        assert is_cut_off(io.BytesIO(content[: len(content) // 2]))
        assert is_cut_off(io.BytesIO(content[:-1]))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_that_ends_inside_its_profile_is_refused(order, big, compression):
    """It has all its pixels, whose colours would change with the profile."""
    profile, buffer = bytes(pyvips.Operation.call("profile_load", "p3")), io.BytesIO()
    tifffile.imwrite(
        buffer,
        COLOR,
        photometric="rgb",
        byteorder=order,
        bigtiff=big,
        compression=compression,
        iccprofile=profile,
    )
    content = buffer.getvalue()
    entry = tifffile.TiffFile(io.BytesIO(content)).pages[0].tags[34675].offset
    at, form = (entry + 12, "Q") if big else (entry + 8, "I")
    place = struct.pack(order + form, len(content))
    content = content[:at] + place + content[at + len(place) :] + profile
    assert open_photo(content)._metadata.blob("icc-profile-data") == profile
    for end in (-1, -len(profile) // 2):
        with pytest.raises(
            PhotoError, match="cannot be read: damaged, its end is missing; get the photo again"
        ):
            open_photo(content[:end])


def test_the_page_that_is_cut_off_is_the_one_asked_about():
    buffer = io.BytesIO()
    first, second = Image.fromarray(GRAY), Image.fromarray(np.ascontiguousarray(GRAY.T))
    first.save(buffer, "TIFF", save_all=True, append_images=[second])
    content = buffer.getvalue()[:-1000]
    assert [is_cut_off(io.BytesIO(content), page) for page in (1, 2)] == [False, True]
