"""From backbone features and L to the conditions of the levels: the pyramid, and the heads on top of it.

After Lin et al., "Feature Pyramid Networks" (2017, https://arxiv.org/abs/1612.03144): coarse features carry
meaning down, and fine ones add position. What depends on the photo alone is computed once for all samples.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cinn_colorize.flow.details import SinhMap
from cinn_colorize.flow.downsampling import haar
from cinn_colorize.models.conditioning.backbone import FEATURES
from cinn_colorize.models.conditioning.layers import ResidualBlock, conv
from cinn_colorize.models.natural_config import NaturalConfig

_FEW = 64  # tokens


class SelfAttention(nn.Module):
    """Transformer blocks over all pixels of a small grid, starting as the identity.

    Vaswani et al., "Attention Is All You Need" (2017, https://arxiv.org/abs/1706.03762), norm first, with a
    multiple of 32 channels.
    """

    def __init__(self, channels: int, resolution: int, blocks: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(resolution**2, channels))
        self.blocks = nn.ModuleList()
        settings: dict[str, Any] = {
            "dropout": 0.0,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": True,
        }
        for _ in range(blocks):
            block = nn.TransformerEncoderLayer(channels, channels // 32, 2 * channels, **settings)
            for last in (block.self_attn.out_proj, block.linear2):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
            self.blocks.append(block)

    def forward(self, features: Tensor) -> Tensor:
        n, channels, height, width = features.shape
        x = features.flatten(2).transpose(1, 2)
        positioned = x + self.position
        # On a CPU, the gradient of torch's fused attention takes twice as long for so few tokens.
        plain = self.training and x.device.type == "cpu" and height * width <= _FEW
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            for block in self.blocks:
                positioned = block(positioned)
        return (positioned - self.position).transpose(1, 2).reshape(n, channels, height, width)


class FeaturePyramid(nn.Module):
    """Features at 64 to 8 px of a backbone's and L; ``attention`` has the number of blocks by resolution."""

    CHANNELS: ClassVar[dict[int, int]] = {64: 64, 32: 128, 16: 192, 8: 256}  # by resolution

    def __init__(self, attention: Mapping[int, int]) -> None:
        super().__init__()
        channels = self.CHANNELS
        inputs = {256 // stride: width for stride, width in FEATURES.items()}
        inputs[64] += 1  # L
        lateral = {str(r): conv(inputs[r], channels[r], 3 if r == 64 else 1) for r in inputs}
        self.lateral = nn.ModuleDict(lateral)
        from_above = {str(r): conv(channels[r // 2], channels[r], 1) for r in (64, 32, 16)}
        self.from_above = nn.ModuleDict(from_above)
        self.smooth = nn.ModuleDict({str(r): conv(channels[r], channels[r]) for r in inputs})
        attending = {str(r): SelfAttention(channels[r], r, blocks) for r, blocks in attention.items()}
        self.attention = nn.ModuleDict(attending)

    def up_to(self, finest: int) -> list[nn.Module]:
        """List the modules that :meth:`forward` uses up to a resolution."""
        parts = (self.lateral, self.from_above, self.smooth, self.attention)
        return [module for part in parts for r, module in part.items() if int(r) <= finest]

    def forward(self, features: Mapping[int, Tensor], L: Tensor, finest: int = 64) -> dict[int, Tensor]:
        """Compute features (N, CHANNELS[r], r, r) by resolution r, up to ``finest``, which is 16 or more.

        ``features`` are those of the backbone by stride, for 256 px; L is (N, 1, 64, 64), scaled to [-1, 1].
        """
        pyramid: dict[int, Tensor] = {}
        for r in (r for r in (8, 16, 32, 64) if r <= finest):
            x = features[256 // r] if r < 64 else torch.cat([features[4], L], dim=1)
            x = self.lateral[str(r)](x)
            if r > 8:
                above = self.from_above[str(r)](pyramid[r // 2])
                x = x + F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.silu(x)
            x = F.silu(self.smooth[str(r)](x)) + x
            pyramid[r] = self.attention[str(r)](x) if str(r) in self.attention else x
        return pyramid


class LuminancePyramid(nn.Module):
    """A Haar pyramid of L, for a model without conditioning network (paper 4.2, Fig. 16)."""

    # By resolution: L, or its means and their three differences; 0: a vector of all values at 4 px.
    CHANNELS: ClassVar[dict[int, int]] = {64: 1, 32: 4, 16: 4, 8: 4, 4: 4, 2: 4, 1: 4, 0: 64}

    def forward(self, L: Tensor) -> dict[int, Tensor]:
        """Map L (N, 1, 64, 64), in [-1, 1], to values (N, CHANNELS[r], r, r) and a vector (N, 64)."""
        pyramid, mean = {64: L}, L
        for r in (32, 16, 8, 4, 2, 1):
            average, details = haar(mean)
            mean = average / 2
            pyramid[r] = torch.cat([mean, details], dim=1)
        return pyramid | {0: pyramid[4].flatten(1)}


class Prepared(NamedTuple):
    """What a head keeps of a photo: features, and L's mean and details at r."""

    features: Tensor
    luminance: Tensor


class GlobalContext(nn.Module):
    """Adds the average of the whole picture to every pixel, starting as the identity.

    How sharp, noisy or pale the colours of a photo are shows everywhere in it (after squeeze and excitation,
    Hu et al. 2018, https://arxiv.org/abs/1709.01507).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gather = conv(channels, channels, 1)
        self.spread = conv(channels, channels, 1)
        nn.init.zeros_(self.spread.weight)

    def forward(self, h: Tensor) -> Tensor:
        spread: Tensor = self.spread(F.silu(self.gather(h)).mean(dim=(2, 3), keepdim=True))
        return h + spread


class LevelHead(nn.Module):
    """The head of the level at r, given the channels of the pyramid by resolution."""

    def __init__(self, r: int, config: NaturalConfig, features: Mapping[int, int]) -> None:
        super().__init__()
        level, depth = config.levels[r], config.levels[r].depth
        # Within it, coarser colours are seen as they are: a rare outlier must not take the head out of the
        # range that it was trained on.
        self.limit = config.chroma_limit / config.chroma_scale
        self.coupling_widths = [level.width] * (2 * level.blocks)
        self.read = conv(features[2 * r], depth, stride=2)
        self.join = conv(depth + 4 + 2, depth)  # beside L's mean and details, and the coarser colours
        self.context = GlobalContext(depth) if level.context and config.conditioning else nn.Identity()
        self.residual = nn.Sequential(*(ResidualBlock(depth) for _ in range(level.residual)))
        self.refine = conv(depth, depth)
        self.to_map = conv(depth, SinhMap.PARAMETERS * 6)
        nn.init.zeros_(self.to_map.weight)
        self.to_couplings = conv(depth, sum(self.coupling_widths), 1)

    def prepare(self, source: Tensor, luminance: Tensor) -> Prepared:
        """Compute what needs no colours, of the pyramid at 2r and L's mean and details (N, 4, r, r)."""
        return Prepared(F.silu(self.read(source)), luminance)

    def forward(self, prepared: Prepared, coarser: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Compute conditions of the elementwise map and of each subnetwork, given colours (N, 2, r, r)."""
        coarser = coarser.clamp(-self.limit, self.limit)
        h = self.context(F.silu(self.join(torch.cat([*prepared, coarser], dim=1))))
        h = self.residual(h)
        h = h + F.silu(self.refine(h))
        return self.to_map(h), list(self.to_couplings(h).split(self.coupling_widths, dim=1))
