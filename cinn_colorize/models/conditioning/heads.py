"""The head of a level: from features and the coarser colours to the conditions of the level's maps.

What depends on the photo alone (:meth:`LevelHead.prepare`) is computed once and serves all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow.elementwise import SinhMap
from cinn_colorize.models.conditioning.layers import ResidualBlock, conv
from cinn_colorize.models.natural_config import NaturalConfig


class Prepared(NamedTuple):
    """What a head keeps of a photo: features, and L's mean and details at r."""

    features: Tensor
    luminance: Tensor


class GlobalContext(nn.Module):
    """Adds the average of the whole picture to every pixel, starting as the identity.

    How sharp, noisy or pale the colours of a photo are shows everywhere in it (after squeeze and excitation,
    Hu et al. 2018, https://arxiv.org/abs/1709.01507).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gather = conv(channels, channels, 1)
        self.spread = conv(channels, channels, 1)
        nn.init.zeros_(self.spread.weight)

    def forward(self, h: Tensor) -> Tensor:
        """Add the average to features (N, channels, r, r); the shape stays."""
        spread: Tensor = self.spread(F.silu(self.gather(h)).mean(dim=(2, 3), keepdim=True))
        return h + spread


class LevelHead(nn.Module):
    """Three convolutions, residual blocks, and one each for the elementwise map and the coupling blocks.

    It is that of the level at r; ``features`` are the channels of the pyramid by resolution.
    """

    def __init__(self, r: int, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        level, depth = config.levels[r], config.levels[r].depth
        # Within it, coarser colours are seen as they are: a rare outlier must not take the head out of the
        # range that it was trained on.
        self.limit = config.chroma_limit / config.chroma_scale
        self.coupling_widths = [level.width] * (2 * level.blocks)
        self.read = conv(features[2 * r], depth, stride=2)
        self.join = conv(depth + 4 + 2, depth)  # beside L's mean and details, and the coarser colours
        self.context = GlobalContext(depth) if level.context and config.conditioning else nn.Identity()
        self.residual = nn.Sequential(*(ResidualBlock(depth) for _ in range(level.residual)))
        self.refine = conv(depth, depth)
        self.to_map = conv(depth, SinhMap.PARAMETERS * 6)
        nn.init.zeros_(self.to_map.weight)
        self.to_couplings = conv(depth, sum(self.coupling_widths), 1)

    def prepare(self, source: Tensor, luminance: Tensor) -> Prepared:
        """Compute what needs no colours, of the pyramid at 2r and L's mean and details (N, 4, r, r)."""
        return Prepared(F.silu(self.read(source)), luminance)

    def forward(self, prepared: Prepared, coarser: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Compute the condition of the elementwise map, (N, 24, r, r), and those of each subnetwork.

        ``coarser`` are the mean colours at r, (N, 2, r, r).
        """
        coarser = coarser.clamp(-self.limit, self.limit)
        h = self.context(F.silu(self.join(torch.cat([*prepared, coarser], dim=1))))
        h = self.residual(h)
        h = h + F.silu(self.refine(h))
        return self.to_map(h), list(self.to_couplings(h).split(self.coupling_widths, dim=1))
