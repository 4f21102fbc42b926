"""Stages of coupling blocks under heads, for the multi-scale flows of ``bedrooms`` and ``imagenet-vgg``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from cinn_colorize.flow import Sequence, Transform

Parts = tuple[Tensor, ...]  # the condition's part of the first layer of the subnetworks


class StageConditions(NamedTuple):
    """Of each stage, the condition's part of the first layer of the subnetworks of each block."""

    parts: dict[int, Parts]

    def expand(self, n: int) -> StageConditions:
        """Views for n samples of the one photo inside (N = 1)."""
        return StageConditions(
            {r: tuple(part.expand(n, *part.shape[1:]) for part in parts) for r, parts in self.parts.items()}
        )


class Stage(Transform[Parts]):
    """Coupling blocks at one resolution with their heads; the condition is what the heads give.

    Attributes:
        flow: the coupling blocks, and the maps between them.
    """

    flow: Sequence

    def prepare(self, features: Tensor) -> Parts:
        """Compute the condition from features of the photo, (N, C, H, W), or (N, C) for a vector's stage."""
        raise NotImplementedError

    def pairs(self, parts: Parts) -> Iterable[tuple[Tensor, Tensor]]:
        """The condition of each block: those of its subnetworks 1 and 2."""
        raise NotImplementedError

    def forward(self, x: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        """Map x (N, C, H, W), or (N, C), through the flow."""
        return self.flow(x, self.flow.coupling_conditions(self.pairs(condition)))

    def inverse(self, z: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        """Map z back through the flow."""
        return self.flow.inverse(z, self.flow.coupling_conditions(self.pairs(condition)))
