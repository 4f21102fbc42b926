"""``bedrooms``: bedrooms at low resolution (paper 4.3). ab at 64 px given L at 64 px.

A cINN and its conditioning network, trained jointly from scratch, with the layout of the authors' code for
this data set. Unlike there, fixed orthogonal matrices mix the channels, as in the paper's text (3.4).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

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
from cinn_colorize.models.conditioning.pyramid import LuminancePyramid

SIZE = 64  # of L and of ab


@dataclass(frozen=True)
class StageConfig:
    """Coupling blocks at one resolution."""

    blocks: Depth
    width: Width  # channels inside their subnetworks
    clamp: float  # alpha of Eq. 7
    keep: Width = 0  # channels kept for the next stage; the others become latent code


@dataclass(frozen=True)
class BedroomsConfig:
    """The architecture; stages by resolution, finest first; 0 is the fully connected one."""

    stages: Mapping[int, StageConfig]
    chroma_scale: float = 15.0  # x = ab / chroma_scale
    haar: bool = True  # reduce by Haar steps rather than the reshape of i-RevNet
    mixing: bool = True  # mix channels before each coupling block
    conditioning: bool = True  # condition on the features of a network rather than on L itself

    @classmethod
    def default(cls) -> "BedroomsConfig":
        """Return the widths and clamps of the authors' code."""
        return cls(
            stages={
                64: StageConfig(2, 32, 1.0, keep=2),
                32: StageConfig(4, 64, 1.0, keep=2),
                16: StageConfig(4, 128, 0.6, keep=4),
                BASE: StageConfig(4, 512, 0.6),
            }
        )


class PlainNetwork(nn.Module):
    """Convolutions from L at 64 px to features at 64, 32 and 16 px and one vector (paper 3.3)."""

    CHANNELS: ClassVar[dict[int, int]] = {64: 64, 32: 128, 16: 128, 0: 512}  # by resolution, 0: the vector

    def __init__(self) -> None:
        super().__init__()
        self.at64 = nn.Sequential(conv(1, 64), nn.LeakyReLU(), conv(64, 64))
        self.at32 = nn.Sequential(nn.LeakyReLU(), conv(64, 128, stride=2), nn.LeakyReLU(), conv(128, 128))
        self.at16 = nn.Sequential(nn.LeakyReLU(), conv(128, 128, stride=2))
        halved = conv(128, 256, stride=2), nn.LeakyReLU(), conv(256, 512, stride=2)
        self.vector = nn.Sequential(nn.LeakyReLU(), *halved)
        self.norm = nn.BatchNorm1d(512)

    def forward(self, L: Tensor) -> dict[int, Tensor]:
        """Map L (N, 1, 64, 64), in [-1, 1], to features (N, CHANNELS[r], r, r) and a vector (N, 512)."""
        at64 = self.at64(L)
        at32 = self.at32(at64)
        at16 = self.at16(at32)
        vector = self.norm(F.leaky_relu(self.vector(at16)).mean((2, 3)))
        return {64: at64, 32: at32, 16: at16, 0: vector}


class BedroomsStage(Stage):
    """Coupling blocks at resolution r, each with a head, given the channels of input and of features."""

    def __init__(self, r: int, channels: int, config: StageConfig, features: int, mixing: bool) -> None:
        super().__init__()
        maps: list[Transform[Any]] = []
        heads: list[nn.Module] = []
        for block in range(config.blocks):
            mix: Transform[None]
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

    def prepare(self, features: Tensor) -> Parts:
        return tuple(part for head in self.heads for part in head(features).chunk(2, dim=1))


class Bedrooms(StagedFlow):
    """The flow between x = ab / chroma_scale and the latents of its levels."""

    name = "bedrooms"
    config_class = BedroomsConfig
    config: BedroomsConfig

    def __init__(self, config: BedroomsConfig) -> None:
        super().__init__(config)
        self.network = PlainNetwork() if config.conditioning else LuminancePyramid()
        features = self.network.CHANNELS
        self.stages = MultiScaleFlow(
            2,
            {r: stage.keep for r, stage in config.stages.items() if r != BASE},
            lambda r, channels: BedroomsStage(r, channels, config.stages[r], features[r], config.mixing),
            HaarDownsampling() if config.haar else Squeeze(),
        )
        self.latent_shapes = self.stages.latent_shapes

    def condition(self, c: Tensor) -> StageConditions:
        """Compute once per photo what all its samples share, of L* at 64 px, or averaged to that size."""
        features = self.network(F.adaptive_avg_pool2d(c, SIZE) / 50 - 1)
        return StageConditions({r: self.stages[r].prepare(features[r]) for r in self.config.stages})
