"""The methods' common interface, and a decoder from the backbone's features to colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cinn_colorize.models.conditioning.backbone import FEATURES
from cinn_colorize.models.conditioning.layers import conv

Features = Mapping[int, Tensor]  # of the frozen backbone, by stride; none for methods that see only L

WIDTHS = {8: 192, 16: 128, 32: 64, 64: 32}  # channels of the decoder, by resolution


class Method(nn.Module):
    """A method that learns to colorize from pairs of L and ab."""

    name: ClassVar[str]  # of its weights file
    title: ClassVar[str]  # of its row in a table
    samples_differ: ClassVar[bool] = False  # whether a photo has more than one colorization
    betas: ClassVar[tuple[float, float]] = (0.9, 0.99)
    learning_rate: ClassVar[float] = 1e-3  # at its peak

    def prepare(self, ab: Tensor) -> None:
        """Compute constants from the colours of some photos, (N, 2, 64, 64)."""

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return groups of parameters, each with its factor of the learning rate."""
        return [(list(self.parameters()), 1.0)]

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        """Compute a step's figures from L* (N, 1, 64, 64) and ab; the one called ``loss`` is minimised."""
        raise NotImplementedError

    def sample(self, L: Tensor, features: Features) -> Tensor:
        """Draw colours ab (N, 2, 64, 64), with torch's global random state."""
        raise NotImplementedError


def judged(judge: nn.Module, *inputs: Tensor) -> Any:
    """Apply the judge of two players, with a gradient for the inputs and none for the judge.

    Both step at once, under one optimiser: Adam scales a parameter's step by its own gradients alone.
    """
    fixed = {name: p.detach() for name, p in judge.named_parameters()}
    return functional_call(judge, fixed, inputs)


class Decoder(nn.Module):
    """The upper half of a U-Net: features at strides 32, 16, 8 and 4 up to ``finest``, 32 or 64 px.

    A latent code of ``code`` values is added at the coarsest resolution; ``dropout`` acts up to 16 px.
    """

    def __init__(self, outputs: int, code: int = 0, dropout: float = 0.0, finest: int = 64) -> None:
        super().__init__()
        widths = {r: width for r, width in WIDTHS.items() if r <= finest}
        seen = {r: FEATURES[256 // r] + (1 if r == finest else 0) for r in widths}  # L enters last
        self.norms = nn.ModuleDict({str(r): nn.BatchNorm2d(seen[r], affine=False) for r in widths})
        self.lateral = nn.ModuleDict({str(r): conv(seen[r], width, 1) for r, width in widths.items()})
        self.context = conv(FEATURES[32], WIDTHS[8], 1)  # features of the whole photo, as [16] fuses them
        self.code = nn.Linear(code, WIDTHS[8] * 64) if code else None
        self.up = nn.ModuleDict({str(r): conv(WIDTHS[r // 2], widths[r], 1) for r in widths if r > 8})
        self.refine = nn.ModuleDict(
            {str(r): nn.Sequential(conv(w, w), nn.BatchNorm2d(w), nn.SiLU()) for r, w in widths.items()}
        )
        self.out = conv(widths[finest], outputs)
        nn.init.zeros_(self.out.weight)
        self.dropout, self.finest = nn.Dropout(dropout), finest

    def forward(self, L: Tensor, features: Features, code: Tensor | None = None) -> Tensor:
        """Compute (N, outputs, finest, finest) from L* (N, 1, 64, 64), features and a code (N, code)."""
        L = F.adaptive_avg_pool2d(L, self.finest) / 50 - 1
        seen = {r: features[256 // r] for r in WIDTHS if r <= self.finest}
        seen[self.finest] = torch.cat([seen[self.finest], L], dim=1)
        seen = {r: self.norms[str(r)](values) for r, values in seen.items()}
        x = self.context(seen[8].mean(dim=(2, 3), keepdim=True))
        if self.code is not None:
            x = x + self.code(code).unflatten(1, (-1, 8, 8))
        for r, values in seen.items():
            if r > 8:
                x = F.interpolate(self.up[str(r)](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = F.silu(x + self.lateral[str(r)](values))
            x = x + self.refine[str(r)](x)
            if r <= 16:
                x = self.dropout(x)
        return self.out(x).float()
