"""Photos to make files of, for the tests of the photo path."""

from pathlib import Path

import numpy as np
import pyvips
from skimage import data

DATA = Path(__file__).parents[2] / "shared/data"
GRAY = data.camera()[100:340, 60:360]  # (240, 300), 8 bits
COLOR = data.astronaut()[:240, :300]
RECIPE = {"seed": "5", "temperature": "0.8", "model": "natural"}


class Uniform:
    """The same ab everywhere."""

    def __init__(self, a, b):
        self.ab = np.array([a, b], np.float32)[:, None, None]

    def rows(self, y0, y1, L):
        assert L.shape[0] == y1 - y0
        return np.broadcast_to(self.ab, (2, *L.shape)).copy()


def deep(gray):
    """8 bits with a ramp below, so that all 16 matter."""
    ramp = np.arange(gray.shape[0] * gray.shape[1]).reshape(gray.shape[:2]) * 7 % 256
    return (gray.astype(np.uint16) * 255 + (ramp if gray.ndim == 2 else ramp[..., None])).astype(np.uint16)


def write(path, pixels, fields=(), **options):
    """A file by libvips with metadata fields."""
    deep = pixels.dtype == np.uint16
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(
        interpretation=names[bands > 2], xres=11.811, yres=11.811
    )
    for kind, field, value in fields:
        image.set_type(kind, field, value)
    image.write_to_file(str(path), **options)
    return path
