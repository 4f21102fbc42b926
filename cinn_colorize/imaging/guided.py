"""The guided filter, applied at another size than it was fitted at.

He, Sun and Tang, "Guided Image Filtering" (2013, https://doi.org/10.1109/TPAMI.2012.213), in the fast
form of He and Sun (2015, https://arxiv.org/abs/1505.00996): in every window of a small image the values
are fitted as a linear function of the guide, ``slope * guide + offset``; the coefficients, enlarged, are
applied to the guide at full size. The flow predicts details with it, on torch tensors; the upsampling brings
chroma to full size with it, on numpy arrays. Each defines its own windows.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Planes = TypeVar("Planes", bound=Any)  # a torch tensor or a numpy array


def coefficients(
    guide: Planes, values: Planes, mean: Callable[[Planes], Planes], eps: float
) -> tuple[Planes, Planes]:
    """Fit values (..., C, H, W) as a linear function of a guide (..., 1, H, W) in every window.

    ``mean`` returns means over windows of planes, edges repeated; ``eps``, in squared units of the guide,
    keeps slopes small. Returns slope and offset, averaged over the windows that cover a pixel.
    """
    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(values * guide) - mean_values * mean_guide
    variance = mean(guide * guide) - mean_guide * mean_guide
    slope = covariance / (variance + eps)
    return mean(slope), mean(mean_values - slope * mean_guide)
