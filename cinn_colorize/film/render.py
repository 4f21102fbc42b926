"""Colours of a frame, from small maps of ab to the planes that an encoder takes.

Cb and Cr are computed where the film holds them, at a quarter of the pixels for 4:2:0: exactly at the size of the
maps, from there to 256 x 256 by the joint bilateral filter of Kopf et al. 2007 along L*, fitted as a linear
function of L* (see :mod:`cinn_colorize.imaging.guided`), whose coefficients are enlarged. Chroma is reduced where
no luma of a cell of pixels could show it at the L* of the film; then luma is corrected (see
:mod:`cinn_colorize.film.planes`).
"""

from __future__ import annotations

import cv2
import numpy as np

from cinn_colorize.film.planes import Coding, chroma_of, index_of, lightness, tables
from cinn_colorize.imaging.color import Floats, Pixels
from cinn_colorize.imaging.guided import coefficients
from cinn_colorize.imaging.options import Box

SIZE = 256  # height and width of the L* that the network and the motion see
_SIGMA_PIXELS, _SIGMA_L = 0.5, 5.0  # as imaging/upsampling.py has them
_EPS = 4.0  # of the guided filter, in squared L*


class Renderer:
    """Renders the frames of one film."""

    def __init__(
        self, coding: Coding, size: tuple[int, int], box: Box, cell: tuple[int, int], turns: int = 0
    ) -> None:
        """Prepare what frames have in common.

        Args:
            coding: of the luma, and of the planes to make.
            size: height and width of a frame.
            box: the picture inside the frame; the rest stays gray.
            cell: rows and columns of pixels that share their Cb and Cr, 1 or 2 each.
            turns: quarter turns, anticlockwise, from frames as they are stored to those that are seen.
        """
        self._coding, self._turns, self._cell = coding, turns, cell
        self._size = size[::-1]
        self._cells = -(-size[1] // cell[1]), -(-size[0] // cell[0])
        rows, columns = (
            slice(-(-box.top // cell[0]), box.bottom // cell[0]),
            slice(-(-box.left // cell[1]), box.right // cell[1]),
        )
        if box.size == size:  # an odd one's last cells are not whole
            rows, columns = slice(0, self._cells[1]), slice(0, self._cells[0])
        self._picture = rows, columns

    def render(self, luma: Pixels, L: Pixels, ab: Floats) -> tuple[Pixels, Pixels, Pixels]:
        """Return the planes Y (H, W), Cb and Cr (one value a cell) of a frame, of the dtype of ``luma``.

        Args:
            luma: (H, W) uint8 or uint16, that of gray (see :func:`~cinn_colorize.film.planes.gray_luma`).
            L: (256, 256) uint8, L* times 2.55 of the picture inside the box, as it is seen.
            ab: (2, G, G), colours of the same, G at most 128.
        """
        cells = self._whole(luma)
        chroma = self._chroma(cells, L, ab)
        cb, cr = self._shown(cells, chroma, luma.dtype)
        return self._corrected(luma, cb, cr), cb, cr

    def _whole(self, luma: Pixels) -> Pixels:
        """Return the luma with its last row and column repeated, so that all cells are whole."""
        (height, width), (down, across) = luma.shape, self._cell
        if height % down or width % across:
            return cv2.copyMakeBorder(luma, 0, -height % down, 0, -width % across, cv2.BORDER_REPLICATE)
        return luma

    def _chroma(self, luma: Pixels, L: Pixels, ab: Floats) -> Floats:
        """Return Cb and Cr of the cells, (2, h, w), -0.5 to 0.5, zero outside the picture."""
        maps = np.concatenate(self._coefficients(L, ab))
        if self._turns:
            maps = np.rot90(maps, -self._turns, axes=(1, 2))
        mean = cv2.resize(luma, self._cells, interpolation=cv2.INTER_AREA)[self._picture]
        size = mean.shape[::-1]
        lightness_of_cells = cv2.LUT(mean, lightness(self._coding))
        wide = [
            cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_LINEAR) for plane in maps
        ]
        chroma = np.zeros((2, *self._cells[::-1]), np.float32)
        for k, plane in enumerate(chroma):
            plane[self._picture] = wide[k] * lightness_of_cells + wide[k + 2]
        return chroma

    def _coefficients(self, L: Pixels, ab: Floats) -> tuple[Floats, Floats]:
        """Return Cb and Cr as linear functions of L*, slopes and offsets (2, 256, 256)."""
        grid = ab.shape[1:]
        small = cv2.resize(L.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
        chroma = chroma_of(self._coding, small / np.float32(2.55), ab)
        guide = L[None] * np.float32(1 / 2.55)
        return coefficients(guide, _bilateral(chroma, np.rint(small).astype(np.uint8), L), _means, _EPS)

    def _shown(self, luma: Pixels, chroma: Floats, dtype: np.dtype) -> tuple[Pixels, Pixels]:
        """Return code values of Cb and Cr, reduced to what the darkest and brightest pixel of a cell can show."""
        coding, (down, across) = self._coding, self._cell
        kernel = np.ones(self._cell, np.uint8)
        anchor = (0, 0)
        least = cv2.erode(luma, kernel, anchor=anchor)[::down, ::across]
        most = cv2.dilate(luma, kernel, anchor=anchor)[::down, ::across]
        index = index_of(coding, *self._codes(chroma, dtype))
        dark = (least.astype(np.float32) - coding.black) * np.float32(1 / coding.luma)
        bright = (coding.black + coding.luma - most.astype(np.float32)) * np.float32(1 / coding.luma)
        found = tables(coding)
        share = cv2.min(
            dark / cv2.max(cv2.LUT(index, found.darkest), 1e-6),
            bright / cv2.max(cv2.LUT(index, found.room), 1e-6),
        )
        cb, cr = self._codes(chroma * np.clip(share, 0, 1), dtype)
        return cb, cr

    def _codes(self, chroma: Floats, dtype: np.dtype) -> list[Pixels]:
        coding = self._coding
        most = (1 << coding.bits) - 1
        return [
            np.clip(plane * np.float32(coding.chroma) + np.float32(coding.neutral + 0.5), 0, most).astype(
                dtype
            )
            for plane in chroma
        ]

    def _corrected(self, luma: Pixels, cb: Pixels, cr: Pixels) -> Pixels:
        """Return the luma that gives colours the L* that gray has."""
        found, index = tables(self._coding), index_of(self._coding, cb, cr)
        padded = self._cells[0] * self._cell[1], self._cells[1] * self._cell[0]
        A, B, C = (
            cv2.resize(cv2.LUT(index, table), padded, interpolation=cv2.INTER_LINEAR)[
                : self._size[1], : self._size[0]
            ]
            for table in found[:3]
        )
        least = cv2.max(luma, self._coding.black)
        correction = cv2.divide(A, cv2.add(least, B, dtype=cv2.CV_32F)) + C
        return cv2.subtract(luma, correction, dtype=cv2.CV_8U if luma.dtype == np.uint8 else cv2.CV_16U)


def _bilateral(planes: Floats, small: Pixels, L: Pixels) -> Floats:
    """Upsample planes (2, g, g), whose L* is ``small``, to the size of ``L``, along L* (both times 2.55)."""
    weights = np.exp(-0.5 * (np.arange(256) / (2.55 * _SIGMA_L)) ** 2) + 1e-12
    weight_of, size = weights.astype(np.float32), L.shape[::-1]
    padded = [cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for plane in (*planes, small)]
    down, across = (_distances(n, full) for n, full in zip(small.shape, L.shape, strict=True))
    total = np.zeros(L.shape, np.float32)
    weighted = np.zeros((len(planes), *L.shape), np.float32)
    for dy in range(3):
        for dx in range(3):
            near = [
                cv2.resize(
                    plane[dy : dy + small.shape[0], dx : dx + small.shape[1]],
                    size,
                    interpolation=cv2.INTER_NEAREST,
                )
                for plane in padded
            ]
            weight = cv2.LUT(cv2.absdiff(L, near[-1]), weight_of)
            weight *= down[dy][:, None] * across[dx]
            total += weight
            for plane, value in zip(weighted, near, strict=False):
                plane += weight * value
    weighted /= total
    return weighted


def _distances(n: int, full: int) -> Floats:
    """Return the weights, (3, full), of the nearest of ``n`` places and of those before and after it."""
    places = (np.arange(full) + 0.5) * (n / full) - 0.5
    nearest = np.arange(full) * n // full
    away = places - nearest - np.array([-1, 0, 1])[:, None]
    return np.exp(-0.5 * (away / _SIGMA_PIXELS) ** 2).astype(np.float32)


def _means(planes: Floats) -> Floats:
    return np.stack([cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REPLICATE) for plane in planes])
