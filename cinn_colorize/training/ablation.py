"""Architectures and initial weights without the parts of the recipe that :class:`Ablation` names."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from cinn_colorize.flow import ConvSubnet, LinearSubnet
from cinn_colorize.models.bedrooms import PlainNetwork
from cinn_colorize.training.choices import Ablation

# Fields of the architectures that have these parts, by the same names.
_SWITCHES = (Ablation.haar, Ablation.mixing, Ablation.conditioning)

Architecture = TypeVar("Architecture", bound=Any)


def without(architecture: Architecture, ablate: Collection[str]) -> Architecture:
    """Leave parts of :class:`Ablation` out of an architecture; ignore those that do not concern it."""
    changed = replace(architecture, **{name: False for name in _SWITCHES if name in ablate})
    if Ablation.clamp not in ablate:
        return changed
    if hasattr(changed, "clamp"):
        return replace(changed, clamp=math.inf)
    stages = {r: replace(stage, clamp=math.inf) for r, stage in changed.stages.items()}
    return replace(changed, stages=stages)


def initialise_as_torch(model: nn.Module) -> None:
    """Initialise the subnetworks of the coupling blocks and a plain conditioning network as torch does."""
    for network in model.modules():
        if isinstance(network, ConvSubnet | LinearSubnet | PlainNetwork):
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.reset_parameters()
