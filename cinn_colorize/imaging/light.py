"""The light that a sample assumes, and white balance, which takes its tint out.

A part of what looks like a mood is the light. Its colour is estimated by shades of gray (Finlayson and Trezzi
2004, "Shades of gray and colour constancy"): the Minkowski mean of linear RGB, p = 6. White balance divides
linear RGB by a power of it, and leaves L* as it is.
"""

from __future__ import annotations

import numpy as np

from cinn_colorize.imaging.color import SRGB, Floats, linear_from_lab, linear_to_lab

_NORM = 6
_DARK, _BRIGHT = 0.02, 0.95  # relative luminance beyond which pixels do not count


def light_of(L: Floats, ab: Floats) -> Floats:
    """Return the colour of the light in linear sRGB, (3,), mean 1, of ``L`` (h, w) and ``ab`` (2, h, w)."""
    linear = linear_from_lab(L, ab).clip(0, 1)
    luminance = np.einsum("k,khw->hw", SRGB.matrix[1], linear)
    seen = linear[:, (luminance > _DARK) & (luminance < _BRIGHT)]
    if not seen.any():
        return np.ones(3, np.float32)
    mean = (seen.astype(np.float64) ** _NORM).mean(1) ** (1 / _NORM)
    return np.asarray(mean / mean.mean(), np.float32)


def balanced(L: Floats, ab: Floats, light: Floats, share: float) -> Floats:
    """Return ``ab`` (2, h, w) at ``L`` (h, w) without a share of the light's tint, 0 to 1."""
    linear = linear_from_lab(L, ab).clip(0, 1) / light[:, None, None] ** np.float32(share)
    return linear_to_lab(linear.clip(0, 1))[1:]
