"""The methods that the paper compares with, in the manner of their authors, and what draws samples of them.

``couplings.py`` has the cINN.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from features import SHA256, features_of
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.func import functional_call

from cinn_colorize.colorizer import NetworkInput, Sample
from cinn_colorize.files import tensorfile
from cinn_colorize.models.conditioning.backbone import FEATURES, EfficientNetLite2
from cinn_colorize.models.conditioning.gamut import ColorBins, rarity
from cinn_colorize.models.conditioning.layers import conv

Features = Mapping[int, Tensor]  # of the frozen backbone, by stride; none for methods that see only L

CHANNELS = {8: 192, 16: 128, 32: 64, 64: 32}  # channels of the decoder, by resolution
REGRESSED = 15.0  # units of ab in which a regression is learnt
SCALE = 110.0  # those of the others, whose values lie in [-1, 1]
BINNED = 32  # pixels of a side where colours are bins, as in the backbone's training
L1_WEIGHT = 100.0  # of pix2pix
CODE, COMPONENTS = 64, 8  # values of the VAE's code, and Gaussians that predict it
KL_WEIGHT = 0.01  # of a photo, relative to the norm of its error, as in the authors' code
WIDTHS, NOISY = (64, 48, 32, 32, 32), 3  # channels of colorGAN's layers; the first ones get noise
NOISE = 100  # values
CLIP = 0.01  # of the critic's weights; with 0.05 it diverges


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
        widths = {r: width for r, width in CHANNELS.items() if r <= finest}
        seen = {r: FEATURES[256 // r] + (1 if r == finest else 0) for r in widths}  # L enters last
        self.norms = nn.ModuleDict({str(r): nn.BatchNorm2d(seen[r], affine=False) for r in widths})
        self.lateral = nn.ModuleDict({str(r): conv(seen[r], width, 1) for r, width in widths.items()})
        self.context = conv(FEATURES[32], CHANNELS[8], 1)  # features of the whole photo, as [16] fuses them
        self.code = nn.Linear(code, CHANNELS[8] * 64) if code else None
        self.up = nn.ModuleDict({str(r): conv(CHANNELS[r // 2], widths[r], 1) for r in widths if r > 8})
        self.refine = nn.ModuleDict(
            {str(r): nn.Sequential(conv(w, w), nn.BatchNorm2d(w), nn.SiLU()) for r, w in widths.items()}
        )
        self.out = conv(widths[finest], outputs)
        nn.init.zeros_(self.out.weight)
        self.dropout, self.finest = nn.Dropout(dropout), finest

    def forward(self, L: Tensor, features: Features, code: Tensor | None = None) -> Tensor:
        """Compute (N, outputs, finest, finest) from L* (N, 1, 64, 64), features and a code (N, code)."""
        L = F.adaptive_avg_pool2d(L, self.finest) / 50 - 1
        seen = {r: features[256 // r] for r in CHANNELS if r <= self.finest}
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


class Regression(Method):
    """A plain CNN that regresses ab by least squares, in the manner of Iizuka et al. 2016 [16].

    As in the original, it fuses local features with those of the whole photo. The second loss there, scene
    classes, is left to the backbone, which was trained to classify.
    """

    name, title = "regression", "CNN [16]"

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder(2)

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        return {"loss": (self.decoder(L, features) - ab / REGRESSED).square().mean()}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        return REGRESSED * self.decoder(L, features)


class OfBins(Method):
    """A method that weights rare colours up."""

    rarity: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bins = ColorBins()
        self.register_buffer("rarity", torch.ones(len(self.bins)))

    def prepare(self, ab: Tensor) -> None:
        counts = self.bins.counts(F.adaptive_avg_pool2d(ab, BINNED))
        self.rarity.copy_(rarity(counts / counts.sum()))


class Classification(OfBins):
    """Zhang et al. 2016 [42]: a distribution over 261 colours at each place, independently.

    The picture is the annealed mean of each place's distribution (their Eq. 5, T = 0.38), interpolated.
    """

    name, title = "classification", "Classification [42]"

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder(len(self.bins), finest=BINNED)

    def losses(self, L: Tensor, ab: Tensor, features: Features) -> dict[str, Tensor]:
        logits, wanted = self.decoder(L, features), F.adaptive_avg_pool2d(ab, BINNED)
        return {"loss": self.bins.cross_entropy(logits, wanted, self.rarity).mean()}

    def sample(self, L: Tensor, features: Features) -> Tensor:
        ab = self.bins.annealed_mean(self.decoder(L, features))
        return F.interpolate(ab, scale_factor=64 // BINNED, mode="bilinear", align_corners=False)


class VaeMdn(OfBins):
    """Deshpande et al. 2017 [6]: a variational autoencoder, and a mixture density network for its code.

    The encoder turns ab into a code z of 64 values; the decoder turns z and the gray photo's features into
    ab, with skip connections as in the authors' code. A mixture of eight Gaussians (Bishop 1994), which
    predicts z from a gray photo, is learnt at the same time without moving the encoder; z is drawn from it.
    """

    name, title, samples_differ = "vae-mdn", "VAE-MDN [6]", True

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


class Pix2pix(Method):
    """Isola et al. 2017 [17], pix2pix: a U-Net with a patch discriminator and an L1 loss.

    The U-Net's encoder is the frozen backbone. As in the original, noise enters only as dropout, in sampling
    too, and the loss is GAN + 100 L1. The discriminator maps [L, ab] (N, 3, 64, 64) to a logit for each patch
    of 34 px, (N, 1, 14, 14).
    """

    name, title, samples_differ = "pix2pix", "cGAN [17]", True
    betas, learning_rate = (0.5, 0.999), 5e-4

    def __init__(self) -> None:
        super().__init__()
        self.generator = Decoder(2, dropout=0.5)
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, width, stride in ((64, 128, 2), (128, 128, 1)):
            layers += [nn.Conv2d(inputs, width, 4, stride, 1), nn.InstanceNorm2d(width), nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*layers, nn.Conv2d(128, 1, 4, 1, 1))

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


class Generator(nn.Module):
    """colorGAN's: L and noise to ab / 110."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Linear(NOISE, NOISY * 64 * 64)
        seen = [1, *(width + 1 for width in WIDTHS)]  # L, and the previous layer's output
        layers = enumerate(zip(seen, WIDTHS, strict=False))
        self.layers = nn.ModuleList(conv(inputs + (k < NOISY), width) for k, (inputs, width) in layers)
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


class ColorGan(Method):
    """Cao et al. 2017 [4], colorGAN: L at 64 px and noise to ab, always at 64 px, and a Wasserstein critic.

    As in the original: noise enters the first half of the layers and L all of them, batch norms, no
    reconstruction loss, the critic's weights clipped. Unlike it: half of the channels, 3 px kernels, and
    instead of several critic steps per generator step, a higher learning rate (Heusel et al. 2017).
    """

    name, title, samples_differ = "colorgan", "colorGAN [4]", True
    betas, learning_rate = (0.0, 0.9), 2e-4  # without momentum, as RMSProp

    def __init__(self) -> None:
        super().__init__()
        self.generator = Generator()
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2)]
        for width in (32, 64, 128):
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        self.critic = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256 * 16, 64), nn.Linear(64, 1))

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


class Conditioned:
    """One photo's samples."""

    def __init__(self, method: Method, L: Tensor, features: Features) -> None:
        self.method, self.L, self.features = method, L, features

    @torch.inference_mode()
    def sample(self, n: int = 1, temperature: Any = 1.0, seed: int = 0) -> list[Sample]:
        """Draw n samples with the seeds seed, seed + 1, ..., one by one: each depends only on its seed."""
        if temperature != 1 and self.method.samples_differ:
            raise ValueError("methods whose samples differ have no temperature but 1")
        drawn = []
        with torch.random.fork_rng(devices=[]):
            for k in range(n):
                torch.manual_seed(seed + k)
                ab = self.method.sample(self.L, self.features)[0].float().numpy()
                drawn.append(Sample(ab, None, None, seed + k, 1.0))
        return drawn

    def log_prob(self, ab: NDArray[np.floating]) -> float:
        return math.nan  # none of the methods has a density of ab


class Sampler:
    """A trained method, as :class:`~cinn_colorize.evaluation.evaluator.Model`; without backbone, of L."""

    def __init__(self, method: Method, backbone: EfficientNetLite2 | None) -> None:
        self.method, self.backbone = method.eval(), backbone

    @classmethod
    def load(cls, method: Method, path: Path, backbone: EfficientNetLite2 | None) -> Self:
        config, state = tensorfile.load(path)
        if backbone and config.get("backbone") != SHA256:
            raise SystemExit(f"{path}: learnt on another backbone; remove {path.parent} and train again")
        method.load_state_dict(state, strict=False)  # constants are not stored
        return cls(method, backbone)

    def condition(self, photo: NetworkInput) -> Conditioned:
        """Compute once what all samples of L* (256, 256) share."""
        full = torch.from_numpy(np.ascontiguousarray(photo.square))[None, None]
        features = features_of(self.backbone, full) if self.backbone else {}
        return Conditioned(self.method, F.avg_pool2d(full, 4), features)
