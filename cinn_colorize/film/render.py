"""Colours of a frame, from small maps of ab to the planes that an encoder takes.

Cb and Cr are computed where the film holds them, at 4:2:0 for a quarter of the pixels: exactly at the size
of the maps, from there to 256 x 256 by the joint bilateral filter of Kopf et al. 2007 along L*, fitted there
as a linear function of L* (:mod:`cinn_colorize.imaging.guided`), whose coefficients are enlarged. Chroma is
reduced where no luma could show it at the L* of the darkest and brightest pixel that share it; then luma is
corrected (:mod:`cinn_colorize.film.planes`).
"""

import cv2
import numpy as np

from cinn_colorize.film.planes import Coding, chroma_of, index_of, lightness, tables
from cinn_colorize.imaging.color import Floats, Pixels
from cinn_colorize.imaging.guided import coefficients
from cinn_colorize.imaging.options import Box
from cinn_colorize.imaging.upsampling import SIGMA_L, SIGMA_PIXELS, box

SIZE = 256  # height and width of the L* that the network and the motion see
_EPS = 4.0  # of the guided filter, in squared L*


class Renderer:
    """Renders the frames of one film.

    Args:
        coding: of the luma, and of the planes to make.
        size: height and width of a frame.
        box: the picture inside the frame; the rest stays gray.
        cell: rows and columns of pixels that share their Cb and Cr.
        turns: quarter turns, anticlockwise, from frames as they are stored to those that are seen.
    """

    def __init__(
        self, coding: Coding, size: tuple[int, int], box: Box, cell: tuple[int, int], turns: int = 0
    ) -> None:
        self._coding, self._size, self._cell, self._turns = coding, size, cell, turns
        self._cells = -(-size[0] // cell[0]), -(-size[1] // cell[1])
        top, left = -(-box.top // cell[0]), -(-box.left // cell[1])
        bottom, right = (
            cells if edge == side else edge // step  # at an odd edge, the last cell counts
            for edge, side, step, cells in zip((box.bottom, box.right), size, cell, self._cells, strict=True)
        )
        self._picture = slice(top, bottom), slice(left, right)

    def render(self, luma: Pixels, L: Pixels, ab: Floats | None) -> tuple[Pixels, Pixels, Pixels]:
        """Return the planes Y (H, W), Cb and Cr (one value a cell) of a frame, of the dtype of ``luma``.

        Args:
            luma: (H, W) uint8 or uint16, that of gray (see :func:`~cinn_colorize.film.planes.gray_luma`).
            L: (256, 256) uint8, L* times 2.55 of the picture inside the box, as it is seen.
            ab: (2, G, G), colours of the same, G at most 128; None for a gray frame.
        """
        (height, width), (down, across) = luma.shape, self._cell
        whole = luma
        if height % down or width % across:
            whole = cv2.copyMakeBorder(luma, 0, -height % down, 0, -width % across, cv2.BORDER_REPLICATE)
        chroma = np.zeros((2, *self._cells), np.float32)
        if ab is not None:
            chroma[:, *self._picture] = self._chroma(whole, L, ab)
        cb, cr = self._shown(whole, chroma)
        return (luma if ab is None else self._corrected(luma, cb, cr)), cb, cr

    def _chroma(self, luma: Pixels, L: Pixels, ab: Floats) -> Floats:
        """Return Cb and Cr of the cells of the picture, (2, h, w), -0.5 to 0.5."""
        small = cv2.resize(L.astype(np.float32), ab.shape[:0:-1], interpolation=cv2.INTER_AREA)
        chroma = chroma_of(self._coding, small / np.float32(2.55), ab)
        fine = _bilateral(chroma, np.rint(small).astype(np.uint8), L)
        fitted = np.concatenate(coefficients(L[None] * np.float32(1 / 2.55), fine, box, _EPS))
        maps = np.rot90(fitted, -self._turns, axes=(1, 2))
        mean = cv2.resize(luma, self._cells[::-1], interpolation=cv2.INTER_AREA)[self._picture]
        guide = cv2.LUT(mean, lightness(self._coding))
        wide = [cv2.resize(np.ascontiguousarray(plane), mean.shape[::-1]) for plane in maps]
        return np.stack([wide[k] * guide + wide[k + 2] for k in (0, 1)])

    def _shown(self, luma: Pixels, chroma: Floats) -> tuple[Pixels, Pixels]:
        """Return code values of Cb and Cr that the darkest and brightest pixel of a cell can show."""
        (down, across), kernel = self._cell, np.ones(self._cell, np.uint8)
        black, span = self._coding.luma
        dark, bright = (
            (edge(luma, kernel, anchor=(0, 0))[::down, ::across].astype(np.float32) - black)
            / np.float32(span)
            for edge in (cv2.erode, cv2.dilate)
        )
        index, found = index_of(self._coding, *self._codes(chroma, luma)), tables(self._coding)
        share = np.minimum(
            dark / np.maximum(cv2.LUT(index, found.darkest), 1e-6),
            (1 - bright) / np.maximum(cv2.LUT(index, found.room), 1e-6),
        )
        return self._codes(chroma * np.clip(share, 0, 1), luma)

    def _codes(self, chroma: Floats, luma: Pixels) -> tuple[Pixels, Pixels]:
        neutral, span = self._coding.chroma
        codes = chroma * np.float32(span) + np.float32(neutral + 0.5)
        cb, cr = np.clip(codes, 0, (1 << self._coding.bits) - 1).astype(luma.dtype)
        return cb, cr

    def _corrected(self, luma: Pixels, cb: Pixels, cr: Pixels) -> Pixels:
        """Return the luma that gives colours the L* that gray has."""
        index, (height, width) = index_of(self._coding, cb, cr), self._size
        size = self._cells[1] * self._cell[1], self._cells[0] * self._cell[0]
        A, B, C = (cv2.resize(cv2.LUT(index, one), size)[:height, :width] for one in tables(self._coding)[:3])
        gray = cv2.add(np.maximum(luma, self._coding.luma[0]), B, dtype=cv2.CV_32F)
        depth = cv2.CV_8U if luma.dtype == np.uint8 else cv2.CV_16U
        return np.asarray(cv2.subtract(luma, cv2.divide(A, gray) + C, dtype=depth), luma.dtype)


def _bilateral(planes: Floats, small: Pixels, L: Pixels) -> Floats:
    """Upsample planes (2, g, g), of L* ``small`` (g, g), to the size of ``L``, along it (both times 2.55)."""
    weights = np.exp(-0.5 * (np.arange(256) / (2.55 * SIGMA_L)) ** 2) + 1e-12
    similar, size, n = weights.astype(np.float32), L.shape[::-1], len(small)
    padded = [cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for plane in (*planes, small)]
    places = (np.arange(len(L)) + 0.5) * (n / len(L)) - 0.5
    away = places - np.arange(len(L)) * n // len(L) - np.array([[-1], [0], [1]])
    near = np.exp(-0.5 * (away / SIGMA_PIXELS) ** 2).astype(np.float32)
    total, weighted = np.zeros(L.shape, np.float32), np.zeros((2, *L.shape), np.float32)
    for y in range(3):
        for x in range(3):
            cb, cr, tone = (
                cv2.resize(plane[y : y + n, x : x + n], size, interpolation=cv2.INTER_NEAREST)
                for plane in padded
            )
            weight = cv2.LUT(cv2.absdiff(L, tone), similar)
            weight *= near[y][:, None] * near[x]
            total += weight
            weighted[0] += weight * cb
            weighted[1] += weight * cr
    weighted /= total
    return weighted
