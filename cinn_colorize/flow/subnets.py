"""Networks inside coupling blocks: never inverted, so they may be anything (paper 3.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvSubnet(nn.Module):
    """Three convolutions; the condition is added before the first ReLU.

    The last convolution starts at zero, so that a coupling block starts as the identity (paper 3.4).

    Args:
        inputs: channels of the half that is seen.
        outputs: channels of s and t together.
        width: channels in between, and of the condition (N, width, H, W).
        kernel: size of the kernels, odd.
    """

    def __init__(self, inputs: int, outputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
        self.middle = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.last = nn.Conv2d(width, outputs, kernel, padding=kernel // 2)
        for conv in (self.first, self.middle):
            nn.init.xavier_uniform_(conv.weight)
        nn.init.zeros_(self.last.weight)
        for conv in (self.first, self.middle, self.last):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        """(N, inputs, H, W), (N, width, H, W) -> (N, outputs, H, W)."""
        hidden = F.relu(self.first(u) + condition)
        result: Tensor = self.last(F.relu(self.middle(hidden)))
        return result
