"""Area means of a photo that is read in bands of rows."""

from __future__ import annotations

import cv2
import numpy as np

from cinn_colorize.imaging.color import Floats


class Reduction:
    """Lab of a photo at another size, as the mean of the area that each pixel covers; enlarged if larger."""

    def __init__(self, size: tuple[int, int], reduced: tuple[int, int]) -> None:
        """Begin with no rows.

        Args:
            size: height and width of the photo.
            reduced: height and width of the result.
        """
        self._height, self._size = size[0], reduced
        self._total = np.zeros((3, min(size[0], reduced[0]), min(size[1], reduced[1])), np.float32)

    def narrow(self, lab: Floats) -> Floats:
        """Return a band of rows (3, h, W) at the width of the result; threads may share this."""
        columns = self._total.shape[2]
        lines = lab.reshape(-1, lab.shape[2])
        narrowed = cv2.resize(lines, (columns, len(lines)), interpolation=cv2.INTER_AREA)
        return narrowed.reshape(3, -1, columns).astype(np.float32, copy=False)

    def add(self, y0: int, narrowed: Floats) -> None:
        """Add a narrowed band, whose first row is ``y0``."""
        rows = self._total.shape[1]
        first, weights = _area_weights(self._height, rows, y0, y0 + narrowed.shape[1])
        self._total[:, first : first + len(weights)] += weights @ narrowed

    def result(self) -> Floats:
        """Return Lab (3, height, width), when all bands were added."""
        if self._total.shape[1:] == self._size:
            return self._total
        planes = [cv2.resize(plane, self._size[::-1]) for plane in self._total]
        return np.stack(planes).astype(np.float32)


def _area_weights(n: int, reduced: int, start: int, stop: int) -> tuple[int, Floats]:
    """Return the shares of rows ``start`` to ``stop`` of ``n`` in the area means of ``reduced`` rows.

    Returns:
        the first of the reduced rows they touch, and the weights (reduced rows touched, stop - start).
    """
    first, last = start * reduced // n, -(-stop * reduced // n)
    edges = np.arange(first, last + 1) * (n / reduced)
    rows = np.arange(start, stop)
    overlap = np.minimum(edges[1:, None], rows + 1) - np.maximum(edges[:-1, None], rows)
    return first, (np.maximum(overlap, 0) * (reduced / n)).astype(np.float32)
