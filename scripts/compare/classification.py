"""Zhang et al. 2016 [42]: classify every place into colour bins, rare ones weighted up.

The picture is the annealed mean of each place's distribution (their Eq. 5, T = 0.38). Bins are predicted at
32 px, as in the backbone's training, and the colours interpolated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from method import Decoder, Features, Method
from torch import Tensor

from cinn_colorize.models.conditioning.gamut import ColorBins, rarity

SIZE = 32


class Classification(Method):
    """A distribution over 261 colours at each place, independently."""

    name, title = "classification", "Classification [42]"
    rarity: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bins = ColorBins()
        self.decoder = Decoder(len(self.bins), finest=SIZE)
        self.register_buffer("rarity", torch.ones(len(self.bins)))

    def prepare(self, ab: Tensor) -> None:
        counts = self.bins.counts(F.adaptive_avg_pool2d(ab, SIZE))
        self.rarity.copy_(rarity(counts / counts.sum()))

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        logits = self.decoder(L, features)
        return {"loss": self.bins.cross_entropy(logits, F.adaptive_avg_pool2d(ab, SIZE), self.rarity).mean()}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        ab = self.bins.annealed_mean(self.decoder(L, features))
        return F.interpolate(ab, scale_factor=64 // SIZE, mode="bilinear", align_corners=False)
