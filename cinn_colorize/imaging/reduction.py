"""Small copies of a photo, for the network: area means, computed while it is read in bands of rows."""

from __future__ import annotations

import cv2
import numpy as np

from cinn_colorize.imaging.bands import Bands
from cinn_colorize.imaging.color import Floats, Pixels
from cinn_colorize.imaging.options import Box

_NETWORK_SIZE = 256


class Reductions:
    """Small copies of a part of a photo, kept because each new size costs a pass through the file."""

    def __init__(self, bands: Bands, box: Box) -> None:
        self._bands, self._box = bands, box
        self._known: dict[tuple[int, int], Floats] = {}

    def at(self, height: int, width: int) -> Floats:
        """Return Lab (3, height, width), of a gray photo only L* (1, height, width); not to be changed.

        Sizes that divide the network's are means of that one, which is needed anyway.
        """
        if min(self._box.size) < _NETWORK_SIZE or _NETWORK_SIZE % height or _NETWORK_SIZE % width:
            return self.exact(height, width)
        seen = self.exact(_NETWORK_SIZE, _NETWORK_SIZE)
        blocks = seen.reshape(-1, height, _NETWORK_SIZE // height, width, _NETWORK_SIZE // width)
        return np.asarray(blocks.mean(axis=(2, 4)))

    def exact(self, height: int, width: int, *, with_network_copy: bool = False) -> Floats:
        """Return what :meth:`at` does, as means of the photo itself; perhaps make the network's copy, too."""
        if (height, width) not in self._known:
            sizes = {(height, width)}
            if with_network_copy and min(self._box.size) >= _NETWORK_SIZE:
                sizes.add((_NETWORK_SIZE, _NETWORK_SIZE))
            self._read(sizes)
        return self._known[height, width]

    def _read(self, sizes: set[tuple[int, int]]) -> None:
        bands, box = self._bands, self._box
        reductions = {size: _Reduction(box.size, size, 1 if bands.is_gray else 3) for size in sizes}

        def narrow(y0: int, pixels: Pixels) -> tuple[int, list[Floats]]:
            top, bottom = max(y0, box.top), min(y0 + len(pixels), box.bottom)
            if top >= bottom:
                return 0, []
            planes = bands.lab_on_white(pixels[top - y0 : bottom - y0, box.left : box.right])
            return top - box.top, [reduction.narrow(planes) for reduction in reductions.values()]

        for y0, narrowed in bands.each(narrow):
            for reduction, lines in zip(reductions.values(), narrowed, strict=False):  # none from the frame
                reduction.add(y0, lines)
        self._known |= {size: reduction.result() for size, reduction in reductions.items()}


class _Reduction:
    """Planes of a photo at another size: means of the area that each pixel covers; enlarged if larger."""

    def __init__(self, size: tuple[int, int], reduced: tuple[int, int], channels: int) -> None:
        """Begin with no rows of a photo of a height and width, to be reduced to others."""
        self._height, self._size = size[0], reduced
        self._total = np.zeros((channels, min(size[0], reduced[0]), min(size[1], reduced[1])), np.float32)

    def narrow(self, planes: Floats) -> Floats:
        """Return a band of rows (C, h, W) at the width of the result; threads may share this."""
        columns = self._total.shape[2]
        lines = planes.reshape(-1, planes.shape[2])
        narrowed = cv2.resize(lines, (columns, len(lines)), interpolation=cv2.INTER_AREA)
        return narrowed.reshape(len(planes), -1, columns).astype(np.float32, copy=False)

    def add(self, y0: int, narrowed: Floats) -> None:
        """Add a narrowed band, whose first row is ``y0``."""
        number, rows = narrowed.shape[1], self._total.shape[1]
        stop = y0 + number
        first, last = y0 * rows // self._height, -(-stop * rows // self._height)
        edges = np.arange(first, last + 1) * (self._height / rows)
        # The sums of all rows above an edge: no product of matrices, for which numpy's library may start
        # threads of its own, which then wait at the cost of a core.
        above = np.zeros((len(narrowed), number + 1, narrowed.shape[2]))
        for row in range(number):  # np.cumsum is slow along any axis but the last
            np.add(above[:, row], narrowed[:, row], out=above[:, row + 1])
        place = np.clip(edges - y0, 0, number)
        whole = np.minimum(place.astype(np.intp), number - 1)
        part = (place - whole)[:, None]
        at_edges = above[:, whole] + part * narrowed[:, whole]
        self._total[:, first:last] += np.diff(at_edges, axis=1) * (rows / self._height)

    def result(self) -> Floats:
        """Return the planes (C, height, width), when all bands were added."""
        if self._total.shape[1:] == self._size:
            return self._total
        planes = [cv2.resize(plane, self._size[::-1]) for plane in self._total]
        return np.stack(planes).astype(np.float32)
