"""L as an old film and its scan would have it, for training that meets old photographs.

A film records no colours, but it does not record luminance either: an orthochromatic emulsion is blind to
red, and one that is sensitive to blue alone shows a summer sky as white as snow. Prints fade, gather dust and
show grain; lenses blur, and darken the corners. The colours to learn stay the true ones.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import Floats
from cinn_colorize.training.crops import CHROMA_SIZE, LUMINANCE_SIZE, squeezed, to_network

Pixels = NDArray[np.uint8]
Rng = np.random.Generator

_SIZE = 256  # pixels of a photo that blur is told in
_FINEST_GRAIN = 0.3  # pixels; finer grain is that of the pixels


class Emulsion(NamedTuple):
    """How sensitive a film is to linear red, green and blue, drawn anew for each photo."""

    share: float  # of films that are of this kind
    draw: Callable[[Rng], NDArray[np.float64]]  # weights that add up to 1, (3,)


def _mostly_blue(red: float, green: float) -> NDArray[np.float64]:
    return np.array([red, green, 1 - red - green])


EMULSIONS = {
    "panchromatic": Emulsion(0.5, lambda rng: rng.dirichlet([3, 5, 2.5])),
    "orthochromatic": Emulsion(0.35, lambda rng: _mostly_blue(rng.uniform(0, 0.12), rng.uniform(0.35, 0.65))),
    "blue-sensitive": Emulsion(0.15, lambda rng: _mostly_blue(0, rng.uniform(0, 0.2))),
}


def exposed(image: Pixels, sensitivity: NDArray[np.float64], exposure: float = 1.0) -> Floats:
    """Compute L* (h, w) in [0, 100] of what a film records of sRGB (h, w, 3), light times ``exposure``."""
    matrix = np.stack([exposure * sensitivity] * 3)  # what film sees in place of X, Y and Z
    return color.pixels_to_luminance(image, replace(color.SRGB, matrix=matrix)).clip(0, 100)


def as_film(image: Pixels, rng: Rng) -> Floats:
    """Compute L* (h, w) in [0, 100] of sRGB (h, w, 3), as if taken, printed and scanned long ago."""
    kinds = list(EMULSIONS.values())
    kind = kinds[rng.choice(len(kinds), p=[kind.share for kind in kinds])]
    L: Floats = exposed(image, kind.draw(rng), rng.uniform(0.85, 1.2)) / np.float32(100)
    for share, step in _STEPS:
        if rng.uniform() < share:
            L = step(L, rng).astype(np.float32)
    return 100 * L.clip(0, 1)


def some_as_film(
    crop: Pixels, rng: Rng, share: float, size: int = LUMINANCE_SIZE, chroma_size: int = CHROMA_SIZE
) -> tuple[Floats, Floats]:
    """Prepare a crop as :func:`to_network` does; for a share of crops, L is that of :func:`as_film`."""
    square = squeezed(crop, size)
    L, ab = to_network(square, size, chroma_size)
    if rng.uniform() < share:
        L = as_film(square, rng)[None]
    return L, ab


def _contrast(L: Floats, rng: Rng) -> NDArray[np.floating]:
    steepness = rng.uniform(1, 4)
    return 0.5 + 0.5 * np.tanh(steepness / 2 * (L - 0.5)) / math.tanh(steepness / 4)


def _vignette(L: Floats, rng: Rng) -> NDArray[np.floating]:
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) - rng.uniform(-0.2, 0.2) for n in L.shape)
    return L * (1 - rng.uniform(0.05, 0.4) / 2 * (y[:, None] ** 2 + x**2))


def _grain(L: Floats, rng: Rng) -> NDArray[np.floating]:
    noise, size = rng.standard_normal(L.shape, dtype=np.float32), rng.uniform(0, 1.2)
    if size > _FINEST_GRAIN:
        noise = _gaussian(noise, size)
    return L + rng.uniform(0.005, 0.06) * noise / noise.std()


def _dust(L: Floats, rng: Rng) -> NDArray[np.floating]:
    """Draw specks and scratches, most of them white."""
    L, (height, width) = L.copy(), L.shape
    for _ in range(rng.integers(1, 12)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        value = rng.uniform(0.7, 1) if rng.uniform() < 0.7 else rng.uniform(0, 0.2)
        if rng.uniform() < 0.3:
            end = int(x + rng.normal(0, width / 4)), int(y + rng.normal(0, height / 4))
            cv2.line(L, (x, y), end, value, 1)
        else:
            cv2.circle(L, (x, y), int(rng.integers(1, 3)), value, -1)
    return L


def _jpeg(L: Floats, rng: Rng) -> NDArray[np.floating]:
    quality = int(rng.integers(25, 90))
    pixels = (255 * L.clip(0, 1)).round().astype(np.uint8)
    _, file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.float32) / 255


def _gaussian(image: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


_Step = Callable[[Floats, Rng], NDArray[np.floating]]

# In the order of their happening, and how many prints each of them meets.
_STEPS: tuple[tuple[float, _Step], ...] = (
    (0.8, lambda L, rng: L ** math.exp(rng.normal(0, 0.25))),  # another tone curve
    (0.4, _contrast),
    (0.4, lambda L, rng: _gaussian(L, rng.uniform(0.3, 1.4) * max(L.shape) / _SIZE)),  # blur
    (0.3, _vignette),
    (0.7, _grain),
    (0.4, lambda L, rng: L + rng.uniform(0, 0.25) * (1 - L)),  # black that is lifted
    (0.4, lambda L, rng: L * rng.uniform(0.75, 1)),  # white that is dull
    (0.2, _dust),
    (0.3, _jpeg),
)
