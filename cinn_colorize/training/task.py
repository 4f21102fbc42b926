"""What a run learns: the data set, the model for it, and the objective of a step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cinn_colorize.data.sources import Source
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.models import save_model
from cinn_colorize.models.base import ConditionalFlow, PhotoFlow
from cinn_colorize.training.data import Batch, Loading
from cinn_colorize.training.health import EXPLODING
from cinn_colorize.training.objective import Noise, level_nll, mean_loss
from cinn_colorize.training.samples import photo_sheet
from cinn_colorize.training.schedule import cosine

Model = TypeVar("Model", bound=nn.Module)
Flow = TypeVar("Flow", bound=ConditionalFlow)
Photos = TypeVar("Photos", bound=PhotoFlow)


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of a run; lengths in samples (photos or digits) seen."""

    photos: int = 100_000  # the whole run
    batch: int = 48
    learning_rate: float = 1e-3  # at its peak
    warmup: int = 5_000  # photos of linear rise before the cosine, at most a tenth of the run
    weight_decay: float = 0.05  # the prior on the parameters of Eq. 6
    ema: float = 0.998  # decay a step of the averaged weights, which are what is kept
    clip: float = 2.0  # largest gradient norm
    pixel_noise: float = 0.05  # paper 3.4, in units of x
    seed: int = 0
    ablate: tuple[str, ...] = ()  # what of the recipe the run does without, see :class:`Task`

    def rate(self, seen: int) -> float:
        """The learning rate after so many photos."""
        return cosine(seen, self.photos, self.learning_rate, min(self.warmup, self.photos // 10))


class Task(Generic[Model]):
    """A data set and how a model learns from it.

    Attributes:
        model: name in the registry of the model that learns from it, and of the file that a run writes.
        config: the class of its hyper-parameters, whose defaults are those of the shipped model.
        betas: of Adam.
        exploding: how many times its running median a gradient norm is when it counts as exploding.
        evaluate_every: samples between evaluations, unless said otherwise.
        ablations: of :class:`cinn_colorize.training.registry.Ablation`, those that are defined here.
        ablate: of these, those that are left out.
        distinct: how many samples there are to learn from.
        unreadable: what of the data could not be opened, and why.
    """

    model: str
    config: ClassVar[type[TrainingConfig]]
    betas: tuple[float, float] = (0.9, 0.99)
    exploding: float = EXPLODING
    evaluate_every: ClassVar[int] = 10_000
    ablations: ClassVar[tuple[str, ...]] = ()
    ablate: tuple[str, ...] = ()
    distinct: int
    unreadable: Sequence[str] = ()

    def settings(self, **given: Any) -> TrainingConfig:
        """Hyper-parameters of a run: those given, the defaults otherwise, no noise if it is left out."""
        settings = self.config(**given, ablate=tuple(map(str, self.ablate)))  # checkpoints hold no enums
        if "noise" not in self.ablate:
            return settings
        noises: dict[str, Any] = {name: 0.0 for name in vars(settings) if name.endswith("_noise")}
        return replace(settings, **noises)

    def initial_model(self) -> Model:
        """A model to begin with, from torch's global random state."""
        raise NotImplementedError

    def learning(self, model: Model, config: Any) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters that learn, in groups, and what each group's learning rate is multiplied with."""
        return [(list(model.parameters()), 1.0)]

    def optimizer(
        self, groups: Sequence[tuple[list[nn.Parameter], float]], config: TrainingConfig
    ) -> Optimizer:
        """The optimiser of what :meth:`learning` gives: Adam, with weight decay of its own."""
        return torch.optim.AdamW(
            [{"params": parameters} for parameters, _ in groups],
            config.learning_rate,
            betas=self.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )

    def compile(self) -> None:
        """Use torch.compile."""
        raise NotImplementedError

    def batches(self, config: Any, start: int, loading: Loading) -> Iterable[Batch]:
        """Condition c and data x of the samples from ``start`` to the run's end, a function of the position.

        Args:
            config: of the run.
            start: a multiple of the batch.
            loading: the share of the process.
        """
        raise NotImplementedError

    def chunk(self, device: torch.device) -> int | None:
        """How many samples of a batch go through the model together; None for all."""
        return None

    def losses(
        self,
        model: Model,
        batch: Sequence[Tensor],
        config: Any,
        noise: Noise,
        precision: torch.dtype,
    ) -> dict[str, Tensor]:
        """Run a step forward.

        Args:
            model: in training mode.
            batch: on the model's device.
            config: of the run.
            noise: of the step.
            precision: of the autocast.

        Returns:
            figures to report, means over the batch; the one called ``loss`` is minimised.
        """
        raise NotImplementedError

    def measure(self, model: Model) -> dict[str, float]:
        """Figures on data that the run does not learn from; none if there is none."""
        raise NotImplementedError

    def draw(self, model: Model, device: torch.device, path: Path) -> bool:
        """Write a picture of samples to look at; false if there is none."""
        return False

    def save(self, model: Model, path: Path, training: dict[str, object]) -> None:
        """Write the averaged model.

        Args:
            model: the averaged model.
            path: of the file.
            training: a word on how it was trained.
        """
        raise NotImplementedError


class FlowTask(Task[Flow]):
    """A flow learns by maximum likelihood; one subclass for each ``--dataset``."""

    def compile(self) -> None:
        """Compile the forward pass."""
        self.nll = torch.compile(self.nll)  # type: ignore[method-assign]

    def prepare(
        self,
        model: Flow,
        batch: Sequence[Tensor],
        config: Any,
        noise: Noise,
        precision: torch.dtype,
    ) -> tuple[Any, ...]:
        """From a batch to what :meth:`nll` takes: here c, and x with noise (paper 3.4).

        Args:
            model: in training mode.
            batch: on the model's device.
            config: of the run.
            noise: of the step.
            precision: of the autocast; on for :meth:`nll`, off here.
        """
        c, x = batch
        return c, x + config.pixel_noise * noise(x, *x.shape[1:])

    def nll(self, model: Flow, config: Any, c: Tensor, x: Tensor) -> dict[int, Tensor]:
        """Negative log-likelihood by level, nats, of the samples that learn in this step."""
        return level_nll(*model(x, model.condition(c)))

    def loss(self, nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
        """What a step minimises; Eq. 6, its prior being the optimiser's weight decay."""
        return mean_loss(nll, sizes)

    def losses(
        self,
        model: Flow,
        batch: Sequence[Tensor],
        config: Any,
        noise: Noise,
        precision: torch.dtype,
    ) -> dict[str, Tensor]:
        """See :meth:`Task.losses`; ``nll`` is in nats a dimension."""
        inputs = self.prepare(model, batch, config, noise, precision)
        with torch.autocast(batch[0].device.type, precision, enabled=precision != torch.float32):
            nll = self.nll(model, config, *inputs)
        sizes = {r: math.prod(shape) for r, shape in model.latent_shapes.items()}
        return {"loss": self.loss(nll, sizes), "nll": mean_loss(nll, sizes)}

    def complete(self, model: Flow) -> None:
        """Set what is stored with the weights but not learnt; called on the averaged model before saving."""

    def save(self, model: Flow, path: Path, training: dict[str, object]) -> None:
        """As a weights file, fp16, of its architecture."""
        self.complete(model)
        save_model(path, model, training)


class PhotoTask(FlowTask[Photos]):
    """A flow of photos, watched on photos that it does not learn from.

    Args:
        photos: to learn from.
        dev: to watch the run on, may be empty.

    Attributes:
        measured_every: of the photos to watch the run on, every n-th is measured.
    """

    measured_every: ClassVar[int] = 1

    def __init__(self, photos: Sequence[Source], dev: Sequence[Source] = ()) -> None:
        self.photos, self.dev, self.distinct = photos, dev, len(photos)

    def measure(self, model: Photos) -> dict[str, float]:
        """The nll of photos held out, nats a dimension."""
        return {"nll": mean_nll(model, self.dev[:: self.measured_every])} if self.dev else {}

    def draw(self, model: Photos, device: torch.device, path: Path) -> bool:
        """Photos held out, with samples."""
        if self.dev:
            photo_sheet(model, self.dev, device, path)
        return bool(self.dev)
