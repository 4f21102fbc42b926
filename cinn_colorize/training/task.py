"""What a run learns: the data set, the model for it, and the objective of a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from cinn_colorize.models.base import ConditionalFlow
from cinn_colorize.training.objective import level_nll, mean_loss

Model = TypeVar("Model", bound=ConditionalFlow)


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of a run; lengths in samples (photos or digits) seen."""

    photos: int = 100_000  # the whole run
    batch: int = 48
    learning_rate: float = 1e-3  # at its peak
    warmup: int = 5_000  # photos of linear rise before the cosine
    weight_decay: float = 0.05  # the prior on the parameters of Eq. 6
    ema: float = 0.998  # decay a step of the averaged weights, which are what is kept
    clip: float = 2.0  # largest gradient norm
    pixel_noise: float = 0.05  # paper 3.4, in units of x
    seed: int = 0


class Task(Generic[Model]):
    """A data set and how a model learns from it; one subclass for each ``--dataset``.

    Attributes:
        model: name in the registry of the model that learns from it.
        config: the class of its hyper-parameters, whose defaults are those of the shipped model.
        evaluate_every: samples between evaluations, unless said otherwise.
        distinct: how many samples there are to learn from.
    """

    model: ClassVar[str]
    config: ClassVar[type[TrainingConfig]]
    evaluate_every: ClassVar[int] = 10_000
    distinct: int

    def initial_model(self) -> Model:
        """A model to begin with, from torch's global random state."""
        raise NotImplementedError

    def freeze(self, model: Model) -> None:
        """Turn off the gradients of what does not learn."""

    def batches(self, config: Any, start: int, workers: int) -> Iterable[Sequence[Tensor]]:
        """Condition c and data x of the samples from ``start`` to the run's end, a function of the position.

        Args:
            config: of the run.
            start: a multiple of the batch.
            workers: processes that decode.
        """
        raise NotImplementedError

    def prepare(
        self,
        model: Model,
        batch: Sequence[Tensor],
        config: Any,
        generator: torch.Generator,
        precision: torch.dtype,
        seen: int,
    ) -> tuple[Any, ...]:
        """From a batch to what :meth:`nll` takes: here c, and x with noise (paper 3.4).

        Args:
            model: in training mode.
            batch: on the model's device.
            config: of the run.
            generator: of the noise, seeded for the step.
            precision: of the autocast; on for :meth:`nll`, off here.
            seen: samples seen before this batch.
        """
        c, x = batch
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return c, x + config.pixel_noise * noise

    def nll(self, model: Model, config: Any, c: Tensor, x: Tensor) -> dict[int, Tensor]:
        """Negative log-likelihood by level, nats, of the samples that learn in this step."""
        return level_nll(*model(x, model.condition(c)))

    def loss(self, nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
        """What a step minimises; Eq. 6, its prior being the optimiser's weight decay."""
        return mean_loss(nll, sizes)

    def complete(self, model: Model) -> None:
        """Set what is stored with the weights but not learnt; called on the averaged model before saving."""

    def measure(self, model: Model) -> float | None:
        """Nats a dimension on data that the run does not learn from; None if there is none."""
        raise NotImplementedError

    def draw(self, model: Model, device: torch.device, path: Path) -> None:
        """Write a picture of samples to look at."""
        raise NotImplementedError
