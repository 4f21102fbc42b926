"""Isola et al. 2017 [17], pix2pix: a U-Net with a patch discriminator and an L1 loss.

The U-Net's encoder is the frozen backbone. As in the original, noise enters only as dropout, in sampling too,
and the loss is GAN + 100 L1 with values scaled to [-1, 1]. The discriminator sees patches of 34 px at 64 px.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from method import Decoder, Features, Method, judged
from torch import Tensor, nn

SCALE = 110.0
L1_WEIGHT = 100.0


def patch_discriminator() -> nn.Sequential:
    """Build the discriminator, [L, ab] (N, 3, 64, 64) -> logits (N, 1, 14, 14), one per patch."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
    for inputs, outputs, stride in ((64, 128, 2), (128, 128, 1)):
        layers += [nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(128, 1, 4, 1, 1))


class Pix2pix(Method):
    """A conditional GAN."""

    name, title, samples_differ = "pix2pix", "cGAN [17]", True
    betas, learning_rate = (0.5, 0.999), 5e-4

    def __init__(self) -> None:
        super().__init__()
        self.generator = Decoder(2, dropout=0.5)
        self.discriminator = patch_discriminator()

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        return [([*self.generator.parameters()], 1.0), ([*self.discriminator.parameters()], 0.4)]

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        gray, real, drawn = L / 50 - 1, ab / SCALE, self.generator(L, features).tanh()
        l1 = (drawn - real).abs().mean()
        verdict = judged(self.discriminator, torch.cat([gray, drawn], 1))
        fooled = F.softplus(-verdict.float()).mean()
        on_real = self.discriminator(torch.cat([gray, real], 1)).float()
        on_drawn = self.discriminator(torch.cat([gray, drawn.detach()], 1)).float()
        told = (F.softplus(-on_real).mean() + F.softplus(on_drawn).mean()) / 2
        return {"loss": fooled + L1_WEIGHT * l1 + told, "l1": l1, "generator": fooled, "discriminator": told}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        self.generator.dropout.train()
        return SCALE * self.generator(L, features).tanh()
