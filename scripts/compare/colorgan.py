"""Cao et al. 2017 [4], colorGAN: L at 64 px and noise to ab, always at 64 px, and a Wasserstein critic.

As in the original: noise enters the first half of the layers and L all of them, batch norms, no
reconstruction loss, the critic's weights clipped. Unlike the original: half of the channels, 3 px kernels,
and instead of several critic steps per generator step, a higher learning rate (Heusel et al. 2017).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from method import Features, Method, judged
from torch import Tensor, nn

from cinn_colorize.models.conditioning.layers import conv

SCALE = 110.0
WIDTHS, NOISY = (64, 48, 32, 32, 32), 3  # channels of the generator's layers; the first ones get noise
NOISE = 100  # values
CLIP = 0.01  # of the critic's weights; with 0.05 it diverges


class Generator(nn.Module):
    """L and noise to ab / 110."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Linear(NOISE, NOISY * 64 * 64)
        seen = [1, *(width + 1 for width in WIDTHS)]  # L, and the previous layer's output
        self.layers = nn.ModuleList(
            conv(inputs + (k < NOISY), outputs)
            for k, (inputs, outputs) in enumerate(zip(seen, WIDTHS, strict=False))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.out = conv(seen[-1], 2)

    def forward(self, L: Tensor, z: Tensor) -> Tensor:
        """Map L in [-1, 1] (N, 1, 64, 64) and z (N, 100) to (N, 2, 64, 64) in [-1, 1]."""
        noise = self.noise(z).unflatten(1, (NOISY, 1, 64, 64)).unbind(1)
        x = L
        for k, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = torch.cat([x, *noise[k : k + 1]], dim=1)
            x = torch.cat([L, F.relu(norm(layer(x)))], dim=1)
        return self.out(x).float().tanh()


def critic() -> nn.Sequential:
    """Build the critic, [L, ab] (N, 3, 64, 64) -> (N, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2)]
    for width in (32, 64, 128):
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256 * 16, 64), nn.Linear(64, 1))


class ColorGan(Method):
    """A Wasserstein GAN."""

    name, title, samples_differ = "colorgan", "colorGAN [4]", True
    betas, learning_rate = (0.0, 0.9), 2e-4  # without momentum, as RMSProp

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = Generator(), critic()

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        return [([*self.generator.parameters()], 1.0), ([*self.critic.parameters()], 2.0)]

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        with torch.no_grad():
            for parameter in self.critic.parameters():
                parameter.clamp_(-CLIP, CLIP)
        gray, real, drawn = L / 50 - 1, ab / SCALE, self._draw(L)
        verdict = judged(self.critic, torch.cat([gray, drawn], 1)).float().mean()
        on_real = self.critic(torch.cat([gray, real], 1)).float().mean()
        on_drawn = self.critic(torch.cat([gray, drawn.detach()], 1)).float().mean()
        return {"loss": on_drawn - on_real - verdict, "distance": on_real - on_drawn}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        return SCALE * self._draw(L)

    def _draw(self, L: Tensor) -> Tensor:
        return self.generator(L / 50 - 1, 2 * torch.rand(len(L), NOISE, device=L.device) - 1)
