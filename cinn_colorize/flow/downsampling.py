"""Reductions to half the size: Haar wavelets (paper 3.4, Fig. 3), and the reshape of i-RevNet."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow import Transform


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Take one orthonormal Haar step of x, (N, C, 2h, 2w).

    It returns the average, (N, C, h, w), twice the mean of each 2x2 block, and the details, (N, 3 C, h, w):
    all horizontal, then all vertical, then all diagonal differences.
    """
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    details = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], dim=1)
    return (a + b + c + d) / 2, details / 2


def inverse_haar(average: Tensor, details: Tensor) -> Tensor:
    """Undo :func:`haar`: (N, C, h, w) and (N, 3 C, h, w) -> (N, C, 2h, 2w)."""
    horizontal, vertical, diagonal = details.chunk(3, dim=1)
    corners = [
        average + horizontal + vertical + diagonal,
        average - horizontal + vertical - diagonal,
        average + horizontal - vertical - diagonal,
        average - horizontal - vertical + diagonal,
    ]
    return F.pixel_shuffle(torch.stack(corners, dim=2).flatten(1, 2) / 2, 2)


class HaarDownsampling(Transform[None]):
    """Bring an image to half its size and four times its channels by a Haar step, the averages first.

    The averages are halved to means, so that values keep their scale from level to level. The details are
    halved as well, or orthonormal.
    """

    def __init__(self, halve_details: bool = True) -> None:
        super().__init__()
        self.halve_details = halve_details

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        average, details = haar(x)
        z = torch.cat([average / 2, details / 2 if self.halve_details else details], dim=1)
        return z, -self._log_det(z)

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        channels = z.shape[1] // 4
        mean, details = z[:, :channels], z[:, channels:]
        return inverse_haar(2 * mean, 2 * details if self.halve_details else details), self._log_det(z)

    def _log_det(self, z: Tensor) -> Tensor:
        """Return the log-det of the inverse."""
        halved = z[0].numel() if self.halve_details else z[0].numel() // 4
        return z.new_full((len(z),), math.log(2) * halved)


class Squeeze(Transform[None]):
    """Turn each 2x2 block of pixels into four adjacent channels, row by row.

    After Jacobsen, Smeulders and Oyallon, "i-RevNet" (2018, https://arxiv.org/abs/1802.07088).
    """

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(z, 2), z.new_zeros(len(z))
