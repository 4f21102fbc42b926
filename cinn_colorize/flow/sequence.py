"""Invertible maps one after another."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as List
from typing import Any, cast

import torch
from torch import Tensor, nn

from cinn_colorize.flow.coupling import AffineCoupling, Conditions
from cinn_colorize.flow.recompute import Tape, apply
from cinn_colorize.flow.transform import Transform

# An output is kept every eight maps (four coupling blocks), so that rounding of inverses does not build up.
_KEPT_EVERY = 8


class Sequence(Transform[List[Any]]):
    """Apply maps in order, or their inverses in reverse order, and add up their log-dets.

    The condition is a list of theirs, None for unconditional ones.

    Attributes:
        save_memory: in training, keep only the output of every eighth map and of the last one, and recompute
            the others by inversion, see :mod:`cinn_colorize.flow.recompute`.
    """

    def __init__(self, maps: Iterable[Transform[Any]]) -> None:
        super().__init__()
        self.maps = cast(List[Transform[Any]], nn.ModuleList(maps))
        self.save_memory = False

    def forward(self, x: Tensor, condition: List[Any]) -> tuple[Tensor, Tensor]:
        """Map x through all maps."""
        log_det = x.new_zeros(len(x))
        saving = self.save_memory and torch.is_grad_enabled()
        tape = Tape()
        for position, (transform, c) in enumerate(zip(self.maps, condition, strict=True)):
            if position % _KEPT_EVERY == 0:
                tape = Tape()
            x, change = apply(transform, x, c, tape) if saving else transform(x, c)
            log_det = log_det + change
        return x, log_det

    def inverse(self, z: Tensor, condition: List[Any]) -> tuple[Tensor, Tensor]:
        """Map z back through all maps, the last one first."""
        log_det = z.new_zeros(len(z))
        for transform, c in reversed(list(zip(self.maps, condition, strict=True))):
            z, change = transform.inverse(z, c)
            log_det = log_det + change
        return z, log_det

    def coupling_conditions(self, pairs: Iterable[Conditions]) -> list[Any]:
        """List the condition of each map, given those of the first coupling blocks; others have none."""
        left = iter(pairs)
        return [next(left, None) if isinstance(m, AffineCoupling) else None for m in self.maps]
