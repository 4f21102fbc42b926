"""A masked autoregressive flow over tokens, whose conditioner is a causal transformer.

Each token is mapped affinely, by a scale and a shift that follow from all tokens before it (Papamakarios,
Pavlakou and Murray, "Masked Autoregressive Flow", 2017, https://arxiv.org/abs/1705.07057); a transformer
computes them (Zhai et al., "Normalizing Flows are Capable Generative Models", 2024,
https://arxiv.org/abs/2412.06329). The Jacobian is triangular, and its log-det the sum of the log-scales.
Forward is one parallel pass, the inverse goes token by token and keeps the keys and values of those known.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow.coupling import soft_clamp
from cinn_colorize.flow.transform import Transform

_HEAD = 32  # channels of an attention head


class Patches(Transform[None]):
    """Turn an image into tokens, one for each square of pixels, row by row.

    Values only move, so the log-det is zero.

    Args:
        size: pixels of a square's side.
        width: squares in a row.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size, self.width = size, width

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """Turn (N, C, H, W) into (N, T, C size^2), with a log-det of zeros."""
        return F.pixel_unshuffle(x, self.size).flatten(2).transpose(1, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        """Turn (N, T, C size^2) into (N, C, H, W), with a log-det of zeros."""
        squares = z.transpose(1, 2).unflatten(2, (-1, self.width))
        return F.pixel_shuffle(squares, self.size), z.new_zeros(len(z))


class CausalBlock(nn.Module):
    """A transformer block whose tokens see themselves and those before them, starting as the identity.

    Vaswani et al., "Attention Is All You Need" (2017, https://arxiv.org/abs/1706.03762), normalised first.

    Args:
        channels: of a token, a multiple of 32.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.attended = nn.Linear(channels, channels)
        self.expand, self.reduce = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        for last in (self.attended, self.reduce):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, h: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """Transform tokens.

        Args:
            h: (N, T, channels); with a cache, the tokens that come next.
            cache: keys and values of the tokens before, empty at first; those of ``h`` are added.

        Returns:
            (N, T, channels).
        """
        qkv = self.query_key_value(self.norm1(h)).unflatten(-1, (3, -1, _HEAD))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (N, heads, T, 32) each
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
            cache[:] = k, v
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        h = h + self.attended(mixed.transpose(1, 2).flatten(2))
        change: Tensor = self.reduce(F.gelu(self.expand(self.norm2(h))))
        return h + change


class AutoregressivePass(Transform[Tensor]):
    """z_t = (x_t - m_t) exp(-s_t), where s_t and m_t follow from x_1, ..., x_(t-1) and the conditions.

    It starts as the identity.

    Args:
        tokens: T, how many.
        values: of a token.
        width: channels of the transformer, a multiple of 32, and of the condition.
        blocks: of the transformer.
        reverse: the last token comes first.
        dropout: share of the transformer's inputs that training drops.
        clamp: alpha of Eq. 7, which limits s.
        bound: the transformer sees values within +-bound, see :class:`AffineCoupling`.
    """

    def __init__(
        self,
        tokens: int,
        values: int,
        width: int,
        blocks: int,
        *,
        reverse: bool = False,
        dropout: float = 0.0,
        clamp: float = 1.5,
        bound: float = math.inf,
    ) -> None:
        super().__init__()
        self.reverse, self.clamp, self.bound = reverse, clamp, bound
        self.embed = nn.Linear(values, width)
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(width) for _ in range(blocks))
        self.norm, self.to_affine = nn.LayerNorm(width), nn.Linear(width, 2 * values)
        nn.init.zeros_(self.to_affine.weight)
        nn.init.zeros_(self.to_affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Compute z; the condition is (N, T, width), features of each token's place."""
        x, condition = self._ordered(x), self._ordered(condition)
        before = F.pad(x[:, :-1], (0, 0, 1, 0))  # the first token has none
        h = self.dropout(self._seen(before) + condition + self.position)
        for block in self.blocks:
            h = block(h)
        s, m = self._affine(h, x.dtype)
        return self._ordered((x - m) * torch.exp(-s)), -s.flatten(1).sum(1)

    def inverse(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Compute x, token by token."""
        z, condition = self._ordered(z), self._ordered(condition)
        known = condition + self.position
        caches: list[list[Tensor]] = [[] for _ in self.blocks]
        x_t, tokens, log_det = torch.zeros_like(z[:, :1]), [], z.new_zeros(len(z))
        for t in range(z.shape[1]):
            h = self._seen(x_t) + known[:, t : t + 1]
            for block, cache in zip(self.blocks, caches, strict=True):
                h = block(h, cache)
            s, m = self._affine(h, z.dtype)
            x_t = z[:, t : t + 1] * torch.exp(s) + m
            tokens.append(x_t)
            log_det = log_det + s.flatten(1).sum(1)
        return self._ordered(torch.cat(tokens, dim=1)), log_det

    def _ordered(self, tokens: Tensor) -> Tensor:
        return tokens.flip(1) if self.reverse else tokens

    def _seen(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embed(x if self.bound == math.inf else x.clamp(-self.bound, self.bound))
        return embedded

    def _affine(self, h: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Compute s and m."""
        s, m = self.to_affine(self.norm(h)).to(dtype).chunk(2, dim=-1)
        return soft_clamp(s, self.clamp), m
