"""From L to features: backbone, feature pyramid and the heads of the levels."""

from cinn_colorize.models.conditioning.backbone import EfficientNetLite2 as EfficientNetLite2
from cinn_colorize.models.conditioning.backbone import gray_input as gray_input
from cinn_colorize.models.conditioning.gamut import ChromaBounds as ChromaBounds
from cinn_colorize.models.conditioning.pyramid import FeaturePyramid as FeaturePyramid
from cinn_colorize.models.conditioning.pyramid import LevelHead as LevelHead
from cinn_colorize.models.conditioning.pyramid import LuminancePyramid as LuminancePyramid
