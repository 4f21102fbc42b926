"""Pixels and CIE Lab: the one Lab of this project.

Lab always means CIE Lab with the D65 white (2 degree observer) as scikit-image computes it from sRGB. Chroma
that sRGB cannot show is reduced at constant L and hue; clipping RGB would change luminance.

Full-size work is done in bands of rows; :func:`compose` is the hot loop, one call per band and sample.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pixels = NDArray[Any]  # uint8 or uint16

D65 = np.array([0.95047, 1.0, 1.08883])
_SRGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)

# f of CIE Lab is a cube root above _F_THRESHOLD and a line below; cube root and line touch there.
_F_THRESHOLD, _F_SLOPE = 0.008856, 7.787
_F_OF_THRESHOLD = 0.2068966

# Linear sRGB that counts as inside the gamut. The white of the matrix above is not quite D65, so that white
# itself has a blue of 1.00008; both tolerances are less than 1e-4 after the transfer curve.
_DARKEST, _BRIGHTEST = -5e-6, 1 + 2e-4
_MAX_CHROMA = 140.0  # sRGB's blue has 134
_BISECTIONS = 12  # places the boundary to 140 / 2^12 = 0.03 units of chroma
_BLOCK = 32000  # pixels per block: few enough for a core's cache and cv2.remap, enough to amortise a call
_MANY = _BLOCK // 2  # colours for which a table is made: bisecting fewer takes less time


@dataclass(frozen=True, eq=False)
class RGBSpace:
    """An RGB space of three primaries and three transfer curves."""

    matrix: NDArray[np.float64]  # (3, 3), linear RGB to XYZ, each divided by that of the D65 white
    curves: NDArray[np.float64]  # (3, 65536), linear light in [0, 1] of the code values i / 65535

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Leave the tables out of pickles, and all of sRGB but its name."""
        return "SRGB" if self is SRGB else (RGBSpace, (self.matrix, self.curves))

    def decoding(self, depth: int) -> Floats:
        """Return the linear light of every code value, (3, 2^depth), for ``depth`` 8 or 16."""
        return self.curves[:, :: 257 if depth == 8 else 1].astype(np.float32)

    def encoding(self, depth: int) -> Pixels:
        """Return code values, (3, 65536), of linear light (i / 65535)^2: squares spread the darks evenly."""
        return self._codes8 if depth == 8 else self._codes16

    @cached_property
    def from_linear_srgb(self) -> NDArray[np.float64] | None:
        """(3, 3), linear sRGB to this space's linear RGB; None where they are the same."""
        matrix = np.linalg.solve(self.matrix, _SRGB_TO_XYZ / D65[:, None])
        return None if np.allclose(matrix, np.eye(3), atol=1e-6) else matrix

    @cached_property
    def _codes8(self) -> NDArray[np.uint8]:
        return np.round(self._inverse_curves() * 255).astype(np.uint8)

    @cached_property
    def _codes16(self) -> NDArray[np.uint16]:
        return np.round(self._inverse_curves() * 65535).astype(np.uint16)

    def _inverse_curves(self) -> NDArray[np.float64]:
        codes = np.linspace(0, 1, 65536)
        return np.stack([np.interp(codes**2, np.maximum.accumulate(curve), codes) for curve in self.curves])


def _srgb_curve(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    bright = ((np.maximum(codes, 0) + 0.055) / 1.055) ** 2.4
    return np.where(codes > 0.04045, bright, codes / 12.92)


_CURVES = np.tile(_srgb_curve(np.linspace(0, 1, 65536)), (3, 1))
SRGB = RGBSpace(matrix=_SRGB_TO_XYZ / D65[:, None], curves=_CURVES)
_XYZ_TO_SRGB = np.linalg.inv(SRGB.matrix)


def _f(t: Floats) -> Floats:
    """Apply CIE Lab's f to XYZ relative to the white, of any shape."""
    above = np.maximum(t, np.float32(_F_THRESHOLD))
    line = t - above
    line *= np.float32(_F_SLOPE)
    np.cbrt(above, out=above)
    above += line
    return above


def _f_inverse(t: Floats) -> Floats:
    above = np.maximum(t, np.float32(_F_OF_THRESHOLD))
    line = t - above
    line *= np.float32(1 / _F_SLOPE)
    cube = above * above
    cube *= above
    cube += line
    return cube


def _mix(matrix: NDArray[np.floating], planes: Floats) -> Floats:
    """Apply a matrix (k, 3) to ``planes`` (3, ...), which gives (k, ...)."""
    mixed = np.empty((len(matrix), *planes.shape[1:]), np.float32)
    weights = matrix.astype(np.float32)
    for row, channel in zip(weights, mixed, strict=True):
        np.multiply(planes[0], row[0], out=channel)
        channel += planes[1] * row[1]
        channel += planes[2] * row[2]
    return mixed


def _lab_from_linear(linear: Floats, matrix: NDArray[np.float64]) -> Floats:
    x, y, z = _f(_mix(matrix, linear))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def linear_from_lab(L: Floats, ab: Floats) -> Floats:
    """Convert ``L`` (...) and ``ab`` (2, ...) to linear sRGB (3, ...), unclipped."""
    f_y = (L + np.float32(16)) * np.float32(1 / 116)
    xyz = np.empty((3, *L.shape), np.float32)
    xyz[0] = _f_inverse(ab[0] * np.float32(1 / 500) + f_y)
    xyz[1] = _f_inverse(f_y)
    xyz[2] = _f_inverse(ab[1] * np.float32(-1 / 200) + f_y)
    return _mix(_XYZ_TO_SRGB, xyz)


def linear_to_lab(linear: Floats) -> Floats:
    """Convert linear sRGB (3, ...) to Lab (3, ...)."""
    return _lab_from_linear(linear, SRGB.matrix)


def srgb_to_lab(rgb: NDArray[np.floating]) -> Floats:
    """Convert sRGB (..., 3) in [0, 1] to Lab (..., 3); values outside are not clipped."""
    linear = _srgb_curve(np.moveaxis(np.asarray(rgb, np.float64), -1, 0)).astype(np.float32)
    return np.moveaxis(linear_to_lab(linear), 0, -1)


def lab_to_srgb(lab: NDArray[np.floating]) -> Floats:
    """Convert Lab (..., 3) to sRGB (..., 3); colours outside the gamut leave [0, 1]."""
    L, a, b = np.moveaxis(np.asarray(lab, np.float32), -1, 0)
    linear = linear_from_lab(L, np.stack([a, b]))
    bright = 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    rgb = np.where(linear > 0.0031308, bright, 12.92 * linear)
    return np.moveaxis(rgb.astype(np.float32), 0, -1)


def pixels_to_lab(pixels: Pixels, space: RGBSpace = SRGB) -> Floats:
    """Convert ``pixels`` (h, w, 3), code values of ``space``, to Lab (3, h, w)."""
    return _lab_from_linear(_decode(pixels, space), space.matrix)


def pixels_to_luminance(pixels: Pixels, space: RGBSpace = SRGB) -> Floats:
    """Convert ``pixels`` (h, w) gray or (h, w, 3), code values of ``space``, to L* (h, w)."""
    if pixels.ndim == 2:
        L_of_code: Floats = 116 * _f(space.decoding(8 * pixels.itemsize)[0]) - 16
        return np.asarray(L_of_code[pixels])
    L: Floats = _f(_mix(space.matrix[1:2], _decode(pixels, space)))[0]
    L *= np.float32(116)
    L -= np.float32(16)
    return L


def _decode(pixels: Pixels, space: RGBSpace) -> Floats:
    tables = space.decoding(8 * pixels.itemsize)
    linear = np.empty((3, *pixels.shape[:2]), np.float32)
    for channel, (table, plane) in enumerate(zip(tables, linear, strict=True)):
        table.take(pixels[..., channel], out=plane, mode="clip")
    return linear


def reduce_chroma(L: Floats, ab: Floats) -> Floats:
    """Bring those of ``ab`` (2, h, w), with ``L`` (h, w), outside sRGB into it at constant L and hue."""
    outside = _outside(linear_from_lab(L, ab))
    reduced = ab.copy()
    reduced[:, outside] = _reduce(L[outside], _bounded(ab[:, outside]))
    return reduced


def _outside(linear: Floats) -> NDArray[np.bool_]:
    darkest = np.minimum(np.minimum(linear[0], linear[1]), linear[2])
    brightest = np.maximum(np.maximum(linear[0], linear[1]), linear[2])
    return np.asarray((darkest < _DARKEST) | (brightest > _BRIGHTEST))


def _bounded(ab: Floats) -> Floats:
    """Reduce the chroma of ``ab`` (2, ...) to ``_MAX_CHROMA``; colours inside the gamut stay as they are."""
    if max(ab.max(initial=0), -ab.min(initial=0)) <= _MAX_CHROMA / 2**0.5:  # hypot is slow
        return ab
    bounded: Floats = ab * np.minimum(1, _MAX_CHROMA / np.maximum(np.hypot(ab[0], ab[1]), 1e-6))
    return bounded


def _reduce(L: Floats, ab: Floats) -> Floats:
    """Return ``ab`` (2, n) of colours outside the gamut at ``L`` (n,) with the largest chroma inside."""
    share, rest = np.empty_like(L), np.ones(L.size, np.bool_)
    if L.size > _MANY:
        for part in _blocks(L.size):
            share[part], rest[part] = _tabulated(L[part], ab[:, part], rest[part])
    left = np.flatnonzero(rest)
    for part in _blocks(left.size):
        index = left[part]
        share[index] = _HueLines.to(L[index], ab[:, index]).bisected(_BISECTIONS)
    return ab * share


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))


@dataclass(frozen=True, eq=False)
class _HueLines:
    """Lines of constant L and hue: from grays to colours (n,), along which chroma is reduced.

    A point on a line is a share of the colour's chroma, 0 for gray. In f of CIE Lab, the lines are straight.
    """

    f_y: Floats  # f of Y, of all points of a line
    y: Floats  # Y
    f_x: Floats  # f of X of the colour, less that of gray
    f_z: Floats  # f of Z of the colour, less that of gray

    @classmethod
    def to(cls, L: Floats, ab: Floats) -> "_HueLines":
        f_y = (L + np.float32(16)) * np.float32(1 / 116)
        return cls(f_y, _f_inverse(f_y), ab[0] * np.float32(1 / 500), ab[1] * np.float32(-1 / 200))

    def some(self, index: NDArray[np.intp]) -> "_HueLines":
        return _HueLines(self.f_y[index], self.y[index], self.f_x[index], self.f_z[index])

    def outside(self, share: Floats) -> NDArray[np.bool_]:
        """Return which points, at shares (n,) of the chroma, lie outside the gamut."""
        xyz = np.empty((3, share.size), np.float32)
        xyz[0] = _f_inverse(self.f_x * share + self.f_y)
        xyz[1] = self.y
        xyz[2] = _f_inverse(self.f_z * share + self.f_y)
        return _outside(_mix(_XYZ_TO_SRGB, xyz))

    def bisected(self, steps: int) -> Floats:
        """Return the share of the chroma where a line leaves the gamut, rounded down to 1 / 2^``steps``."""
        share = np.zeros_like(self.f_y)
        for step in range(1, steps + 1):
            half = np.float32(0.5**step)
            share += ~self.outside(share + half) * half
        return share

    def misses(self, share: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where shares are more than bisecting finds, and where less."""
        return self.outside(share), ~self.outside(share + np.float32(0.5**_BISECTIONS))


def _tabulated(L: Floats, ab: Floats, outside: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Look up the shares (n,) of colours outside that bisecting would find, 1 for others; tell wrong ones."""
    table, steps = _largest_chroma(), np.float32(2**_BISECTIONS)
    chroma, hue = cv2.cartToPolar(ab[0], ab[1])
    row = L.reshape(hue.shape) * np.float32((len(table) - 1) / 100)
    hue *= np.float32((table.shape[1] - 1) / (2 * np.pi))
    largest = cv2.remap(table, hue, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    found: Floats = np.floor((largest / np.maximum(chroma, np.float32(1e-6))).ravel() * steps)
    share: Floats = np.clip(found, 0, steps - 1) / steps
    lines = _HueLines.to(L, ab)
    more, less = lines.misses(share)
    wrong = (more | less) & outside
    near = np.flatnonzero(wrong)  # nearly all of them by one step
    share[near] = np.maximum(share[near] + (less[near] / steps - more[near] / steps), 0)
    more, less = lines.some(near).misses(share[near])
    wrong[near] = more | less
    np.copyto(share, 1, where=~outside)
    return share, wrong


@cache
def _largest_chroma() -> Floats:
    """Return the largest chroma inside the gamut by L* (rows, 0 to 100) and hue (columns, 0 to 2 pi)."""
    L, hue = np.meshgrid(np.linspace(0, 100, 256), np.linspace(0, 2 * np.pi, 512), indexing="ij")
    ab = _MAX_CHROMA * np.stack([np.cos(hue), np.sin(hue)])
    lines = _HueLines.to(L.ravel().astype(np.float32), ab.reshape(2, -1).astype(np.float32))
    largest = np.float32(_MAX_CHROMA) * lines.bisected(22).reshape(L.shape)  # fine enough for L* of 0
    largest[_leave_twice(L, hue)] = 0  # which leaves these lines to bisecting
    return largest


def _leave_twice(L: NDArray[np.floating], hue: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether lines of an L* and a hue, in radians, may leave the gamut, enter and leave it again."""
    yellow = 97 + 1.35 * (L - 91.8)  # degrees; some near it do, of L* from 91.8 to 98.4
    return np.asarray((np.abs(L - 95.1) < 3.8) & (np.abs(np.degrees(hue) - yellow) < 2.5))


def compose(L: Floats, ab: Floats, depth: int, space: RGBSpace = SRGB) -> Pixels:
    """Turn L* (h, w) and ab (2, h, w) into pixels (h, w, 3) of ``space``, chroma reduced to sRGB's."""
    shape, L, ab = L.shape, L.ravel(), _bounded(ab.reshape(2, -1))
    pixels = np.empty((L.size, 3), np.uint8 if depth == 8 else np.uint16)
    left = np.empty(L.size, np.bool_)
    for block in _blocks(L.size):
        linear = linear_from_lab(L[block], ab[:, block])
        outside = _outside(linear)
        if np.count_nonzero(outside) > _MANY:  # most: faster than taking them out of the block
            share, outside = _tabulated(L[block], ab[:, block], outside)
            linear = linear_from_lab(L[block], ab[:, block] * share)
        left[block] = outside
        pixels[block] = _encode(linear, depth, space)
    # Reduced together: few pixels of a block are left, and bisecting few is all overhead.
    if (index := np.flatnonzero(left)).size:
        L = L[index]
        linear = linear_from_lab(L, _reduce(L, ab[:, index]))
        pixels[index] = _encode(linear, depth, space)
    return pixels.reshape(*shape, 3)


def compose_gray(L: Floats, depth: int, space: RGBSpace = SRGB) -> Pixels:
    """Do what :func:`compose` does, without colour: exactly neutral where the space's curves are the same."""
    pixels = compose(L, np.zeros((2, *L.shape), np.float32), depth, space)
    if (space.curves == space.curves[1]).all():
        pixels[...] = pixels[..., 1:2]  # green has nearly all of the luminance
    return pixels


def _encode(linear: Floats, depth: int, space: RGBSpace) -> Pixels:
    """Convert linear sRGB (3, ...), which is overwritten, to code values (..., 3)."""
    if space.from_linear_srgb is not None:
        linear = _mix(space.from_linear_srgb, linear)
    np.clip(linear, 0, 1, out=linear)
    np.sqrt(linear, out=linear)
    linear *= np.float32(65535)
    linear += np.float32(0.5)
    tables = space.encoding(depth)
    pixels = np.empty((*linear.shape[1:], 3), tables.dtype)
    for channel, (table, roots) in enumerate(zip(tables, linear.astype(np.uint16), strict=True)):
        pixels[..., channel] = table.take(roots, mode="clip")
    return pixels
