"""Stages of the multi-scale flows of ``bedrooms`` and ``imagenet-vgg``: coupling blocks with heads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from cinn_colorize.flow import Sequence, Transform

Parts = tuple[Tensor, ...]  # the condition's part of the first layer of the subnetworks


class StageConditions(NamedTuple):
    """The condition's part of the first layers of all subnetworks, by stage."""

    parts: dict[int, Parts]

    def expand(self, n: int) -> StageConditions:
        """Return views of the condition of one photo (N = 1) for n samples."""
        return StageConditions(
            {r: tuple(part.expand(n, *part.shape[1:]) for part in parts) for r, parts in self.parts.items()}
        )


class Stage(Transform[Parts]):
    """Coupling blocks at one resolution with their heads, whose outputs are the condition.

    Attributes:
        flow: coupling blocks and the maps between them.
    """

    flow: Sequence

    def prepare(self, features: Tensor) -> Parts:
        """Compute the condition from features of the photo, (N, C, H, W), or (N, C) for the vector."""
        raise NotImplementedError

    def pairs(self, parts: Parts) -> Iterable[tuple[Tensor, Tensor]]:
        """Yield the conditions of each block, those of its subnetworks 1 and 2."""
        raise NotImplementedError

    def forward(self, x: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        """Map x (N, C, H, W), or (N, C), through the flow."""
        return self.flow(x, self.flow.coupling_conditions(self.pairs(condition)))

    def inverse(self, z: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        """Map z back through the flow."""
        return self.flow.inverse(z, self.flow.coupling_conditions(self.pairs(condition)))
