"""The architecture of ``natural``, as its weights files hold it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cinn_colorize.models.architecture import Depth, Width

COARSE = 8  # name of the coarse level, by the resolution of its latents: 2x2 pixels of 16 px make one


@dataclass(frozen=True)
class LevelConfig:
    """A level of details: its coupling blocks and its head."""

    blocks: Depth  # coupling blocks
    width: Width  # channels inside their subnetworks
    depth: Width  # channels of the head
    attend: bool = False  # only in scripts/compare: pixels attend to all coarser colours
    context: bool = False  # pixels know the average of all
    residual: Depth = 0  # residual blocks of the head


@dataclass(frozen=True)
class CoarseConfig:
    """The colours at 16 px: passes of an autoregressive flow."""

    passes: Depth = 4  # in alternating order
    blocks: Depth = 3  # transformer blocks of a pass
    width: Width = 192  # channels of the transformers
    condition_dropout: float = 0.1  # share of photos whose features training hides
    clamp: float = 1.5  # alpha of Eq. 7
    bound: float = 5.0  # transformers see values within +-bound


@dataclass(frozen=True)
class NaturalConfig:
    """The architecture; levels of details by resolution, finest first."""

    levels: Mapping[int, LevelConfig]
    clamp: float = 0.5  # alpha of Eq. 7
    bound: float = 1.9  # subnetworks see latents within +-bound
    knee: float = 1.5  # of the elementwise map
    scale_limit: float = 4.0  # of its log-scales; those of photos stay below 0.6
    chroma_scale: float = 15.0  # x = ab / chroma_scale
    chroma_limit: float = 110.0  # coarser colours are seen within +-chroma_limit
    gamut_margin: float = 6.0  # units of ab that noise may leave the gamut at a given L
    gamut_leak: float = 0.1  # factor on what samples exceed that by
    attention: Mapping[int, Depth] = field(default_factory=dict)  # transformer blocks, by resolution
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    sight: Width = 256  # pixels of a side that the backbone sees L enlarged to, a multiple of 64
    conditioning: bool = True  # a conditioning network, else L itself: no backbone, no attention, no context

    @classmethod
    def default(cls) -> "NaturalConfig":
        """Return the configuration of the shipped model."""
        return cls(
            levels={
                32: LevelConfig(3, 64, 96, context=True, residual=2),
                16: LevelConfig(3, 96, 144, context=True, residual=2),
            },
            attention={8: 6, 16: 1},
            gamut_leak=0.02,
            scale_limit=0.7,
        )
