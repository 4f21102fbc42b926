"""A plain CNN that regresses ab by least squares, in the manner of Iizuka et al. 2016 [16].

As in the original, it fuses local features with those of the whole photo. The second loss there, scene
classes, is left to the backbone, which was trained to classify.
"""

from __future__ import annotations

from method import Decoder, Features, Method
from torch import Tensor

SCALE = 15.0


class Regression(Method):
    """The mean of the colours that a photo may have."""

    name, title = "regression", "CNN [16]"

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder(2)

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        return {"loss": (self.decoder(L, features) - ab / SCALE).square().mean()}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        return SCALE * self.decoder(L, features)
