"""Haar wavelet downsampling (paper 3.4, Fig. 3)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """One orthonormal Haar step.

    Args:
        x: (N, C, 2h, 2w).

    Returns:
        the average, (N, C, h, w), twice the mean of each 2x2 block, and the details, (N, 3 C, h, w):
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


class HaarDownsampling(nn.Module):
    """A Haar step of an image to half its size and four times its channels, the averages first.

    All are halved, so that the averages are means: colours keep their scale. Each value adds -log 2 to the
    log-det.
    """

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """(N, C, 2h, 2w) -> (N, 4 C, h, w), log-det (N,)."""
        z = torch.cat(haar(x), dim=1) / 2
        return z, self._log_det(z, -1)

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """(N, 4 C, h, w) -> (N, C, 2h, 2w), log-det (N,)."""
        channels = z.shape[1] // 4
        return inverse_haar(2 * z[:, :channels], 2 * z[:, channels:]), self._log_det(z, 1)

    @staticmethod
    def _log_det(z: Tensor, sign: int) -> Tensor:
        return z.new_full((len(z),), sign * math.log(2) * z[0].numel())


class HaarSplit(nn.Module):
    """A Haar step that splits an image into its half-size mean and the details.

    The mean, not the orthonormal average, goes on: colours keep their scale from level to level, so one
    normalisation and one limit serve them all. Each value of the mean adds -log 2 to the log-det.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, 2h, 2w) -> mean (N, C, h, w), details (N, 3 C, h, w), log-det (N,)."""
        average, details = haar(x)
        return average / 2, details, self._log_det(average, -1)

    def inverse(self, mean: Tensor, details: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (N, C, h, w) and details (N, 3 C, h, w) -> (N, C, 2h, 2w) and log-det (N,)."""
        return inverse_haar(2 * mean, details), self._log_det(mean, 1)

    @staticmethod
    def _log_det(mean: Tensor, sign: int) -> Tensor:
        return mean.new_full((len(mean),), sign * math.log(2) * mean[0].numel())
