"""Whether a model knows what it does not know: its samples against the photos' own colours, photo by photo.

Three questions, drawn by :mod:`cinn_colorize.evaluation.plot`: does the nll of a photo tell how far its
samples are from it, are the colours of all samples as frequent as those of all photos, and is the error large
where the samples differ?
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.evaluation.metrics import LIMIT
from cinn_colorize.evaluation.photos import CHROMA_SIZE, Doubles, block_means
from cinn_colorize.imaging.color import Floats

HISTOGRAM_EDGES = np.linspace(-100, 100, 81)  # of a and b
_SPREAD_EDGES = np.geomspace(0.25, 128, 28)  # of a standard deviation
_FEWEST = 40, 0.001  # values and share of all values that a point of the reliability diagram stands for
SIZES = (CHROMA_SIZE, 4)  # of the grids whose reliability is asked for


class Reliability(NamedTuple):
    """Points of a reliability diagram, one for each class of standard deviations.

    Attributes:
        expected: what the root mean squared error of the mean of the samples should be, by their variance.
        found: what it is.
        share: of all values.
    """

    expected: Doubles
    found: Doubles
    share: Doubles


class Calibration:
    """What the diagrams show, added up photo by photo.

    Args:
        samples: of each photo, 2 or more.
    """

    def __init__(self, samples: int) -> None:
        if samples < 2:
            raise ValueError(f"calibration takes 2 samples or more, not {samples}")
        self._factor = 1 + 1 / samples  # the mean of n samples varies too
        self._photos: list[tuple[float, float]] = []
        self._colours = np.zeros((2, 2, len(HISTOGRAM_EDGES) - 1))
        self._sums = {size: np.zeros((3, len(_SPREAD_EDGES) + 1)) for size in SIZES}

    def add(self, nll: float, samples: Floats, truth: Floats) -> None:
        """Take a photo.

        Args:
            nll: of the photo's own colours, nats per dimension.
            samples: (n, 2, 64, 64), ab as it leaves the flow.
            truth: (2, 64, 64), the photo's ab.
        """
        limited = np.clip(samples, -LIMIT, LIMIT).astype(np.float64)
        ab = truth.astype(np.float64)
        error = np.sqrt(np.square(limited - ab).mean(axis=(1, 2, 3))).mean()
        self._photos.append((nll, float(error)))
        for channel in range(2):
            for i, values in enumerate((ab[None], limited)):
                self._colours[channel, i] += np.histogram(values[:, channel], HISTOGRAM_EDGES)[0] / len(
                    values
                )
        for size, sums in self._sums.items():
            means = block_means(limited, size)
            expected = self._factor * means.var(axis=0, ddof=1).ravel()
            squared = np.square(means.mean(axis=0) - block_means(ab, size)).ravel()
            index = np.digitize(np.sqrt(expected), _SPREAD_EDGES)
            for row, weights in zip(sums, (np.ones_like(expected), expected, squared), strict=True):
                row += np.bincount(index, weights, len(row))

    @property
    def nll(self) -> Doubles:
        """Of each photo, nats per dimension."""
        return np.array([nll for nll, _ in self._photos])

    @property
    def error(self) -> Doubles:
        """Root mean squared error of ab of the samples of each photo, the mean over its samples."""
        return np.array([error for _, error in self._photos])

    def colours(self, channel: int) -> NDArray[np.float64]:
        """Shares (2, bins) of the bins of a (0) or b (1): of the photos', of the samples' values."""
        counts = self._colours[channel]
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def reliability(self, size: int) -> Reliability:
        """Of ab averaged to a grid of this size, one of :data:`SIZES`."""
        count, expected, squared = self._sums[size]
        kept = count >= max(_FEWEST[0], _FEWEST[1] * count.sum())
        count, expected, squared = count[kept], expected[kept], squared[kept]
        return Reliability(
            np.sqrt(expected / count), np.sqrt(squared / count), count / self._sums[size][0].sum()
        )
