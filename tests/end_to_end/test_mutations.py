"""Any bytes become a picture or one clear line."""

import numpy as np
import pytest
from helpers import COLOR, GRAY, Uniform, deep, write, write_heic, write_psd, write_raw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cinn_colorize.files.formats import format_of_content
from cinn_colorize.imaging.photo import PhotoError, open_photo

PIXELS = 100_000  # more are refused: one header byte may request gigabytes
SUFFIXES = [
    ".jpg",
    ".png",
    ".tif",
    ".webp",
    ".avif",
    ".gif",
    ".bmp",
    ".ppm",
    ".jp2",
    ".heic",
    ".psd",
    ".tga",
    ".qoi",
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The content of one file per readable format."""
    folder, contents = tmp_path_factory.mktemp("originals"), {}
    for suffix in SUFFIXES:
        path = folder / f"photo{suffix}"
        pixels = COLOR[:40, :50] if suffix in (".jpg", ".ppm", ".qoi") else GRAY[:40, :50]
        if suffix in (".heic", ".psd"):
            {".heic": write_heic, ".psd": write_psd}[suffix](path, COLOR[:40, :50])
        elif suffix in (".gif", ".bmp", ".ppm", ".jp2", ".tga", ".qoi"):
            Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        else:
            write(path, deep(pixels) if suffix in (".tif", ".png") else pixels)
        contents[suffix] = path.read_bytes()
    return contents


place = st.floats(0, 1, exclude_max=True)
# Headers are short and matter most.
position = st.one_of(place.map(lambda x: x**3), place)
change = st.one_of(
    st.tuples(st.just("set"), position, st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("insert"), position, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("cut"), position, st.integers(1, 40)),
    st.tuples(st.just("end"), position, st.just(0)),
    st.tuples(st.just("flip"), position, st.integers(0, 7)),
)


def mutated(content, changes):
    content = bytearray(content)
    for kind, where, what in changes:
        at = int(where * len(content))
        if kind == "set":
            content[at : at + len(what)] = what
        elif kind == "insert":
            content[at:at] = what
        elif kind == "cut":
            del content[at : at + what]
        elif kind == "end":
            del content[at:]
        elif content:
            content[at] ^= 1 << what
    return bytes(content)


def picture_or_line(content):
    """The line, empty for a picture."""
    line = ""
    try:
        photo = open_photo(content, max_pixels=PIXELS)
        (picture,) = photo.compose([Uniform(4, 8)])
        assert picture.rgb.shape == (photo.height, photo.width, 3)
    except PhotoError as error:
        line = str(error)
    assert not line or (line.startswith("bytes: ") and line.isprintable())
    return line


def test_the_originals_are_pictures(originals):
    assert [picture_or_line(content) for content in originals.values()] == [""] * len(SUFFIXES)


def check(originals, examples):
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(suffix=st.sampled_from(SUFFIXES), changes=st.lists(change, min_size=1, max_size=4))
    def any_bytes(suffix, changes):
        picture_or_line(mutated(originals[suffix], changes))

    any_bytes()


def test_mutations(originals):
    check(originals, 200)


def test_mutations_of_raws(tmp_path):
    """Each takes a process."""
    originals = {suffix: write_raw(tmp_path / "in.dng").read_bytes() for suffix in SUFFIXES}
    check(originals, 12)


@pytest.mark.slow
def test_many_mutations(originals):
    check(originals, 5_000)


STARTS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM", b"P5 ", b"GIF89a"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=200))
def test_noise(start, rest):
    content = start + rest
    line = picture_or_line(content)
    said = "cannot be read: " if format_of_content(content) else "is not a photo in a known format"
    assert (said if content else "is empty") in line or (not line and content.startswith(b"P5"))
