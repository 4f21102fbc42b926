"""Area means of a photo that is read in bands of rows."""

from __future__ import annotations

import cv2
import numpy as np

from cinn_colorize.imaging.color import Floats


class Reduction:
    """Planes of a photo at another size: means of the area that each pixel covers; enlarged if larger."""

    def __init__(self, size: tuple[int, int], reduced: tuple[int, int], channels: int) -> None:
        """Begin with no rows.

        Args:
            size: height and width of the photo.
            reduced: height and width of the result.
            channels: number of planes.
        """
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
