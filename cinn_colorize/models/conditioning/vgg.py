"""The VGG-like conditioning network of the paper, its classifier of colours, and its heads (paper 4.2).

The layers are those of Zhang, Isola and Efros, "Colorful Image Colorization" (2016,
https://arxiv.org/abs/1603.08511). They are pretrained with a 1x1 convolution to the logits of colour bins,
the second to last layer there (the last one maps bins to colours); the network is cut before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.models.conditioning.layers import conv

WIDTHS = (64, 128, 256, 512)  # channels at 256, 128, 64 and 32 px; the features have the third


class VggNetwork(nn.Module):
    """h: features at 64 px of L at 256 px, given the channels at 256, 128, 64 and 32 px."""

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
        """Map L (N, 1, 256, 256), scaled to [-1, 1], to features (N, channels, 64, 64)."""
        features: Tensor = self.layers(L)
        return features


class BinClassifier(nn.Module):
    """The logits of colour bins, (N, bins, H, W), of features (N, channels, H, W)."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.to_bins = conv(channels, bins, 1)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.to_bins(F.relu(features))
        return logits


def vgg_head(widths: Sequence[int], halvings: int) -> nn.Sequential:
    """Build h_k: 3x3 convolutions from the features to the condition of one coupling block, and a batch norm.

    ``widths`` are the channels of the features, between the convolutions, and of the result; the first
    ``halvings`` convolutions have stride 2.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [conv(before, after, stride=2 if i < halvings else 1), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1], nn.BatchNorm2d(widths[-1]))


def _group(inputs: int, outputs: int, count: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """Build convolutions with ReLU, the last one strided, and a batch norm."""
    layers: list[nn.Module] = []
    for i in range(count):
        last = i == count - 1
        layer = conv(outputs if i else inputs, outputs, 3, stride if last else 1, dilation)
        layers += [layer, nn.ReLU()]
    return [*layers, nn.BatchNorm2d(outputs)]
