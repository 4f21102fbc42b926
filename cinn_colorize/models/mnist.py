"""``mnist``: handwritten digits given their label, which each subnetwork sees (paper 4.1, Fig. 5)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.flow import Transform
from cinn_colorize.flow.coupling import AffineCoupling, LinearSubnet
from cinn_colorize.flow.mixing import Permutation
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models.architecture import Depth, Width
from cinn_colorize.models.base import ConditionalFlow, Parts

DIGITS = 10
SIZE = 28  # pixels of a digit's side
AXES = 4  # principal components kept
LEVEL = 0  # the only level of the latent code


@dataclass(frozen=True)
class MnistConfig:
    """The architecture."""

    blocks: Depth = 24  # coupling blocks
    hidden: tuple[Width, ...] = (128,)  # widths of the hidden layers of the subnetworks
    clamp: float = 1.9  # alpha of Eq. 7
    mixing: bool = True  # permute the pixels between the blocks
    bound: float = 2.5  # subnetworks see values within +-bound; without it, samples explode
    # Statistics of the pixels in [0, 1], so that the couplings see values of mean 0 and variance 1.
    mean: float = 0.1307
    deviation: float = 0.3081

    @classmethod
    def authors(cls) -> "MnistConfig":
        """Return the widths and the clamp of the authors' code, 54.42 million parameters."""
        return cls(hidden=(512, 512, 512), clamp=1.5, bound=math.inf)


class Mnist(ConditionalFlow):
    """The flow between images x in [0, 1], (N, 1, 28, 28), and their latents, (N, 784, 1, 1)."""

    name = "mnist"
    config_class = MnistConfig
    config: MnistConfig
    centre: Tensor  # mean latent code of MNIST's test digits, (784,), stored with the weights
    axes: Tensor  # their principal components times their standard deviations, (4, 784)

    def __init__(self, config: MnistConfig) -> None:
        super().__init__(config)
        pixels = SIZE * SIZE
        self.latent_shapes = {LEVEL: (pixels, 1, 1)}
        maps: list[Transform[Any]] = []
        subnet = partial(LinearSubnet, hidden=config.hidden)
        for block in range(config.blocks):
            maps += [Permutation(pixels, seed=block)] if config.mixing else []
            maps.append(AffineCoupling(pixels, subnet, config.clamp, config.bound))
        self.flow = Sequence(maps)
        self.label = nn.Linear(DIGITS, 2 * config.blocks * config.hidden[0], bias=False)
        # Xavier's initialisation would drown ten values among 392 pixels; this one gives both equal weight.
        nn.init.normal_(self.label.weight)
        self.register_buffer("centre", torch.zeros(pixels))
        self.register_buffer("axes", torch.zeros(AXES, pixels))
        self.log_scale = -pixels * math.log(config.deviation)  # log-det of the normalisation

    def condition(self, c: Tensor) -> Parts:
        """Compute, of digits c, integers (N,), the part of the first layer of each subnetwork."""
        one_hot = F.one_hot(c, DIGITS).to(self.label.weight.dtype)
        parts: Parts = self.label(one_hot).split(self.config.hidden[0], dim=1)
        return parts

    def forward(self, x: Tensor, condition: Parts) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        u = (x.flatten(1) - self.config.mean) / self.config.deviation
        z, log_det = self.flow(u, self.flow.coupling_conditions(condition))
        return {LEVEL: z[..., None, None]}, {LEVEL: log_det + self.log_scale}

    def inverse(self, latents: Mapping[int, Tensor], condition: Parts) -> tuple[Tensor, dict[int, Tensor]]:
        u, log_det = self.flow.inverse(latents[LEVEL].flatten(1), self.flow.coupling_conditions(condition))
        x = u.unflatten(1, (1, SIZE, SIZE)) * self.config.deviation + self.config.mean
        return x, {LEVEL: log_det - self.log_scale}
