"""A small conditioning network, trained from scratch together with its flow (paper 3.3)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.models.conditioning.layers import conv


class PlainNetwork(nn.Module):
    """Convolutions from L at 64 px to features at 64, 32 and 16 px and one vector, batch-normalised."""

    CHANNELS: ClassVar[dict[int, int]] = {64: 64, 32: 128, 16: 128, 0: 512}  # by resolution, 0: the vector

    def __init__(self) -> None:
        super().__init__()
        self.at64 = nn.Sequential(conv(1, 64), nn.LeakyReLU(), conv(64, 64))
        self.at32 = nn.Sequential(nn.LeakyReLU(), conv(64, 128, stride=2), nn.LeakyReLU(), conv(128, 128))
        self.at16 = nn.Sequential(nn.LeakyReLU(), conv(128, 128, stride=2))
        self.vector = nn.Sequential(
            nn.LeakyReLU(), conv(128, 256, stride=2), nn.LeakyReLU(), conv(256, 512, stride=2)
        )
        self.norm = nn.BatchNorm1d(512)

    def forward(self, L: Tensor) -> dict[int, Tensor]:
        """Compute features by resolution r, (N, CHANNELS[r], r, r), and the vector (N, 512) as 0.

        Args:
            L: (N, 1, 64, 64), scaled to [-1, 1].
        """
        at64 = self.at64(L)
        at32 = self.at32(at64)
        at16 = self.at16(at32)
        vector = self.norm(F.leaky_relu(self.vector(at16)).mean((2, 3)))
        return {64: at64, 32: at32, 16: at16, 0: vector}
