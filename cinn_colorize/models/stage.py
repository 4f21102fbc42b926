"""Multi-scale flows of coupling blocks with heads, as ``bedrooms`` and ``imagenet-vgg`` are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from cinn_colorize.flow.multiscale import MultiScaleFlow
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.flow.transform import Transform
from cinn_colorize.models.base import PhotoFlow

Parts = tuple[Tensor, ...]  # the condition's part of the first layer of each subnetwork


class StageConditions(NamedTuple):
    """The condition's part of the first layers of all subnetworks, by stage."""

    parts: dict[int, Parts]


class Stage(Transform[Parts]):
    """Coupling blocks at one resolution with their heads, whose outputs are the condition."""

    flow: Sequence  # coupling blocks and the maps between them

    def prepare(self, features: Tensor) -> Parts:
        """Compute the condition from features of the photo, (N, C, H, W), or (N, C) for the vector."""
        raise NotImplementedError

    def forward(self, x: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        return self.flow(x, self.flow.coupling_conditions(condition))

    def inverse(self, z: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        return self.flow.inverse(z, self.flow.coupling_conditions(condition))


class StagedFlow(PhotoFlow):
    """A flow between x, (N, 2, 64, 64), and the latents of its stages' levels."""

    stages: MultiScaleFlow

    def forward(self, x: Tensor, condition: StageConditions) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        return self.stages(x, condition.parts)

    def inverse(
        self, latents: Mapping[int, Tensor], condition: StageConditions
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return self.stages.inverse(latents, condition.parts)
