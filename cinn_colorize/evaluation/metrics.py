"""The measures, in two steps: statistics of each photo, then measures from their means over photos.

Between the two, a photo is a handful of numbers, so that any number of photos fits. Standard errors come from
a bootstrap over photos: photos are resampled, their statistics averaged, and ratios taken of these means.

=====================  ==================================================================================
``nll``                nats per dimension of x = ab / 15 with noise of 0.05, half log 2 pi included
``best_of_1``          100 * RMSE of the first sample, RGB in [0, 1]
``best_of_8``          100 * root of the mean of the squared error, its minimum over the samples taken per
                       pixel and channel: the paper's "MSE best of 8"
``best_of_8_image``    the minimum taken per photo instead
``variance``           1e4 * mean variance (ddof 0) over the samples, RGB in [0, 1]
``calibration``        unbiased variance of ab over the n samples, times 1 + 1/n, over the squared error of
                       their mean, at 64 px; 1 is calibrated, below 1 overconfident
``calibration_4x4``    the same after averaging ab to 4x4
``calibration_photo``  the same for the mean ab of the whole photo
``block_share``        share of the variance of ab over the samples that survives averaging over blocks of
                       8x8 pixels of the 64 px grid: 1/64 is speckle, 1 is one tint a block
``exploding``          samples with any absolute a or b over 128 as they leave the flow
=====================  ==================================================================================

With k samples in place of eight the names are ``best_of_k`` and ``best_of_k_image``. A single sample has no
variance, and then the measures of it are omitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.evaluation.photos import CHROMA_SIZE, Doubles, block_means
from cinn_colorize.imaging.color import Floats

Statistics = dict[str, float]

LIMIT = 110.0  # of |ab| where variances are compared, lest one exploding pixel decide
_EXPLODING = 128.0
_CALIBRATION = {"calibration": CHROMA_SIZE, "calibration_4x4": 4, "calibration_photo": 1}
_BLOCKS = CHROMA_SIZE // 8
_RESAMPLES = 1000


class Estimate(NamedTuple):
    """A measure and its standard error over photos."""

    mean: float
    se: float  # nan for a single photo


def picture_statistics(pictures: Doubles, truth: Doubles) -> Statistics:
    """Compare pictures with the photo.

    Args:
        pictures: (n, 3, H, W), RGB in [0, 1], one per sample.
        truth: (3, H, W), the photo in RGB.
    """
    n = len(pictures)
    squared = np.square(pictures - truth)
    per_picture = squared.mean(axis=(1, 2, 3))
    statistics = {"best_of_1": 100 * np.sqrt(per_picture[0])}
    if n > 1:
        statistics[f"best_of_{n}"] = 100 * np.sqrt(squared.min(axis=0).mean())
        statistics[f"best_of_{n}_image"] = 100 * np.sqrt(per_picture.min())
        statistics["variance"] = 1e4 * pictures.var(axis=0).mean()
    return statistics


def color_statistics(samples: Floats, truth: Floats) -> Statistics:
    """Compare the samples' ab with each other and with the photo's.

    Args:
        samples: (n, 2, 64, 64), ab as it leaves the flow.
        truth: (2, 64, 64), ab of the photo.
    """
    # NaN counts as exploding.
    inside = (np.abs(samples) <= _EXPLODING).all(axis=(1, 2, 3))
    statistics = {"exploding": float(len(samples) - inside.sum())}
    if len(samples) > 1:
        limited = np.clip(samples, -LIMIT, LIMIT).astype(np.float64)
        for size in {*_CALIBRATION.values(), _BLOCKS}:
            means = block_means(limited, size)
            statistics[f"spread_{size}"] = means.var(axis=0, ddof=1).mean()
            error = means.mean(axis=0) - block_means(truth.astype(np.float64), size)
            statistics[f"error_{size}"] = np.square(error).mean()
    return statistics


def combine(means: Mapping[str, NDArray[Any]], samples: int) -> dict[str, NDArray[Any]]:
    """Turn means over photos into measures, named as above; ``exploding`` is a count, not a mean.

    Args:
        means: means over photos of their statistics, arrays of one shape.
        samples: number of samples per photo.

    Returns:
        measures by name, arrays of the same shape.
    """
    best_of = [] if samples == 1 else [f"best_of_{samples}", f"best_of_{samples}_image"]
    direct = ["nll", *best_of, "best_of_1", "variance"]
    measures = {name: means[name] for name in direct if name in means}
    if samples > 1 and "spread_64" in means:
        with np.errstate(divide="ignore", invalid="ignore"):  # samples without a spread have no block share
            for name, size in _CALIBRATION.items():
                measures[name] = (1 + 1 / samples) * means[f"spread_{size}"] / means[f"error_{size}"]
            measures["block_share"] = means[f"spread_{_BLOCKS}"] / means[f"spread_{CHROMA_SIZE}"]
    return measures


def estimate(photos: Sequence[Statistics], samples: int) -> dict[str, Estimate]:
    """Estimate measures and their standard errors, by a bootstrap that is the same at every call.

    Args:
        photos: statistics of each photo.
        samples: number of samples per photo.
    """
    table = np.array([list(statistics.values()) for statistics in photos])
    n = len(table)
    names = list(photos[0])
    measures = combine(dict(zip(names, table.mean(axis=0), strict=True)), samples)
    spread = combine(dict(zip(names, (resampled(n) @ table / n).T, strict=True)), samples)
    return {
        name: Estimate(float(value), float(spread[name].std(ddof=1)) if n > 1 else float("nan"))
        for name, value in measures.items()
    }


def mean_estimate(values: NDArray[np.floating]) -> Estimate:
    """Estimate the mean of one number per photo, with the bootstrap of :func:`estimate`."""
    n = len(values)
    means = resampled(n) @ values.astype(np.float64) / n
    return Estimate(float(values.mean()), float(means.std(ddof=1)) if n > 1 else float("nan"))


@cache
def resampled(n: int) -> Doubles:
    """Return how often each resample of the bootstrap draws each of n photos, (resamples, n)."""
    rng = np.random.default_rng(0)
    counts = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(_RESAMPLES)]
    return np.stack(counts).astype(np.float64)
