"""The interface of all models: flows between data x and latents z, given a condition."""

import os
import threading
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as List
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cinn_colorize.flow import Transform
from cinn_colorize.flow.multiscale import MultiScaleFlow
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models.architecture import read

T = TypeVar("T")
Parts = tuple[Tensor, ...]  # the condition's part of the first layer of each subnetwork
_limiting = threading.RLock()


def expanded(condition: T, n: int) -> T:
    """Return views of a single condition, of tensors (1, ...) in any containers, for n samples."""
    views: T = pytree.tree_map_only(Tensor, lambda t: t.expand(n, *t.shape[1:]), condition)
    return views


def joined(conditions: List[T]) -> T:
    """Return the condition of n samples of n single ones; views if all are the same."""
    first, *others = conditions
    if all(other is first for other in others):
        return expanded(first, len(conditions))

    def join(*parts: Any) -> Any:
        return torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0]

    together: T = pytree.tree_map(join, first, *others)
    return together


class ConditionalFlow(nn.Module):
    """A cINN: z = f(x; c) and x = g(z; c) (paper 3.1).

    A model is a subclass with an entry in :mod:`cinn_colorize.models.registry` under its ``name``.

    Attributes:
        config: the architecture, a frozen dataclass that survives JSON.
        latent_shapes: (C, r, r) of each level of the latent code, by resolution, finest first, 0 last.
        coarse_size: side s of the coarse x that :meth:`begin` computes; None if there is no such part.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Any]]
    config: Any
    latent_shapes: Mapping[int, tuple[int, int, int]]
    coarse_size: int | None = None

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def from_architecture(cls, values: Mapping[str, Any]) -> Self:
        """Build a model of random weights from the values of its config; for errors, see :func:`read`."""
        return cls(read(cls.config_class, values))

    def condition(self, c: Tensor) -> Any:
        """Compute once what all samples share given c: L* in [0, 100], (N, 1, r, r), or something else."""
        raise NotImplementedError

    def guided(self, condition: Any, weight: float) -> Any:
        """Return a condition that is followed more closely than the data do, by a weight; or a ValueError."""
        if weight:
            raise ValueError(f"these weights of {self.name} cannot be guided; guidance must be 0")
        return condition

    def forward(self, x: Tensor, condition: Any) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Compute f(x; c): latents (N, C, r, r) and log-dets (N,) by level, whose sum is that of f."""
        raise NotImplementedError

    def inverse(self, latents: Mapping[int, Tensor], condition: Any) -> tuple[Tensor, dict[int, Tensor]]:
        """Compute g(z; c): x, and the log-dets of g by level, (N,) each."""
        raise NotImplementedError

    def begin(self, latents: Mapping[int, Tensor], condition: Any) -> tuple[Tensor, ...]:
        """Compute the sequential part of g, which takes hardly longer for several samples than for one.

        It is x averaged to ``coarse_size``, (N, C, s, s), and the log-det (N,); nothing without such a part.
        """
        return ()

    def finish(
        self, latents: Mapping[int, Tensor], condition: Any, begun: tuple[Tensor, ...]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Compute g(z; c) as :meth:`inverse` does, given the result of :meth:`begin`.

        Given another x and a log-det of 0, g decodes details of that one, and only these count in the sum.
        """
        return self.inverse(latents, condition)


class PhotoFlow(ConditionalFlow):
    """A model that colorizes photos: x = ab / ``config.chroma_scale``, (N, 2, 64, 64), given L*.

    ``condition`` expects L* of the registry's ``luminance_size``.
    """


class StageConditions(NamedTuple):
    """The condition's part of the first layers of all subnetworks, by stage."""

    parts: dict[int, Parts]


class Stage(Transform[Parts]):
    """Coupling blocks at one resolution with their heads, whose outputs are the condition."""

    flow: Sequence  # coupling blocks and the maps between them

    def prepare(self, features: Tensor) -> Parts:
        """Compute the condition from features of the photo, (N, C, H, W), or (N, C) for the vector."""
        raise NotImplementedError

    def forward(self, x: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        return self.flow(x, self.flow.coupling_conditions(condition))

    def inverse(self, z: Tensor, condition: Parts) -> tuple[Tensor, Tensor]:
        return self.flow.inverse(z, self.flow.coupling_conditions(condition))


class StagedFlow(PhotoFlow):
    """A flow between x, (N, 2, 64, 64), and the latents of its stages' levels."""

    stages: MultiScaleFlow

    def forward(self, x: Tensor, condition: StageConditions) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        return self.stages(x, condition.parts)

    def inverse(
        self, latents: Mapping[int, Tensor], condition: StageConditions
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return self.stages.inverse(latents, condition.parts)


def _unlock() -> None:
    """Replace the lock, which a thread may have held that a forked process does not have."""
    global _limiting
    _limiting = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one CPU thread in this context; contexts in several threads take turns.

    The number is the process's: of two contexts at once, the later would restore the limit of the earlier.
    """
    with _limiting:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
