"""A masked autoregressive flow over the places of a grid, whose conditioner is a causal transformer.

The values at each place are mapped affinely, by scales and shifts that follow from all places before it
(Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow", 2017, https://arxiv.org/abs/1705.07057); a
transformer computes them (Zhai et al., "Normalizing Flows are Capable Generative Models", 2024,
https://arxiv.org/abs/2412.06329). The forward direction is one parallel pass; the inverse goes place by place
and keeps the keys and values of those known.
"""

import math
from collections.abc import Sequence as List
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import Transform
from cinn_colorize.flow.coupling import soft_clamp

HEAD = 32  # channels of an attention head


class CausalBlock(nn.Module):
    """A transformer block whose tokens see themselves and those before them, starting as the identity.

    Vaswani et al., "Attention Is All You Need" (2017, https://arxiv.org/abs/1706.03762), normalised first,
    with a multiple of 32 channels.
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

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = self.projected(h)
        # On a CPU, the gradient of torch's own attention takes three times as long for so few tokens.
        later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1)
        similar = (q @ k.mT / math.sqrt(HEAD)).masked_fill(later, -math.inf)
        return self.transformed(h, similar.softmax(-1) @ v)

    def projected(self, h: Tensor) -> Tensor:
        """Compute queries, keys and values (3, N, heads, T, 32) of tokens (N, T, channels)."""
        qkv: Tensor = self.query_key_value(self.norm1(h))
        return qkv.unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)

    def transformed(self, h: Tensor, mixed: Tensor) -> Tensor:
        """Add what tokens (N, T, channels) attend to, (N, heads, T, 32), and transform them one by one."""
        h = h + self.attended(mixed.transpose(1, 2).flatten(2))
        change: Tensor = self.reduce(F.gelu(self.expand(self.norm2(h))))
        return h + change


class Guidance(NamedTuple):
    """A condition that is followed more closely than the data do.

    What it changes in the log-scales s and the shifts m is scaled by 1 + weight, as in Zhai et al. 2024,
    after Ho and Salimans, "Classifier-Free Diffusion Guidance" (2022, https://arxiv.org/abs/2207.12598). The
    map stays affine and triangular, hence invertible.
    """

    condition: Tensor  # (N, width, side, side)
    without: Tensor  # the same where nothing is known
    weight: float  # 0 or more


class AutoregressivePass(Transform["Tensor | Guidance"]):
    """z_t = (x_t - m_t) exp(-s_t): s_t and m_t follow from x_1, ..., x_(t-1) and the condition.

    x_t are the ``channels`` values at place t of a grid, row by row; with ``reverse``, the last place comes
    first. The map starts as the identity. The condition is (N, width, side, side), or :class:`Guidance`;
    ``width``, which is that of the transformer too, is a multiple of 32. ``clamp`` is alpha of Eq. 7, which
    limits s, and the transformer sees values within +-``bound``, see :class:`AffineCoupling`.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        width: int,
        blocks: int,
        *,
        reverse: bool = False,
        clamp: float = 1.5,
        bound: float = math.inf,
    ) -> None:
        super().__init__()
        self.reverse, self.clamp, self.bound = reverse, clamp, bound
        self.embed = nn.Linear(channels, width)
        # Not randn, which imports torch._dynamo on the meta device, where the shapes of weights are checked.
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(side**2, width), std=0.02))
        self.blocks = cast(List[CausalBlock], nn.ModuleList(CausalBlock(width) for _ in range(blocks)))
        self.norm, self.to_affine = nn.LayerNorm(width), nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.to_affine.weight)
        nn.init.zeros_(self.to_affine.bias)

    def forward(self, x: Tensor, condition: Tensor | Guidance) -> tuple[Tensor, Tensor]:
        tokens, (known, weight) = self._tokens(x), self._known(condition)
        before = F.pad(tokens[:, :-1], (0, 0, 1, 0))  # the first place has none before it
        h = self.embedded(_rows(before, known)) + known
        for block in self.blocks:
            h = block(h)
        s, m = self.affine(h, x.dtype, weight)
        return self._grid((tokens - m) * torch.exp(-s), x.shape[2:]), -s.flatten(1).sum(1)

    @torch.no_grad()
    def inverse(self, z: Tensor, condition: Tensor | Guidance) -> tuple[Tensor, Tensor]:
        """Compute x of z, place by place, without gradients."""
        tokens, (known, weight) = self._tokens(z), self._known(condition)
        (n, places, _), rows = tokens.shape, len(known)
        caches = [known.new_empty(2, rows, known.shape[2] // HEAD, places, HEAD) for _ in self.blocks]
        x, log_det, x_t = torch.empty_like(tokens), z.new_zeros(n), torch.zeros_like(tokens[:, :1])
        for t in range(places):
            h = self.embedded(_rows(x_t, known)) + known[:, t : t + 1]
            for block, cache in zip(self.blocks, caches, strict=True):
                q, cache[0, :, :, t : t + 1], cache[1, :, :, t : t + 1] = block.projected(h)
                h = block.transformed(h, F.scaled_dot_product_attention(q, *cache[:, :, :, : t + 1]))
            s, m = self.affine(h, z.dtype, weight)
            x_t = x[:, t : t + 1] = tokens[:, t : t + 1] * torch.exp(s) + m
            log_det = log_det + s.flatten(1).sum(1)
        return self._grid(x, z.shape[2:]), log_det

    def _tokens(self, grid: Tensor) -> Tensor:
        """Turn (N, C, H, W) into (N, T, C), in the order of the pass."""
        tokens = grid.flatten(2).transpose(1, 2)
        return tokens.flip(1) if self.reverse else tokens

    def _grid(self, tokens: Tensor, size: torch.Size) -> Tensor:
        tokens = tokens.flip(1) if self.reverse else tokens
        return tokens.transpose(1, 2).unflatten(2, size)

    def embedded(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embed(x if self.bound == math.inf else x.clamp(-self.bound, self.bound))
        return embedded

    def affine(self, h: Tensor, dtype: torch.dtype, weight: float = 0.0) -> tuple[Tensor, Tensor]:
        """Compute s and m, (N, T, C) each, of tokens (N, T, width).

        With a weight, of tokens (2N, T, width): first those under the condition, then those without.
        """
        s, m = self.to_affine(self.norm(h)).to(dtype).chunk(2, dim=-1)
        s = soft_clamp(s, self.clamp)
        return (_guided(s, weight), _guided(m, weight)) if weight else (s, m)

    def _known(self, condition: Tensor | Guidance) -> tuple[Tensor, float]:
        if isinstance(condition, Tensor):
            condition = Guidance(condition, condition, 0.0)
        parts = condition[:2] if condition.weight else condition[:1]
        return self._tokens(torch.cat(parts)) + self.position, condition.weight


def _guided(values: Tensor, weight: float) -> Tensor:
    """Scale what the condition changes: (N, T, C) of values (2N, T, C), first those under the condition."""
    under, without = values.chunk(2)
    return under + weight * (under - without)


def _rows(tokens: Tensor, known: Tensor) -> Tensor:
    """Repeat tokens (N, T, C) for each condition that they meet, one or two."""
    return tokens if len(tokens) == len(known) else tokens.repeat(len(known) // len(tokens), 1, 1)
