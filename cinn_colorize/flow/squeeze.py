"""The reshape of i-RevNet: each 2x2 block of pixels becomes four channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow.transform import Transform


class Squeeze(Transform[None]):
    """Bring an image to half its size and four times its channels without mixing values.

    After Jacobsen, Smeulders and Oyallon, "i-RevNet" (2018, https://arxiv.org/abs/1802.07088). The four
    values of a block become adjacent channels, row by row. Values only move, so the log-det is zero.
    """

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """Map (N, C, 2h, 2w) to (N, 4 C, h, w), and a log-det of zeros."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """Map (N, 4 C, h, w) back to (N, C, 2h, 2w), and a log-det of zeros."""
        return F.pixel_shuffle(z, 2), z.new_zeros(len(z))
