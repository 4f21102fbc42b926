"""The VGG-like conditioning network of the paper, its classifier of colours, and its heads (paper 4.2).

The layers are those of Zhang, Isola and Efros, "Colorful Image Colorization" (2016,
https://arxiv.org/abs/1603.08511). A 1x1 convolution to the logits of colour bins pretrains them; it is the
second to last layer there (the last one brings bins to colours), and before it the network is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.conditioning.layers import conv

WIDTHS = (64, 128, 256, 512)  # channels at 256, 128, 64 and 32 px; the third are those of the features


class VggNetwork(nn.Module):
    """h: features at 64 px of L at 256 px.

    Args:
        widths: channels at 256, 128, 64 and 32 px.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        w256, w128, w64, w32 = widths
        self.layers = nn.Sequential(
            *_group(1, w256, count=2, stride=2),
            *_group(w256, w128, count=2, stride=2),
            *_group(w128, w64, count=3, stride=2),
            *_group(w64, w32, count=3),
            *_group(w32, w32, count=3, dilation=2),
            *_group(w32, w32, count=3, dilation=2),
            *_group(w32, w32, count=3),
            nn.ConvTranspose2d(w32, w64, 4, stride=2, padding=1),
            nn.ReLU(),
            conv(w64, w64),
            nn.ReLU(),
            conv(w64, w64),
        )
        self.channels = w64

    def forward(self, L: Tensor) -> Tensor:
        """L (N, 1, 256, 256), scaled to [-1, 1] -> features (N, channels, 64, 64)."""
        features: Tensor = self.layers(L)
        return features


class BinClassifier(nn.Module):
    """The logits of colour bins from the features.

    Args:
        channels: of the features.
        bins: how many there are.
    """

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.to_bins = conv(channels, bins, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, 64, 64) -> (N, bins, 64, 64)."""
        logits: Tensor = self.to_bins(F.relu(features))
        return logits


def vgg_head(widths: Sequence[int], halvings: int) -> nn.Sequential:
    """h_k: 3x3 convolutions from the features to what one coupling block needs, and a batch norm.

    Args:
        widths: channels of the features, between the convolutions, and of the result.
        halvings: how many convolutions, the first ones, have stride 2.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [conv(before, after, stride=2 if i < halvings else 1), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1], nn.BatchNorm2d(widths[-1]))


def _group(inputs: int, outputs: int, count: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """Convolutions with ReLU, the last one strided, and a batch norm."""
    layers: list[nn.Module] = []
    for i in range(count):
        last = i == count - 1
        layer = conv(outputs if i else inputs, outputs, 3, stride if last else 1, dilation)
        layers += [layer, nn.ReLU()]
    return [*layers, nn.BatchNorm2d(outputs)]
