import errno
import os
import tempfile

import numpy as np
import pytest
from helpers import GRAY, Uniform, small_disk

from cinn_colorize.imaging import picture as pictures
from cinn_colorize.imaging.photo import PhotoError, open_photo


def test_small_ones_are_in_memory():
    assert not isinstance(pictures.canvas((10, 10, 3), np.uint8), np.memmap)


def test_large_ones_are_files_that_no_folder_lists(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pictures, "_IN_MEMORY", 1000)
    expected = open_photo(GRAY[:10, :10]).compose([Uniform(5, 5)])[0].rgb
    (picture,) = open_photo(GRAY).compose([Uniform(5, 5)])
    assert isinstance(picture.rgb, np.memmap)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(picture.rgb[:10, :10], expected)
    picture.save(tmp_path / "out.png")
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pictures, "_IN_MEMORY", 1000)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(PhotoError, match=r"array: no space for its pictures .*No space left on device"):
        open_photo(GRAY).compose([Uniform(5, 5)])


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB."""
    with small_disk(tmp_path / "disk", "64k") as folder:
        yield folder


@pytest.mark.parametrize("reserves", [True, False])
def test_space_is_there_before_pixels_are(tiny_disk, monkeypatch, reserves):
    """Also where the system cannot reserve it, as on macOS."""
    monkeypatch.setattr(tempfile, "tempdir", str(tiny_disk))
    monkeypatch.setattr(pictures, "_IN_MEMORY", 1000)
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate")
    assert pictures.canvas((30, 50), np.uint8).shape == (30, 50)
    with pytest.raises(OSError, match="No space left"):
        pictures.canvas((300, 500), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_disk_that_fills_up(tiny_disk, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (500, 500), dtype=np.uint8)
    (picture,) = open_photo(noise).compose([Uniform(5, 5)])
    with pytest.raises(PhotoError, match=rf"out\{suffix}: cannot be written"):
        picture.save(tiny_disk / f"out{suffix}", recipe={"seed": "1"})
    assert list(tiny_disk.iterdir()) == []
