"""A lifting step, which codes details relative to those that an edge-aware upsampling predicts."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow.downsampling import haar
from cinn_colorize.flow.transform import Transform
from cinn_colorize.imaging.guided import coefficients

_WINDOW = 3  # side of the guided filter's windows at the coarser size, in pixels


def enlarge(x: Tensor) -> Tensor:
    """Enlarge (N, C, h, w) to (N, C, 2h, 2w) bilinearly, pixels taken as areas."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _box(x: Tensor) -> Tensor:
    """Average ``x`` (N, C, H, W) over windows of pixels, edges repeated; the shape stays."""
    return F.avg_pool2d(F.pad(x, (_WINDOW // 2,) * 4, mode="replicate"), _WINDOW, stride=1)


class GuidedMean(NamedTuple):
    """The coarser level, and the guide whose edges the finer level follows, at both sizes."""

    mean: Tensor  # (N, C, h, w)
    guide: Tensor  # (N, 1, h, w)
    guide_fine: Tensor  # (N, 1, 2h, 2w)


class GuidedShift(Transform[GuidedMean]):
    """Subtract from the details their prediction by a guided filter of the coarser level, a mere shift.

    It removes the square blocks that plain Haar samples show, and leaves to the details only what the edges
    of the guide do not explain.

    Args:
        limit: the filter sees the coarser level within +-limit.
        eps: the guided filter's regularisation, in squared units of the guide.
    """

    def __init__(self, limit: float, eps: float = 1e-2) -> None:
        super().__init__()
        self.limit, self.eps = limit, eps

    def _predicted(self, condition: GuidedMean) -> Tensor:
        """Predict the details, (N, 3 C, h, w)."""
        mean, guide, guide_fine = condition
        mean = mean.clamp(-self.limit, self.limit)
        if mean.shape[-1] <= _WINDOW:  # the windows would cover everything
            return haar(enlarge(mean))[1]
        slope, offset = coefficients(guide, mean, _box, self.eps)
        return haar(enlarge(slope) * guide_fine + enlarge(offset))[1]

    def forward(self, details: Tensor, condition: GuidedMean) -> tuple[Tensor, Tensor]:
        """Subtract the prediction from details (N, 3 C, h, w)."""
        return details - self._predicted(condition), details.new_zeros(len(details))

    def inverse(self, residual: Tensor, condition: GuidedMean) -> tuple[Tensor, Tensor]:
        """Add the prediction back."""
        return residual + self._predicted(condition), residual.new_zeros(len(residual))
