"""Distances between a set of pictures and a set of photos in the features of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cinn_colorize.evaluation.bootstrap import Estimate, resampled
from cinn_colorize.evaluation.photos import Doubles
from cinn_colorize.imaging.color import Floats


def kernel_distance(pictures: Sequence[Floats], reference: Floats | Doubles) -> Estimate:
    """Compute the unbiased kernel distance (KID, Binkowski et al. 2018, https://arxiv.org/abs/1801.01401).

    The squared maximum mean discrepancy with the kernel (x . y / d + 1)^3 between features (n, d) of each
    photo's n pictures and the reference's, (m, d): 0 on average if both are distributed alike, nan for a
    single photo. Pictures of one photo are not independent, so only pairs of different photos count. The
    standard error is from a bootstrap over photos, too large where the distance is near 0; the reference is
    not resampled.
    """
    n = len(pictures)
    if n < 2:
        return Estimate(float("nan"), float("nan"))
    every, reference = np.concatenate(pictures).astype(np.float64), reference.astype(np.float64)
    of_photo = np.repeat(np.arange(n), [len(features) for features in pictures])
    within, across = np.empty((n, n)), np.empty(n)
    for i, features in enumerate(pictures):
        columns = _kernel(features, every).mean(axis=0)
        within[i] = np.bincount(of_photo, columns) / np.bincount(of_photo)
        across[i] = _kernel(features, reference).mean()
    np.fill_diagonal(within, 0)
    of_reference = _kernel(reference, reference)
    m = len(reference)
    offset = (of_reference.sum() - np.trace(of_reference)) / (m * (m - 1))

    def distance(weights: Doubles) -> Doubles:
        pairs = weights.sum(axis=-1) ** 2 - np.square(weights).sum(axis=-1)
        with np.errstate(invalid="ignore"):  # where all photos drawn are the same
            same = ((weights @ within) * weights).sum(axis=-1) / pairs
        return np.asarray(same - 2 * weights @ across / weights.sum(axis=-1) + offset)

    return Estimate(float(distance(np.ones(n))), float(np.nanstd(distance(resampled(n)), ddof=1)))


def _kernel(x: Floats | Doubles, y: Doubles) -> Doubles:
    return np.asarray((x.astype(np.float64) @ y.T / x.shape[1] + 1) ** 3)
