"""Networks inside coupling blocks: never inverted, so they may be anything (paper 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class ConvSubnet(nn.Module):
    """Convolutions with ReLU between them; the condition is added before the first ReLU.

    That is the same as a first convolution that sees the half and a condition together (paper 3.1), but the
    condition's part of it is computed once for all samples. The last convolution starts at zero, so that a
    coupling block starts as the identity (paper 3.4).

    Args:
        inputs: channels of the half that is seen.
        outputs: channels of s and t together.
        width: channels in between, and of the condition (N, width, H, W), if there is one.
        kernel: size of the kernels, odd.
        layers: how many convolutions, 2 or 3.
    """

    def __init__(self, inputs: int, outputs: int, width: int, kernel: int, layers: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
        self.middle = nn.Conv2d(width, width, kernel, padding=kernel // 2) if layers == 3 else None
        self.last = nn.Conv2d(width, outputs, kernel, padding=kernel // 2)
        _initialise([conv for conv in (self.first, self.middle, self.last) if conv is not None])

    def forward(self, u: Tensor, condition: Tensor | None) -> Tensor:
        """(N, inputs, H, W), (N, width, H, W) -> (N, outputs, H, W)."""
        hidden = self.first(u)
        hidden = F.relu(hidden if condition is None else hidden + condition)
        if self.middle is not None:
            hidden = F.relu(self.middle(hidden))
        result: Tensor = self.last(hidden)
        return result


class LinearSubnet(nn.Module):
    """The same with fully connected layers.

    Args:
        inputs: values of the half that is seen.
        outputs: values of s and t together.
        hidden: widths of the layers in between, one or more; the first is that of the condition.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers = [nn.Linear(before, after) for before, after in pairwise([inputs, *hidden, outputs])]
        _initialise(layers)
        self.layers = nn.ModuleList(layers)

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        """(N, inputs), (N, hidden[0]) -> (N, outputs)."""
        h = self.layers[0](u) + condition
        for layer in self.layers[1:]:
            h = layer(F.relu(h))
        result: Tensor = h
        return result


def _initialise(layers: Sequence[nn.Conv2d | nn.Linear]) -> None:
    """Xavier, and zero for the last layer (paper 3.4)."""
    for layer in layers[:-1]:
        nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layers[-1].weight)
    for layer in layers:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
