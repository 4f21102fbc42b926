"""The photos that are measured: in which order they come, and as which squares."""

import zipfile

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from cinn_colorize.data.sources import Source, find_photos
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation.photos import read_square, to_square


def write(path, image):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), image)
    return Source(path)


def test_squares_are_the_centre_at_256_px(tmp_path):
    image = np.zeros((1024, 2048, 3), np.uint8)
    image[::4, 512:1536] = 200  # lines of one pixel, in the centre alone
    read = lambda source: cv2.imread(str(source.path))  # noqa: E731
    square = read_square(write(tmp_path / "wide.png", image), read)
    assert square.rgb.shape == (3, 256, 256)
    assert np.abs(square.rgb - 50 / 255).max() < 1e-6  # the lines' mean, and nothing of the sides
    small = read_square(write(tmp_path / "small.png", image[:150, 600:700]), read)
    assert (small.rgb.shape, small.L.shape, small.ab.shape) == ((3, 256, 256), (256, 256), (2, 64, 64))
    with pytest.raises(DataError, match=r"strip\.png.*too narrow"):
        read_square(write(tmp_path / "strip.png", image[:1]), read)


def test_ab_is_an_area_mean():
    image = np.random.default_rng(4).integers(0, 256, (256, 256, 3), np.uint8)
    lab = rgb2lab(image)
    square = to_square(image)
    assert np.allclose(square.ab[:, 10, 20], lab[40:44, 80:84, 1:].mean((0, 1)), atol=1e-5)
    assert np.allclose(square.L, lab[..., 0], atol=1e-5)


def test_shards_come_in_the_order_of_their_names(tmp_path):
    """Whichever was written first, since positions in the list choose what a run sees."""
    shards = [f"photos-train-{k}.zip" for k in (3, 0, 11, 2, 1)]
    for shard in shards:
        with zipfile.ZipFile(tmp_path / shard, "w") as file:
            file.writestr("b.png", "")
            file.writestr("a.png", "")
    found = [(photo.path.name, photo.entry) for photo in find_photos(tmp_path)]
    assert found == [(shard, entry) for shard in sorted(shards) for entry in ("a.png", "b.png")]


def test_photos_come_in_the_order_of_their_names_from_folders_and_zips(tmp_path):
    names = ["a-b/1.png", "a/2.png", "a/1.JPG", "B.webp"]
    folder, archive = tmp_path / "folder", tmp_path / "photos-train-0.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in [*names, "a/._1.JPG", "notes.txt", "a.png/"]:
            file.writestr(name, "")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name.endswith("/") else path.write_bytes(b"")
    assert [photo.entry for photo in find_photos(archive)] == sorted(names)
    assert [photo.path.relative_to(folder).as_posix() for photo in find_photos(folder)] == sorted(names)
    # A folder with zips of training photos is for training, not for measuring.
    assert len(find_photos(tmp_path)) == len(names)
    assert {photo.entry for photo in find_photos(tmp_path, pattern=None)} == {None}
