"""What training can do without, one by one: the ablations of the paper (4.4, Figs. 10 and 16).

- ``noise``: none is added;
- ``clamp``: the scales of the coupling blocks are not limited;
- ``haar``: the reshape of i-RevNet in place of Haar steps;
- ``mixing``: no orthogonal matrices, no permutations;
- ``initialisation``: torch's own in place of Xavier's and of zeros;
- ``conditioning``: L itself in place of a conditioning network;
- ``learning``: the conditioning network stays as it was initialised.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from cinn_colorize.conditioning.plain import PlainNetwork
from cinn_colorize.flow import ConvSubnet, LinearSubnet

ABLATIONS = ("noise", "clamp", "haar", "mixing", "initialisation", "conditioning", "learning")
_SWITCHES = ("haar", "mixing", "conditioning")  # called so in the architectures that have them

Architecture = TypeVar("Architecture", bound=Any)


def without(architecture: Architecture, ablate: Collection[str]) -> Architecture:
    """An architecture without some of :data:`ABLATIONS`; those that do not concern it are passed over."""
    changed = replace(architecture, **{name: False for name in _SWITCHES if name in ablate})
    if "clamp" not in ablate:
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
