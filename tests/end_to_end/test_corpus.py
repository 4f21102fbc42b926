"""Real files from other projects' tests: each gives a picture that keeps what the file had, or one line."""

import io
import zipfile
from pathlib import PurePath

import numpy as np
import pytest
import pyvips
from helpers import COLOR, GRAY, SHARED, Uniform, deep, shared_data, write
from PIL import ExifTags, Image, ImageOps

from cinn_colorize.files.formats import OUTPUT_SUFFIXES, SUFFIXES
from cinn_colorize.imaging.photo import PhotoError, open_photo
from cinn_colorize.imaging.profiles import color_model, space_of

CORPUS = SHARED / "corpus-formats.zip"
TAGS = ("Make", "Model", "Artist", "DateTime", "Copyright")


def names():
    if not CORPUS.exists():
        return ["corpus-formats.zip"]  # which the test then says is missing
    with zipfile.ZipFile(CORPUS) as archive:
        return sorted(n for n in archive.namelist() if not n.endswith(("/", ".tsv")))


def check(content, folder):
    """Colorize one file and compare the result; return the line if it cannot be read."""
    try:
        photo = open_photo(content, max_pixels=10_000_000)
        (picture,) = photo.compose([Uniform(4, 8)])
    except PhotoError as error:
        return str(error)
    suffix = photo.suffix if photo.suffix in OUTPUT_SUFFIXES else ".png"
    picture.save(folder / f"out{suffix}", recipe={"seed": "1"})
    again = open_photo(folder / f"out{suffix}")
    assert (again.width, again.height) == (photo.width, photo.height)
    assert again.bit_depth == photo.bit_depth or suffix in (".jpg", ".webp")
    assert again._has_alpha == photo._has_alpha or suffix == ".webp"  # which drops an opaque one
    with Image.open(folder / f"out{suffix}") as out:
        out.load()
        compare(content, out)
    return ""


def compare(content, out):
    new = out.getexif()
    assert new.get(ExifTags.Base.Orientation, 1) == 1
    try:
        image = Image.open(io.BytesIO(content))
        upright, old = ImageOps.exif_transpose(image), image.getexif()
    except (OSError, SyntaxError, ValueError, TypeError, ZeroDivisionError):
        return  # Pillow can't read the original
    assert out.size == upright.size
    for tag in TAGS:
        value = old.get(ExifTags.Base[tag])
        if isinstance(value, str) and value.isascii() and value.strip("\0 "):
            assert str(new.get(ExifTags.Base[tag], "")).strip("\0 ") == value.strip("\0 "), tag
    profile = image.info.get("icc_profile") or b""
    if color_model(profile) == "RGB" and space_of(profile) is not None and image.mode in ("RGB", "RGBA"):
        assert out.info.get("icc_profile") == profile


def is_a_line(line):
    return line.startswith("bytes: ") and line.isprintable()


@pytest.mark.parametrize("name", names()[::25])
def test_some_files(tmp_path, name):
    with zipfile.ZipFile(shared_data(CORPUS.name)) as archive:
        line = check(archive.read(name), tmp_path)
    assert bool(line) == (PurePath(name).suffix not in SUFFIXES), line
    assert not line or is_a_line(line)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("pixels", [GRAY, COLOR], ids=["gray", "colour"])
def test_files_made_here(tmp_path, suffix, pixels):
    pixels = deep(pixels) if suffix in (".png", ".tif") else pixels
    fields = [(pyvips.GValue.gint_type, "orientation", 6)]
    fields += [
        (pyvips.GValue.gstr_type, f"exif-ifd0-{tag}", "1969 (1969, ASCII, 5 components)") for tag in TAGS
    ]
    profile = {"profile": "p3"} if pixels.ndim == 3 else {}
    path = write(tmp_path / f"in{suffix}", pixels, fields, **profile)
    assert not check(path.read_bytes(), tmp_path)


@pytest.mark.slow
def test_all_files(tmp_path):
    problems, lines, pictures = [], [], 0
    with zipfile.ZipFile(shared_data(CORPUS.name)) as archive:
        for name in names():
            try:
                line = check(archive.read(name), tmp_path)
            except AssertionError as error:
                problems.append(f"{name}: {error}")
                continue
            if line and not is_a_line(line):
                problems.append(f"{name}: {line!r}")
            pictures += not line
            if line and PurePath(name).suffix in SUFFIXES:
                lines.append(f"{name}{line.removeprefix('bytes')}")
    print(f"{pictures} pictures; files of formats that are read and were refused:", *lines, sep="\n")
    assert not problems, "\n".join(problems)
    assert pictures >= 540
    assert np.unique(lines).size == len(lines)
