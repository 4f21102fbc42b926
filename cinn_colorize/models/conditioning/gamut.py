"""Which a and b exist: bins of those in sRGB, and bounds of those at a given L.

The bins are after Zhang, Isola and Efros, "Colorful Image Colorization" (2016,
https://arxiv.org/abs/1603.08511): of 10 units, with soft targets, rare colours weighted up. The paper
pretrains its conditioning network on them (4.2). The flow keeps its samples near the bounds.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from cinn_colorize.imaging.color import pixels_to_lab

_KNOTS = 101  # one per unit of L
_REACH = 1.0  # units of L that a knot covers on both sides, so that bounds between knots err outwards


def chroma_range() -> np.ndarray:
    """Return the smallest a, b and largest a, b of sRGB's colours at L = 0, 1, ..., 100; (4, 101) float32."""
    line = np.linspace(0, 255, 86).astype(np.uint8)
    u, v = np.meshgrid(line, line)
    w = np.zeros_like(u)
    ends = (np.stack([u, v, w + end], axis=-1) for end in (0, 255))
    faces = [np.roll(end, axis, axis=-1) for end in ends for axis in range(3)]
    lab = pixels_to_lab(np.concatenate(faces)).reshape(3, -1)  # extremes lie on the cube's surface
    L, *ab = lab[:, lab[0].argsort()]
    knots = np.arange(_KNOTS)
    first, last = L.searchsorted(knots - _REACH), L.searchsorted(knots + _REACH, side="right")
    near = [slice(*ends) for ends in zip(first, last, strict=True)]
    ranges = [[values[part].min() for part in near] for values in ab]
    ranges += [[values[part].max() for part in near] for values in ab]
    return np.array(ranges, np.float32)


class ChromaBounds(nn.Module):
    """Bounds of a and b by L, nearly concave in it: those of a mean L hold for the mean colours too."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        table = torch.from_numpy(chroma_range()).to(torch.get_default_device())
        self.register_buffer("table", table, persistent=False)

    def forward(self, L: Tensor) -> Tensor:
        """Map L* in [0, 100], (N, 1, H, W), to lower a, lower b, upper a, upper b, (N, 4, H, W)."""
        L = L.clamp(0, _KNOTS - 1)
        below = L.floor().clamp(max=_KNOTS - 2)
        knot, share = below.long()[:, 0], L - below
        low, high = self.table[:, knot].movedim(0, 1), self.table[:, knot + 1].movedim(0, 1)
        return torch.lerp(low, high, share.to(low.dtype))


STEP = 10  # units of a and b
_NEIGHBOURS, _SIGMA = 5, 5.0  # of the soft encoding
_UNIFORM = 0.5  # lambda of Eq. 4, the share of the uniform distribution in a prior
_CUBE = 64  # values per channel of the RGB cube that determines the gamut's bins


def centres() -> np.ndarray:
    """Return the centres of bins that hold a colour of sRGB, (K, 2) float32, sorted by a, then b; K = 261."""
    line = np.linspace(0, 255, _CUBE).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(line, line, line), axis=-1).reshape(_CUBE, -1, 3)
    _, a, b = pixels_to_lab(cube)
    bins = np.stack([a, b], axis=-1).reshape(-1, 2) / STEP
    return np.unique(bins.round().astype(np.int64), axis=0).astype(np.float32) * STEP


class ColorBins(nn.Module):
    """Soft encoding of ab in bins, cross entropy against it, and colours from a distribution."""

    centres: Tensor

    def __init__(self) -> None:
        super().__init__()
        made = torch.from_numpy(centres()).to(torch.get_default_device())
        self.register_buffer("centres", made, persistent=False)

    def __len__(self) -> int:
        return len(self.centres)

    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Return the five bins nearest to ab (N, 2, H, W), and their Gaussian weights, which add up to 1."""
        distance = torch.cdist(ab.movedim(1, -1).flatten(1, 2), self.centres)
        nearest, indices = distance.topk(_NEIGHBOURS, largest=False)
        weights = torch.softmax(-nearest.square() / (2 * _SIGMA**2), dim=-1)
        shape = (len(ab), *ab.shape[2:], _NEIGHBOURS)
        return indices.reshape(shape).movedim(-1, 1), weights.reshape(shape).movedim(-1, 1)

    def cross_entropy(self, logits: Tensor, ab: Tensor, rarity: Tensor | None = None) -> Tensor:
        """Compute the cross entropy of logits for each pixel of ab, nats, weighted by its nearest bin."""
        indices, weights = self.encode(ab)
        entropy = -(weights * logits.log_softmax(dim=1).gather(1, indices)).sum(1)
        return entropy if rarity is None else entropy * rarity[indices[:, 0]]

    def counts(self, ab: Tensor) -> Tensor:
        """Count the pixels of ab (N, 2, H, W) in each bin, softly, (K,)."""
        indices, weights = self.encode(ab)
        return torch.zeros(len(self), device=ab.device).index_add_(0, indices.flatten(), weights.flatten())

    def annealed_mean(self, logits: Tensor, temperature: float = 0.38) -> Tensor:
        """Map logits (N, K, H, W) to ab: the mean of the sharpened distribution (Eq. 5 there)."""
        return torch.einsum("nkhw,kc->nchw", (logits / temperature).softmax(dim=1), self.centres)


def rarity(prior: Tensor) -> Tensor:
    """Return weights that make rare colours count (Eq. 4 there), given the share of each bin."""
    if not math.isclose(float(prior.sum()), 1, rel_tol=1e-3):
        raise ValueError(f"a prior must add up to 1, not {float(prior.sum())}")
    weights = 1 / ((1 - _UNIFORM) * prior + _UNIFORM / len(prior))
    return weights / (prior * weights).sum()
