"""Models small enough to be tested in every way."""

from dataclasses import replace

from cinn_colorize.models import imagenet_vgg
from cinn_colorize.models.bedrooms import BedroomsConfig, StageConfig
from cinn_colorize.models.mnist import MnistConfig
from cinn_colorize.models.natural_config import CoarseConfig, LevelConfig, NaturalConfig

NARROW_NATURAL = NaturalConfig(
    {32: LevelConfig(1, 8, 8, context=True, residual=1), 16: LevelConfig(1, 8, 8)},
    attention={8: 1},
    gamut_leak=0.03,
    coarse=CoarseConfig(passes=2, blocks=1, width=32),
)
# It draws in half of the time, for tests that judge no pictures.
NEARSIGHTED = replace(NARROW_NATURAL, coarse=replace(NARROW_NATURAL.coarse, blocks=0), sight=64)
NARROW_BEDROOMS = BedroomsConfig(
    {
        64: StageConfig(1, 4, 1.0, keep=2),
        32: StageConfig(2, 4, 1.0, keep=2),
        16: StageConfig(2, 4, 0.6, keep=4),
        0: StageConfig(2, 8, 0.6),
    }
)
SMALL_MNIST = MnistConfig(blocks=3, hidden=(16,))
# With so few pixels that a Jacobian can be computed; bedrooms reads a pyramid of luminance there.
TINY_BEDROOMS = BedroomsConfig(
    {
        8: StageConfig(2, 4, 1.0, keep=2),
        4: StageConfig(2, 4, 1.0, keep=4),
        2: StageConfig(2, 4, 0.6, keep=4),
        0: StageConfig(2, 8, 0.6),
    },
    conditioning=False,
)


def narrow_vgg(preset="paper"):
    """A preset with few channels and blocks, and all reductions and splits."""
    config = imagenet_vgg.PRESETS[preset]()
    stages = {
        r: replace(
            stage,
            blocks=2,
            width=4 if r else 16,
            head=(3,) * len(stage.head),
            pointwise=4 if stage.pointwise else 0,
        )
        for r, stage in config.stages.items()
    }
    return replace(config, stages=stages, network=(2, 3, 4, 5))


def tiny_vgg(preset="paper"):
    """The same with so few pixels that a Jacobian can be computed."""
    config = narrow_vgg(preset)
    stages = {r: config.stages[r] for r in (16, 8, 0)}
    return replace(config, stages={**stages, 16: replace(stages[16], keep=4), 8: replace(stages[8], keep=8)})
