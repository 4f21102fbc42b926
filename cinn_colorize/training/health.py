"""Which steps are left out: those that are not finite, and those that explode."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

EXPLODING = 20.0  # times the running median, a gradient norm explodes
WINDOW = 100  # steps that the median is taken of
KNOWN = 20  # steps that have to be known before any norm is called exploding


class Health:
    """Judges steps by their loss and gradient norm before they change the model.

    A norm explodes if it is more than 20 times the median of the last 100 steps that were taken. Clipping
    (:attr:`TrainingConfig.clip`) bounds every step; but the direction of such a one is that of an accident.

    Args:
        norms: of the last steps, oldest first.
        exploding: times the running median, a norm explodes.
    """

    def __init__(self, norms: Iterable[float] = (), exploding: float = EXPLODING) -> None:
        self.norms, self.exploding = deque(norms, WINDOW), exploding

    def fault(self, loss: float, norm: float) -> str:
        """Why a step is to be left out; empty for a good one, whose norm is remembered."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss:g}, gradient norm {norm:g}"
        if len(self.norms) >= KNOWN and norm > self.exploding * (usual := median(self.norms)):
            return f"gradient norm {norm:.3g}, {norm / max(usual, 1e-12):.0f} times its median"
        self.norms.append(norm)
        return ""
