"""Networks inside coupling blocks: never inverted, so they may be anything (paper 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
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


class LinearSubnet(nn.Sequential):
    """Fully connected layers with ReLU between them, of a half and a condition put together.

    The last layer starts at zero, so that a coupling block starts as the identity (paper 3.4).

    Args:
        inputs: values of the half that is seen and of the condition.
        outputs: values of s and t together.
        hidden: widths of the layers in between.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Iterable[int]) -> None:
        widths = [inputs, *hidden, outputs]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layer = nn.Linear(before, after)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
        nn.init.zeros_(layers[-2].weight)  # type: ignore[arg-type]
        super().__init__(*layers[:-1])

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        """(N, values), (N, values of the condition) -> (N, outputs)."""
        result: Tensor = super().forward(torch.cat([u, condition], dim=1))
        return result
