"""The head of a level: from features and the coarser colours to the conditions of the level's maps.

What depends on the photo alone (:meth:`LevelHead.prepare`) is computed once and serves all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow.haar import haar
from cinn_colorize.models.conditioning.attention import ColorAttention
from cinn_colorize.models.conditioning.layers import ResidualBlock, conv


class Prepared(NamedTuple):
    """What a head keeps of a photo: features, L's mean and details at r, attention weights."""

    features: Tensor
    luminance: Tensor
    attention: Tensor | None

    def expand(self, n: int) -> Prepared:
        """Return views for n samples of the one photo inside (N = 1)."""
        parts = [None if t is None else t.expand(n, *t.shape[1:]) for t in self]
        return Prepared(*parts)  # type: ignore[arg-type]


class GlobalContext(nn.Module):
    """Adds the average of the whole picture to every pixel, starting as the identity.

    How sharp, noisy or pale the colours of a photo are shows everywhere in it, and is worth knowing where
    the finer ones are drawn (after squeeze and excitation, Hu et al. 2018, https://arxiv.org/abs/1709.01507).

    Args:
        channels: channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gather = conv(channels, channels, 1)
        self.spread = conv(channels, channels, 1)
        nn.init.zeros_(self.spread.weight)

    def forward(self, h: Tensor) -> Tensor:
        """Add the average to features (N, channels, r, r); the shape stays."""
        spread: Tensor = self.spread(F.silu(self.gather(h)).mean(dim=(2, 3), keepdim=True))
        return h + spread


class LevelHead(nn.Module):
    """Three convolutions, residual blocks, and one each for the elementwise map and the coupling blocks.

    Args:
        resolution: r, the resolution of the level's values.
        channels: channels of the level's values (6 details, or 2 for the base).
        depth: channels of the head.
        map_channels: condition channels of the elementwise map.
        coupling_widths: condition channels of each subnetwork, in order.
        attend: let pixels attend to all coarser colours.
        context: give pixels the average of all.
        residual: number of residual blocks.
        base: whether it is the 1x1 base, which has no coarser level and reads the pyramid at its own size.
        features: channels of the pyramid by resolution.
        limit: coarser colours are clamped to +-limit, so that a rare outlier of a coarse level cannot take
            the head out of the range it was trained on.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        depth: int,
        map_channels: int,
        coupling_widths: list[int],
        *,
        attend: bool,
        context: bool,
        residual: int,
        base: bool,
        features: Mapping[int, int],
        limit: float,
    ) -> None:
        super().__init__()
        self.base, self.limit, self.coupling_widths = base, limit, coupling_widths
        source = resolution if base else 2 * resolution
        kernel = 3 if resolution > 1 else 1
        self.attention = (
            ColorAttention(resolution, features[source], features[resolution]) if attend else None
        )
        seen = 1 if base else 2 + 4  # L; or the coarser colours, L's mean and three details
        if self.attention is not None:
            seen += 2 * self.attention.heads * 4  # mean and details of the attended colours
        self.read = conv(features[source], depth, 1 if base else 3, 1 if base else 2)
        self.join = conv(depth + seen, depth, kernel)
        self.context = GlobalContext(depth) if context else nn.Identity()
        self.residual = nn.Sequential(*(ResidualBlock(depth) for _ in range(residual)))
        self.refine = conv(depth, depth, kernel)
        self.to_map = conv(depth, map_channels, kernel)
        nn.init.zeros_(self.to_map.weight)
        self.to_couplings = conv(depth, sum(coupling_widths), 1)

    def prepare(self, source: Tensor, keys: Tensor, luminance: Tensor) -> Prepared:
        """Compute what does not depend on colours.

        Args:
            source: the pyramid at 2r (the base: at 1).
            keys: the pyramid at r.
            luminance: L's mean at r and its Haar details, (N, 4, r, r) (the base: L's mean, (N, 1, 1, 1)).
        """
        weights = None if self.attention is None else self.attention.weights(source, keys)
        return Prepared(F.silu(self.read(source)), luminance, weights)

    def forward(self, prepared: Prepared, coarser: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Compute the conditions of a level's maps.

        Args:
            prepared: what :meth:`prepare` computed for the photo.
            coarser: the mean colours at r (N, 2, r, r), None for the base.

        Returns:
            condition of the elementwise map, (N, map_channels, r, r), and of each subnetwork.
        """
        seen = [prepared.features, prepared.luminance]
        if coarser is not None:
            coarser = coarser.clamp(-self.limit, self.limit)
            seen.append(coarser)
            if self.attention is not None and prepared.attention is not None:
                seen.extend(haar(self.attention(prepared.attention, coarser)))
        h = self.context(F.silu(self.join(torch.cat(seen, dim=1))))
        h = self.residual(h)
        h = h + F.silu(self.refine(h))
        return self.to_map(h), list(self.to_couplings(h).split(self.coupling_widths, dim=1))
