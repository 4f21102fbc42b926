"""A feature pyramid over the backbone.

After Lin et al., "Feature Pyramid Networks" (2017, https://arxiv.org/abs/1612.03144): coarse features carry
meaning down, and fine ones add position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.models.conditioning.attention import SelfAttention
from cinn_colorize.models.conditioning.backbone import FEATURES
from cinn_colorize.models.conditioning.layers import conv


class FeaturePyramid(nn.Module):
    """Features at 64, 32, 16 and 8 px from backbone features at 256 px input and L at 64 px.

    Args:
        attention: number of transformer blocks by resolution.
    """

    CHANNELS: ClassVar[dict[int, int]] = {64: 64, 32: 128, 16: 192, 8: 256}  # by resolution

    def __init__(self, attention: Mapping[int, int]) -> None:
        super().__init__()
        channels = self.CHANNELS
        inputs = {256 // stride: width for stride, width in FEATURES.items()}
        inputs[64] += 1  # L
        self.lateral = nn.ModuleDict(
            {str(r): conv(inputs[r], channels[r], 3 if r == 64 else 1) for r in inputs}
        )
        self.from_above = nn.ModuleDict(
            {str(r): conv(channels[r // 2], channels[r], 1) for r in (64, 32, 16)}
        )
        self.smooth = nn.ModuleDict({str(r): conv(channels[r], channels[r]) for r in inputs})
        self.attention = nn.ModuleDict(
            {str(r): SelfAttention(channels[r], r, blocks) for r, blocks in attention.items()}
        )

    def up_to(self, finest: int) -> list[nn.Module]:
        """List the modules that :meth:`forward` uses up to a resolution."""
        parts = (self.lateral, self.from_above, self.smooth, self.attention)
        return [module for part in parts for r, module in part.items() if int(r) <= finest]

    def forward(self, features: Mapping[int, Tensor], L: Tensor, finest: int = 64) -> dict[int, Tensor]:
        """Compute features (N, CHANNELS[r], r, r) by resolution r.

        Args:
            features: of the backbone by stride, for 256 px.
            L: (N, 1, 64, 64), scaled to [-1, 1].
            finest: largest resolution wanted, 16 or more.
        """
        pyramid: dict[int, Tensor] = {}
        for r in (r for r in (8, 16, 32, 64) if r <= finest):
            x = features[256 // r] if r < 64 else torch.cat([features[4], L], dim=1)
            x = self.lateral[str(r)](x)
            if r > 8:
                above = self.from_above[str(r)](pyramid[r // 2])
                x = x + F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.silu(x)
            x = F.silu(self.smooth[str(r)](x)) + x
            pyramid[r] = self.attention[str(r)](x) if str(r) in self.attention else x
        return pyramid
