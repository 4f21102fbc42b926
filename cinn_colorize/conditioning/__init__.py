"""From L to features: backbone, feature pyramid and the heads of the levels."""

from cinn_colorize.conditioning.attention import ColorAttention as ColorAttention
from cinn_colorize.conditioning.backbone import EfficientNetLite2 as EfficientNetLite2
from cinn_colorize.conditioning.backbone import gray_input as gray_input
from cinn_colorize.conditioning.gamut import ChromaBounds as ChromaBounds
from cinn_colorize.conditioning.heads import LevelHead as LevelHead
from cinn_colorize.conditioning.luminance import LuminancePyramid as LuminancePyramid
from cinn_colorize.conditioning.pyramid import FeaturePyramid as FeaturePyramid
