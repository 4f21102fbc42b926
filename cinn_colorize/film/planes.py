"""L* of a film's Y'CbCr, and the luma that keeps L* when a frame gets colours.

R'G'B' of a film means what a screen shows: sRGB's curve and primaries. A gray and a colour of the same L*
have different luma. With g the luma of the gray, and h the mean of the colour's R', G' and B' weighted as
luminance weighs them, g is the larger, as the curve is convex, and

    g - h = A / (g + B)

nearly, with A and B of the colour's Cb and Cr (:func:`tables`): L* stays within 0.5 for most colours of the
gamut, within 1.3 for all.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import SRGB, Floats, Pixels

# Of R' and B' in luma, by the number of the matrix in H.273.
_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}
_CODES = np.linspace(0, 1, SRGB.curves.shape[1])  # of the curve of sRGB
_WIDEST = 0.95  # range of R', G', B' of a colour that the tables take as it is
_LUMAS = 8  # of a colour, to which A and B are fitted
_LEAST_B, _FAINT_B = 0.03, 0.055  # the second, of faint colours, by the second derivative of the curve


@dataclass(frozen=True)
class Coding:
    """What the code values of a film mean."""

    matrix: int  # 1 for BT.709, 5 for BT.601, 9 for BT.2020
    is_full: bool = False  # full range, in which black is 0; in the limited one it is 16 of 255
    bits: int = 8  # or 10

    @property
    def luma(self) -> tuple[int, int]:
        """Code of black, and codes from there to white."""
        return (0, (1 << self.bits) - 1) if self.is_full else (16 << (self.bits - 8), 219 << (self.bits - 8))

    @property
    def chroma(self) -> tuple[int, int]:
        """Code of grays, and codes of Cb and Cr from -0.5 to 0.5."""
        return 128 << (self.bits - 8), (1 << self.bits) - 1 if self.is_full else 224 << (self.bits - 8)

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of R', G' and B' in luma."""
        red, blue = _WEIGHTS[self.matrix]
        return red, 1 - red - blue, blue


class Tables(NamedTuple):
    """Of a colour, at 256 * Cb + Cr, both in 8 bits, (65536,) each."""

    A: Floats  # of luma as code values, as are B and C
    B: Floats  # less black
    C: Floats  # h less luma
    darkest: Floats  # luma of the gray that is as dark as the colour can be, 0 to 1
    room: Floats  # 1 less luma of the gray that is as bright


@cache
def lightness(coding: Coding) -> Floats:
    """Return L* of the grays of all lumas, (256,) for 8 bits, else (65536,)."""
    black, span = coding.luma
    gray = np.clip((np.arange(256 if coding.bits == 8 else 65536) - black) / span, 0, 1)
    return np.ascontiguousarray(color.srgb_to_lab(np.stack([gray] * 3, -1))[:, 0])


@cache
def lightness_bytes(coding: Coding) -> NDArray[np.uint8]:
    """Return :func:`lightness` times 2.55, rounded."""
    return np.asarray(np.rint(lightness(coding) * 2.55), np.uint8)


@cache
def tables(coding: Coding) -> Tables:
    """Return what corrects luma and bounds chroma."""
    (red, green, blue), (black, span) = coding.weights, coding.luma
    luminance = SRGB.matrix[1]

    def gray_of(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
        linear = SRGB.curves[0].take((rgb * (len(_CODES) - 1) + 0.5).astype(np.intp), mode="clip")
        return np.interp(np.einsum("k,kij->ij", luminance, linear), SRGB.curves[0], _CODES)

    codes = (np.arange(256) - 128) / (255 if coding.is_full else 224)
    b, r = np.meshgrid(2 * (1 - blue) * codes, 2 * (1 - red) * codes, indexing="ij")
    rgb = np.stack([r, -(red * r + blue * b) / green, b])  # less luma
    legal = np.minimum(1, _WIDEST / np.maximum(np.ptp(rgb, axis=0), 1e-6))
    rgb *= legal  # colours that no luma shows are taken for fainter ones of their hue
    lumas = np.linspace(-rgb.min(axis=0), 1 - rgb.max(axis=0), _LUMAS)
    grays = np.stack([gray_of(luma + rgb) for luma in lumas])
    C = np.einsum("k,kij->ij", luminance, rgb)
    x = grays - lumas - C
    y = x * grays  # = A - B x
    dx, dy = x - x.mean(axis=0), y - y.mean(axis=0)
    B = (1e-8 * _FAINT_B - (dx * dy).mean(axis=0)) / ((dx * dx).mean(axis=0) + 1e-8)
    B = np.maximum(B, _LEAST_B)
    A = y.mean(axis=0) + B * x.mean(axis=0)
    luma = A * (span / legal) ** 2, B * span - black, C * span / legal
    found = *luma, grays[0] / legal, (1 - grays[-1]) / legal
    return Tables(*(np.ascontiguousarray(table.ravel(), np.float32) for table in found))


def chroma_of(coding: Coding, L: Floats, ab: Floats) -> Floats:
    """Convert ``ab`` (2, h, w) at ``L`` (h, w), reduced to the gamut, to Cb and Cr (2, h, w), -0.5 to 0.5."""
    lab = np.stack([L, *color.reduce_chroma(L, ab)], -1)
    r, g, b = np.moveaxis(np.clip(color.lab_to_srgb(lab), 0, 1), -1, 0)
    red, green, blue = coding.weights
    luma = red * r + green * g + blue * b
    return np.stack([(b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)]).astype(np.float32)


def index_of(coding: Coding, cb: Pixels, cr: Pixels) -> NDArray[np.uint16]:
    """Return where in :class:`Tables` colours are found, of code values (h, w)."""
    if coding.bits > 8:
        cb, cr = (plane >> (coding.bits - 8) for plane in (cb, cr))
    return np.asarray((cb.astype(np.uint16) << 8) | cr)


def gray_luma(coding: Coding, luma: Pixels, cb: Pixels, cr: Pixels) -> Pixels:
    """Return the luma of the grays that have the L* of a frame's planes; chroma may be smaller."""
    index, size = index_of(coding, cb, cr), luma.shape[::-1]
    A, B, C = (cv2.resize(cv2.LUT(index, table), size) for table in tables(coding)[:3])
    h = luma + C
    gray = np.rint((h - B + np.sqrt((h + B) ** 2 + 4 * A)) / 2)
    return np.asarray(gray.clip(0, (1 << coding.bits) - 1), luma.dtype)
