"""The cINN of the comparison: ``natural`` with coupling blocks at all levels, as in the paper (4.2).

In place of the autoregressive level, Haar steps split the colours at 16 px into details at 8, 4, 2 and 1 px
and a base of one pixel. Each of these levels is a flow like those of the details above them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import LeakyClamp, SinhMap, haar
from cinn_colorize.models.base import PhotoFlow
from cinn_colorize.models.conditioning import FeaturePyramid
from cinn_colorize.models.conditioning.heads import GlobalContext
from cinn_colorize.models.conditioning.layers import conv
from cinn_colorize.models.natural import COARSE, Condition, Level, Natural, level_flow
from cinn_colorize.models.natural_config import LevelConfig, NaturalConfig

BASE = 0  # name of the level of one pixel
RESOLUTIONS = (8, 4, 2, 1)  # of the details below 16 px
CONFIG = NaturalConfig(NaturalConfig.default().levels, attention={8: 2, 16: 1})
LEVELS = {
    8: LevelConfig(3, 128, 192, attend=True, context=True),
    4: LevelConfig(3, 128, 192, attend=True, context=True),
    2: LevelConfig(2, 96, 128),
    1: LevelConfig(2, 64, 96),
    BASE: LevelConfig(2, 64, 128),
}


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


class Prepared(NamedTuple):
    """What a head keeps of a photo: features, L's mean and details at r, attention weights."""

    features: Tensor
    luminance: Tensor
    attention: Tensor | None


class Head(nn.Module):
    """The head of a level, as :class:`LevelHead`, but its pixels may attend to all coarser colours.

    Args:
        r: resolution of the level, 0 for the base, which has no coarser colours.
        config: the architecture, with this level.
        features: channels of the pyramid by resolution.
    """

    def __init__(self, r: int, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        level, depth, kernel = config.levels[r], config.levels[r].depth, 3 if r > 1 else 1
        self.limit = config.chroma_limit / config.chroma_scale
        self.coupling_widths = [level.width] * (2 * level.blocks)
        self.attention = ColorAttention(r, features[2 * r], features[r]) if level.attend else None
        seen = 4 + 2 if r else 1  # L's mean and details, and the coarser colours; or L
        if level.attend:
            seen += 2 * ColorAttention.heads * 4  # mean and details of the attended colours
        self.read = conv(features[2 * r], depth, stride=2) if r else conv(features[1], depth, 1)
        self.join = conv(depth + seen, depth, kernel)
        self.context = GlobalContext(depth) if level.context else nn.Identity()
        self.refine = conv(depth, depth, kernel)
        self.to_map = conv(depth, SinhMap.PARAMETERS * (6 if r else 2), kernel)
        nn.init.zeros_(self.to_map.weight)
        self.to_couplings = conv(depth, sum(self.coupling_widths), 1)

    def prepare(self, source: Tensor, keys: Tensor, luminance: Tensor) -> Prepared:
        """Compute what does not depend on colours.

        Args:
            source: the pyramid at 2r (the base: at 1).
            keys: the pyramid at r.
            luminance: L's mean at r and its Haar details, (N, 4, r, r) (the base: L's mean, (N, 1, 1, 1)).
        """
        weights = self.attention.weights(source, keys) if self.attention else None
        return Prepared(F.silu(self.read(source)), luminance, weights)

    def forward(self, prepared: Prepared, coarser: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Compute the conditions of a level's maps, given the mean colours at r, if it is not the base."""
        seen = [prepared.features, prepared.luminance]
        if coarser is not None:
            coarser = coarser.clamp(-self.limit, self.limit)
            seen.append(coarser)
            if self.attention and prepared.attention is not None:
                seen.extend(haar(self.attention(prepared.attention, coarser)))
        h = self.context(F.silu(self.join(torch.cat(seen, dim=1))))
        h = h + F.silu(self.refine(h))
        return self.to_map(h), list(self.to_couplings(h).split(self.coupling_widths, dim=1))


class Base(nn.Module):
    """p(colours of one pixel | L, features)."""

    def __init__(self, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        self.flow = level_flow(BASE, 2, config)
        self.head: Any = Head(BASE, config, features)

    def conditions(self, prepared: Prepared) -> list[Any]:
        """List one condition for each map of the flow."""
        return Level.conditions(self, prepared, None)  # type: ignore[arg-type]


class CoarseLevels(nn.Module):
    """p(colours at 16 px | L, features), from one pixel on.

    Args:
        config: the architecture, with these levels alone.
    """

    def __init__(self, config: NaturalConfig) -> None:
        super().__init__()
        width = FeaturePyramid.CHANNELS[COARSE]
        features = FeaturePyramid.CHANNELS | dict.fromkeys((4, 2, 1), width)
        self.down = nn.ModuleDict({str(r): conv(width, width, stride=2) for r in (4, 2, 1)})
        self.levels = nn.ModuleDict({str(r): Level(r, config, features, Head) for r in RESOLUTIONS})
        self.base = Base(config, features)
        self.clamp = LeakyClamp(config.gamut_leak)

    def details(self, r: int) -> Level:
        """Return the level of the details at r."""
        return cast(Level, self.levels[str(r)])

    def prepare(self, pyramid: Mapping[int, Tensor], L: Tensor) -> Condition:
        """Compute what needs no colours, but for the gamut, from the pyramid and L (N, 1, 64, 64)."""
        pyramid, luminance = {**pyramid}, {16: F.avg_pool2d(L, 4)}
        prepared = {}
        for r in RESOLUTIONS:
            if r < COARSE:
                pyramid[r] = F.silu(self.down[str(r)](pyramid[2 * r]))
            average, details = haar(luminance[2 * r])
            luminance[r] = average / 2
            guide = torch.cat([luminance[r], details], dim=1)
            prepared[r] = self.details(r).head.prepare(pyramid[2 * r], pyramid[r], guide)
        prepared[BASE] = self.base.head.prepare(pyramid[1], pyramid[1], luminance[1])
        return Condition(prepared, luminance, {})

    def encode(self, x: Tensor, condition: Condition) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Encode x (N, 2, 16, 16): latents and log-dets (N,) by level."""
        latents, log_dets = {}, {}
        for r in RESOLUTIONS:
            x, latents[r], log_dets[r] = self.details(r).encode(x, condition)
        x, within = self.clamp(x, condition.gamut[1])
        latents[BASE], log_det = self.base.flow(x, self.base.conditions(condition.prepared[BASE]))
        return latents, log_dets | {BASE: log_det + within}

    def decode(self, latents: Mapping[int, Tensor], condition: Condition) -> tuple[Tensor, dict[int, Tensor]]:
        """Decode x (N, 2, 16, 16), and the log-dets (N,) by level."""
        x, log_det = self.base.flow.inverse(latents[BASE], self.base.conditions(condition.prepared[BASE]))
        x, within = self.clamp.inverse(x, condition.gamut[1])
        log_dets = {BASE: log_det + within}
        for r in reversed(RESOLUTIONS):
            x, log_dets[r] = self.details(r).decode(x, latents[r], condition)
        return x, log_dets


class Couplings(Natural):
    """The flow between x = ab / chroma_scale, (N, 2, 64, 64), and the latents of seven levels.

    Args:
        config: the architecture, with the levels at 32 and 16 px.
        levels: those below.
    """

    name = "couplings"
    coarse_size = None  # type: ignore[assignment]

    def __init__(self, config: NaturalConfig = CONFIG, levels: Mapping[int, LevelConfig] = LEVELS) -> None:
        super().__init__(config)
        self.latent_shapes = {r: (6, r, r) for r in (*self.resolutions, *RESOLUTIONS)} | {BASE: (2, 1, 1)}
        self.levels[str(COARSE)] = CoarseLevels(replace(config, levels=levels))

    @property
    def coarse(self) -> CoarseLevels:  # type: ignore[override]
        """The levels below 16 px, in place of the autoregressive one."""
        return cast(CoarseLevels, self.levels[str(COARSE)])

    def condition(
        self,
        L: Tensor,
        features: Mapping[int, Tensor] | None = None,
        finest: int = 32,
        coarsest: int = COARSE,
    ) -> Condition:
        """See :meth:`Natural.condition`."""
        whole = super().condition(L, features, finest, coarsest)
        if COARSE in whole.prepared:
            gamut = {16: whole.gamut[16]}
            for r in RESOLUTIONS:
                gamut[r] = gamut[2 * r].halve()
            whole.prepared[COARSE] = whole.prepared[COARSE]._replace(gamut=gamut)
        return whole

    def guided(self, condition: Condition, weight: float) -> Condition:
        """Refuse guidance, which only the autoregressive level knows."""
        return PhotoFlow.guided(self, condition, weight)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, condition: Condition) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """See :meth:`Natural.forward`."""
        prepared = {r: p for r, p in condition.prepared.items() if r != COARSE}
        latents, log_dets = super().forward(x, condition._replace(prepared=prepared))
        if COARSE in condition.prepared:
            coarse = self.coarse.encode(F.avg_pool2d(x, 4), condition.prepared[COARSE])
            latents, log_dets = latents | coarse[0], log_dets | coarse[1]
        return latents, log_dets

    def begin(self, latents: Mapping[int, Tensor], condition: Condition) -> tuple[Tensor, ...]:
        """Return nothing: no part is sequential."""
        return ()

    def finish(
        self, latents: Mapping[int, Tensor], condition: Condition, begun: tuple[Tensor, ...]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """See :meth:`Natural.finish`."""
        x, coarse = self.coarse.decode(latents, condition.prepared[COARSE])
        x, log_dets = super().finish(latents, condition, (x, x.new_zeros(len(x))))
        return x, log_dets | coarse
