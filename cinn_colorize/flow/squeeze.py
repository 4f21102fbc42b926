"""The reshape of i-RevNet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow.transform import Transform


class Squeeze(Transform[None]):
    """Turn each 2x2 block of pixels into four adjacent channels, row by row.

    After Jacobsen, Smeulders and Oyallon, "i-RevNet" (2018, https://arxiv.org/abs/1802.07088).
    """

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """Map (N, C, 2h, 2w) to (N, 4 C, h, w)."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """Map (N, 4 C, h, w) back to (N, C, 2h, 2w)."""
        return F.pixel_shuffle(z, 2), z.new_zeros(len(z))
