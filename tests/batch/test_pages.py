"""Pages of a TIFF: colorized together, into a TIFF of as many."""

import os
import struct
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import COLOR, GRAY, Uniform, deep, in_this_process, the_line
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from cinn_colorize.imaging import reading, vips
from cinn_colorize.imaging.options import Pages
from cinn_colorize.imaging.photo import PhotoError, open_photo, read_recipe

SIZES = [(300, 240), (200, 100), (120, 150)]  # of pages 1 to 3


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    """Run the command in a folder with an album of three pages: gray, in 16 bits, in colour."""
    monkeypatch.chdir(tmp_path)
    pages = [GRAY, deep(GRAY[:100, :200]), COLOR[:150, :120]]
    with AppendingTiffWriter("album.tif", True) as album:
        for number, pixels in enumerate(pages, 1):
            tags = Image.Exif()
            tags[0x013B] = f"Ada {number}"
            Image.fromarray(pixels).save(album, format="TIFF", exif=tags, dpi=(100 * number, 100 * number))
            album.newFrame()
    Image.fromarray(GRAY).save("alone.tif")
    Image.fromarray(GRAY).save("frames.gif", save_all=True, append_images=[Image.fromarray(GRAY.T)])
    return in_this_process(monkeypatch, colorizer)


def pixels_of(path, page=1):
    with Image.open(path) as image:
        image.seek(page - 1)
        return np.asarray(image)


def test_all_pages_come_back(run):
    result = run("album.tif", "--pages", "all", "-n", 2, "--no-sheet", "-q")
    assert result.stdout.split() == ["colorized/album_000.tif", "colorized/album_001.tif"]
    for path in result.stdout.split():
        with Image.open(path) as out:
            assert out.n_frames == 3
        for number, size in enumerate(SIZES, 1):
            before, after = open_photo("album.tif", page=number), open_photo(path, page=number)
            assert (after.width, after.height) == size
            assert after.bit_depth == before.bit_depth
            difference = np.abs(after.luminance(64, 64) - before.luminance(64, 64))
            assert difference.max() < 0.5
            with Image.open(path) as out:
                out.seek(number - 1)
                assert out.getexif()[0x013B] == f"Ada {number}"
                assert out.info["dpi"] == pytest.approx((100 * number, 100 * number))


def test_pages_wait_on_the_disk_that_they_are_written_to(run, monkeypatch):
    """So that it is the one that an error means."""
    monkeypatch.setattr(tempfile, "tempdir", "nowhere")
    result = run("album.tif", "-s", 5, "--pages", "all", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [path.name for path in Path("colorized").iterdir()] == ["album_005.tif"]


def test_a_page_is_the_same_alone_and_with_others(run):
    run("album.tif", "--pages", "2-3", "-s", 0, "-o", "some", "-q")
    for page in (2, 3):
        run("album.tif", "--pages", page, "-s", 0, "-o", f"only{page}", "-q")
        alone = open_photo(f"only{page}/album_000.tif")
        together = open_photo("some/album_000.tif", page=page - 1)
        np.testing.assert_array_equal(alone.lab(64, 64), together.lab(64, 64))
        assert alone.recipe["page"] == together.recipe["page"] == str(page)
    np.testing.assert_array_equal(pixels_of("some/album_000.tif", 2), pixels_of("only3/album_000.tif"))


@pytest.mark.parametrize("pages", ["all", "2-", "3"])
def test_recreated_byte_for_byte(run, pages):
    run("album.tif", "--pages", pages, "-s", 0, "-q")
    again = run("recreate", "colorized/album_000.tif", "album.tif")
    assert "the same bytes as colorized/album_000.tif" in again.stderr, again.stderr


def test_the_same_pages_again_and_others(run):
    run("album.tif", "--pages", "1", "-s", 0)
    assert "there already" in the_line(run("album.tif", "--pages", "1", "-s", 0))
    assert "made with page 1, not 2; add" in the_line(run("album.tif", "--pages", "2", "-s", 0))
    assert "made with page count 1, not 3; add" in the_line(run("album.tif", "--pages", "all", "-s", 0))
    run("album.tif", "--pages", "2-3", "-s", 0, "--overwrite")
    before = Path("colorized/album_000.tif").read_bytes()
    assert "there already" in the_line(run("album.tif", "--pages", "2-", "-s", 0))
    assert "made with page 2, not 1 and with page count 2, not 1" in run("album.tif", "-s", 0).stderr
    assert Path("colorized/album_000.tif").read_bytes() == before


def test_another_frame_of_a_later_page_is_told(run):
    scan = np.pad(GRAY, 30, constant_values=250)
    with AppendingTiffWriter("scans.tif", True) as scans:
        for pixels in (GRAY, scan):
            Image.fromarray(pixels).save(scans, format="TIFF")
            scans.newFrame()
    run("scans.tif", "--pages", "all", "-s", 0)
    assert "frame" in read_recipe("colorized/scans_000.tif", 2)
    assert "there already" in the_line(run("scans.tif", "--pages", "all", "-s", 0))
    other = run("scans.tif", "--pages", "all", "-s", 0, "--frame", "none")
    assert "made with frame 30,30,330,270, not none" in the_line(other)


@pytest.mark.parametrize("damage", ["a header", "pixels", "its size"])
def test_an_error_in_a_later_page_names_it(run, damage):
    frame = "0,0,250,200" if damage == "its size" else "none"
    with Path("album.tif").open("r+b") as file:
        if damage == "a header":  # 12 bits, in place of 16
            file.seek(_place(file, page=2, tag=0x0102))
            file.write(struct.pack("<H", 12))
        elif damage == "pixels":  # of which some lie behind the end
            file.seek(_place(file, page=2, tag=0x0111))
            file.write(struct.pack("<I", 2**31 - 1))
    result = run("album.tif", "--pages", "all", "-s", 0, "--frame", frame, "-q")
    assert the_line(result).startswith("cinn-colorize: album.tif, page 2: ")
    assert (result.exit_code, result.stdout) == (1, "")


def _place(file, page, tag):
    """Where the value of a tag of a page lies in a little-endian TIFF."""
    file.seek(4)
    for _ in range(page):
        (start,) = struct.unpack("<I", file.read(4))
        file.seek(start)
        (count,) = struct.unpack("<H", file.read(2))
        entries = file.read(12 * count)
    tags = [struct.unpack_from("<H", entries, 12 * k)[0] for k in range(count)]
    return start + 2 + 12 * tags.index(tag) + 8


@pytest.mark.parametrize("big", [False, True], ids=["together", "alone"])
def test_more_than_four_gigabytes(run, monkeypatch, big):
    if big:  # as libvips would for a page of more than 3 GiB
        monkeypatch.setattr("cinn_colorize.imaging.vips.encode", partial(encode_big, vips.encode))
    else:
        monkeypatch.setattr("cinn_colorize.imaging.tiff._LARGEST", 2**20)
    result = run("album.tif", "--pages", "all", "-s", 0)
    assert (result.exit_code, result.stdout) == (1, "")
    said = "album_000.tif: cannot be written: its pages have more than 4 GB; choose fewer with --pages\n"
    assert the_line(result).endswith(said)
    assert not [*Path("colorized").iterdir()]


def encode_big(encode, descriptor, rgb, *options):
    encode(descriptor, rgb, *options)
    os.pwrite(descriptor, b"II+\0", 0)


def test_without_the_option_the_first_is_used(run):
    told = run("album.tif", "-s", 0).stderr
    assert "album.tif has 3 pages or frames; the first is used; colorize --pages all takes all" in told
    assert not {"page", "pages"} & read_recipe("colorized/album_000.tif").keys()
    assert "the first is used\n" in run("frames.gif").stderr
    for other in ("temperature", "sample"):
        assert "the first is used; colorize" in run(other, "album.tif").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("album.tif --pages 4", 1, "album.tif: cannot be read: it has 3 pages, and no page 4"),
        ("album.tif --pages 2-4", 1, "album.tif: it has 3 pages, not 2-4"),
        ("alone.tif --pages 2", 1, "alone.tif: cannot be read: it has 1 page, and no page 2"),
        ("frames.gif --pages 2", 1, "frames.gif: cannot be read: only TIFFs have pages to choose from"),
        ("album.tif --pages all --format png", 1, "album.tif: 3 pages need a TIFF"),
        ("album.tif --pages 3-2", 2, "'3-2' is not a choice of pages; write all, 2, 2-5 or 2-"),
        ("album.tif --pages 0", 2, "'0' is not a choice of pages"),
        ("album.tif --pages all --hint 1,1,red", 2, "hints apply to one page"),
    ],
)
def test_pages_that_cannot_be(run, arguments, code, said):
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in the_line(result)
    assert not Path("colorized").exists()


def test_photos_of_one_page_go_with_all_pages(run):
    assert run("alone.tif", "frames.gif", "--pages", "All", "-s", 0, "-q").exit_code == 0
    assert open_photo("colorized/alone_000.tif").pages == 1


def test_a_file_of_crafted_pages_is_one_line(run):
    """The recipe of a first page that names more pages than there are."""
    run("alone.tif", "-s", 0, "-q")
    photo = open_photo("colorized/alone_000.tif")
    (picture,) = photo.compose([Uniform(0, 0)])
    picture.save("crafted.tif", recipe=photo.recipe | {"pages": "9999"})
    result = run("recreate", "crafted.tif", "alone.tif")
    assert result.exit_code == 1
    assert "crafted.tif: cannot be read: it has 1 page, and no page 2" in the_line(result)


@pytest.mark.parametrize("text", ["1", "2-5", "2-", "1-"])
def test_a_choice_is_read_as_it_is_written(text):
    assert str(Pages.parse(text)) == text
    assert Pages.parse("ALL") == Pages.parse("1-")


def test_the_recipe_of_every_page_says_how_the_file_is_written(colorizer, tmp_path):
    Image.fromarray(GRAY).save(
        tmp_path / "album.tif", save_all=True, append_images=[Image.fromarray(np.ascontiguousarray(GRAY.T))]
    )
    first, second = (
        colorizer.colorize(open_photo(tmp_path / "album.tif", page=k), seed=0)[0] for k in (1, 2)
    )
    first.save(tmp_path / "out.tif", quality=80, strip=True, more=[second])
    for page in (1, 2):
        recipe = read_recipe(tmp_path / "out.tif", page)
        assert (recipe["format"], recipe["quality"], recipe["strip"]) == ("tiff", "80", "true")


def album(folder, first, second):
    Image.fromarray(first).save(folder / "a.tif", save_all=True, append_images=[Image.fromarray(second)])
    return folder / "a.tif"


def test_a_channel_that_is_no_alpha_is_left_out_of_its_own_page(tmp_path):
    with_mask = np.dstack([COLOR, GRAY])
    path = album(tmp_path, with_mask, with_mask)
    content, tag = path.read_bytes(), struct.pack("<HHI", 338, 3, 1)
    assert content.count(tag + b"\2\0") == 2
    last = content.rindex(tag + b"\2\0") + len(tag)
    path.write_bytes(content[:last] + b"\0" + content[last + 1 :])  # of the second page: unspecified
    first, second = (open_photo(path, page=k) for k in (1, 2))
    assert [
        photo.lab(64, 64).tobytes() == open_photo(COLOR).lab(64, 64).tobytes() for photo in (first, second)
    ] == [
        False,
        True,
    ]


def test_the_page_that_is_cut_off_is_refused_and_the_others_are_not(tmp_path, monkeypatch):
    path, asked = album(tmp_path, GRAY, np.ascontiguousarray(GRAY.T)), []
    monkeypatch.setattr(reading, "is_cut_off", lambda file, page=1: asked.append(page) or page == 2)
    open_photo(path)
    with pytest.raises(PhotoError, match="its end is missing"):
        open_photo(path, page=2)
    assert asked == [1, 2]
