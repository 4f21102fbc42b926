"""The learning rate over a run."""

from __future__ import annotations

import math


def cosine(seen: int, photos: int, peak: float, warmup: int) -> float:
    """Linear warm-up over ``warmup`` photos, then a cosine to zero at the end of the run.

    Args:
        seen: photos seen so far.
        photos: those of the whole run.
        peak: the largest rate.
        warmup: photos of the warm-up.
    """
    rise = min(1.0, seen / max(warmup, 1))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * min(seen / photos, 1)))
