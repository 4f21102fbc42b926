"""A lifting step: details are coded relative to those that an edge-aware upsampling predicts."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow.haar import haar
from cinn_colorize.flow.transform import Transform
from cinn_colorize.guided import coefficients


def enlarge(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, 2h, 2w), bilinear, pixels taken as areas."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class GuidedMean(NamedTuple):
    """The coarser level, and the guide whose edges the finer one follows, at both sizes."""

    mean: Tensor  # (N, C, h, w)
    guide: Tensor  # (N, 1, h, w)
    guide_fine: Tensor  # (N, 1, 2h, 2w)


class GuidedShift(Transform[GuidedMean]):
    """Subtract from the details what a guided filter of the coarser level expects them to be.

    A shift given the coarser level, so its log-det is zero. It removes the square blocks that plain Haar
    samples show, and takes from the details what the edges of the guide explain already.

    Args:
        limit: what is seen of the coarser level is limited to +-limit (the level itself is not).
        radius: of the guided filter's windows at the coarser size, in pixels.
        eps: the guided filter's regularisation, in squared units of the guide.
    """

    def __init__(self, limit: float, radius: int = 1, eps: float = 1e-2) -> None:
        super().__init__()
        self.limit, self.radius, self.eps = limit, radius, eps

    def _box(self, x: Tensor) -> Tensor:
        """Mean over windows of (2 radius + 1)^2 pixels of ``x`` (N, C, H, W), edges repeated; same shape."""
        padded = F.pad(x, (self.radius,) * 4, mode="replicate")
        return F.avg_pool2d(padded, 2 * self.radius + 1, stride=1)

    def _predicted(self, condition: GuidedMean) -> Tensor:
        """Predict the details, (N, 3 C, h, w)."""
        mean, guide, guide_fine = condition
        mean = mean.clamp(-self.limit, self.limit)
        if mean.shape[-1] < 2 * self.radius + 2:  # the windows would cover everything
            return haar(enlarge(mean))[1]
        slope, offset = coefficients(guide, mean, self._box, self.eps)
        return haar(enlarge(slope) * guide_fine + enlarge(offset))[1]

    def forward(self, details: Tensor, condition: GuidedMean) -> tuple[Tensor, Tensor]:
        """Subtract the prediction from details (N, 3 C, h, w); and a log-det of zeros."""
        return details - self._predicted(condition), details.new_zeros(len(details))

    def inverse(self, residual: Tensor, condition: GuidedMean) -> tuple[Tensor, Tensor]:
        """Add the prediction back; and a log-det of zeros."""
        return residual + self._predicted(condition), residual.new_zeros(len(residual))
