"""The likelihood of photos' own colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from cinn_colorize.data.readers import ColorReader, readable
from cinn_colorize.data.sources import Source
from cinn_colorize.engines.interface import DENSITY_SCALE
from cinn_colorize.evaluation.photos import CHROMA_SIZE, read_square
from cinn_colorize.imaging.color import Floats
from cinn_colorize.latents.latent import Latent
from cinn_colorize.models.base import PhotoFlow

DIMENSIONS = 2 * CHROMA_SIZE**2
_NOISE = 0.05  # standard deviation in x = ab / 15
_BATCH = 8


def mean_nll(model: PhotoFlow, photos: Sequence[Source]) -> float:
    """Compute the ``nll`` of an evaluation, nats per dimension, in batches and without samples.

    See :func:`nll_by_level`.
    """
    return sum(nll_by_level(model, photos).values()) / DIMENSIONS


def nll_by_level(
    model: PhotoFlow, photos: Sequence[Source], condition: Callable[[torch.Tensor], Any] | None = None
) -> dict[int, float]:
    """Compute the nll of x = ab / 15 by level of the latent code, nats per photo, on average.

    Args:
        model: the model, on any device; its mode (training or evaluation) is kept.
        photos: photos to measure on; those that cannot be read, or are gray, are left out and logged.
        condition: computes the condition of L* (N, 1, r, r); that of the model by default.

    Raises:
        DataError: no photo can be read.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    condition = condition or model.condition
    totals: dict[int, float] = {}
    rescaling, count = math.log(model.config.chroma_scale / DENSITY_SCALE), 0
    squares = readable(photos, partial(read_square, read=ColorReader()))
    with torch.no_grad():
        while batch := list(islice(squares, _BATCH)):
            count += len(batch)
            L = torch.from_numpy(np.stack([photo.L for _, photo in batch]))[:, None].to(device)
            ab = np.stack([with_noise(photo.ab, k) for k, photo in batch])
            x = torch.from_numpy(ab).to(device) / model.config.chroma_scale
            latents, log_dets = model(x, condition(L))
            for r, z in latents.items():
                log_prob = float((Latent({r: z}).log_prob() + log_dets[r]).sum())
                totals[r] = totals.get(r, 0.0) - log_prob + z.numel() * rescaling
    model.train(was_training)
    return {r: total / count for r, total in totals.items()}


def with_noise(ab: Floats, seed: int) -> Floats:
    """Add noise from a seed, which a density requires, to the ab (2, 64, 64) whose likelihood is measured."""
    noise = np.random.default_rng(seed).standard_normal(ab.shape, np.float32)
    return ab + np.float32(DENSITY_SCALE * _NOISE) * noise
