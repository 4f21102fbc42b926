"""Upsampling of ab to the photo's full size, guided by its luminance.

Kopf, Cohen, Lischinski and Uyttendaele, "Joint Bilateral Upsampling" (2007,
https://doi.org/10.1145/1276377.1276497): a pixel takes the mean of the ab around it, weighted by distance in
the picture and in L*, so that colours end where luminance has an edge. At full size that costs 25
exponentials a pixel. The default evaluates it at 4 times the ab grid, fits the result there as a locally
linear function of L (see :mod:`cinn_colorize.imaging.guided`) and applies the enlarged coefficients to the
full-size L: nearly the same colours for the cost of an enlargement. Work is done in bands of rows.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.guided import coefficients
from cinn_colorize.imaging.options import Upsampling

# Of the guide's grid to the ab grid; in the fast method, also that of the joint bilateral filter.
GUIDE_SCALE = 4
_RADIUS, _EPS = 1, 4.0  # of the guided filter on that grid; eps in squared L*
SIGMA_PIXELS, SIGMA_L = 0.5, 5.0  # of the joint bilateral filter, see its function
_BLOCK = 65536  # pixels enlarged at once, so that their planes stay in a core's cache


class Upsampler:
    """ab (2, h, w) of one sample at the full height and width of a photo, band by band.

    The guide is the photo's L* as area means, ideally on 4 times the ab grid; the method is ``jbu`` (fast),
    ``exact`` (the joint bilateral filter at full size) or ``bicubic``.
    """

    def __init__(self, ab: Floats, guide: Floats, size: tuple[int, int], method: str = "jbu") -> None:
        if method not in list(Upsampling):
            raise ValueError(f"unknown upsampling {method!r}; choose one of {', '.join(Upsampling)}")
        self.size, self._method = size, method
        self._planes = np.asarray(ab, np.float32)  # what rows() enlarges
        if method != "bicubic":
            height, width = self._planes.shape[1:]
            self._guide = _area_mean(guide, height, width)
        if method == "jbu":
            fine = _area_mean(guide, GUIDE_SCALE * height, GUIDE_SCALE * width)
            filtered = joint_bilateral(self._planes, self._guide, fine)
            self._planes = np.concatenate(coefficients(fine[None], filtered, box, _EPS))

    def rows(self, y0: int, y1: int, L: Floats) -> Floats:
        """Return ab (2, y1 - y0, W) of rows ``y0`` to ``y1`` (exclusive), whose L* is ``L`` (y1 - y0, W)."""
        if self._method == "exact":
            return joint_bilateral(self._planes, self._guide, L, y0, self.size[0])
        if self._method == "bicubic":
            return self._enlarged(y0, y1, cv2.INTER_CUBIC)
        ab = np.empty((2, *L.shape), np.float32)
        step = max(1, _BLOCK // self.size[1])
        for y in range(y0, y1, step):
            block = slice(y - y0, min(y + step, y1) - y0)
            wide = self._enlarged(y, min(y + step, y1), cv2.INTER_LINEAR)
            np.multiply(wide[:2], L[block], out=ab[:, block])
            ab[:, block] += wide[2:]
        return ab

    def _enlarged(self, y0: int, y1: int, interpolation: int) -> Floats:
        """Return rows of the planes at full size, (C, y1 - y0, W)."""
        channels, height, width = self._planes.shape
        lines = np.zeros((channels, y1 - y0, width), np.float32)
        for index, weight in _row_taps(height, self.size[0], y0, y1, interpolation):
            lines += self._planes[:, index] * weight[:, None]
        full = self.size[1], channels * (y1 - y0)
        wide = cv2.resize(lines.reshape(-1, width), full, interpolation=interpolation)
        return np.asarray(wide, np.float32).reshape(channels, y1 - y0, -1)


def joint_bilateral(
    ab: Floats,
    guide: Floats,
    L: Floats,
    y0: int = 0,
    height: int | None = None,
    *,
    sigma_pixels: float = SIGMA_PIXELS,
    sigma_L: float = SIGMA_L,
) -> Floats:
    """Upsample ab and its L*, the guide, to a band of rows by the joint bilateral filter of Kopf et al. 2007.

    The band has L* (rows, W), and begins with row ``y0`` of a photo of a height, by default its own. Sigmas
    of the Gaussians are in pixels of the ab grid, where the window ends at three of them, and in L*.

    Half a pixel restores a photo's own colours better than one (mean Delta E 1.6 against 2.1, by
    ``choose_sigmas.py`` of commit f7afb8d), and samples show no grid. The authors of the colorization paper
    use ``sigma_pixels=1.5, sigma_L=2.56``.
    """
    rows, width = L.shape
    y_taps = _taps(guide.shape[0], height or rows, sigma_pixels)
    x_taps = _taps(guide.shape[1], width, sigma_pixels)
    planes = np.concatenate([ab, guide[None]])
    total = np.zeros_like(L)
    weighted = np.zeros((2, rows, width), np.float32)
    with np.errstate(under="ignore"):  # a weight of nearly 0 is 0
        for x_index, x_weight in x_taps:
            columns = planes[:, :, x_index]
            for y_index, y_weight in y_taps:
                near = columns[:, y_index[y0 : y0 + rows]]
                weight = L - near[2]
                weight *= weight
                weight *= np.float32(-0.5 / sigma_L**2)
                np.exp(weight, out=weight)
                weight += np.float32(1e-12)  # where no L nearby is similar, distance alone decides
                weight *= y_weight[y0 : y0 + rows, None]
                weight *= x_weight
                total += weight
                weighted[0] += weight * near[0]
                weighted[1] += weight * near[1]
    weighted /= total
    return weighted


def _taps(n: int, full: int, sigma: float) -> list[tuple[NDArray[np.intp], Floats]]:
    """Return, for each offset in the window, the index on a grid of ``n`` and the weight, both (full,)."""
    positions = (np.arange(full) + 0.5) * (n / full) - 0.5
    nearest = np.rint(positions).astype(np.intp)
    reach = int(3 * sigma + 0.5)
    taps = []
    for offset in range(-reach, reach + 1):
        index = nearest + offset
        distance = positions - index
        valid = (index >= 0) & (index < n) & (np.abs(distance) <= 3 * sigma)
        weight = np.where(valid, np.exp(-0.5 * (distance / sigma) ** 2), 0).astype(np.float32)
        taps.append((index.clip(0, n - 1), weight))
    return taps


def _row_taps(
    n: int, full: int, y0: int, y1: int, interpolation: int
) -> list[tuple[NDArray[np.intp], Floats]]:
    """Return, for each tap of rows of an enlargement, its row of the grid and its weight, both (y1 - y0,)."""
    positions = (np.arange(y0, y1) + 0.5) * (n / full) - 0.5
    below = np.floor(positions)
    kernel, offsets = (_cubic, range(-1, 3)) if interpolation == cv2.INTER_CUBIC else (_linear, range(2))
    taps = []
    for row in (below + offset for offset in offsets):
        index = row.clip(0, n - 1).astype(np.intp)  # edges repeated
        taps.append((index, kernel(np.abs(positions - row)).astype(np.float32)))
    return taps


def _linear(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - distance, 0)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' kernel with a = -0.75, as OpenCV and torch do."""
    near = (1.25 * distance - 2.25) * distance**2 + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def box(planes: Floats) -> Floats:
    """Return means over windows of ``planes`` (C, h, w), edges repeated; the shape stays."""
    size = (2 * _RADIUS + 1,) * 2
    return np.stack([cv2.blur(plane, size, borderType=cv2.BORDER_REPLICATE) for plane in planes])


def _area_mean(plane: Floats, height: int, width: int) -> Floats:
    """Reduce ``plane`` to (height, width) by area means."""
    if plane.shape == (height, width):
        return np.ascontiguousarray(plane, np.float32)
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.float32)
