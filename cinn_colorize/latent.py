"""The latent code of a colouring: one tensor of noise a level.

The only place where temperature is applied and where noise is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Shapes = Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True)
class Latent:
    """Latent variables by level, each (N, C, r, r) and standard normal under the model.

    Levels are named by the resolution r of their values, 32 (finest details) to 1, and 0 for the 1x1 base.
    """

    levels: Mapping[int, Tensor]

    @classmethod
    def draw(cls, shapes: Shapes, seeds: Iterable[int], temperature: float = 1.0) -> Latent:
        """Draw one code a seed; the noise of a seed depends on that integer alone.

        Args:
            shapes: (C, r, r) of each level.
            seeds: one integer a sample.
            temperature: standard deviation of the noise; 1 is the model's distribution, 0 its centre.

        Raises:
            ValueError: the temperature is negative or not finite.
        """
        if not 0 <= temperature < float("inf"):
            raise ValueError(f"temperature must be a number of 0 or more, not {temperature}")
        samples: list[dict[int, Tensor]] = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            # Coarse first: the noise of the coarse levels stays what it is if finer levels are ever added.
            samples.append({r: torch.randn(shapes[r], generator=generator) for r in sorted(shapes)})
        return cls({r: temperature * torch.stack([s[r] for s in samples]) for r in shapes})

    def map(self, function: Callable[[Tensor], Tensor]) -> Latent:
        """Apply a function to every level."""
        return Latent({r: function(z) for r, z in self.levels.items()})

    def __len__(self) -> int:
        return len(next(iter(self.levels.values())))

    def __getitem__(self, index: slice) -> Latent:
        """Some of the samples."""
        return self.map(lambda z: z[index])

    def log_prob(self) -> Tensor:
        """Log density under the standard normal, nats, (N,)."""
        parts = [torch.distributions.Normal(0, 1).log_prob(z).flatten(1).sum(1) for z in self.levels.values()]
        return torch.stack(parts).sum(0)
