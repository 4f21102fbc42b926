"""Invertible maps one after another."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Conditions
from typing import Any

import torch
from torch import Tensor, nn

from cinn_colorize.flow.recompute import Tape, apply

# Maps, or four coupling blocks, after which an output is kept: so rounding of inverses does not build up.
_KEPT_EVERY = 8


class Sequence(nn.Module):
    """Apply maps in order, or their inverses in reverse order, and add up their log-dets.

    Args:
        maps: modules with ``forward(x, condition)`` and ``inverse(z, condition)``, each returning the result
            and its log-det (N,).

    Attributes:
        save_memory: in training keep the output of every eighth map and the last one alone, and recompute the
            others by inversion, see :mod:`cinn_colorize.flow.recompute`.
    """

    def __init__(self, maps: Iterable[nn.Module]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)
        self.save_memory = False

    def forward(self, x: Tensor, conditions: Conditions[Any]) -> tuple[Tensor, Tensor]:
        """X through all maps; ``conditions`` holds one for each map, None for those that take none."""
        log_det = x.new_zeros(len(x))
        saving = self.save_memory and torch.is_grad_enabled()
        tape = Tape()
        for position, (transform, condition) in enumerate(zip(self.maps, conditions, strict=True)):
            if position % _KEPT_EVERY == 0:
                tape = Tape()
            x, change = apply(transform, x, condition, tape) if saving else transform(x, condition)
            log_det = log_det + change
        return x, log_det

    def inverse(self, z: Tensor, conditions: Conditions[Any]) -> tuple[Tensor, Tensor]:
        """Z back through all maps, last first."""
        log_det = z.new_zeros(len(z))
        pairs = list(zip(self.maps, conditions, strict=True))
        for transform, condition in reversed(pairs):
            z, change = transform.inverse(z, condition)  # type: ignore[operator]
            log_det = log_det + change
        return z, log_det
