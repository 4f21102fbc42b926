"""The learning rate over a run."""

from __future__ import annotations

import math


def cosine(seen: float, photos: int, peak: float, warmup: int) -> float:
    """Compute the rate: a linear warm-up over ``warmup`` photos, times a cosine to zero over the run.

    Args:
        seen: number of photos seen so far.
        photos: number of photos of the whole run.
        peak: largest rate.
        warmup: number of photos of the warm-up.
    """
    rise = min(1.0, seen / max(warmup, 1))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * min(seen / photos, 1)))
