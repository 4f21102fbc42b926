"""``natural``: natural photos, the default. ab at 64 px given L at 256 px.

A coarse-to-fine Haar pyramid of conditional flows, after Yu, Derpanis and Brubaker, "Wavelet Flow" (2020,
https://arxiv.org/abs/2010.13821). Haar steps split x = ab / chroma_scale into details at r = 32 and 16 and
the coarse colours at 16 px, and with features h of L

    p(x | L) = p(coarse | h) p(details at 16 | coarse, h) p(details at 32 | colours at 32 px, h).

The coarse colours are an autoregressive flow; details are an elementwise conditional map and conditional
affine coupling blocks (paper 3.1). Sampling goes from coarse to fine.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import Transform
from cinn_colorize.flow.autoregressive import AutoregressivePass, Guidance
from cinn_colorize.flow.coupling import AffineCoupling, ConvSubnet
from cinn_colorize.flow.details import (
    BoundedDetails,
    BoundedMean,
    GuidedMean,
    GuidedShift,
    Interval,
    LeakyClamp,
    SinhMap,
)
from cinn_colorize.flow.downsampling import HaarDownsampling, Squeeze, haar
from cinn_colorize.flow.mixing import OrthogonalMixing
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models.base import PhotoFlow
from cinn_colorize.models.conditioning.backbone import EfficientNetLite2, gray_input
from cinn_colorize.models.conditioning.gamut import ChromaBounds
from cinn_colorize.models.conditioning.layers import conv
from cinn_colorize.models.conditioning.pyramid import FeaturePyramid, LevelHead, LuminancePyramid
from cinn_colorize.models.natural_config import COARSE, NaturalConfig

SIDE = 256  # pixels of L
GUIDED = slice(1, None, 2)  # passes of the coarse level that guidance acts in; docs/training-log.md has why


class Condition(NamedTuple):
    """What all samples of a photo share, computed once from its L."""

    prepared: dict[int, Any]  # by level, what its head or its passes read
    luminance: dict[int, Tensor]  # by resolution, (N, 1, r, r), scaled to [-1, 1]
    gamut: dict[int, Interval]  # by resolution, bounds (N, 2, r, r) of x


class CoarseCondition(NamedTuple):
    """What the coarse level keeps of a photo, for each pass: features, (N, width, 8, 8)."""

    features: list[Tensor]
    without: list[Tensor]  # the same of no photo, for each pass that is guided; empty in training
    guidance: float | None = None  # weight, see :class:`Guidance`


class CoarseLevel(nn.Module):
    """p(colours at 16 px | L, features) as an autoregressive flow over squares of 2x2 pixels."""

    def __init__(self, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        level, width = config.coarse, config.coarse.width
        make = partial(AutoregressivePass, 4 * 2, COARSE, width, level.blocks)
        passes = (make(reverse=k % 2 == 1, clamp=level.clamp, bound=level.bound) for k in range(level.passes))
        self.flow = Sequence([Squeeze(), *passes])
        seen = features[COARSE] + 4 * features[2 * COARSE] + 64  # L at 64 px
        self.read = conv(seen, width, 1)
        self.refine = conv(width, width)
        self.condition_dropout = level.condition_dropout
        self.unknown = nn.Parameter(torch.zeros(width, 1, 1))
        self.to_passes = nn.ModuleList(conv(width, width, 1) for _ in range(level.passes))
        self.clamp = LeakyClamp(config.gamut_leak)

    @property
    def passes(self) -> list[AutoregressivePass]:
        """The autoregressive passes, in the order of f."""
        return cast(list[AutoregressivePass], list(self.flow.maps)[1:])

    def prepare(self, pyramid: Mapping[int, Tensor], L: Tensor) -> CoarseCondition:
        """Compute what needs no colours, of features at 8 and 16 px and L (N, 1, 64, 64) in [-1, 1]."""
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

    def encode(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute the latent of x (N, 2, 16, 16), and the log-det (N,)."""
        x, within = self.clamp(x, condition.gamut[2 * COARSE])
        z, log_det = self.flow(x, self._conditions(condition.prepared[COARSE]))
        return z, log_det + within

    def decode(self, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute x (N, 2, 16, 16) of the latent, and the log-det (N,)."""
        x, log_det = self.flow.inverse(z, self._conditions(condition.prepared[COARSE]))
        x, within = self.clamp.inverse(x, condition.gamut[2 * COARSE])
        return x, log_det + within

    def _conditions(self, prepared: CoarseCondition) -> list[Tensor | Guidance | None]:
        features, without, weight = prepared
        conditions: list[Tensor | Guidance] = [*features]
        if weight:
            pairs = zip(features[GUIDED], without, strict=True)
            conditions[GUIDED] = [Guidance(*pair, weight) for pair in pairs]
        return [None, *conditions]


def level_flow(r: int, channels: int, config: NaturalConfig) -> Sequence:
    """Build the flow of a level: an elementwise map, then mixings and coupling blocks in turn."""
    level, kernel = config.levels[r], 3 if r > 1 else 1
    maps: list[Transform[Any]] = [SinhMap(config.knee, config.scale_limit)]
    for block in range(level.blocks):
        maps.append(OrthogonalMixing(channels, seed=1000 * r + block))
        subnet = partial(ConvSubnet, width=level.width, kernel=kernel)
        maps.append(AffineCoupling(channels, subnet, config.clamp, config.bound))
    return Sequence(maps)


class Level(nn.Module):
    """p(details at r | colours at r, L, features) as a flow, and the head that conditions it."""

    def __init__(
        self,
        r: int,
        config: NaturalConfig,
        features: Mapping[int, int],
        head: Callable[[int, NaturalConfig, Mapping[int, int]], Any] = LevelHead,
    ) -> None:
        super().__init__()
        self.r, self.flow = r, level_flow(r, 6, config)
        self.head: Any = head(r, config, features)
        self.downsample = HaarDownsampling(halve_details=False)
        self.bounded = BoundedDetails(config.gamut_leak)
        self.shift = GuidedShift(config.chroma_limit / config.chroma_scale)

    def encode(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """Split x at 2r, (N, 2, 2r, 2r), into x at r and the latent of the details, and the log-det (N,)."""
        x, rescaling = self.downsample(x)
        x, details = x.split((2, 6), dim=1)
        bounds, guide, conditions = self._given(x, condition)
        details, within = self.bounded(details, bounds)
        residual, _ = self.shift(details, guide)
        z, log_det = self.flow(residual, conditions)
        return x, z, log_det + within + rescaling

    def decode(self, x: Tensor, z: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Compute x at 2r from x at r and the latent of the details, and the log-det (N,)."""
        bounds, guide, conditions = self._given(x, condition)
        residual, log_det = self.flow.inverse(z, conditions)
        details, _ = self.shift.inverse(residual, guide)
        details, within = self.bounded.inverse(details, bounds)
        x, rescaling = self.downsample.inverse(torch.cat([x, details], dim=1))
        return x, log_det + within + rescaling

    def _given(self, x: Tensor, condition: Condition) -> tuple[BoundedMean, GuidedMean, list[Any]]:
        """Return the conditions of the three maps, given x at r."""
        L, gamut, r = condition.luminance, condition.gamut, self.r
        conditions = self.conditions(condition.prepared[r], x)
        return BoundedMean(x, gamut[2 * r]), GuidedMean(x, L[r], L[2 * r]), conditions

    def conditions(self, prepared: Any, coarser: Tensor) -> list[Any]:
        for_map, for_subnets = self.head(prepared, coarser)
        return [for_map, *self.flow.coupling_conditions(for_subnets)[1:]]


class Natural(PhotoFlow):
    """The flow between x, (N, 2, 64, 64), and latents; ValueError for details not at 32 and 16 px."""

    name = "natural"
    config_class = NaturalConfig
    config: NaturalConfig
    coarse_size = 2 * COARSE
    resolutions = (32, 16)  # of the details, finest first

    def __init__(self, config: NaturalConfig) -> None:
        super().__init__(config)
        if tuple(config.levels) != self.resolutions:
            raise ValueError(f"its levels are not {', '.join(map(str, self.resolutions))}")
        self.latent_shapes = {r: (6, r, r) for r in self.resolutions} | {COARSE: (8, COARSE, COARSE)}
        if config.conditioning:
            self.backbone = EfficientNetLite2()
        pyramid = FeaturePyramid(config.attention) if config.conditioning else LuminancePyramid()
        self.pyramid: FeaturePyramid | LuminancePyramid = pyramid
        levels = {str(r): Level(r, config, pyramid.CHANNELS) for r in self.resolutions}
        self.levels = nn.ModuleDict({**levels, str(COARSE): CoarseLevel(config, pyramid.CHANNELS)})
        self.chroma_bounds = ChromaBounds()

    @property
    def coarse(self) -> CoarseLevel:
        return cast(CoarseLevel, self.levels[str(COARSE)])

    def details(self, r: int) -> Level:
        return cast(Level, self.levels[str(r)])

    def features(self, L: Tensor) -> dict[int, Tensor]:
        """Compute backbone features of L* (N, 1, 256, 256) by stride; none without a conditioning network."""
        return self.fitted(self.backbone(self.seen(L))) if self.config.conditioning else {}

    def seen(self, L: Tensor) -> Tensor:
        """Turn L* (N, 1, 256, 256) into what the backbone reads, (N, 3, S, S) with S = ``config.sight``."""
        if self.config.sight != L.shape[-1]:
            L = F.interpolate(L, (self.config.sight,) * 2, mode="bicubic", align_corners=False)
        return gray_input(L)

    def fitted(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Bring features of the backbone by stride, whatever it has seen, to 256 / stride pixels a side."""
        if self.config.sight == SIDE:
            return dict(features)
        fit = partial(F.interpolate, mode="bilinear", align_corners=False)
        return {stride: fit(f, (SIDE // stride,) * 2) for stride, f in features.items()}

    def condition(
        self,
        L: Tensor,
        features: Mapping[int, Tensor] | None = None,
        finest: int = 32,
        coarsest: int = COARSE,
    ) -> Condition:
        """Compute once per photo what all its samples share, given L* in [0, 100], (N, 1, 256, 256).

        ``features`` are the backbone's, if they are known already. Levels above ``finest`` are left out, and
        the coarse level if it lies below ``coarsest``; :meth:`forward` then leaves them out too.
        """
        if features is None:
            features = self.features(L)
        mean = F.avg_pool2d(L, 4)
        L64, gamut = mean / 50 - 1, {64: self._gamut(mean)}
        is_of_features = isinstance(self.pyramid, FeaturePyramid)
        pyramid = self.pyramid(features, L64, 2 * finest) if is_of_features else self.pyramid(L64)
        luminance, prepared = {64: L64}, dict[int, Any]()
        for r in self.resolutions:
            average, details = haar(luminance[2 * r])
            luminance[r], gamut[r] = average / 2, gamut[2 * r].halve()
            if r <= finest:
                guide = torch.cat([luminance[r], details], dim=1)
                prepared[r] = self.details(r).head.prepare(pyramid[2 * r], guide)
        if coarsest <= COARSE:
            prepared[COARSE] = self.coarse.prepare(pyramid, L64)
        return Condition(prepared, luminance, gamut)

    def guided(self, condition: Condition, weight: float) -> Condition:
        coarse = condition.prepared[COARSE]._replace(guidance=weight)
        return condition._replace(prepared=condition.prepared | {COARSE: coarse})

    def _gamut(self, L: Tensor) -> Interval:
        """Return the bounds of x, noise included, at L*."""
        lower, upper = self.chroma_bounds(L).chunk(2, dim=1)
        margin, scale = self.config.gamut_margin, self.config.chroma_scale
        return Interval((lower - margin) / scale, (upper + margin) / scale)

    def forward(self, x: Tensor, condition: Condition) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        latents, log_dets = {}, {}
        for r in self.resolutions:
            if r in condition.prepared:
                x, latents[r], log_dets[r] = self.details(r).encode(x, condition)
            else:
                x = haar(x)[0] / 2
        if COARSE in condition.prepared:
            latents[COARSE], log_dets[COARSE] = self.coarse.encode(x, condition)
        return latents, log_dets

    def inverse(
        self, latents: Mapping[int, Tensor], condition: Condition
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return self.finish(latents, condition, self.begin(latents, condition))

    def begin(self, latents: Mapping[int, Tensor], condition: Condition) -> tuple[Tensor, ...]:
        """Decode the coarse level: x at 16 px, and its log-det (N,)."""
        return self.coarse.decode(latents[COARSE], condition)

    def finish(
        self, latents: Mapping[int, Tensor], condition: Condition, begun: tuple[Tensor, ...]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        x, log_det = begun or self.begin(latents, condition)
        log_dets = {COARSE: log_det}
        for r in reversed(self.resolutions):
            x, log_dets[r] = self.details(r).decode(x, latents[r], condition)
        return x, log_dets
