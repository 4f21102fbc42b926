"""Invertible maps of Haar details: relative to a prediction of them, near their bounds, and one by one.

A value within its bounds stays as it is; what lies beyond is scaled by a constant above zero, the leak.
Unlike a hard limit, this is a bijection with an exact log-det.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow import Transform
from cinn_colorize.flow.downsampling import haar
from cinn_colorize.imaging.guided import coefficients

_WINDOW = 3  # side of the guided filter's windows at the coarser size, in pixels


class GuidedMean(NamedTuple):
    """The coarser level, and the guide whose edges the finer level follows, at both sizes."""

    mean: Tensor  # (N, C, h, w)
    guide: Tensor  # (N, 1, h, w)
    guide_fine: Tensor  # (N, 1, 2h, 2w)


class GuidedShift(Transform[GuidedMean]):
    """Subtract from the details their prediction by a guided filter of the coarser level, a mere shift.

    It removes the square blocks that plain Haar samples show, and leaves to the details only what the edges
    of the guide do not explain. The filter sees the coarser level within +-limit; ``eps`` is its
    regularisation, in squared units of the guide.
    """

    def __init__(self, limit: float, eps: float = 1e-2) -> None:
        super().__init__()
        self.limit, self.eps = limit, eps

    def _predicted(self, condition: GuidedMean) -> Tensor:
        mean, guide, guide_fine = condition
        mean = mean.clamp(-self.limit, self.limit)
        if mean.shape[-1] <= _WINDOW:  # the windows would cover everything
            return haar(_enlarged(mean))[1]
        slope, offset = coefficients(guide, mean, _box, self.eps)
        return haar(_enlarged(slope) * guide_fine + _enlarged(offset))[1]

    def forward(self, details: Tensor, condition: GuidedMean) -> tuple[Tensor, Tensor]:
        return details - self._predicted(condition), details.new_zeros(len(details))

    def inverse(self, residual: Tensor, condition: GuidedMean) -> tuple[Tensor, Tensor]:
        return residual + self._predicted(condition), residual.new_zeros(len(residual))


def _enlarged(x: Tensor) -> Tensor:
    """Enlarge (N, C, h, w) to (N, C, 2h, 2w) bilinearly, pixels taken as areas."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _box(x: Tensor) -> Tensor:
    """Average over windows, edges repeated."""
    return F.avg_pool2d(F.pad(x, (_WINDOW // 2,) * 4, mode="replicate"), _WINDOW, stride=1)


class Interval(NamedTuple):
    """Bounds, of the same shape as the values that they bound."""

    low: Tensor
    high: Tensor

    def mean(self, other: "Interval") -> "Interval":
        """Return the bounds of the mean of two bounded values."""
        return Interval((self.low + other.low) / 2, (self.high + other.high) / 2)

    def halve(self) -> "Interval":
        """Return the bounds of the means of 2x2 blocks."""
        return Interval(*(F.avg_pool2d(t, 2) for t in self))


class LeakyClamp(Transform[Interval]):
    """Bring values towards their bounds, of the same shape, in the generating direction, and undo that.

    Beyond the bounds, the slope of the inverse is the leak, which must be above 0, or is a ValueError.
    """

    def __init__(self, leak: float) -> None:
        super().__init__()
        if not leak > 0:
            raise ValueError(f"the leak must be above 0, not {leak:g}")
        self.leak = leak

    def forward(self, x: Tensor, condition: Interval) -> tuple[Tensor, Tensor]:
        return self._scale_beyond(x, condition, 1 / self.leak)

    def inverse(self, z: Tensor, condition: Interval) -> tuple[Tensor, Tensor]:
        return self._scale_beyond(z, condition, self.leak)

    @staticmethod
    def _scale_beyond(x: Tensor, bounds: Interval, factor: float) -> tuple[Tensor, Tensor]:
        within = torch.minimum(torch.maximum(x, bounds.low), bounds.high)
        beyond = x - within
        log_det = math.log(factor) * (beyond != 0).to(x.dtype).flatten(1).sum(1)
        return within + factor * beyond, log_det


class BoundedMean(NamedTuple):
    """The coarser level, and the bounds of the pixels whose mean it is."""

    mean: Tensor  # (N, C, h, w)
    pixels: Interval  # (N, C, 2h, 2w)


class BoundedDetails(Transform[BoundedMean]):
    """Change Haar details so that the pixels lie near their bounds.

    A Haar step takes three differences of a 2x2 block in turn: between the means of its columns, then within
    each column. Given the mean of two values that lie in intervals, their half difference lies in an interval
    too, so each difference is bounded given those before it.
    """

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.clamp = LeakyClamp(leak)

    def forward(self, details: Tensor, condition: BoundedMean) -> tuple[Tensor, Tensor]:
        mean, bounds = condition.mean, _Blocks(condition.pixels)
        columns, left, right = _differences(details)
        free_columns, by_columns = self.clamp(columns, bounds.columns(mean))
        free_left, by_left = self.clamp(left, bounds.left(mean + columns))
        free_right, by_right = self.clamp(right, bounds.right(mean - columns))
        return _details(free_columns, free_left, free_right), by_columns + by_left + by_right

    def inverse(self, free: Tensor, condition: BoundedMean) -> tuple[Tensor, Tensor]:
        mean, bounds = condition.mean, _Blocks(condition.pixels)
        free_columns, free_left, free_right = _differences(free)
        columns, by_columns = self.clamp.inverse(free_columns, bounds.columns(mean))
        left, by_left = self.clamp.inverse(free_left, bounds.left(mean + columns))
        right, by_right = self.clamp.inverse(free_right, bounds.right(mean - columns))
        return _details(columns, left, right), by_columns + by_left + by_right


def _differences(details: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Halve the differences between the means of the columns, and within the left and the right one."""
    horizontal, vertical, diagonal = details.chunk(3, dim=1)
    return horizontal / 2, (vertical + diagonal) / 2, (vertical - diagonal) / 2


def _details(columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Undo :func:`_differences`."""
    return torch.cat([2 * columns, left + right, left - right], dim=1)


class _Blocks:
    """Intervals of the half differences in 2x2 blocks of bounded pixels."""

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
    """Bound d so that mean + d lies in the first interval and mean - d in the second."""
    both = first.mean(second)
    mean = torch.minimum(torch.maximum(mean, both.low), both.high)  # a mean out of bounds leaves one point
    low = torch.maximum(first.low - mean, mean - second.high)
    high = torch.minimum(first.high - mean, mean - second.low)
    return Interval(low, torch.maximum(low, high))  # equal up to rounding at that point


class SinhMap(Transform[Tensor]):
    """Map values with heavy, skewed tails to a normal distribution, one by one.

    With parameters m (location), s (log-scale), k (skew) and w (tail weight) per value::

        x = m + exp(s) / w * (S(w z + asinh k) - k),   S(u) = sinh(u) within +-knee, its tangent beyond

    After the sinh-arcsinh distributions of Jones and Pewsey (2009, https://doi.org/10.1093/biomet/asp053);
    with tangents, as likely samples explode far less. The knee lies above asinh of the largest skew, so at
    1.5 or more. Log-scales lie above -4 and below ``limit``.
    """

    PARAMETERS = 4  # condition channels per value

    def __init__(self, knee: float, limit: float = 4.0) -> None:
        super().__init__()
        self.knee, self.edge, self.slope, self.limit = knee, math.sinh(knee), math.cosh(knee), limit

    def _unpack(self, condition: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        location, log_scale, skew, tail = condition.chunk(self.PARAMETERS, dim=1)
        # Soft limits: of scales, of skew +-2, of tail weight 0.05 (normal) and 1.05 (heavy).
        narrow, wide = log_scale.clamp(max=0), log_scale.clamp(min=0)
        log_scale = 4 * torch.tanh(narrow / 4) + self.limit * torch.tanh(wide / self.limit)
        return location, log_scale, 2 * torch.tanh(skew / 2), 0.05 + torch.sigmoid(tail - 1)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale, skew, tail = self._unpack(condition.to(x.dtype))
        v = tail * (x - location) * torch.exp(-log_scale) + skew
        inner = v.clamp(-self.edge, self.edge)
        z = (torch.asinh(inner) + (v - inner) / self.slope - torch.asinh(skew)) / tail
        log_det = -log_scale - 0.5 * torch.log1p(inner * inner)
        return z, log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale, skew, tail = self._unpack(condition.to(z.dtype))
        u = tail * z + torch.asinh(skew)
        bounded = u.clamp(-self.knee, self.knee)
        inner = torch.sinh(bounded)
        v = inner + (u - bounded) * self.slope
        log_det = log_scale + 0.5 * torch.log1p(inner * inner)
        return location + (v - skew) / tail * torch.exp(log_scale), log_det.flatten(1).sum(1)
