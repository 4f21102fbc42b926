"""Networks inside coupling blocks, never inverted and therefore unrestricted (paper 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class ConvSubnet(nn.Module):
    """Convolutions with ReLU between them; the condition is added before the first ReLU.

    This equals a first convolution over the half and a condition together (paper 3.1), but the condition's
    part is computed once for all samples. The last convolution starts at zero (paper 3.4).

    Args:
        inputs: channels of the half seen.
        outputs: channels of s and t together.
        width: channels in between, and of the condition.
        kernel: size of the kernels, odd.
        layers: number of convolutions, 2 or 3.
    """

    def __init__(self, inputs: int, outputs: int, width: int, kernel: int, layers: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
        self.middle = nn.Conv2d(width, width, kernel, padding=kernel // 2) if layers == 3 else None
        self.last = nn.Conv2d(width, outputs, kernel, padding=kernel // 2)
        _initialise([conv for conv in (self.first, self.middle, self.last) if conv is not None])

    def forward(self, u: Tensor, condition: Tensor | None) -> Tensor:
        """Map a half (N, inputs, H, W), given a condition (N, width, H, W), to (N, outputs, H, W)."""
        hidden = self.first(u)
        hidden = F.relu(hidden if condition is None else hidden + condition)
        if self.middle is not None:
            hidden = F.relu(self.middle(hidden))
        result: Tensor = self.last(hidden)
        return result


class LinearSubnet(nn.Module):
    """The same with fully connected layers, whose widths in between are ``hidden``, at least one."""

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers = [nn.Linear(before, after) for before, after in pairwise([inputs, *hidden, outputs])]
        _initialise(layers)
        self.layers = nn.ModuleList(layers)

    def forward(self, u: Tensor, condition: Tensor | None) -> Tensor:
        """Map a half (N, inputs), given a condition (N, hidden[0]), to (N, outputs)."""
        h = self.layers[0](u)
        h = h if condition is None else h + condition
        for layer in self.layers[1:]:
            h = layer(F.relu(h))
        result: Tensor = h
        return result


def _initialise(layers: Sequence[nn.Conv2d | nn.Linear]) -> None:
    """Initialise the layers as Xavier does, and the last one with zeros (paper 3.4)."""
    for layer in layers[:-1]:
        nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layers[-1].weight)
    for layer in layers:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
