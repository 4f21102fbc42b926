"""Layers that the conditioning networks share."""

import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Build a padded convolution, Xavier-initialised (paper 3.4)."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class ResidualBlock(nn.Module):
    """Two convolutions added to the identity, as which the block starts.

    He et al., "Identity Mappings in Deep Residual Networks" (2016, https://arxiv.org/abs/1603.05027).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)
        nn.init.zeros_(self.second.weight)

    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.second(F.silu(self.first(h)))
        return h + change
