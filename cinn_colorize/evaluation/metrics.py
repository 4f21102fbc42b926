"""The measures that docs/evaluation.md defines, each from terms of single photos, and their standard errors.

A measure is the mean of a number over photos or the ratio of two such means. Errors are from a bootstrap of
photos, not of pixels. Until the last step a photo is a handful of numbers, so that any number of them fits.

Samples are limited to +-110 first, except in the pictures. With k samples in place of eight the names are
``best_of_k``, ``best_of_k_image`` and ``hue_k``. Of a single sample, measures of several are omitted.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.evaluation.photos import CHROMA_SIZE, Doubles, Square, block_means
from cinn_colorize.imaging.color import Floats, lab_to_srgb

_RESAMPLES = 1000  # of the bootstrap
_LIMIT = 110.0  # of |ab| where colours are compared, lest one exploding pixel decide
_EXPLODING = 128.0
_BANDS = (1, 4, 8, 16, CHROMA_SIZE)  # sizes of the grids
_CALIBRATION = {"calibration": CHROMA_SIZE, "calibration_4x4": 4, "calibration_photo": 1}
_BLOCKS = CHROMA_SIZE // 8
_VIVID, _COLORED, _SAME_HUE = 20.0, 10.0, np.cos(np.radians(30))
# Hues of 90 degrees, by the axis of ab in their middle and its direction; and the chroma that counts.
_HUES, _CHROMAS = {"red": (0, 1), "green": (0, -1), "blue": (1, -1)}, (20, 40)
_DIFFERENT = 1e-3  # RMS, in units of ab, below which a sample is its mean except for rounding
# Standard deviations of a and b that ``tint*`` chooses from.
SIGMAS = (0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0)


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
    values, weights = np.vstack([table.sum(axis=0), resampled(len(table)) @ table]).T
    ratios = values / np.where(weights, weights, np.nan)
    return float(ratios[0]), ratios[1:] if len(table) > 1 else np.full(_RESAMPLES, np.nan)


def _estimate(mean: float, resamples: Doubles) -> Estimate:
    return Estimate(mean, float(resamples.std(ddof=1)) if np.isfinite(resamples).all() else math.nan)


def picture_statistics(pictures: Doubles | Floats, truth: Doubles) -> Statistics:
    """Compare pictures (n, 3, H, W) with the photo (3, H, W), RGB in [0, 1]."""
    n = len(pictures)
    squared = np.square(pictures - truth)
    per_picture = squared.mean(axis=(1, 2, 3))
    found = {"best_of_1": 100 * np.sqrt(per_picture[0])}
    if n > 1:
        best = 100 * np.sqrt(squared.min(axis=0).mean())
        found = {f"best_of_{n}": best, f"best_of_{n}_image": 100 * np.sqrt(per_picture.min())} | found
        found["variance"] = 1e4 * pictures.var(axis=0).mean()
    return {name: Term(float(value)) for name, value in found.items()}


def limited(samples: Floats | Doubles) -> Doubles:
    """Limit ab, of any shape, to what :func:`color_statistics` compares."""
    return np.clip(samples, -_LIMIT, _LIMIT).astype(np.float64)


def exploding(samples: Floats) -> int:
    """Count samples (n, 2, r, r), as they leave the flow, with any absolute a or b over 128 or NaN."""
    return len(samples) - int((np.abs(samples) <= _EXPLODING).all(axis=(1, 2, 3)).sum())


def color_statistics(samples: Doubles, truth: Floats) -> Statistics:
    """Compare ab (n, 2, r, r) of :func:`limited`, r a multiple of 64, with the photo's, (2, 64, 64)."""
    samples, ab = block_means(samples, CHROMA_SIZE), truth.astype(np.float64)
    several = {**energy_scores(samples, truth), **_calibration(samples, ab)} if len(samples) > 1 else {}
    return {**several, **_structure(samples, ab), **_hues(samples, ab)}


def energy_scores(samples: Doubles, truth: Floats) -> Statistics:
    """Return the energy scores of ab (n, 2, r, r) at 64 px, and of 4x4 averages without the photo's mean.

    The mean distance of samples from the photo less half that between samples (Gneiting and Raftery 2007,
    doi:10.1198/016214506000001437, section 4.3), as root mean squares. One sample stands for a model that
    always draws the same.
    """
    fine, ab = block_means(samples, CHROMA_SIZE), truth.astype(np.float64)
    coarse, own = block_means(_without_mean(fine), 4), block_means(_without_mean(ab), 4)
    return {"energy": Term(_energy(fine, ab)), "energy_4x4": Term(_energy(coarse, own))}


def _energy(samples: Doubles, truth: Doubles) -> float:
    first, second = np.triu_indices(len(samples), 1)
    pairs = _distances(samples[first], samples[second])
    return float(_distances(samples, truth).mean() - pairs.sum() / max(len(pairs), 1) / 2)


def _distances(samples: Doubles, others: Doubles) -> Doubles:
    return np.asarray(np.sqrt(np.square(samples - others).mean(axis=(1, 2, 3))))


def spread(samples: Doubles, size: int) -> float:
    """Return the mean variance over the samples of ab (n, 2, r, r), averaged to a grid of ``size``."""
    means = block_means(samples, size)
    return float(means.var(axis=0, ddof=1).mean())


def _calibration(samples: Doubles, truth: Doubles) -> dict[str, Term]:
    factor = 1 + 1 / len(samples)  # the mean of n samples varies too
    center = samples.mean(axis=0)
    spreads = {size: spread(samples, size) for size in _BANDS}
    errors = {size: float(np.square(block_means(center - truth, size)).mean()) for size in _BANDS}
    statistics = {name: Term(factor * spreads[size], errors[size]) for name, size in _CALIBRATION.items()}
    statistics["block_share"] = Term(spreads[_BLOCKS], spreads[CHROMA_SIZE])
    # Averages over nested cells are orthogonal projections, so the squares of what each adds are differences.
    for coarse, fine in itertools.pairwise(_BANDS):
        added = factor * max(spreads[fine] - spreads[coarse], 0.0)
        statistics[f"band_{fine}x{fine}"] = Term(added, errors[fine] - errors[coarse])
    return statistics


def _structure(samples: Doubles, truth: Doubles) -> dict[str, Term]:
    """Compare what is left of colours without their means over the photo."""
    own = _without_mean(truth)
    around = _without_mean(samples)
    center = around.mean(axis=0)
    variance, error = float(np.square(own).mean()), float(np.square(center - own).mean())
    statistics = {"structure": Term(variance - error, variance)}
    if len(samples) > 1:
        errors = _distances(around, own)
        statistics["objects"] = Term(float(errors.min()), float(np.sqrt(error)))
        departures, wanted = around - center, own - center
        lengths = _distances(around, center)
        products = (departures * wanted).mean(axis=(1, 2, 3))
        cosines, same = np.zeros(len(samples)), (lengths <= _DIFFERENT) | (error <= 0)
        np.divide(products, lengths * np.sqrt(error), out=cosines, where=~same)
        statistics["alignment"] = Term(float(cosines.max()))
    return statistics


def _hues(samples: Doubles, truth: Doubles) -> dict[str, Term]:
    own, drawn = np.hypot(*truth), np.hypot(samples[:, 0], samples[:, 1])
    vivid = own > _VIVID
    same = (samples * truth).sum(axis=1) >= _SAME_HUE * own * drawn
    found = vivid & same & (drawn > _COLORED)
    share = float(vivid.mean())
    return {
        "hue_1": Term(float(found[0].mean()), share),
        f"hue_{len(samples)}": Term(float(found.mean(axis=(1, 2)).max()), share),
        "chroma": Term(float(drawn.mean()), float(own.mean())),
        **{
            f"{hue}_{chroma}": Term(_share(samples, hue, chroma), _share(truth, hue, chroma))
            for hue, chroma in itertools.product(_HUES, _CHROMAS)
        },
    }


def _share(ab: Doubles, hue: str, chroma: float) -> float:
    """Return the share of pixels of ab (..., 2, h, w) of a hue and more than this chroma."""
    axis, sign = _HUES[hue]
    along, across = sign * ab[..., axis, :, :], np.abs(ab[..., 1 - axis, :, :])
    return float(((along > across) & (np.hypot(along, across) > chroma)).mean())


def _without_mean(ab: Doubles) -> Doubles:
    return ab - ab.mean(axis=(-2, -1), keepdims=True)


class Tinted:
    """The control that any measure must survive: samples of one photo that are one colorization, tinted.

    The colours at temperature 0, ``center`` (2, r, r), with one Gaussian tint a sample, the same everywhere
    in the photo, have nothing to do with its objects: what they reach in a measure, spread alone reaches.
    """

    def __init__(self, photo: Square, center: Floats, samples: int, seed: int) -> None:
        self._photo, self._center = photo, limited(center)
        self._normal = np.random.default_rng((seed, samples)).standard_normal((samples, 2))
        large = [cv2.resize(plane, photo.L.shape, interpolation=cv2.INTER_CUBIC) for plane in center]
        self._large = np.stack(large).astype(np.float32)

    def isotropic(self, sigma: float) -> Statistics:
        """Compare samples whose tints deviate by ``sigma`` in a and in b with the photo."""
        return self._statistics(sigma * self._normal)

    def in_saturations(self) -> Statistics:
        """Compare the center times 0.25 to 2, in equal steps, with the photo."""
        return self._statistics(0 * self._normal, np.linspace(0.25, 2, len(self._normal)))

    def like(self, samples: Floats) -> Statistics:
        """Compare samples whose tints vary as the means of other samples (n, 2, r, r) do with the photo."""
        means = block_means(limited(samples), 1)[..., 0, 0]
        means = means[np.isfinite(means).all(axis=1)]
        if len(means) < 2:
            return self.isotropic(0)
        variances, axes = np.linalg.eigh(np.cov(means, rowvar=False))
        root = axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
        return self._statistics(self._normal @ root)

    def _statistics(self, tints: Doubles, factors: Doubles | float = 1.0) -> Statistics:
        scales, added = np.broadcast_to(factors, len(tints))[:, None, None, None], tints[..., None, None]
        small, large = (scales * ab + added for ab in (self._center, self._large))
        # As photos.to_rgb composes them, in single precision and faster; no negative Z, as scikit-image.
        a, b = np.moveaxis(large.astype(np.float32), 1, 0)
        L = np.broadcast_to(self._photo.L, a.shape)
        rgb = lab_to_srgb(np.stack([L, a, np.minimum(b, 200 / 116 * (L + 16))], axis=-1))
        pictures = np.clip(np.moveaxis(rgb, -1, 1), 0, 1)
        return {
            **picture_statistics(pictures, self._photo.rgb),
            **color_statistics(limited(small), self._photo.ab),
        }


def best(photos: Mapping[float, Sequence[Statistics]]) -> tuple[list[Statistics], dict[str, float]]:
    """Choose the best deviation for each measure; return each photo's statistics at it, and it by measure."""
    estimates = {sigma: estimate(found) for sigma, found in photos.items()}
    sigmas = {
        name: min(estimates, key=lambda sigma: _shortfall(name, estimates[sigma][name].mean))
        for name in next(iter(estimates.values()))
        if np.isfinite(_shortfall(name, 1.0))
    }
    chosen: list[Statistics] = [
        {name: photos[sigma][i][name] for name, sigma in sigmas.items()}
        for i in range(len(next(iter(photos.values()))))
    ]
    return chosen, sigmas


def _shortfall(name: str, value: float) -> float:
    """Return how far a measure is from its best, up to a constant; infinity for nan and those without one."""
    if name.startswith("best_of") or name == "energy":
        found = value
    elif name.startswith(("calibration", "chroma", *_HUES)):
        found = abs(value - 1)
    else:
        found = -value if name.startswith("hue") else np.inf
    return np.inf if np.isnan(found) else found
