"""The guided filter, evaluated at another size than it was fitted at.

He, Sun and Tang, "Guided Image Filtering" (2013, https://doi.org/10.1109/TPAMI.2012.213), in the fast
form of He and Sun (2015, https://arxiv.org/abs/1505.00996): in every window of a small image the values
are fitted as a linear function of the guide, ``slope * guide + offset``; the coefficients, enlarged, are
applied to the guide at full size. The flow predicts details with it, the upsampling brings chroma to full
size with it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def box(x: Tensor, radius: int = 1) -> Tensor:
    """Mean over windows of (2 radius + 1)^2 pixels of ``x`` (N, C, H, W), edges repeated; same shape."""
    size = 2 * radius + 1
    return F.avg_pool2d(F.pad(x, (radius,) * 4, mode="replicate"), size, stride=1)


def coefficients(guide: Tensor, values: Tensor, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """Fit ``values`` as a linear function of ``guide`` in every window.

    Args:
        guide: (N, 1, H, W).
        values: (N, C, H, W).
        radius: of the windows, in pixels.
        eps: regularisation of the slope, in squared units of the guide; larger means smoother.

    Returns:
        slope and offset, each (N, C, H, W), averaged over the windows that cover a pixel.
    """
    mean_guide, mean_values = box(guide, radius), box(values, radius)
    covariance = box(values * guide, radius) - mean_values * mean_guide
    variance = box(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (variance + eps)
    return box(slope, radius), box(mean_values - slope * mean_guide, radius)
