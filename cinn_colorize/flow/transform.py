"""The interface of all invertible maps."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor, nn

Condition = TypeVar("Condition")  # None for unconditional maps


class Transform(nn.Module, Generic[Condition]):
    """An invertible map z = f(x; c) with its inverse x = g(z; c) (paper 3.1).

    Each direction returns its own log |det d(output)/d(input)|, one number per sample, so that
    log p(x | c) = log p(z) + log |det df/dx|. A transform keeps no state between calls, and its inverse is
    exact up to rounding for all values, however large.
    """

    def forward(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute z = f(x; c).

        Args:
            x: (N, C, H, W) or (N, C).
            condition: c, whose tensors have N rows too.

        Returns:
            z, with as many values as x, and log |det df/dx|, (N,).
        """
        raise NotImplementedError

    def inverse(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute x = g(z; c).

        Args:
            z: tensor of the shape that :meth:`forward` returns.
            condition: c.

        Returns:
            x, and log |det dg/dz| = -log |det df/dx|, (N,).
        """
        raise NotImplementedError
