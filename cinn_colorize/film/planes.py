"""L* of a film's Y'CbCr, and the luma that keeps L* when a frame gets colours.

R'G'B' of a film means what a screen shows, sRGB's curve and primaries; a film of BT.2020 has its own primaries.
A gray and a colour of the same L* have different luma. With g the luma of the gray and h the mean of the
colour's R', G', B' weighted as luminance weighs them, g is the larger, as the curve is convex, and

    g - h = A / (g + B)

to within 0.5 L* all over the gamut, with A and B of the colour's Cb and Cr (:func:`tables`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import SRGB, Floats, Pixels, RGBSpace

_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "smpte240m": (0.212, 0.087)}
_WEIGHTS["bt2020"] = (0.2627, 0.0593)
_WIDE = RGBSpace(
    matrix=np.array(
        [[0.63695805, 0.1446169, 0.16888098], [0.2627, 0.6780, 0.0593], [0, 0.02807269, 1.0609851]]
    )
    / color.D65[:, None],
    curves=SRGB.curves,
)
_CODES = np.linspace(0, 1, SRGB.curves.shape[1])  # of the curve of sRGB
_NARROWEST = 0.95  # of the range of R', G', B' that a legal colour may span
_LUMAS = 8  # of a colour, to which A and B are fitted
_LEAST_B = 0.03
_TYPICAL_B = 0.055  # of faint colours, by the second derivative of sRGB's curve


@dataclass(frozen=True)
class Coding:
    """What the code values of a film mean.

    Attributes:
        matrix: ``bt601``, ``bt709``, ``smpte240m`` or ``bt2020``.
        is_wide: whether the primaries are those of BT.2020.
        is_full: full range, in which black is 0; in the limited one it is 16 of 255.
        bits: 8 to 16.
    """

    matrix: str
    is_wide: bool = False
    is_full: bool = False
    bits: int = 8

    @property
    def black(self) -> int:
        """Code of black."""
        return 0 if self.is_full else 16 << (self.bits - 8)

    @property
    def luma(self) -> int:
        """Codes from black to white."""
        return (1 << self.bits) - 1 if self.is_full else 219 << (self.bits - 8)

    @property
    def neutral(self) -> int:
        """Code of Cb and Cr of grays."""
        return 128 << (self.bits - 8)

    @property
    def chroma(self) -> int:
        """Codes of Cb and Cr from -0.5 to 0.5."""
        return (1 << self.bits) - 1 if self.is_full else 224 << (self.bits - 8)

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of R', G' and B' in the luma."""
        red, blue = _WEIGHTS[self.matrix]
        return red, 1 - red - blue, blue


class Tables(NamedTuple):
    """Of a colour, by 256 * its code of Cb + that of Cr, both reduced to 8 bits; luma as code values."""

    A: Floats  # (65536,), see above
    B: Floats  # (65536,), less black
    C: Floats  # (65536,), h less the luma
    darkest: Floats  # (65536,), luma of the gray that is as dark as the colour can be, from 0 to 1
    room: Floats  # (65536,), 1 less that of the brightest


@cache
def lightness(coding: Coding) -> Floats:
    """Return L* of the gray of every luma, (256,) for 8 bits, else (65536,)."""
    codes = np.arange(256 if coding.bits == 8 else 65536)
    gray = np.clip((codes - coding.black) / coding.luma, 0, 1)
    return np.ascontiguousarray(color.srgb_to_lab(np.stack([gray] * 3, -1))[:, 0])


@cache
def lightness_bytes(coding: Coding) -> NDArray[np.uint8]:
    """Return what :func:`lightness` returns, times 2.55, rounded."""
    return np.asarray(np.rint(lightness(coding) * 2.55), np.uint8)


def _from_chroma(coding: Coding, cb: Floats, cr: Floats) -> Floats:
    """Return R', G', B' less luma, (3, ...)."""
    red, green, blue = coding.weights
    r, b = 2 * (1 - red) * cr, 2 * (1 - blue) * cb
    return np.stack([r, -(red * r + blue * b) / green, b])


@cache
def tables(coding: Coding) -> Tables:
    """Return the correction of luma and the bounds of chroma."""
    luminance = (_WIDE if coding.is_wide else SRGB).matrix[1]

    def gray_of(rgb: Floats) -> Floats:
        linear = SRGB.curves[0].take((rgb * (len(_CODES) - 1) + 0.5).astype(np.intp), mode="clip")
        return np.interp(
            sum(w * plane for w, plane in zip(luminance, linear, strict=True)), SRGB.curves[0], _CODES
        )

    codes = (np.arange(256) - 128) / (255 if coding.is_full else 224)
    offsets = _from_chroma(coding, *np.meshgrid(codes, codes, indexing="ij"))
    legal = np.minimum(1, _NARROWEST / np.maximum(np.ptp(offsets, axis=0), 1e-6))
    offsets *= legal  # colours that no luma shows are taken for fainter ones
    lumas = np.linspace(-offsets.min(axis=0), 1 - offsets.max(axis=0), _LUMAS)
    grays = np.stack([gray_of(luma + offsets) for luma in lumas])
    C = sum(w * plane for w, plane in zip(luminance, offsets, strict=True))
    # A - B (g - h) = (g - h) g is a line.
    x = grays - lumas - C
    y = x * grays
    dx, dy = x - x.mean(axis=0), y - y.mean(axis=0)
    B = (1e-8 * _TYPICAL_B - (dx * dy).mean(axis=0)) / ((dx * dx).mean(axis=0) + 1e-8)
    B = np.maximum(B, _LEAST_B)
    A = y.mean(axis=0) + B * x.mean(axis=0)
    found = (
        A * coding.luma**2 / legal**2,
        B * coding.luma - coding.black,
        C * coding.luma / legal,
        grays[0] / legal,
        (1 - grays[-1]) / legal,
    )
    return Tables(*(np.ascontiguousarray(table.ravel(), np.float32) for table in found))


def chroma_of(coding: Coding, L: Floats, ab: Floats) -> Floats:
    """Convert ``ab`` (2, h, w) at ``L`` (h, w), brought into sRGB's gamut, to Cb and Cr (2, h, w), -0.5 to 0.5."""
    lab = np.stack([L, *color.reduce_chroma(L, ab)], -1)
    rgb = np.moveaxis(np.clip(color.lab_to_srgb(lab), 0, 1), -1, 0)
    if coding.is_wide and _WIDE.from_linear_srgb is not None:
        linear = np.interp(rgb, _CODES, SRGB.curves[0])
        rows = _WIDE.from_linear_srgb
        rgb = np.stack([sum(w * plane for w, plane in zip(row, linear, strict=True)) for row in rows])
        rgb = np.interp(rgb, SRGB.curves[0], _CODES)
    red, green, blue = coding.weights
    luma = red * rgb[0] + green * rgb[1] + blue * rgb[2]
    return np.stack([(rgb[2] - luma) / (2 - 2 * blue), (rgb[0] - luma) / (2 - 2 * red)]).astype(np.float32)


def index_of(coding: Coding, cb: Pixels, cr: Pixels) -> NDArray[np.uint16]:
    """Return where in :class:`Tables` colours are found, from code values (h, w)."""
    if coding.bits > 8:
        cb, cr = ((plane >> (coding.bits - 8)) for plane in (cb, cr))
    return (cb.astype(np.uint16) << 8) | cr


def gray_luma(coding: Coding, luma: Pixels, cb: Pixels, cr: Pixels) -> Pixels:
    """Return the luma of the grays that have the L* of a frame, of its planes; chroma may be smaller."""
    found, index, size = tables(coding), index_of(coding, cb, cr), luma.shape[::-1]
    A, B, C = (cv2.resize(cv2.LUT(index, table), size, interpolation=cv2.INTER_LINEAR) for table in found[:3])
    h = luma + C
    root = np.sqrt((h + B) ** 2 + 4 * A)
    gray = np.rint((h - B + root) / 2).clip(0, (1 << coding.bits) - 1)
    return gray.astype(luma.dtype)
