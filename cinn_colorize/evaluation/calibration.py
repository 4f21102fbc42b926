"""Calibration: whether a model knows its errors, measured by its samples against the photos' own colours.

Three questions, drawn by :mod:`cinn_colorize.evaluation.plot`: does the nll of a photo predict how far its
samples are from it, are the colours of all samples as frequent as those of all photos, and is the error large
where the samples differ?
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.evaluation.metrics import limited
from cinn_colorize.evaluation.photos import CHROMA_SIZE, Doubles, block_means
from cinn_colorize.imaging.color import Floats

HISTOGRAM_EDGES = np.linspace(-100, 100, 81)  # of a and b
_SPREAD_EDGES = np.geomspace(0.25, 128, 28)  # of standard deviations
_FEWEST = 40, 0.001  # values, and share of all values, behind a point of the reliability diagram
SIZES = (CHROMA_SIZE, 4)  # of the grids whose reliability is measured


class Reliability(NamedTuple):
    """Points of a reliability diagram, one for each class of standard deviations.

    Attributes:
        expected: root mean squared error of the samples' mean that their variance predicts.
        found: its actual value.
        share: share of all values.
    """

    expected: Doubles
    found: Doubles
    share: Doubles


class Calibration:
    """What the diagrams show, accumulated photo by photo.

    Raises:
        ValueError: there are fewer than 2 samples per photo.
    """

    def __init__(self, samples: int) -> None:
        if samples < 2:
            raise ValueError(f"calibration requires 2 samples or more, not {samples}")
        self._factor = 1 + 1 / samples  # the mean of n samples varies too
        self._photos: list[tuple[float, float]] = []
        self._colors = np.zeros((2, 2, len(HISTOGRAM_EDGES) - 1))
        self._sums = {size: np.zeros((3, len(_SPREAD_EDGES) + 1)) for size in SIZES}

    def add(self, nll: float, samples: Floats, truth: Floats) -> None:
        """Add a photo.

        Args:
            nll: nll of the photo's own colours, nats per dimension.
            samples: (n, 2, 64, 64), ab as it leaves the flow.
            truth: (2, 64, 64), the photo's ab.
        """
        drawn, ab = limited(samples), truth.astype(np.float64)
        error = np.sqrt(np.square(drawn - ab).mean(axis=(1, 2, 3))).mean()
        self._photos.append((nll, float(error)))
        for channel in range(2):
            for i, values in enumerate((ab[None], drawn)):
                self._colors[channel, i] += np.histogram(values[:, channel], HISTOGRAM_EDGES)[0] / len(values)
        for size, sums in self._sums.items():
            means = block_means(drawn, size)
            expected = self._factor * means.var(axis=0, ddof=1).ravel()
            squared = np.square(means.mean(axis=0) - block_means(ab, size)).ravel()
            index = np.digitize(np.sqrt(expected), _SPREAD_EDGES)
            for row, weights in zip(sums, (np.ones_like(expected), expected, squared), strict=True):
                row += np.bincount(index, weights, len(row))

    @property
    def nll(self) -> Doubles:
        """The nll of each photo, nats per dimension."""
        return np.array([nll for nll, _ in self._photos])

    @property
    def error(self) -> Doubles:
        """The root mean squared error of ab of each photo, averaged over its samples."""
        return np.array([error for _, error in self._photos])

    def colors(self, channel: int) -> NDArray[np.float64]:
        """Return the shares (2, bins) of the photos' and the samples' a (0) or b (1) in each bin."""
        counts = self._colors[channel]
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def reliability(self, size: int) -> Reliability:
        """Return the reliability of ab averaged to a grid of this size, one of :data:`SIZES`."""
        count, expected, squared = self._sums[size]
        kept = count >= max(_FEWEST[0], _FEWEST[1] * count.sum())
        count, expected, squared = count[kept], expected[kept], squared[kept]
        return Reliability(
            np.sqrt(expected / count), np.sqrt(squared / count), count / self._sums[size][0].sum()
        )
