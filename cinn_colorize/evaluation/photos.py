"""Photos as they are measured: in colour, square, 256 px; and pictures made as the measures require.

Lab and RGB are converted by scikit-image in double precision: where a picture's errors are small, the bias of
single precision shows in their sixth digit.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from cinn_colorize.data.sources import Source
from cinn_colorize.errors import DataError
from cinn_colorize.imaging.color import Floats

Doubles = NDArray[np.float64]

SIZE, CHROMA_SIZE = 256, 64
_LONGEST = 32  # times the shorter side: a line of pixels, enlarged, would exhaust memory


class Square(NamedTuple):
    """A photo as it is measured."""

    rgb: Doubles  # (3, 256, 256), sRGB in [0, 1]
    L: Floats  # (256, 256), L* in [0, 100]
    ab: Floats  # (2, 64, 64), area means


def read_square(source: Source, read: Callable[[Source], NDArray[Any]]) -> Square:
    """Read a photo, resize its shorter side to 256 px and crop the centre.

    Resizing takes area means where it shrinks, and is bilinear where it enlarges. DataError if the photo
    cannot be decoded, or is too narrow.
    """
    image = read(source)
    height, width = image.shape[:2]
    shorter = min(height, width)
    if max(height, width) > _LONGEST * shorter:
        raise DataError(f"{source}: {width} x {height} pixels are too narrow to be measured")
    size = (round(width * SIZE / shorter), round(height * SIZE / shorter))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shorter > SIZE else cv2.INTER_LINEAR)
    y, x = (image.shape[0] - SIZE) // 2, (image.shape[1] - SIZE) // 2
    return to_square(image[y : y + SIZE, x : x + SIZE])


def to_square(image: NDArray[Any]) -> Square:
    """Convert sRGB (256, 256, 3) uint8 to RGB, L and ab as they are measured."""
    lab = np.moveaxis(rgb2lab(image), -1, 0)
    return Square(
        np.moveaxis(image, -1, 0) / 255,
        lab[0].astype(np.float32),
        block_means(lab[1:], CHROMA_SIZE).astype(np.float32),
    )


def block_means(ab: NDArray[np.floating], size: int) -> NDArray[Any]:
    """Return means (..., size, size) over blocks of ``ab`` (..., r, r), r a multiple of size."""
    block = ab.shape[-1] // size
    blocks = ab.reshape(*ab.shape[:-2], size, block, size, block)
    return np.asarray(blocks.mean(axis=(-3, -1)))


def to_rgb(L: Floats, ab: Floats) -> Doubles:
    """Compose sRGB (3, 256, 256) in [0, 1] as in the paper's table: ab bicubic, no guide, RGB clipped."""
    a, b = (cv2.resize(plane, L.shape, interpolation=cv2.INTER_CUBIC) for plane in ab.astype(np.float64))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Conversion from CIE-LAB")  # imaginary colours
        return np.moveaxis(lab2rgb(np.stack([L, a, b], axis=-1)), -1, 0)
