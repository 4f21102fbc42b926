"""Attention: distant parts of one object agree on what they are and on their colours."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cinn_colorize.models.conditioning.layers import conv

_FEW = 64  # tokens


class ColorAttention(nn.Module):
    """Each pixel at 2r takes the mean of all colours at r, weighted by softmax(q . k - slope * distance).

    Queries and keys come from the pyramid alone, so the weights are computed once per photo. The result is a
    condition, not part of the flow, so it adds no log-det.

    Args:
        resolution: r, the resolution of the colours.
        query_channels: channels of the pyramid at 2r.
        key_channels: channels of the pyramid at r.

    Attributes:
        heads: number of heads.
        width: channels of a head's queries and keys.
    """

    heads: ClassVar[int] = 4
    width: ClassVar[int] = 16
    distance: Tensor

    def __init__(self, resolution: int, query_channels: int, key_channels: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.query = conv(query_channels, self.heads * self.width, 1)
        self.key = conv(key_channels, self.heads * self.width, 1)
        self.log_slope = nn.Parameter(torch.logspace(-1, math.log10(2), self.heads).log())
        distance = torch.cdist(self._centres(2 * resolution), self._centres(resolution))
        self.register_buffer("distance", distance, persistent=False)

    def _centres(self, n: int) -> Tensor:
        """Return the pixel centres of an n x n grid in pixels of r, (n^2, 2)."""
        line = (torch.arange(n) + 0.5) / n * self.resolution
        return torch.cartesian_prod(line, line)

    def weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Map the pyramid at 2r (N, C, 2r, 2r) and at r (N, C', r, r) to weights (N, heads, 4 r^2, r^2)."""
        q = self.query(queries).unflatten(1, (self.heads, self.width)).flatten(3).transpose(2, 3)
        k = self.key(keys).unflatten(1, (self.heads, self.width)).flatten(3)
        bias = self.log_slope.exp()[:, None, None] * self.distance
        return (q @ k / math.sqrt(self.width) - bias).softmax(dim=-1)

    def forward(self, weights: Tensor, colours: Tensor) -> Tensor:
        """Average colours (N, 2, r, r) by the weights to attended colours (N, 2 heads, 2r, 2r)."""
        values = colours.flatten(2).transpose(1, 2)[:, None]  # (N, 1, r^2, 2)
        attended = (weights @ values).transpose(2, 3)  # (N, heads, 2, 4 r^2)
        size = 2 * self.resolution
        return attended.reshape(len(colours), 2 * self.heads, size, size)


class SelfAttention(nn.Module):
    """Transformer blocks over all pixels of a small grid, starting as the identity.

    Vaswani et al., "Attention Is All You Need" (2017, https://arxiv.org/abs/1706.03762), norm first.

    Args:
        channels: channels of the features, a multiple of 32.
        resolution: side of the grid in pixels.
        blocks: number of blocks.
    """

    def __init__(self, channels: int, resolution: int, blocks: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(resolution**2, channels))
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            block = nn.TransformerEncoderLayer(
                channels,
                channels // 32,
                2 * channels,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for last in (block.self_attn.out_proj, block.linear2):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
            self.blocks.append(block)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (N, channels, r, r); the shape stays."""
        n, channels, height, width = features.shape
        x = features.flatten(2).transpose(1, 2)
        positioned = x + self.position
        # On a CPU, the gradient of torch's fused attention takes twice as long for so few tokens.
        plain = self.training and x.device.type == "cpu" and height * width <= _FEW
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            for block in self.blocks:
                positioned = block(positioned)
        return (positioned - self.position).transpose(1, 2).reshape(n, channels, height, width)
