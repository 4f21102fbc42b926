"""The conditional affine coupling block (paper 3.1, Fig. 2), and the networks inside it."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import Transform

Conditions = tuple[Tensor, Tensor]  # of the subnetworks 1 and 2


def soft_clamp(s: Tensor, alpha: float) -> Tensor:
    """Compute Eq. 7, (2 alpha / pi) arctan(s / alpha), within +-alpha; infinite alpha leaves s unchanged."""
    if alpha == math.inf:
        return s
    return (2 * alpha / math.pi) * torch.atan(s / alpha)


class AffineCoupling(Transform[Conditions | None]):
    """Map each half of the channels affinely, given the other half and a condition (Eqs. 1, 2).

    Args:
        channels: channels of the input, (N, channels, H, W); the first half has ``channels // 2``.
        subnet: ``subnet(inputs, outputs)`` makes the network that maps a half and its condition (None in an
            unconditional block) to s and t stacked, twice the channels of the other half.
        clamp: alpha of Eq. 7; ``math.inf`` for unlimited scales.
        bound: subnetworks see their half within +-bound, so that an outlying latent does not drive them
            beyond the range they were trained on; ``math.inf`` for the paper's block.
    """

    def __init__(
        self, channels: int, subnet: Callable[[int, int], nn.Module], clamp: float, bound: float = math.inf
    ) -> None:
        super().__init__()
        self.sizes = (channels // 2, channels - channels // 2)
        self.clamp, self.bound = clamp, bound
        self.subnet1 = subnet(self.sizes[1], 2 * self.sizes[0])  # s1, t1 of u2
        self.subnet2 = subnet(self.sizes[0], 2 * self.sizes[1])  # s2, t2 of v1

    def scale_shift(self, subnet: nn.Module, u: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute s and t of one half given the other."""
        seen = u if self.bound == math.inf else u.clamp(-self.bound, self.bound)
        s, t = subnet(seen, condition).to(u.dtype).chunk(2, dim=1)
        return soft_clamp(s, self.clamp), t

    def forward(self, u: Tensor, condition: Conditions | None = None) -> tuple[Tensor, Tensor]:
        """Compute v by Eq. 1, given the conditions of subnetworks 1 and 2, None without any."""
        c1, c2 = condition or (None, None)
        u1, u2 = u.split(self.sizes, dim=1)
        s1, t1 = self.scale_shift(self.subnet1, u2, c1)
        v1 = u1 * s1.exp() + t1
        s2, t2 = self.scale_shift(self.subnet2, v1, c2)
        v2 = u2 * s2.exp() + t2
        return torch.cat([v1, v2], dim=1), s1.flatten(1).sum(1) + s2.flatten(1).sum(1)

    def inverse(self, v: Tensor, condition: Conditions | None = None) -> tuple[Tensor, Tensor]:
        c1, c2 = condition or (None, None)
        v1, v2 = v.split(self.sizes, dim=1)
        s2, t2 = self.scale_shift(self.subnet2, v1, c2)
        u2 = (v2 - t2) * torch.exp(-s2)
        s1, t1 = self.scale_shift(self.subnet1, u2, c1)
        u1 = (v1 - t1) * torch.exp(-s1)
        return torch.cat([u1, u2], dim=1), -s1.flatten(1).sum(1) - s2.flatten(1).sum(1)


class ConvSubnet(nn.Module):
    """Two or three convolutions with ReLU between them; the condition is added before the first ReLU.

    This equals a first convolution over the half and a condition together (paper 3.1), but the condition's
    part, of ``width`` channels, is computed once for all samples. The last one starts at zero (paper 3.4).
    """

    def __init__(self, inputs: int, outputs: int, width: int, kernel: int, layers: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
        self.middle = nn.Conv2d(width, width, kernel, padding=kernel // 2) if layers == 3 else None
        self.last = nn.Conv2d(width, outputs, kernel, padding=kernel // 2)
        _initialise([conv for conv in (self.first, self.middle, self.last) if conv is not None])

    def forward(self, u: Tensor, condition: Tensor | None) -> Tensor:
        hidden = self.first(u)
        hidden = F.relu(hidden if condition is None else hidden + condition)
        if self.middle is not None:
            hidden = F.relu(self.middle(hidden))
        result: Tensor = self.last(hidden)
        return result


class LinearSubnet(nn.Module):
    """The same with fully connected layers of the widths ``hidden``, given a condition (N, hidden[0])."""

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers = [nn.Linear(before, after) for before, after in pairwise([inputs, *hidden, outputs])]
        _initialise(layers)
        self.layers = nn.ModuleList(layers)

    def forward(self, u: Tensor, condition: Tensor | None) -> Tensor:
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
