"""Find the steps to leave out: those that are not finite, and those that explode."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

EXPLODING = 20.0  # a gradient norm explodes above this multiple of its running median
WINDOW = 100  # steps in the running median
KNOWN = 20  # steps required before any norm counts as exploding


class Health:
    """Judge steps by their loss and gradient norm before they change the model.

    A norm explodes if it is more than ``exploding`` times the median of the last 100 steps taken: clipped,
    such a step would have an arbitrary direction.
    """

    def __init__(self, norms: Iterable[float] = (), exploding: float = EXPLODING) -> None:
        self.norms, self.exploding = deque(norms, WINDOW), exploding

    def fault(self, loss: float, norm: float) -> str:
        """Say why to leave out a step; return "" for a good one, and remember its norm."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss:g}, gradient norm {norm:g}"
        if len(self.norms) >= KNOWN and norm > self.exploding * (usual := median(self.norms)):
            return f"gradient norm {norm:.3g}, {norm / max(usual, 1e-12):.0f} times its median"
        self.norms.append(norm)
        return ""
