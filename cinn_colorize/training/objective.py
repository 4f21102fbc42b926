"""The maximum likelihood objective (paper 3.2, Eq. 6) and the noise that training adds (paper 3.4)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_WAVES = 8  # nodes across a photo of the noise between pixels and the whole
_KEPT = 0.77  # share of the nodes' variance that bicubic interpolation keeps
_MEAN_CHROMA = 1.13  # of the photos in photos-train-*.zip, in units of x


class Noise:
    """Draw standard normal noise for a process's share of a batch: its rows of the noise of the whole batch.

    The noise of a photo thus does not depend on how many processes share the batch, each with every
    ``count``-th photo. The generator is seeded for the step.
    """

    def __init__(self, generator: torch.Generator, rank: int = 0, count: int = 1) -> None:
        self.generator, self.rank, self.count = generator, rank, count

    def __call__(self, like: Tensor, *shape: int) -> Tensor:
        """Draw noise (N, *shape) of the type and on the device of ``like`` (N, ...)."""
        whole = (len(like) * self.count, *shape)
        noise = torch.randn(whole, generator=self.generator, device=like.device, dtype=like.dtype)
        return noise[self.rank :: self.count]


def level_nll(latents: Mapping[int, Tensor], log_dets: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Compute the negative log-likelihood by level, nats, (N,) each; the sum over levels is that of x.

    It includes the constant of the standard normal, half log 2 pi per dimension.
    """
    constant = 0.5 * math.log(2 * math.pi)
    return {r: (0.5 * z.square() + constant).flatten(1).sum(1) - log_dets[r] for r, z in latents.items()}


def balanced_loss(nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
    """Compute the loss of ``natural``: each level's nll per dimension, weighted by the root of its share.

    Weighted by the share itself (Eq. 6 as it stands), the coarse colours, a sixteenth of all dimensions,
    would hardly count. Arguments are by level: nll (N,), and the number of dimensions in the whole model.
    """
    total = sum(sizes.values())
    parts = [values.mean() / sizes[r] * math.sqrt(sizes[r] / total) for r, values in nll.items()]
    return torch.stack(parts).sum()


def vividness(x: Tensor, exponent: float) -> Tensor:
    """Compute how much photos x = ab / 15, (N, 2, H, W), count by their mean chroma.

    What is learnt is the density of photos drawn with these weights, (N,).
    """
    chroma = x.norm(dim=1).mean((1, 2)) / _MEAN_CHROMA
    return chroma.clamp(0.3, 3.0) ** exponent


def mean_loss(nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
    """Compute the nll per dimension, Eq. 6 without the prior; see :func:`balanced_loss`."""
    return torch.stack([values.mean() for values in nll.values()]).sum() / sum(sizes.values())


def add_noise(x: Tensor, pixel: float, coarse: float, noise: Noise) -> Tensor:
    """Add noise at every scale to x (N, 2, 64, 64): to pixels, to the whole photo, and waves in between.

    Waves of 16 pixels and more, and the noise of the whole photo, deviate by ``coarse``. They keep the coarse
    levels from memorising their training photos. Waves are smooth: of blocks a model would learn the edges.
    """
    channels, height, width = x.shape[1:]
    nodes = noise(x, channels, _WAVES, _WAVES)
    waves = F.interpolate(nodes, (height, width), mode="bicubic", align_corners=False) / math.sqrt(_KEPT)
    pixels, whole = noise(x, channels, height, width), noise(x, channels, 1, 1)
    return x + pixel * pixels + coarse * (waves + whole)
