"""Estimates over photos, with standard errors from a bootstrap: photos are resampled, not their pixels.

Until the last step a photo is a handful of numbers, so that any number of photos fits, and so that two
evaluations of the same photos can be compared photo by photo, whichever was made first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.evaluation.photos import Doubles

_RESAMPLES = 1000


class Estimate(NamedTuple):
    """A measure and its standard error over photos."""

    mean: float
    se: float  # nan for a single photo, as both are for none


class Term(NamedTuple):
    """What one photo adds to a measure, which is the sum of values over the sum of weights."""

    value: float
    weight: float = 1.0


Statistics = Mapping[str, Term]  # of one photo, by the name of the measure


def estimate(photos: Sequence[Statistics]) -> dict[str, Estimate]:
    """Estimate measures of photos, which have the same names; the bootstrap is the same at every call."""
    return {name: _estimate(*_ratios(photos, name)) for name in (photos[0] if photos else ())}


def difference(photos: Sequence[Statistics], others: Sequence[Statistics]) -> dict[str, Estimate]:
    """Estimate by how much measures that both have differ, from the same resampled photos in one order."""
    found = {}
    for name in photos[0] if photos else ():
        if name in others[0]:
            (ours, resampled_ours), (theirs, resampled_theirs) = _ratios(photos, name), _ratios(others, name)
            found[name] = _estimate(ours - theirs, resampled_ours - resampled_theirs)
    return found


def mean_estimate(values: NDArray[np.floating]) -> Estimate:
    """Estimate the mean of one number per photo as :func:`estimate` does; nan without photos."""
    found = estimate([{"mean": Term(float(value))} for value in values])
    return found.get("mean", Estimate(math.nan, math.nan))


@cache
def resampled(n: int) -> Doubles:
    """Return how often each resample of the bootstrap draws each of n photos, (resamples, n)."""
    rng = np.random.default_rng(0)
    counts = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(_RESAMPLES)]
    return np.stack(counts).astype(np.float64)


def _ratios(photos: Sequence[Statistics], name: str) -> tuple[float, Doubles]:
    """Return a measure of all photos and of each resample; nan where weights are 0, or of a single photo."""
    table = np.array([photo[name] for photo in photos])
    with np.errstate(divide="ignore", invalid="ignore"):
        value, weight = table.sum(axis=0)
        values, weights = (resampled(len(table)) @ table).T
        resamples = values / weights if len(table) > 1 else np.full_like(values, np.nan)
        return float(value / weight), resamples


def _estimate(mean: float, resamples: Doubles) -> Estimate:
    return Estimate(mean, float(resamples.std(ddof=1)) if np.isfinite(resamples).all() else math.nan)
