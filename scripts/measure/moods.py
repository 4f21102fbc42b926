"""Ask whether coarse samples vary as much as they are wrong: python scripts/measure/moods.py PHOTOS.

For models with an autoregressive level, at temperature 1 and without guidance. Prints

- the calibration of the coarse colours (see docs/evaluation.md), of a 4x4 grid and of the photo's mean;
- what scaling the photos' own colours, or only their mean, does to the nll of the level: nothing is gained
  where the density around them has the right shape;
- squared distances of the true mean colours from those of the samples, in units of the samples' covariance,
  halved, and the nll of that Gaussian with its variance scaled.

Whether single numbers of the codes have the variance that they should is said by levels.py.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.evaluate import with_noise
from cinn_colorize.evaluation.photos import Square, block_means, read_square
from cinn_colorize.models import load_model
from cinn_colorize.models.natural import COARSE, Condition, Natural
from cinn_colorize.training.objective import level_nll

SAMPLES = 32
FACTORS = 0.8, 0.9, 1.1, 1.2
VARIANCES = 1.0, 1.5, 2.0, 3.0
SIDES = {"16x16": 16, "4x4": 4, "photo": 1}


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only every K-th photo")
    parser.add_argument("--weights", type=Path, help="default: packaged")
    arguments = parser.parse_args()
    model, read = load_model("natural", arguments.weights).model, Reader()
    assert isinstance(model, Natural)
    own, drawn, changes = [], [], []
    for k, source in enumerate(find_photos(arguments.photos, pattern=None)[:: arguments.every]):
        x, samples, change = measured(model, read_square(source, read), k)
        own.append(x)
        drawn.append(samples)
        changes.append(change)
    truth, samples = (model.config.chroma_scale * np.stack(colours) for colours in (own, drawn))
    print(f"{len(truth)} photos, {SAMPLES} samples\n")
    for name, side in SIDES.items():
        print(f"calibration, {name}: {calibration(block_means(truth, side), block_means(samples, side)):.2f}")
    mean, error = np.mean(changes, axis=0), np.std(changes, axis=0, ddof=1) / math.sqrt(len(changes))
    for i, name in enumerate(("all colours", "their mean")):
        rows = zip(FACTORS, mean[:, i], error[:, i], strict=True)
        told = ", ".join(f"{factor}: {m:+.2f} ± {e:.2f}" for factor, m, e in rows)
        print(f"nats gained by scaling {name}, {told}")
    half, log_volume = distances(truth.mean((-2, -1)), samples.mean((-2, -1)))
    percentiles = ", ".join(f"{p} %: {np.percentile(half, p):.2f}" for p in (25, 50, 75, 90, 95))
    print(
        f"half squared distance of the mean colour, {percentiles}; of a Gaussian 0.29, 0.69, 1.39, 2.30, 3.00"
    )
    nlls = {s: (half / s + math.log(s) + log_volume + math.log(2 * math.pi)).mean() for s in VARIANCES}
    print("its nll, variance times", ", ".join(f"{s}: {nll:.2f}" for s, nll in nlls.items()))


@torch.no_grad()
def measured(model: Natural, photo: Square, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coarse x (2, 16, 16) of a photo, of its samples, and the nats gained by scaling (factors, 2)."""
    condition = model.condition(torch.from_numpy(photo.L)[None, None], finest=COARSE)
    ab = block_means(with_noise(photo.ab, seed), 2 * COARSE)
    x = torch.from_numpy(ab)[None] / model.config.chroma_scale
    noise = torch.randn(SAMPLES, *model.latent_shapes[COARSE], generator=torch.Generator().manual_seed(seed))
    samples = model.begin({COARSE: noise}, condition.expand(SAMPLES))[0]
    mean = x.mean((2, 3), keepdim=True)
    before = nll(model, x, condition)
    gained = [
        (
            before - nll(model, factor * x, condition) + x.numel() * math.log(factor),
            before - nll(model, x + (factor - 1) * mean, condition) + mean.numel() * math.log(factor),
        )
        for factor in FACTORS
    ]
    return x[0].numpy(), samples.numpy(), np.array(gained)


def nll(model: Natural, x: Tensor, condition: Condition) -> float:
    """Return the nll of the coarse colours x (1, 2, 16, 16) in nats."""
    enlarged = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return float(level_nll(*model(enlarged, condition))[COARSE])


def calibration(truth: np.ndarray, samples: np.ndarray) -> float:
    """Return the variance of samples (P, N, ...) over the squared error of their mean, as `evaluate` does."""
    variance = samples.var(1, ddof=1) * (1 + 1 / samples.shape[1])
    return float(variance.mean() / np.square(truth - samples.mean(1)).mean())


def distances(truth: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half the squared distances of points (P, 2), and half the logs of the determinants."""
    covariance = np.stack([np.cov(points.T) for points in samples]) * (1 + 1 / samples.shape[1])
    offset = truth - samples.mean(1)
    squared = np.einsum("pi,pij,pj->p", offset, np.linalg.inv(covariance), offset)
    return squared / 2, np.linalg.slogdet(covariance)[1] / 2


if __name__ == "__main__":
    main()
