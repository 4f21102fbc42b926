"""Maps that keep values near the bounds that are known for them, and stay invertible.

Within its bounds a value is left alone; what lies beyond is drawn near them by a constant factor, the leak.
As the slope is never zero this is a bijection of the real line, and its log-det is exact: no limiter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Interval(NamedTuple):
    """Bounds of the same shape as what they bound."""

    low: Tensor
    high: Tensor

    def mean(self, other: Interval) -> Interval:
        """Bounds of the mean of two bounded values."""
        return Interval((self.low + other.low) / 2, (self.high + other.high) / 2)

    def halve(self) -> Interval:
        """Bounds of the means of 2x2 blocks."""
        return Interval(*(F.avg_pool2d(t, 2) for t in self))


def leaky_clamp(u: Tensor, bounds: Interval, leak: float) -> tuple[Tensor, Tensor]:
    """Bring values towards their bounds: what is beyond counts ``leak`` times; and the log-det (N,)."""
    return _scale_beyond(u, bounds, leak)


def leaky_clamp_inverse(x: Tensor, bounds: Interval, leak: float) -> tuple[Tensor, Tensor]:
    """Undo :func:`leaky_clamp`."""
    return _scale_beyond(x, bounds, 1 / leak)


def _scale_beyond(x: Tensor, bounds: Interval, factor: float) -> tuple[Tensor, Tensor]:
    within = torch.minimum(torch.maximum(x, bounds.low), bounds.high)
    beyond = x - within
    log_det = math.log(factor) * (beyond != 0).to(x.dtype).flatten(1).sum(1)
    return within + factor * beyond, log_det


class BoundedDetails:
    """Haar details whose pixels are drawn near the bounds of the pixels.

    A Haar step of a 2x2 block is three differences, one after another: between the means of its columns, then
    within each column. Given the mean of two values that lie in intervals, their half difference lies in an
    interval too; so each difference is bounded, given those before it, and the log-dets add up.

    Args:
        leak: what a difference beyond its bounds counts.
    """

    def __init__(self, leak: float) -> None:
        self.leak = leak

    def forward(self, details: Tensor, mean: Tensor, pixels: Interval) -> tuple[Tensor, Tensor]:
        """Details (N, 3 C, h, w) given the mean (N, C, h, w) and bounds (N, C, 2h, 2w) -> free details."""
        horizontal, vertical, diagonal = details.chunk(3, dim=1)
        columns, left, right = horizontal / 2, (vertical + diagonal) / 2, (vertical - diagonal) / 2
        bounds = _Blocks(pixels)
        free_columns, by_columns = leaky_clamp_inverse(columns, bounds.columns(mean), self.leak)
        free_left, by_left = leaky_clamp_inverse(left, bounds.left(mean + columns), self.leak)
        free_right, by_right = leaky_clamp_inverse(right, bounds.right(mean - columns), self.leak)
        free = torch.cat([2 * free_columns, free_left + free_right, free_left - free_right], dim=1)
        return free, by_columns + by_left + by_right

    def inverse(self, free: Tensor, mean: Tensor, pixels: Interval) -> tuple[Tensor, Tensor]:
        """Free details back to those near the bounds."""
        horizontal, vertical, diagonal = free.chunk(3, dim=1)
        bounds = _Blocks(pixels)
        columns, by_columns = leaky_clamp(horizontal / 2, bounds.columns(mean), self.leak)
        left, by_left = leaky_clamp((vertical + diagonal) / 2, bounds.left(mean + columns), self.leak)
        right, by_right = leaky_clamp((vertical - diagonal) / 2, bounds.right(mean - columns), self.leak)
        details = torch.cat([2 * columns, left + right, left - right], dim=1)
        return details, by_columns + by_left + by_right


class _Blocks:
    """Intervals of the half differences in 2x2 blocks whose pixels have bounds."""

    def __init__(self, pixels: Interval) -> None:
        corners = [Interval(*(t[..., y::2, x::2] for t in pixels)) for x in (0, 1) for y in (0, 1)]
        self._left, self._right = corners[:2], corners[2:]

    def columns(self, mean: Tensor) -> Interval:
        return _half_difference(mean, self._left[0].mean(self._left[1]), self._right[0].mean(self._right[1]))

    def left(self, mean: Tensor) -> Interval:
        return _half_difference(mean, *self._left)

    def right(self, mean: Tensor) -> Interval:
        return _half_difference(mean, *self._right)


def _half_difference(mean: Tensor, first: Interval, second: Interval) -> Interval:
    """Where d may lie if mean + d lies in the first interval and mean - d in the second."""
    both = first.mean(second)
    mean = torch.minimum(torch.maximum(mean, both.low), both.high)  # a mean beyond leaves one point, not none
    low = torch.maximum(first.low - mean, mean - second.high)
    high = torch.minimum(first.high - mean, mean - second.low)
    return Interval(low, torch.maximum(low, high))  # equal up to rounding at that point
