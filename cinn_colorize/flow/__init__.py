"""Invertible maps, independent of photos and colour, and the interface of all of them."""

from typing import Generic, TypeVar

from torch import Tensor, nn

Condition = TypeVar("Condition")  # None for unconditional maps


class Transform(nn.Module, Generic[Condition]):
    """An invertible map z = f(x; c) with its inverse x = g(z; c) (paper 3.1).

    log p(x | c) = log p(z) + log |det df/dx|. A transform keeps no state between calls, and its inverse is
    exact up to rounding for all values, however large.
    """

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute z = f(x; c) of x (N, C, H, W) or (N, C), and log |det df/dx|, (N,)."""
        raise NotImplementedError

    def inverse(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute x = g(z; c), and log |det dg/dz| = -log |det df/dx|, (N,)."""
        raise NotImplementedError
