"""Attention: distant parts of one object agree on what they are."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

_FEW = 64  # tokens


class SelfAttention(nn.Module):
    """Transformer blocks over all pixels of a small grid, starting as the identity.

    Vaswani et al., "Attention Is All You Need" (2017, https://arxiv.org/abs/1706.03762), norm first, with a
    multiple of 32 channels.
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
