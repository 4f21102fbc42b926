"""Deshpande et al. 2017 [6]: a variational autoencoder of colours and a mixture density network for its code.

The encoder turns ab into a code z of 64 values; the decoder turns z and the gray photo's features into
ab, with skip connections as in the authors' code. A mixture of eight Gaussians (Bishop 1994), which predicts
z from a gray photo, is learnt at the same time without moving the encoder; z is drawn from it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from method import Decoder, Features, Method
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from cinn_colorize.models.conditioning.backbone import FEATURES
from cinn_colorize.models.conditioning.gamut import ColorBins, rarity
from cinn_colorize.models.conditioning.layers import conv

CODE, COMPONENTS = 64, 8
SCALE = 110.0
KL_WEIGHT = 0.01  # of a photo, relative to the norm of its error, as in the authors' code


class VaeMdn(Method):
    """p(z | gray) as a mixture, and ab as a function of z and gray."""

    name, title, samples_differ = "vae-mdn", "VAE-MDN [6]", True
    rarity: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((2, 32), (32, 64), (64, 128), (128, 128)):
            layers += [conv(inputs, outputs, 5 if inputs < 64 else 3, stride=2), nn.SiLU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 2 * CODE))
        self.decoder = Decoder(2, code=CODE)
        self.mdn = nn.Sequential(
            *(conv(FEATURES[32], 128, 1), nn.SiLU(), conv(128, 128, stride=2), nn.SiLU()),
            *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(128 * 16, COMPONENTS * (2 * CODE + 1))),
        )
        self.bins = ColorBins()
        self.register_buffer("rarity", torch.ones(len(self.bins)))

    def prepare(self, ab: Tensor) -> None:
        counts = self.bins.counts(F.adaptive_avg_pool2d(ab, 32))
        self.rarity.copy_(rarity(counts / counts.sum()))

    def mixture(self, features: Features) -> MixtureSameFamily:
        sizes = [COMPONENTS * CODE, COMPONENTS * CODE, COMPONENTS]
        means, scales, logits = self.mdn(features[32]).float().split(sizes, 1)
        means, scales = (t.unflatten(1, (COMPONENTS, CODE)) for t in (means, F.softplus(scales) + 0.05))
        return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(means, scales), 1))

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        """Compute the error's norm, rare colours weighted up as in the authors' code; KL; nll of z."""
        mean, log_variance = self.encoder(ab / SCALE).float().chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        nearest = self.bins.encode(F.adaptive_avg_pool2d(ab, 16))[0][:, 0]
        weights = F.interpolate(self.rarity[nearest][:, None], (64, 64))
        error = weights * (self.decoder(L, features, z) - ab / SCALE).square()
        reconstruction = error.flatten(1).sum(1).sqrt()
        nll = -self.mixture(features).log_prob(z.detach()) / CODE
        loss = (reconstruction + KL_WEIGHT * kl).mean() + nll.mean()
        return {"loss": loss, "error": reconstruction.mean(), "kl": kl.mean(), "nll_z": nll.mean()}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        return SCALE * self.decoder(L, features, self.mixture(features).sample())
