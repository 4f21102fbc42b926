"""The conditional affine coupling block (paper 3.1, Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cinn_colorize.flow.transform import Transform

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
        subnet: ``subnet(inputs, outputs)`` makes the network of a pair (s, t): it maps a half and a condition
            (None in an unconditional block) to s and t stacked, twice the channels of the other half.
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
        """Compute v by Eq. 1; ``condition`` is for subnetworks 1 and 2, None in an unconditional block."""
        c1, c2 = condition or (None, None)
        u1, u2 = u.split(self.sizes, dim=1)
        s1, t1 = self.scale_shift(self.subnet1, u2, c1)
        v1 = u1 * s1.exp() + t1
        s2, t2 = self.scale_shift(self.subnet2, v1, c2)
        v2 = u2 * s2.exp() + t2
        return torch.cat([v1, v2], dim=1), s1.flatten(1).sum(1) + s2.flatten(1).sum(1)

    def inverse(self, v: Tensor, condition: Conditions | None = None) -> tuple[Tensor, Tensor]:
        """Compute u by Eq. 2."""
        c1, c2 = condition or (None, None)
        v1, v2 = v.split(self.sizes, dim=1)
        s2, t2 = self.scale_shift(self.subnet2, v1, c2)
        u2 = (v2 - t2) * torch.exp(-s2)
        s1, t1 = self.scale_shift(self.subnet1, u2, c1)
        u1 = (v1 - t1) * torch.exp(-s1)
        return torch.cat([u1, u2], dim=1), -s1.flatten(1).sum(1) - s2.flatten(1).sum(1)
