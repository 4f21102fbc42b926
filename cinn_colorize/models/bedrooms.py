"""``bedrooms``: bedrooms at low resolution (paper 4.3). ab at 64 px given L at 64 px.

A cINN of four levels with its conditioning network, trained jointly from scratch. The layout is that of the
authors' code for this data set: two coupling blocks at 64 px, four at 32 and four at 16 px with Haar steps in
between, a part of the channels split off as latent code after each of these, and four fully connected blocks.
As the paper's text has it (3.4), and other than that code, channels are mixed by fixed orthogonal matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.conditioning.luminance import LuminancePyramid
from cinn_colorize.conditioning.plain import PlainNetwork
from cinn_colorize.flow import (
    AffineCoupling,
    ConvSubnet,
    HaarDownsampling,
    LinearSubnet,
    OrthogonalMixing,
    Permutation,
    Sequence,
    Squeeze,
)
from cinn_colorize.models.base import PhotoFlow, StageConditions

SIZE = 64  # of L and of ab
BASE = 0  # the name of the fully connected level


@dataclass(frozen=True)
class StageConfig:
    """Coupling blocks at one resolution."""

    blocks: int
    width: int  # channels inside their subnetworks
    clamp: float  # alpha of Eq. 7
    keep: int = 0  # channels that go on to the next stage; the others are latent code


@dataclass(frozen=True)
class BedroomsConfig:
    """The architecture; stages by resolution, finest first, 0 is the fully connected one."""

    stages: Mapping[int, StageConfig]
    chroma_scale: float = 15.0  # x = ab / chroma_scale
    haar: bool = True  # reduce by Haar steps, else by the reshape of i-RevNet
    mixing: bool = True  # mix channels before each coupling block
    conditioning: bool = True  # a conditioning network, else L itself

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BedroomsConfig:
        """From what ``dataclasses.asdict`` gives after a round trip through JSON.

        Raises:
            TypeError: a key is unknown or missing.
        """
        stored = {int(r): StageConfig(**stage) for r, stage in values["stages"].items()}
        stages = {r: stored[r] for r in sorted(stored, reverse=True)}
        return cls(**{**values, "stages": stages})

    @classmethod
    def default(cls) -> BedroomsConfig:
        """The widths and clamps of the authors' code."""
        return cls(
            stages={
                64: StageConfig(2, 32, 1.0, keep=2),
                32: StageConfig(4, 64, 1.0, keep=2),
                16: StageConfig(4, 128, 0.6, keep=4),
                BASE: StageConfig(4, 512, 0.6),
            }
        )


class Stage(nn.Module):
    """Coupling blocks at one resolution, and the head of each.

    Args:
        r: the resolution.
        channels: of the values there.
        config: of the stage.
        features: channels of the condition there.
        mixing: mix channels before each block.
    """

    def __init__(self, r: int, channels: int, config: StageConfig, features: int, mixing: bool) -> None:
        super().__init__()
        self.mixing = mixing
        maps: list[nn.Module] = []
        heads: list[nn.Module] = []
        for block in range(config.blocks):
            mix: nn.Module
            subnet: Callable[[int, int], nn.Module]
            if r == BASE:
                mix = Permutation(channels, seed=block)
                subnet = partial(LinearSubnet, hidden=[config.width])
                heads.append(nn.Linear(features, 2 * config.width, bias=False))
            else:
                kernel = 1 if block % 2 == 0 and r < SIZE else 3
                mix = OrthogonalMixing(channels, seed=1000 * r + block)
                subnet = partial(ConvSubnet, width=config.width, kernel=kernel, layers=2)
                heads.append(nn.Conv2d(features, 2 * config.width, kernel, padding=kernel // 2, bias=False))
            maps += [mix] if mixing else []
            maps.append(AffineCoupling(channels, subnet, config.clamp))
        self.flow, self.heads = Sequence(maps), nn.ModuleList(heads)

    def prepare(self, features: Tensor) -> tuple[Tensor, ...]:
        """The condition of each subnetwork."""
        return tuple(part for head in self.heads for part in head(features).chunk(2, dim=1))

    def conditions(self, parts: tuple[Tensor, ...]) -> list[object]:
        """One condition for each map of the flow."""
        conditions: list[object] = []
        for pair in zip(parts[::2], parts[1::2], strict=True):
            conditions += [None, pair] if self.mixing else [pair]
        return conditions


class Bedrooms(PhotoFlow):
    """The flow between x = ab / chroma_scale, (N, 2, 64, 64), and the latents of its levels.

    Args:
        config: the architecture.
    """

    name = "bedrooms"
    config: BedroomsConfig

    def __init__(self, config: BedroomsConfig) -> None:
        super().__init__()
        self.config = config
        self.network = PlainNetwork() if config.conditioning else LuminancePyramid()
        self.resolutions = tuple(r for r in config.stages if r != BASE)  # finest first
        self.reduce = HaarDownsampling() if config.haar else Squeeze()
        self.stages = nn.ModuleDict()
        self.latent_shapes: dict[int, tuple[int, int, int]] = {}
        channels = 2
        for r in self.resolutions:
            stage = config.stages[r]
            self.stages[str(r)] = Stage(r, channels, stage, self.network.CHANNELS[r], config.mixing)
            if channels > stage.keep:
                self.latent_shapes[r] = (channels - stage.keep, r, r)
            last, channels = (stage.keep, r, r), 4 * stage.keep
        values = last[0] * last[1] * last[2]
        self.last = last  # what the fully connected stage takes
        features = self.network.CHANNELS[BASE]
        self.stages[str(BASE)] = Stage(BASE, values, config.stages[BASE], features, config.mixing)
        self.latent_shapes[BASE] = (values, 1, 1)

    @classmethod
    def from_architecture(cls, values: Mapping[str, Any]) -> Self:
        """See :meth:`ConditionalFlow.from_architecture`."""
        return cls(BedroomsConfig.from_dict(values))

    def condition(self, c: Tensor) -> StageConditions:
        """Compute once per photo what all its samples share.

        Args:
            c: L* in [0, 100], (N, 1, 64, 64), or larger, of which area means are taken.
        """
        features = self.network(F.adaptive_avg_pool2d(c, SIZE) / 50 - 1)
        return StageConditions({r: self._stage(r).prepare(features[r]) for r in self.config.stages})

    def forward(self, x: Tensor, condition: StageConditions) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """f(x; c): see :meth:`ConditionalFlow.forward`."""
        latents, log_dets = {}, {}
        log_det = x.new_zeros(len(x))
        for r in self.resolutions:
            if r != self.resolutions[0]:
                x, change = self.reduce(x)
                log_det = log_det + change
            stage = self._stage(r)
            x, change = stage.flow(x, stage.conditions(condition.parts[r]))
            log_det = log_det + change
            if r in self.latent_shapes:
                keep = self.config.stages[r].keep
                x, latents[r] = x[:, :keep], x[:, keep:]
                log_dets[r], log_det = log_det, torch.zeros_like(log_det)
        base = self._stage(BASE)
        z, change = base.flow(x.flatten(1), base.conditions(condition.parts[BASE]))
        latents[BASE], log_dets[BASE] = z[..., None, None], log_det + change
        return latents, log_dets

    def inverse(
        self, latents: Mapping[int, Tensor], condition: StageConditions
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """g(z; c): see :meth:`ConditionalFlow.inverse`."""
        base, log_dets = self._stage(BASE), {}
        x, log_dets[BASE] = base.flow.inverse(
            latents[BASE].flatten(1), base.conditions(condition.parts[BASE])
        )
        x = x.unflatten(1, self.last)
        level = BASE
        for r in reversed(self.resolutions):
            if r in latents:
                x, level = torch.cat([x, latents[r]], dim=1), r
            stage = self._stage(r)
            x, change = stage.flow.inverse(x, stage.conditions(condition.parts[r]))
            log_dets[level] = log_dets.get(level, 0) + change
            if r != self.resolutions[0]:
                x, change = self.reduce.inverse(x)
                log_dets[level] = log_dets[level] + change
        return x, log_dets

    def _stage(self, r: int) -> Stage:
        stage = self.stages[str(r)]
        assert isinstance(stage, Stage)
        return stage
