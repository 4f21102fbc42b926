"""The light that a sample assumes, and white balance, which takes its tint out.

A part of what looks like a mood is the light. Its colour is estimated by shades of gray (Finlayson and Trezzi
2004, "Shades of gray and colour constancy"): the Minkowski mean of linear RGB, p = 6. White balance divides
linear RGB by a power of it, and leaves L* as it is.
"""

import cv2
import numpy as np

from cinn_colorize.imaging.color import SRGB, Floats, linear_from_lab, linear_to_lab
from cinn_colorize.imaging.options import Rendering

_NORM = 6
_DARK, _BRIGHT = 0.02, 0.95  # relative luminance beyond which pixels do not count


def light_of(L: Floats, ab: Floats) -> Floats:
    """Return the colour of the light in linear sRGB, (3,), mean 1; for the arguments see :func:`shown`."""
    linear = _linear(L, ab)
    luminance = np.einsum("k,khw->hw", SRGB.matrix[1], linear)
    seen = linear[:, (luminance > _DARK) & (luminance < _BRIGHT)]
    if not seen.any():
        return np.ones(3, np.float32)
    mean = (seen.astype(np.float64) ** _NORM).mean(1) ** (1 / _NORM)
    return np.asarray(mean / mean.mean(), np.float32)


def shown(L: Floats, ab: Floats, rendering: Rendering, light: Floats | None = None) -> Floats:
    """Return ab as a rendering shows it.

    Args:
        L: L* of the picture, of the size of ``ab`` or larger.
        ab: (2, h, w).
        rendering: how the picture is shown.
        light: colour of its light; by default, that of :func:`light_of`.
    """
    if rendering.white_balance:
        light = light_of(L, ab) if light is None else light
        share = light[:, None, None] ** np.float32(rendering.white_balance)
        ab = linear_to_lab((_linear(L, ab) / share).clip(0, 1))[1:]
    return np.float32(rendering.saturation) * ab


def _linear(L: Floats, ab: Floats) -> Floats:
    reduced = cv2.resize(L, ab.shape[:0:-1], interpolation=cv2.INTER_AREA)
    return linear_from_lab(np.asarray(reduced, np.float32), ab).clip(0, 1)
