"""``natural``: natural photos, the default. ab at 64 px given L at 256 px.

A coarse-to-fine Haar pyramid of conditional flows, after Yu, Derpanis and Brubaker, "Wavelet Flow" (2020,
https://arxiv.org/abs/2010.13821). ab is split by Haar steps into details at r = 32 and 16 and the coarse
colours at 16 px. Each level of details is a conditional flow of its own, p(details at r | coarser colours, L,
features), made of an elementwise conditional map and conditional affine coupling blocks (paper 3.1). The
coarse colours are an autoregressive flow, p(colours at 16 px | L, features). Sampling goes from coarse to
fine. Earlier weights have details down to r = 1 and a 1x1 base, all of coupling blocks, instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import (
    AffineCoupling,
    AutoregressivePass,
    BoundedDetails,
    BoundedMean,
    ConvSubnet,
    Guidance,
    GuidedMean,
    GuidedShift,
    HaarDownsampling,
    Interval,
    LeakyClamp,
    OrthogonalMixing,
    Sequence,
    SinhMap,
    Squeeze,
    Transform,
    haar,
)
from cinn_colorize.models.base import PhotoFlow
from cinn_colorize.models.conditioning import (
    ChromaBounds,
    EfficientNetLite2,
    FeaturePyramid,
    LevelHead,
    LuminancePyramid,
    gray_input,
)
from cinn_colorize.models.conditioning.heads import Prepared
from cinn_colorize.models.conditioning.layers import conv
from cinn_colorize.models.natural_config import BASE as BASE
from cinn_colorize.models.natural_config import COARSE as COARSE
from cinn_colorize.models.natural_config import CoarseConfig as CoarseConfig
from cinn_colorize.models.natural_config import LevelConfig as LevelConfig
from cinn_colorize.models.natural_config import NaturalConfig as NaturalConfig

GUIDED = slice(1, None, 2)  # passes of the coarse level that guidance acts in; docs/training-log.md has why


class Condition(NamedTuple):
    """What depends on a photo's L alone, computed once: by each head, and L and gamut at 64 px and below."""

    prepared: dict[int, Any]
    luminance: dict[int, Tensor]  # by resolution, (N, 1, r, r), scaled to [-1, 1]
    gamut: dict[int, Interval]  # by resolution, bounds (N, 2, r, r) of x

    def expand(self, n: int) -> Condition:
        """Return views for n samples of the one photo inside (N = 1)."""
        return Condition(
            {r: p.expand(n) for r, p in self.prepared.items()},
            {r: L.expand(n, -1, -1, -1) for r, L in self.luminance.items()},
            {r: Interval(*(t.expand(n, -1, -1, -1) for t in g)) for r, g in self.gamut.items()},
        )

    def guided(self, r: int, x: Tensor) -> GuidedMean:
        """Return what predicts the details at r, given the coarser colours x, (N, 2, r, r)."""
        return GuidedMean(x, self.luminance[r], self.luminance[2 * r])

    def bounded(self, r: int, x: Tensor) -> BoundedMean:
        """Return what bounds the details at r, given the coarser colours x, (N, 2, r, r)."""
        return BoundedMean(x, self.gamut[2 * r])


class CoarseCondition(NamedTuple):
    """What the coarse level keeps of a photo, for each pass: features, (N, width, 8, 8)."""

    features: list[Tensor]
    without: list[Tensor]  # the same of no photo, for each pass that is guided; empty in training
    guidance: float | None = None  # weight, see :class:`Guidance`

    def expand(self, n: int) -> CoarseCondition:
        """Return views for n samples of the one photo inside (N = 1)."""
        features, without = ([f.expand(n, -1, -1, -1) for f in part] for part in self[:2])
        return CoarseCondition(features, without, self.guidance)


class CoarseLevel(nn.Module):
    """p(colours at 16 px | L, features) as an autoregressive flow over squares of 2x2 pixels.

    Args:
        config: its architecture.
        features: channels of the pyramid by resolution.
    """

    def __init__(self, config: CoarseConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        passes = (
            AutoregressivePass(
                4 * 2,
                COARSE,
                config.width,
                config.blocks,
                reverse=k % 2 == 1,
                clamp=config.clamp,
                bound=config.bound,
            )
            for k in range(config.passes)
        )
        self.flow = Sequence([Squeeze(), *passes])
        seen = features[COARSE] + 4 * features[2 * COARSE] + 64  # L at 64 px
        self.read = conv(seen, config.width, 1)
        self.refine = conv(config.width, config.width)
        self.condition_dropout = config.condition_dropout
        self.unknown = nn.Parameter(torch.zeros(config.width, 1, 1))
        self.to_passes = nn.ModuleList(conv(config.width, config.width, 1) for _ in range(config.passes))

    def prepare(self, pyramid: Mapping[int, Tensor], L: Tensor) -> CoarseCondition:
        """Compute what needs no colours.

        Args:
            pyramid: features by resolution, at 8 and 16 px.
            L: (N, 1, 64, 64), scaled to [-1, 1].
        """
        seen = [pyramid[COARSE], F.pixel_unshuffle(pyramid[2 * COARSE], 2), F.pixel_unshuffle(L, 8)]
        h = F.silu(self.read(torch.cat(seen, dim=1)))
        h = h + F.silu(self.refine(h))
        if self.training:
            hidden = torch.rand(len(h), 1, 1, 1, device=h.device) < self.condition_dropout
            h = torch.where(hidden, self.unknown.to(h.dtype), h)
            return CoarseCondition([to_pass(h) for to_pass in self.to_passes], [])
        unknown = self.unknown.expand(h.shape)
        features = [to_pass(h) for to_pass in self.to_passes]
        return CoarseCondition(features, [to_pass(unknown) for to_pass in self.to_passes[GUIDED]])

    def conditions(self, prepared: CoarseCondition) -> list[Tensor | Guidance | None]:
        """List one condition for each map of the flow."""
        features, without, weight = prepared
        conditions: list[Tensor | Guidance] = [*features]
        if weight:
            conditions[GUIDED] = [
                Guidance(*both, weight) for both in zip(features[GUIDED], without, strict=True)
            ]
        return [None, *conditions]


class Level(nn.Module):
    """p(values at r | coarser colours, L, features) as a flow, and the head that conditions it."""

    def __init__(self, r: int, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        level = config.levels[r]
        resolution, channels = max(r, 1), 2 if r == BASE else 6
        kernel = 3 if resolution > 1 else 1
        maps: list[Transform[Any]] = [SinhMap(config.knee)]
        for block in range(level.blocks):
            maps.append(OrthogonalMixing(channels, seed=1000 * r + block))
            maps.append(
                AffineCoupling(
                    channels,
                    lambda inputs, outputs: ConvSubnet(inputs, outputs, level.width, kernel),
                    config.clamp,
                    config.bound,
                )
            )
        self.flow = Sequence(maps)
        self.head = LevelHead(
            resolution,
            channels,
            level.depth,
            SinhMap.PARAMETERS * channels,
            [level.width] * (2 * level.blocks),
            attend=level.attend and config.conditioning,
            context=level.context and config.conditioning,
            residual=level.residual,
            base=r == BASE,
            features=features,
            limit=config.chroma_limit / config.chroma_scale,
        )

    def conditions(self, prepared: Prepared, coarser: Tensor | None) -> list[Any]:
        """Return one condition for each map of the flow."""
        for_map, for_subnets = self.head(prepared, coarser)
        pairs = zip(for_subnets[::2], for_subnets[1::2], strict=True)
        return [for_map, *self.flow.coupling_conditions(pairs)[1:]]


class Natural(PhotoFlow):
    """The flow between x = ab / chroma_scale, (N, 2, 64, 64), and one latent per level.

    Args:
        config: the architecture.
    """

    name = "natural"
    config: NaturalConfig

    def __init__(self, config: NaturalConfig) -> None:
        super().__init__()
        self.config = config
        self.resolutions = tuple(r for r in config.levels if r != BASE)  # finest first
        self.coarsest = COARSE if config.coarse else BASE
        self.coarsest_size = 2 * COARSE if config.coarse else 1  # pixels of its colours
        self.coarse_size = self.coarsest_size if config.coarse else None
        shape = (8, COARSE, COARSE) if config.coarse else (2, 1, 1)
        self.latent_shapes = {r: (6, r, r) for r in self.resolutions} | {self.coarsest: shape}
        self.pyramid: FeaturePyramid | LuminancePyramid
        if config.conditioning:
            self.backbone = EfficientNetLite2()
            self.pyramid = FeaturePyramid(config.attention, COARSE if config.coarse else 1)
        else:
            self.pyramid = LuminancePyramid()
        features = self.pyramid.CHANNELS
        self.levels = nn.ModuleDict({str(r): Level(r, config, features) for r in config.levels})
        if config.coarse:
            self.levels[str(COARSE)] = CoarseLevel(config.coarse, features)
        self.downsample = HaarDownsampling(halve_details=False)
        self.shift = GuidedShift(config.chroma_limit / config.chroma_scale)
        self.chroma_bounds = ChromaBounds()
        self.bounded = BoundedDetails(config.gamut_leak)
        self.clamp = LeakyClamp(config.gamut_leak)  # of the coarsest level

    @classmethod
    def from_architecture(cls, values: Mapping[str, Any]) -> Self:
        """See :meth:`ConditionalFlow.from_architecture`."""
        config = NaturalConfig.from_dict(values)
        known = NaturalConfig.default() if config.coarse else NaturalConfig.couplings()
        if list(config.levels) != list(known.levels):
            raise ValueError(f"its levels are not {', '.join(map(str, known.levels))}")
        return cls(config)

    def features(self, L: Tensor) -> dict[int, Tensor]:
        """Compute backbone features of L* (N, 1, 256, 256) by stride; none without a conditioning network."""
        if not self.config.conditioning:
            return {}
        features: dict[int, Tensor] = self.backbone(gray_input(L))
        return features

    def condition(
        self,
        L: Tensor,
        features: Mapping[int, Tensor] | None = None,
        finest: int = 32,
        coarsest: int = BASE,
    ) -> Condition:
        """Compute once per photo what all its samples share.

        Args:
            L: L* in [0, 100], (N, 1, 256, 256).
            features: features of the backbone, if they are known already.
            finest: leave out the levels above this resolution; :meth:`forward` then leaves them out too.
            coarsest: leave out the level at the bottom if it lies below this one; so does :meth:`forward`.
        """
        if features is None:
            features = self.features(L)
        L64 = F.avg_pool2d(L, 4)
        gamut = {64: self._gamut(L64)}
        L64 = L64 / 50 - 1
        if isinstance(self.pyramid, FeaturePyramid):
            pyramid = self.pyramid(features, L64, 2 * finest)
        else:
            pyramid = self.pyramid(L64)
        luminance: dict[int, Tensor] = {64: L64}
        prepared: dict[int, Prepared | CoarseCondition] = {}
        for r in self.resolutions:
            average, details = haar(luminance[2 * r])
            luminance[r], gamut[r] = average / 2, gamut[2 * r].halve()
            if r > finest:
                continue
            guide = torch.cat([luminance[r], details], dim=1)
            prepared[r] = self._level(r).head.prepare(pyramid[2 * r], pyramid[r], guide)
        if self.coarsest < coarsest:
            return Condition(prepared, luminance, gamut)
        if self.config.coarse:
            prepared[COARSE] = self._coarse().prepare(pyramid, L64)
        else:
            prepared[BASE] = self._level(BASE).head.prepare(pyramid[1], pyramid[1], luminance[1])
        return Condition(prepared, luminance, gamut)

    def guided(self, condition: Condition, weight: float) -> Condition:
        """See :meth:`ConditionalFlow.guided`; the autoregressive level can be guided."""
        if not self.config.coarse:
            return super().guided(condition, weight)  # type: ignore[no-any-return]
        coarse = condition.prepared[COARSE]._replace(guidance=weight)
        return condition._replace(prepared=condition.prepared | {COARSE: coarse})

    def _gamut(self, L: Tensor) -> Interval:
        """Return the bounds of x, noise included, at L*."""
        lower, upper = self.chroma_bounds(L).chunk(2, dim=1)
        margin, scale = self.config.gamut_margin, self.config.chroma_scale
        return Interval((lower - margin) / scale, (upper + margin) / scale)

    def forward(self, x: Tensor, condition: Condition) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Compute f(x; c): latents (N, C, r, r) and log-dets (N,) by level, whose sum is the log-det of f."""
        latents, log_dets = {}, {}
        for r in self.resolutions:
            x, rescaling = self.downsample(x)
            x, details = x.split((2, 6), dim=1)
            if r not in condition.prepared:
                continue
            details, within = self.bounded(details, condition.bounded(r, x))
            residual, _ = self.shift(details, condition.guided(r, x))
            level = self._level(r)
            latents[r], log_det = level.flow(residual, level.conditions(condition.prepared[r], x))
            log_dets[r] = log_det + within + rescaling
        if self.coarsest not in condition.prepared:
            return latents, log_dets
        x, within = self.clamp(x, condition.gamut[self.coarsest_size])
        flow, conditions = self._coarsest(condition)
        latents[self.coarsest], log_det = flow(x, conditions)
        log_dets[self.coarsest] = log_det + within
        return latents, log_dets

    def inverse(
        self, latents: Mapping[int, Tensor], condition: Condition
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Compute g(z; c): x (N, 2, 64, 64), and the log-dets (N,) of g by level."""
        return self.finish(latents, condition, self.begin(latents, condition))

    def begin(self, latents: Mapping[int, Tensor], condition: Condition) -> tuple[Tensor, ...]:
        """Decode the autoregressive level, if there is one: x at 16 px, and its log-det (N,)."""
        if not self.config.coarse:
            return ()
        _, (_, *conditions) = self._coarsest(condition)
        values, log_det = Sequence(self.passes).inverse(latents[COARSE], conditions)
        x, within = self.coarse_colours(values, condition.gamut[self.coarsest_size])
        return x, log_det + within

    def coarse_colours(self, values: Tensor, gamut: Interval) -> tuple[Tensor, Tensor]:
        """Turn what the passes decode, (N, 8, 8, 8), into x at 16 px, near the gamut there.

        Returns:
            x (N, 2, 16, 16), and the log-det (N,).
        """
        x, _ = self._coarse().flow.maps[0].inverse(values, None)
        return self.clamp.inverse(x, gamut)

    def finish(
        self, latents: Mapping[int, Tensor], condition: Condition, begun: tuple[Tensor, ...]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """See :meth:`ConditionalFlow.finish`."""
        x, log_det = begun or self.begin(latents, condition) or self._base(latents[self.coarsest], condition)
        log_dets = {self.coarsest: log_det}
        for r in reversed(self.resolutions):
            level = self._level(r)
            residual, log_det = level.flow.inverse(latents[r], level.conditions(condition.prepared[r], x))
            details, _ = self.shift.inverse(residual, condition.guided(r, x))
            details, within = self.bounded.inverse(details, condition.bounded(r, x))
            x, rescaling = self.downsample.inverse(torch.cat([x, details], dim=1))
            log_dets[r] = log_det + within + rescaling
        return x, log_dets

    @property
    def passes(self) -> list[AutoregressivePass]:
        """The passes of the autoregressive level, in the order of f; none if there is no such level."""
        maps = self._coarse().flow.maps[1:] if self.config.coarse else []
        return [transform for transform in maps if isinstance(transform, AutoregressivePass)]

    def _base(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Decode the level at the bottom of coupling blocks: x, and the log-det (N,)."""
        flow, conditions = self._coarsest(condition)
        x, log_det = flow.inverse(z, conditions)
        x, within = self.clamp.inverse(x, condition.gamut[self.coarsest_size])
        return x, log_det + within

    def _coarsest(self, condition: Condition) -> tuple[Sequence, list[Any]]:
        """Return the flow of the coarsest level, and the conditions of its maps."""
        prepared = condition.prepared[self.coarsest]
        if isinstance(prepared, CoarseCondition):
            level = self._coarse()
            return level.flow, level.conditions(prepared)
        base = self._level(BASE)
        return base.flow, base.conditions(prepared, None)

    def _coarse(self) -> CoarseLevel:
        level = self.levels[str(COARSE)]
        assert isinstance(level, CoarseLevel)
        return level

    def _level(self, r: int) -> Level:
        level = self.levels[str(r)]
        assert isinstance(level, Level)
        return level
