"""The cINN of the comparison: ``natural`` with coupling blocks at all levels, as in the paper (4.2).

In place of the autoregressive level, Haar steps split the colours at 16 px into details at 8, 4, 2 and 1 px
and a base of one pixel. Each of these levels is a flow like those of the details above them.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow.details import LeakyClamp, SinhMap
from cinn_colorize.flow.downsampling import haar
from cinn_colorize.models.base import PhotoFlow
from cinn_colorize.models.conditioning.layers import conv
from cinn_colorize.models.conditioning.pyramid import FeaturePyramid, LevelHead
from cinn_colorize.models.natural import Condition, Level, Natural, level_flow
from cinn_colorize.models.natural_config import COARSE, LevelConfig, NaturalConfig

BASE = 0  # name of the level of one pixel
RESOLUTIONS = (8, 4, 2, 1)  # of the details below 16 px
HEADS, WIDTH = 4, 16  # of the attention: its heads, and the channels of their queries and keys
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

    Queries and keys come from the pyramid alone, with ``query_channels`` at 2r and ``key_channels`` at r, so
    the weights are computed once per photo.
    """

    distance: Tensor

    def __init__(self, resolution: int, query_channels: int, key_channels: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.query = conv(query_channels, HEADS * WIDTH, 1)
        self.key = conv(key_channels, HEADS * WIDTH, 1)
        self.log_slope = nn.Parameter(torch.logspace(-1, math.log10(2), HEADS).log())
        lines = ((torch.arange(n) + 0.5) / n * resolution for n in (2 * resolution, resolution))
        fine, coarse = (torch.cartesian_prod(line, line) for line in lines)  # centres, in pixels of r
        self.register_buffer("distance", torch.cdist(fine, coarse), persistent=False)

    def weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Map the pyramid at 2r (N, C, 2r, 2r) and at r (N, C', r, r) to weights (N, heads, 4 r^2, r^2)."""
        q = self.query(queries).unflatten(1, (HEADS, WIDTH)).flatten(3).transpose(2, 3)
        k = self.key(keys).unflatten(1, (HEADS, WIDTH)).flatten(3)
        bias = self.log_slope.exp()[:, None, None] * self.distance
        return (q @ k / math.sqrt(WIDTH) - bias).softmax(dim=-1)

    def forward(self, weights: Tensor, colours: Tensor) -> Tensor:
        """Average colours (N, 2, r, r) by the weights to attended colours (N, 2 heads, 2r, 2r)."""
        attended = (weights @ colours.flatten(2).transpose(1, 2)[:, None]).transpose(2, 3)
        return attended.flatten(1, 2).unflatten(2, (2 * self.resolution,) * 2)


class Prepared(NamedTuple):
    """What a head keeps of a photo."""

    features: Tensor
    luminance: Tensor  # mean and details at r, (N, 4, r, r); of the base, the mean
    attention: Tensor | None  # weights


class Head(LevelHead):
    """The head of a level, whose pixels may attend to all coarser colours; the base has none."""

    def __init__(self, r: int, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__(r, config, features)
        level, depth = config.levels[r], config.levels[r].depth
        self.attention = ColorAttention(r, features[2 * r], features[r]) if level.attend else None
        seen = 4 + 2 if r else 1  # L's mean and details, and the coarser colours; or L
        seen += 4 * 2 * HEADS if level.attend else 0  # mean and details of the attended colours
        kernel = 3 if r > 1 else 1
        self.join, self.refine = conv(depth + seen, depth, kernel), conv(depth, depth, kernel)
        self.to_map = conv(depth, SinhMap.PARAMETERS * (6 if r else 2), kernel)
        nn.init.zeros_(self.to_map.weight)
        if not r:
            self.read = conv(features[1], depth, 1)

    def prepare(self, source: Tensor, luminance: Tensor, keys: Tensor) -> Prepared:  # type: ignore[override]
        """Compute what needs no colours, from the pyramid at 2r and r, and L's mean and details at r."""
        weights = self.attention.weights(source, keys) if self.attention else None
        return Prepared(F.silu(self.read(source)), luminance, weights)

    def forward(self, prepared: Prepared, coarser: Tensor | None) -> Any:  # type: ignore[override]
        """Compute the conditions of a level's maps, given the mean colours at r, if it is not the base."""
        seen = [prepared.features, prepared.luminance]
        if coarser is not None:
            seen.append(coarser.clamp(-self.limit, self.limit))
            if self.attention and prepared.attention is not None:
                seen += haar(self.attention(prepared.attention, seen[-1]))
        h = self.context(F.silu(self.join(torch.cat(seen, dim=1))))
        h = h + F.silu(self.refine(h))
        return self.to_map(h), list(self.to_couplings(h).split(self.coupling_widths, dim=1))


class Base(nn.Module):
    """p(colours of one pixel | L, features)."""

    conditions: Any = Level.conditions

    def __init__(self, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        self.flow, self.head = level_flow(BASE, 2, config), Head(BASE, config, features)


class CoarseLevels(nn.Module):
    """p(colours at 16 px | L, features), from one pixel on; ``config`` has these levels alone."""

    def __init__(self, config: NaturalConfig) -> None:
        super().__init__()
        width = FeaturePyramid.CHANNELS[COARSE]
        features = FeaturePyramid.CHANNELS | dict.fromkeys((4, 2, 1, BASE), width)
        self.down = nn.ModuleDict({str(r): conv(width, width, stride=2) for r in (4, 2, 1)})
        self.details = {r: Level(r, config, features, Head) for r in RESOLUTIONS}
        self.levels = nn.ModuleDict({str(r): level for r, level in self.details.items()})
        self.base = Base(config, features)
        self.clamp = LeakyClamp(config.gamut_leak)

    def prepare(self, pyramid: Mapping[int, Tensor], L: Tensor) -> Condition:
        """Compute what needs no colours, but for the gamut, from the pyramid and L (N, 1, 64, 64)."""
        pyramid, luminance, prepared = {**pyramid}, {16: F.avg_pool2d(L, 4)}, {}
        for r in RESOLUTIONS:
            if r < COARSE:
                pyramid[r] = F.silu(self.down[str(r)](pyramid[2 * r]))
            average, details = haar(luminance[2 * r])
            luminance[r] = average / 2
            guide = torch.cat([luminance[r], details], dim=1)
            prepared[r] = self.details[r].head.prepare(pyramid[2 * r], guide, pyramid[r])
        prepared[BASE] = self.base.head.prepare(pyramid[1], luminance[1], pyramid[1])
        return Condition(prepared, luminance, {})

    def encode(self, x: Tensor, whole: Condition) -> tuple[Any, Any]:
        """Encode x (N, 2, 16, 16): latents and log-dets (N,) by level."""
        condition, latents, log_dets = self._given(whole), dict[int, Tensor](), dict[int, Tensor]()
        for r in RESOLUTIONS:
            x, latents[r], log_dets[r] = self.details[r].encode(x, condition)
        x, within = self.clamp(x, condition.gamut[1])
        latents[BASE], log_det = self.base.flow(x, self.base.conditions(condition.prepared[BASE], None))
        return latents, log_dets | {BASE: log_det + within}

    def decode(self, latents: Mapping[int, Tensor], whole: Condition) -> tuple[Tensor, dict[int, Tensor]]:
        """Decode x (N, 2, 16, 16), and the log-dets (N,) by level."""
        condition = self._given(whole)
        given = self.base.conditions(condition.prepared[BASE], None)
        x, log_det = self.base.flow.inverse(latents[BASE], given)
        x, within = self.clamp.inverse(x, condition.gamut[1])
        log_dets = {BASE: log_det + within}
        for r in reversed(RESOLUTIONS):
            x, log_dets[r] = self.details[r].decode(x, latents[r], condition)
        return x, log_dets

    def _given(self, whole: Condition) -> Condition:
        """Return the condition of these levels, with the gamut, of the whole model's."""
        gamut = {16: whole.gamut[16]}
        for r in RESOLUTIONS:
            gamut[r] = gamut[2 * r].halve()
        return cast(Condition, whole.prepared[COARSE])._replace(gamut=gamut)


class Couplings(Natural):
    """The flow between x = ab / chroma_scale, (N, 2, 64, 64), and the latents of seven levels.

    ``config`` has the levels at 32 and 16 px, ``levels`` those below, in place of the autoregressive one.
    """

    name = "couplings"
    coarse_size = None  # type: ignore[assignment]

    def __init__(self, config: NaturalConfig = CONFIG, levels: Mapping[int, LevelConfig] = LEVELS) -> None:
        super().__init__(config)
        self.latent_shapes = {r: (6, r, r) for r in (*self.resolutions, *RESOLUTIONS)} | {BASE: (2, 1, 1)}
        self.levels[str(COARSE)] = CoarseLevels(replace(config, levels=levels))

    def guided(self, condition: Condition, weight: float) -> Condition:
        return PhotoFlow.guided(self, condition, weight)  # type: ignore[no-any-return]  # which refuses it

    def forward(self, x: Tensor, condition: Condition) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        latents, log_dets = super().forward(x, condition)  # which takes all levels below 16 px for one
        coarse: Any = latents.pop(COARSE, {}), log_dets.pop(COARSE, {})
        return latents | coarse[0], log_dets | coarse[1]

    def begin(self, latents: Mapping[int, Tensor], condition: Condition) -> tuple[Tensor, ...]:
        return ()  # no part is sequential

    def finish(
        self, latents: Mapping[int, Tensor], condition: Condition, begun: tuple[Tensor, ...]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        x, coarse = cast(CoarseLevels, self.coarse).decode(latents, condition)
        x, log_dets = super().finish(latents, condition, (x, x.new_zeros(len(x))))
        return x, log_dets | coarse
