"""A masked autoregressive flow over the places of a grid, whose conditioner is a causal transformer.

The values at each place are mapped affinely, by scales and shifts that follow from all places before it
(Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow", 2017, https://arxiv.org/abs/1705.07057); a
transformer computes them (Zhai et al., "Normalizing Flows are Capable Generative Models", 2024,
https://arxiv.org/abs/2412.06329). The Jacobian is triangular, and its log-det the sum of the log-scales.
The forward direction is one parallel pass; the inverse goes place by place and keeps the keys and values of
those known.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow.coupling import soft_clamp
from cinn_colorize.flow.transform import Transform

_HEAD = 32  # channels of an attention head


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
    """z_t = (x_t - m_t) exp(-s_t): s_t and m_t follow from x_1, ..., x_(t-1) and the condition.

    x_t are the values at place t of a grid, row by row. The map starts as the identity.

    Args:
        channels: values at a place.
        side: of the grid, so that there are side^2 places.
        width: channels of the condition and of the transformer, a multiple of 32.
        blocks: number of transformer blocks.
        reverse: whether the last place comes first.
        dropout: share of the transformer's inputs that training drops.
        clamp: alpha of Eq. 7, which limits s.
        bound: the transformer sees values limited to +-bound, see :class:`AffineCoupling`.
    """

    def __init__(
        self,
        channels: int,
        side: int,
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
        self.embed = nn.Linear(channels, width)
        self.position = nn.Parameter(0.02 * torch.randn(side**2, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(width) for _ in range(blocks))
        self.norm, self.to_affine = nn.LayerNorm(width), nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.to_affine.weight)
        nn.init.zeros_(self.to_affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Compute z (N, C, side, side) of x under a condition (N, width, side, side)."""
        tokens, size = self._tokens(x), x.shape[2:]
        before = F.pad(tokens[:, :-1], (0, 0, 1, 0))  # the first place has none before it
        h = self.dropout(self._embedded(before) + self._tokens(condition) + self.position)
        for block in self.blocks:
            h = block(h)
        s, m = self._affine(h, x.dtype)
        return self._grid((tokens - m) * torch.exp(-s), size), -s.flatten(1).sum(1)

    def inverse(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Compute x of z, place by place."""
        tokens, known = self._tokens(z), self._tokens(condition) + self.position
        caches: list[list[Tensor]] = [[] for _ in self.blocks]
        x_t, found, log_det = torch.zeros_like(tokens[:, :1]), [], z.new_zeros(len(z))
        for t in range(tokens.shape[1]):
            h = self._embedded(x_t) + known[:, t : t + 1]
            for block, cache in zip(self.blocks, caches, strict=True):
                h = block(h, cache)
            s, m = self._affine(h, z.dtype)
            x_t = tokens[:, t : t + 1] * torch.exp(s) + m
            found.append(x_t)
            log_det = log_det + s.flatten(1).sum(1)
        return self._grid(torch.cat(found, dim=1), z.shape[2:]), log_det

    def _tokens(self, grid: Tensor) -> Tensor:
        """Turn (N, C, H, W) into (N, T, C), in the order of the pass."""
        tokens = grid.flatten(2).transpose(1, 2)
        return tokens.flip(1) if self.reverse else tokens

    def _grid(self, tokens: Tensor, size: torch.Size) -> Tensor:
        tokens = tokens.flip(1) if self.reverse else tokens
        return tokens.transpose(1, 2).unflatten(2, size)

    def _embedded(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embed(x if self.bound == math.inf else x.clamp(-self.bound, self.bound))
        return embedded

    def _affine(self, h: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Compute s and m, (N, T, C) each."""
        s, m = self.to_affine(self.norm(h)).to(dtype).chunk(2, dim=-1)
        return soft_clamp(s, self.clamp), m
