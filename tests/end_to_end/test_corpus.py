"""Real files from other projects' tests: each gives a picture that keeps what the file had, or one line."""

import io
import zipfile
from pathlib import PurePath

import numpy as np
import pytest
from helpers import SHARED, Uniform
from PIL import ExifTags, Image, ImageOps

from cinn_colorize.files import OUTPUT_SUFFIXES, SUFFIXES
from cinn_colorize.imaging.photo import PhotoError, open_photo
from cinn_colorize.imaging.profiles import color_model, space_of

CORPUS = SHARED / "corpus-formats.zip"
TAGS = ("Make", "Model", "Artist", "DateTime", "Copyright")
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="needs ../shared/data/corpus-formats.zip")


def names():
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
    try:
        with Image.open(io.BytesIO(content)) as image, Image.open(folder / f"out{suffix}") as out:
            compare(image, out)
    except (OSError, SyntaxError, ValueError, TypeError, ZeroDivisionError):
        pass  # Pillow cannot read the original
    return ""


def compare(image, out):
    upright = ImageOps.exif_transpose(image)
    assert out.size == upright.size
    assert out.getexif().get(ExifTags.Base.Orientation, 1) == 1
    old, new = image.getexif(), out.getexif()
    for tag in TAGS:
        value = old.get(ExifTags.Base[tag])
        if isinstance(value, str) and value.isascii() and value.strip("\0 "):
            assert str(new.get(ExifTags.Base[tag], "")).strip("\0 ") == value.strip("\0 "), tag
    profile = image.info.get("icc_profile") or b""
    if color_model(profile) == "RGB" and space_of(profile) is not None and image.mode in ("RGB", "RGBA"):
        assert out.info.get("icc_profile") == profile


@pytest.mark.parametrize("name", names()[::25] if CORPUS.exists() else [])
def test_some_files(tmp_path, name):
    with zipfile.ZipFile(CORPUS) as archive:
        check(archive.read(name), tmp_path)


@pytest.mark.slow
def test_all_files(tmp_path):
    problems, lines, pictures = [], [], 0
    with zipfile.ZipFile(CORPUS) as archive:
        for name in names():
            try:
                line = check(archive.read(name), tmp_path)
            except AssertionError as error:
                problems.append(f"{name}: {error}")
                continue
            if line and ("\n" in line or not line.startswith("bytes: ")):
                problems.append(f"{name}: {line!r}")
            pictures += not line
            if line and PurePath(name).suffix in SUFFIXES:
                lines.append(f"{name}{line.removeprefix('bytes')}")
    print(f"{pictures} pictures; files of formats that are read and were refused:", *lines, sep="\n")
    assert not problems, "\n".join(problems)
    assert pictures >= 540
    assert np.unique(lines).size == len(lines)
