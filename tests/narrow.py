"""Models small enough to be tried in every way."""

from cinn_colorize.models.bedrooms import BedroomsConfig, StageConfig
from cinn_colorize.models.mnist import MnistConfig

NARROW_BEDROOMS = BedroomsConfig(
    {
        64: StageConfig(1, 4, 1.0, keep=2),
        32: StageConfig(2, 4, 1.0, keep=2),
        16: StageConfig(2, 4, 0.6, keep=4),
        0: StageConfig(2, 8, 0.6),
    }
)
SMALL_MNIST = MnistConfig(blocks=3, hidden=(16,))
