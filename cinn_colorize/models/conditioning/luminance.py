"""L itself in place of features, for a model without conditioning network (paper 4.2, Fig. 16)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from cinn_colorize.flow.haar import haar


class LuminancePyramid(nn.Module):
    """A Haar pyramid of L, without parameters."""

    # By resolution: L, or its means and their three differences; 0: a vector of all values at 4 px.
    CHANNELS: ClassVar[dict[int, int]] = {64: 1, 32: 4, 16: 4, 8: 4, 4: 4, 2: 4, 1: 4, 0: 64}

    def forward(self, L: Tensor) -> dict[int, Tensor]:
        """Compute values by resolution r, (N, CHANNELS[r], r, r), and the vector (N, 64) as 0.

        Args:
            L: (N, 1, 64, 64), scaled to [-1, 1].
        """
        pyramid, mean = {64: L}, L
        for r in (32, 16, 8, 4, 2, 1):
            average, details = haar(mean)
            mean = average / 2
            pyramid[r] = torch.cat([mean, details], dim=1)
        return pyramid | {0: pyramid[4].flatten(1)}
