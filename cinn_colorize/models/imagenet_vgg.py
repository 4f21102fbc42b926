"""``imagenet-vgg``: natural photos, with the network as printed in the paper (4.2, Fig. 8).

ab at 64 px given L at 256 px. A conditioning network, with the layers of Zhang, Isola and Efros, "Colorful
Image Colorization" (2016, https://arxiv.org/abs/1603.08511), computes features at 64 px. It is pretrained
with a 1x1 convolution to the logits of colour bins, the second to last layer there (the last one maps bins to
colours), and cut before it. Each coupling block has its own head on top of the features. Stages at 64, 32,
16 and 8 px end with a reduction to half the size, after which a part of the channels is split off as latent
code. Fully connected blocks transform the rest.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import Transform
from cinn_colorize.flow.coupling import AffineCoupling, ConvSubnet, LinearSubnet
from cinn_colorize.flow.downsampling import HaarDownsampling, Squeeze
from cinn_colorize.flow.mixing import OrthogonalMixing, Permutation
from cinn_colorize.flow.multiscale import BASE, MultiScaleFlow
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models.architecture import Depth, Width
from cinn_colorize.models.base import Parts, Stage, StageConditions, StagedFlow
from cinn_colorize.models.conditioning.layers import conv

WIDTHS = (64, 128, 256, 512)  # channels at 256, 128, 64 and 32 px; the features have the third
SIZE = 64  # of ab and of the features
Coupling = Callable[[int, Callable[[int, int], nn.Module]], AffineCoupling]  # of channels and subnetworks
_REDUCTIONS: dict[str, type[Transform[None]]] = {"haar": HaarDownsampling, "squeeze": Squeeze}


@dataclass(frozen=True)
class StageConfig:
    """Coupling blocks at one resolution, followed by a reduction to half of it."""

    blocks: Depth
    width: Width  # channels inside their subnetworks and of the outputs of their heads
    head: tuple[Width, ...] = ()  # channels between a head's convolutions
    one_head: bool = False  # one head for all blocks
    reduction: str = "haar"  # or squeeze
    pointwise: Width = 0  # channels inside two unconditional 1x1 couplings after the reduction; 0: none
    keep: Width = 0  # channels kept after the reduction; the others become latent code


@dataclass(frozen=True)
class ImagenetVggConfig:
    """The architecture; stages by resolution, finest first; 0 is the fully connected one."""

    stages: Mapping[int, StageConfig]
    clamp: float  # alpha of Eq. 7
    bound: float = 2.5  # subnetworks see values within +-bound; without it, training sometimes explodes
    network: tuple[Width, ...] = WIDTHS  # channels of the conditioning network
    chroma_scale: float = 15.0  # x = ab / chroma_scale

    @classmethod
    def paper(cls) -> "ImagenetVggConfig":
        """Return the architecture of the text, which gives no widths: they are those of the authors' code."""
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
    def authors(cls) -> "ImagenetVggConfig":
        """Return the architecture of the authors' code."""
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
    def narrow(cls) -> "ImagenetVggConfig":
        """Return the paper's with a quarter of all channels, to rehearse the stages of training on a CPU."""
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


class VggNetwork(nn.Module):
    """h: features at 64 px of L at 256 px, given the channels at 256, 128, 64 and 32 px."""

    def __init__(self, widths: List[int] = WIDTHS) -> None:
        super().__init__()
        w256, w128, w64, w32 = widths
        self.layers = nn.Sequential(
            *_group(1, w256, count=2, stride=2),
            *_group(w256, w128, count=2, stride=2),
            *_group(w128, w64, count=3, stride=2),
            *_group(w64, w32, count=3),
            *_group(w32, w32, count=3, dilation=2),
            *_group(w32, w32, count=3, dilation=2),
            *_group(w32, w32, count=3),
            nn.ConvTranspose2d(w32, w64, 4, stride=2, padding=1),
            nn.ReLU(),
            conv(w64, w64),
            nn.ReLU(),
            conv(w64, w64),
        )
        self.channels = w64

    def forward(self, L: Tensor) -> Tensor:
        """Map L (N, 1, 256, 256), scaled to [-1, 1], to features (N, channels, 64, 64)."""
        features: Tensor = self.layers(L)
        return features


class BinClassifier(nn.Module):
    """The logits of colour bins, (N, bins, H, W), of features (N, channels, H, W)."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.to_bins = conv(channels, bins, 1)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.to_bins(F.relu(features))
        return logits


def vgg_head(widths: List[int], halvings: int) -> nn.Sequential:
    """Build h_k: 3x3 convolutions from the features to the condition of one coupling block, and a batch norm.

    ``widths`` are the channels of the features, between the convolutions, and of the result; the first
    ``halvings`` convolutions have stride 2.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [conv(before, after, stride=2 if i < halvings else 1), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1], nn.BatchNorm2d(widths[-1]))


def _group(inputs: int, outputs: int, count: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """Build convolutions with ReLU, the last one strided, and a batch norm."""
    layers: list[nn.Module] = []
    for i in range(count):
        last = i == count - 1
        layer = conv(outputs if i else inputs, outputs, 3, stride if last else 1, dilation)
        layers += [layer, nn.ReLU()]
    return [*layers, nn.BatchNorm2d(outputs)]


class ImagenetVggStage(Stage):
    """Coupling blocks at resolution r, 0 for the vector, with their heads, and the reduction after them.

    ``channels`` are those of the input, ``features`` those of the conditioning network.
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
        # The condition's part of the first layers: the weights that a layer of half and condition would have.
        self.parts = nn.ModuleList()
        for _ in range(config.blocks):
            part: nn.Linear | nn.Conv2d
            if r == BASE:
                part = nn.Linear(config.width, 2 * config.width, bias=False)
            else:
                part = nn.Conv2d(config.width, 2 * config.width, 3, padding=1, bias=False)
            nn.init.xavier_uniform_(part.weight)
            self.parts.append(part)

    def prepare(self, features: Tensor) -> Parts:
        """Compute the conditions of the blocks from features (N, C, 64, 64); 1x1 couplings have none."""
        seen = [head(features) for head in self.heads]
        if len(seen) == 1:
            seen *= len(self.parts)
        of_blocks = (part(h) for part, h in zip(self.parts, seen, strict=True))
        return tuple(half for of_block in of_blocks for half in of_block.chunk(2, dim=1))


def _image_maps(
    channels: int, config: StageConfig, coupling: Coupling, seeds: Iterator[int]
) -> list[Transform[Any]]:
    maps: list[Transform[Any]] = []
    subnet = partial(ConvSubnet, width=config.width, kernel=3)
    for _ in range(config.blocks):
        maps += [coupling(channels, subnet), OrthogonalMixing(channels, next(seeds))]
    maps.append(_REDUCTIONS[config.reduction]())
    if config.reduction == "haar" and not config.pointwise:
        # The means go on, as the text says (3.4), with a part of the details. Haar sorts these by direction:
        # without mixing, all horizontal ones would go on, and no vertical or diagonal ones.
        maps.append(OrthogonalMixing(4 * channels, next(seeds), unmixed=channels))
    pointwise = partial(ConvSubnet, width=config.pointwise, kernel=1)
    for _ in range(2 if config.pointwise else 0):
        maps += [OrthogonalMixing(4 * channels, next(seeds)), coupling(4 * channels, pointwise)]
    return maps


def _vector_maps(
    values: int, config: StageConfig, coupling: Coupling, seeds: Iterator[int]
) -> list[Transform[Any]]:
    subnet = partial(LinearSubnet, hidden=[config.width] * 3)
    maps: list[Transform[Any]] = []
    for _ in range(config.blocks):
        maps += [Permutation(values, next(seeds)), coupling(values, subnet)]
    return maps


class ImagenetVgg(StagedFlow):
    """The flow between x and latents at 16, 8, 4 px and of a vector; KeyError for an unknown reduction."""

    name = "imagenet-vgg"
    config_class = ImagenetVggConfig
    config: ImagenetVggConfig

    def __init__(self, config: ImagenetVggConfig) -> None:
        super().__init__(config)
        self.network = VggNetwork(config.network)
        self.stages = MultiScaleFlow(
            2,
            {r: stage.keep for r, stage in config.stages.items() if r != BASE},
            lambda r, channels: ImagenetVggStage(
                r, channels, config.stages[r], self.network.channels, config.clamp, config.bound
            ),
        )
        self.latent_shapes = self.stages.latent_shapes

    def train(self, mode: bool = True) -> Self:
        """Set the mode; norms of the conditioning network keep the statistics that they were trained to."""
        super().train(mode)
        self.network.eval()
        return self

    def condition(self, c: Tensor) -> StageConditions:
        features = self.network(c / 50 - 1)
        return StageConditions({r: self.stages[r].prepare(features) for r in self.config.stages})
