"""The control that any measure must survive: one colorization under random tints.

The colours at temperature 0 with one Gaussian tint a sample, the same everywhere in the photo, differ from
each other in nothing that has to do with its objects. What they reach in a measure, spread alone reaches.
They cost no pass through the network beyond the sample at temperature 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from cinn_colorize.evaluation.bootstrap import Estimate, Statistics, estimate
from cinn_colorize.evaluation.metrics import color_statistics, limited, picture_statistics, shortfall
from cinn_colorize.evaluation.photos import Doubles, Square, block_means
from cinn_colorize.imaging.color import Floats, lab_to_srgb

# Standard deviations of a and b that ``tint*`` chooses from.
SIGMAS = (0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0)


class Tinted:
    """The control's samples of one photo.

    Args:
        photo: the photo.
        center: ab (2, r, r) at temperature 0, as it leaves the flow.
        samples: number of samples.
        seed: seed of the tints, which are the same for all deviations except for their scale.
    """

    def __init__(self, photo: Square, center: Floats, samples: int, seed: int) -> None:
        self._photo, self._center = photo, limited(center)
        self._normal = np.random.default_rng((seed, samples)).standard_normal((samples, 2))
        self._large = np.stack(
            [cv2.resize(plane, photo.L.shape, interpolation=cv2.INTER_CUBIC) for plane in center]
        ).astype(np.float32)

    def isotropic(self, sigma: float) -> Statistics:
        """Compare samples whose tints deviate by ``sigma`` in a and in b with the photo."""
        return self._statistics(sigma * self._normal)

    def like(self, samples: Floats) -> Statistics:
        """Compare samples whose tints vary as the means of other samples (n, 2, r, r) do with the photo."""
        means = block_means(limited(samples), 1)[..., 0, 0]
        means = means[np.isfinite(means).all(axis=1)]
        if len(means) < 2:
            return self.isotropic(0)
        variances, axes = np.linalg.eigh(np.cov(means, rowvar=False))
        root = axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
        return self._statistics(self._normal @ root)

    def _statistics(self, tints: Doubles) -> Statistics:
        pictures = np.stack([_to_rgb(self._photo.L, self._large, tint) for tint in tints.astype(np.float32)])
        return {
            **picture_statistics(pictures, self._photo.rgb),
            **color_statistics(self._center + tints[..., None, None], self._photo.ab),
        }


def best(photos: Mapping[float, Sequence[Statistics]]) -> tuple[list[Statistics], dict[str, float]]:
    """Choose the deviation that is best for each measure, from statistics of each photo by deviation.

    Returns:
        statistics of each photo, of each measure at its own deviation, and these deviations by measure.
    """
    estimates = {sigma: estimate(found) for sigma, found in photos.items()}
    sigmas = {
        name: min(estimates, key=lambda sigma: _shortfall(name, estimates[sigma][name]))
        for name in next(iter(estimates.values()))
        if shortfall(name, 1.0) is not None
    }
    chosen: list[Statistics] = [
        {name: photos[sigma][i][name] for name, sigma in sigmas.items()}
        for i in range(len(next(iter(photos.values()))))
    ]
    return chosen, sigmas


def _shortfall(name: str, found: Estimate) -> float:
    value = shortfall(name, found.mean)
    return np.inf if value is None or np.isnan(value) else value


def _to_rgb(L: Floats, ab: Floats, tint: Floats) -> Floats:
    """Compose as :func:`~cinn_colorize.evaluation.photos.to_rgb` does, in single precision and faster."""
    a, b = ab + tint[:, None, None]
    # As scikit-image: no negative Z.
    b = np.minimum(b, 200 / 116 * (L + 16))
    rgb = lab_to_srgb(np.stack([L, a, b], axis=-1))
    return np.clip(np.moveaxis(rgb, -1, 0), 0, 1)
