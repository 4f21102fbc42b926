"""What all models have in common: flows between data x and latents z, under a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor, nn


class Condition(Protocol):
    """What a model computes once of what it is conditioned on, whatever it keeps of it."""

    def expand(self, n: int) -> Any:
        """Views for n samples under the one condition inside (N = 1)."""


class ConditionalFlow(nn.Module):
    """A cINN: z = f(x; c) and x = g(z; c) (paper 3.1).

    A model is a subclass with an entry in :mod:`cinn_colorize.models.registry` under its ``name``.

    Attributes:
        name: of the model in the registry and in weights files.
        config: the architecture, a frozen dataclass that survives JSON.
        latent_shapes: (C, r, r) of each level of the latent code, by resolution, finest first; 0 is the last.
    """

    name: ClassVar[str]
    config: Any
    latent_shapes: Mapping[int, tuple[int, int, int]]

    @classmethod
    def from_architecture(cls, values: Mapping[str, Any]) -> Self:
        """A model of random weights from what ``dataclasses.asdict(model.config)`` gave.

        Raises:
            TypeError: a key is unknown or missing.
        """
        raise NotImplementedError

    def condition(self, c: Tensor) -> Any:
        """Compute once what all samples under c share, a :class:`Condition`.

        Args:
            c: L* in [0, 100], (N, 1, r, r), or what else the model is conditioned on.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, condition: Any) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """f(x; c): latents (N, C, r, r) and log-dets (N,) by level; the log-det of f is their sum."""
        raise NotImplementedError

    def inverse(self, latents: Mapping[int, Tensor], condition: Any) -> tuple[Tensor, dict[int, Tensor]]:
        """g(z; c): x and the log-dets of g by level, (N,) each."""
        raise NotImplementedError


class PhotoFlow(ConditionalFlow):
    """A model that colours photos: x = ab / ``config.chroma_scale``, (N, 2, 64, 64), given L*.

    ``condition`` takes L* of the registry's ``luminance_size``.
    """
