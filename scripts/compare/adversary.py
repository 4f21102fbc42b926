"""Two players under one optimiser.

Adam scales each parameter's step by that parameter's gradients alone, so one optimiser with two groups is
equivalent to two. Both players step at once, on the same batch; neither moves the other.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call


def judged(judge: nn.Module, *inputs: Tensor) -> Any:
    """Apply the judge, with a gradient for the inputs and none for the judge."""
    fixed = {name: p.detach() for name, p in judge.named_parameters()}
    return functional_call(judge, fixed, inputs)


def parameters(player: nn.Module, rate: float) -> tuple[list[nn.Parameter], float]:
    return list(player.parameters()), rate
