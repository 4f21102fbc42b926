"""``imagenet-vgg``: natural photos with the network as printed (paper 4.2, Fig. 8).

ab at 64 px given L at 256 px. A VGG-like conditioning network, pretrained on colour bins, gives features at
64 px; each coupling block has a head of its own on top of them. Four stages of coupling blocks at 64, 32, 16
and 8 px, channels mixed by fixed orthogonal matrices, are each followed by a reduction to half the size,
after which a part of the channels is split off as latent code; fully connected blocks transform the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from cinn_colorize.conditioning.vgg import WIDTHS, VggNetwork, vgg_head
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

SIZE = 64  # of ab and of the features
BASE = 0  # the name of the fully connected stage
Coupling = Callable[[int, Callable[[int, int], nn.Module]], nn.Module]  # of channels and subnetworks
_REDUCTIONS: dict[str, type[HaarDownsampling] | type[Squeeze]] = {
    "haar": HaarDownsampling,
    "squeeze": Squeeze,
}


@dataclass(frozen=True)
class StageConfig:
    """Coupling blocks at one resolution, and the reduction to half of it that follows them."""

    blocks: int
    width: int  # channels inside their subnetworks and of what their heads give
    head: tuple[int, ...] = ()  # channels between a head's convolutions
    one_head: bool = False  # for all blocks
    reduction: str = "haar"  # or squeeze
    pointwise: int = 0  # channels inside two 1x1 couplings without condition after it; 0: none
    keep: int = 0  # channels that go on after it; the others are latent code


@dataclass(frozen=True)
class ImagenetVggConfig:
    """The architecture; stages by resolution, finest first, 0 is the fully connected one."""

    stages: Mapping[int, StageConfig]
    clamp: float  # alpha of Eq. 7
    bound: float = 2.5  # subnetworks see values within +-bound; without that, training explodes now and then
    network: tuple[int, ...] = WIDTHS  # channels of the conditioning network
    chroma_scale: float = 15.0  # x = ab / chroma_scale

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImagenetVggConfig:
        """From what ``dataclasses.asdict`` gives after a round trip through JSON.

        Raises:
            TypeError: a key is unknown or missing.
        """
        stored = {
            int(r): StageConfig(**{**stage, "head": tuple(stage["head"])})
            for r, stage in values["stages"].items()
        }
        stages = {r: stored[r] for r in sorted(stored, reverse=True)}
        return cls(**{**values, "stages": stages, "network": tuple(values["network"])})

    @classmethod
    def paper(cls) -> ImagenetVggConfig:
        """What the text says, with the widths of the authors' code, on which it is silent, and bounds.

        Haar at every reduction, alpha = 1.9, a head for every coupling block, the fully connected ones
        included, of no more convolutions than its resolution needs: none strided at 64 px, five for a vector.
        """
        return cls(
            {
                64: StageConfig(4, 32, keep=8),
                32: StageConfig(6, 64, keep=16),
                16: StageConfig(6, 128, (128,), keep=32),
                8: StageConfig(6, 256, (128, 128), keep=32),
                BASE: StageConfig(8, 512, (128, 128, 256, 256)),
            },
            clamp=1.9,
        )

    @classmethod
    def authors(cls) -> ImagenetVggConfig:
        """What the authors' code has.

        i-RevNet's reshape at three reductions of four, 1x1 couplings after each, alpha = 1.5, one more
        convolution in each head, one head for the fully connected stage.
        """
        return cls(
            {
                64: StageConfig(4, 32, reduction="squeeze", pointwise=64, keep=8),
                32: StageConfig(6, 64, (128,), reduction="squeeze", pointwise=128, keep=16),
                16: StageConfig(6, 128, (128, 128), reduction="squeeze", pointwise=256, keep=32),
                8: StageConfig(6, 256, (128, 128, 256), pointwise=256, keep=32),
                BASE: StageConfig(8, 512, (128, 256, 256), one_head=True),
            },
            clamp=1.5,
            bound=math.inf,
        )

    @classmethod
    def narrow(cls) -> ImagenetVggConfig:
        """The paper's with a quarter of all channels, to rehearse the stages of training on a CPU."""
        paper = cls.paper()
        stages = {
            r: replace(stage, width=stage.width // 4, head=tuple(width // 4 for width in stage.head))
            for r, stage in paper.stages.items()
        }
        return replace(paper, stages=stages, network=tuple(width // 4 for width in paper.network))


PRESETS = {
    "paper": ImagenetVggConfig.paper,
    "authors": ImagenetVggConfig.authors,
    "narrow": ImagenetVggConfig.narrow,
}


class Stage(nn.Module):
    """Coupling blocks at one resolution with their heads, and the reduction that follows.

    Args:
        r: the resolution, 0 for the fully connected stage.
        channels: of the tensor that comes in.
        config: of the stage.
        features: channels of the conditioning network.
        clamp: alpha of Eq. 7.
        bound: of what subnetworks see.
    """

    def __init__(
        self, r: int, channels: int, config: StageConfig, features: int, clamp: float, bound: float
    ) -> None:
        super().__init__()
        seeds = iter(range(1000 * r, 1000 * (r + 1)))
        coupling = partial(AffineCoupling, clamp=clamp, bound=bound)
        flow = _vector_maps if r == BASE else _image_maps
        self.flow = Sequence(flow(channels, config, coupling, seeds))
        heads = []
        halvings = len(config.head) + 1 if r == BASE else (SIZE // r).bit_length() - 1
        for _ in range(1 if config.one_head else config.blocks):
            head = vgg_head([features, *config.head, config.width], halvings)
            heads.append(nn.Sequential(head, nn.AdaptiveAvgPool2d(1), nn.Flatten()) if r == BASE else head)
        self.heads = nn.ModuleList(heads)
        # The condition's part of the first layers: what one layer of the half and the condition would hold.
        parts: list[nn.Module] = []
        for _ in range(config.blocks):
            if r == BASE:
                parts.append(nn.Linear(config.width, 2 * config.width, bias=False))
            else:
                parts.append(nn.Conv2d(config.width, 2 * config.width, 3, padding=1, bias=False))
            nn.init.xavier_uniform_(parts[-1].weight)  # type: ignore[arg-type]
        self.parts = nn.ModuleList(parts)

    def prepare(self, features: Tensor) -> tuple[Tensor, ...]:
        """What the couplings take, from the features (N, C, 64, 64): a tensor a block."""
        seen = [head(features) for head in self.heads]
        if len(seen) == 1:
            seen *= len(self.parts)
        return tuple(part(h) for part, h in zip(self.parts, seen, strict=True))

    def conditions(self, parts: tuple[Tensor, ...]) -> list[object]:
        """One condition for each map of the flow."""
        blocks = iter(parts)
        conditions: list[object] = []
        for transform in self.flow.maps:
            takes_one = isinstance(transform, AffineCoupling) and len(conditions) < 2 * len(parts)
            conditions.append(next(blocks).chunk(2, dim=1) if takes_one else None)
        return conditions


def _image_maps(
    channels: int, config: StageConfig, coupling: Coupling, seeds: Iterator[int]
) -> list[nn.Module]:
    maps: list[nn.Module] = []
    subnet = partial(ConvSubnet, width=config.width, kernel=3)
    for _ in range(config.blocks):
        maps += [coupling(channels, subnet), OrthogonalMixing(channels, next(seeds))]
    maps.append(_REDUCTIONS[config.reduction]())
    pointwise = partial(ConvSubnet, width=config.pointwise, kernel=1)
    for _ in range(2 if config.pointwise else 0):
        maps += [OrthogonalMixing(4 * channels, next(seeds)), coupling(4 * channels, pointwise)]
    return maps


def _vector_maps(
    values: int, config: StageConfig, coupling: Coupling, seeds: Iterator[int]
) -> list[nn.Module]:
    subnet = partial(LinearSubnet, hidden=[config.width] * 3)
    maps: list[nn.Module] = []
    for _ in range(config.blocks):
        maps += [Permutation(values, next(seeds)), coupling(values, subnet)]
    return maps


class ImagenetVgg(PhotoFlow):
    """The flow between x = ab / chroma_scale, (N, 2, 64, 64), and the latents of its levels.

    Levels are named by the resolution of their latents: 16, 8 and 4, and 0 for the vector of the last stage.

    Args:
        config: the architecture.

    Raises:
        KeyError: it names no reduction there is.
    """

    name = "imagenet-vgg"
    config: ImagenetVggConfig

    def __init__(self, config: ImagenetVggConfig) -> None:
        super().__init__()
        self.config = config
        self.network = VggNetwork(config.network)
        self.resolutions = tuple(r for r in config.stages if r != BASE)  # finest first
        self.stages = nn.ModuleDict()
        self.latent_shapes: dict[int, tuple[int, int, int]] = {}
        channels = 2
        for r in self.resolutions:
            stage = config.stages[r]
            self.stages[str(r)] = Stage(r, channels, stage, self.network.channels, config.clamp, config.bound)
            if 4 * channels > stage.keep:
                self.latent_shapes[r // 2] = (4 * channels - stage.keep, r // 2, r // 2)
            channels = stage.keep
            self.last = (channels, r // 2, r // 2)  # what the fully connected stage takes
        values = channels * self.last[1] * self.last[2]
        self.stages[str(BASE)] = Stage(
            BASE, values, config.stages[BASE], self.network.channels, config.clamp, config.bound
        )
        self.latent_shapes[BASE] = (values, 1, 1)

    @classmethod
    def from_architecture(cls, values: Mapping[str, Any]) -> Self:
        """See :meth:`ConditionalFlow.from_architecture`."""
        return cls(ImagenetVggConfig.from_dict(values))

    def train(self, mode: bool = True) -> Self:
        """As every module; but the norms of the conditioning network keep the statistics of its pretraining.

        So the joint stage begins where the flow's has ended.
        """
        super().train(mode)
        self.network.eval()
        return self

    def condition(self, c: Tensor) -> StageConditions:
        """Compute once per photo what all its samples share.

        Args:
            c: L* in [0, 100], (N, 1, 256, 256).
        """
        features = self.network(c / 50 - 1)
        return StageConditions({r: self._stage(r).prepare(features) for r in self.config.stages})

    def forward(self, x: Tensor, condition: StageConditions) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """f(x; c): see :meth:`ConditionalFlow.forward`."""
        latents, log_dets = {}, {}
        log_det = x.new_zeros(len(x))
        for r in self.resolutions:
            stage = self._stage(r)
            x, change = stage.flow(x, stage.conditions(condition.parts[r]))
            log_det = log_det + change
            if r // 2 in self.latent_shapes:
                keep = self.config.stages[r].keep
                x, latents[r // 2] = x[:, :keep], x[:, keep:]
                log_dets[r // 2], log_det = log_det, torch.zeros_like(log_det)
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
        x, level = x.unflatten(1, self.last), BASE
        for r in reversed(self.resolutions):
            if r // 2 in latents:
                x, level = torch.cat([x, latents[r // 2]], dim=1), r // 2
            stage = self._stage(r)
            x, change = stage.flow.inverse(x, stage.conditions(condition.parts[r]))
            log_dets[level] = log_dets.get(level, 0) + change
        return x, log_dets

    def _stage(self, r: int) -> Stage:
        stage = self.stages[str(r)]
        assert isinstance(stage, Stage)
        return stage
