"""The training loop, from top to bottom: what a run is told, whatever it learns, what it does and reports."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cinn_colorize.errors import DataError, PhotoError
from cinn_colorize.training.choices import Precision
from cinn_colorize.training.crops import Batch, Loading, Parts
from cinn_colorize.training.processes import Processes, choose_precision
from cinn_colorize.training.state import RunState, load_newest, load_resumable, save_checkpoint
from cinn_colorize.training.task import Model, Noise, Task, TrainingConfig

log = logging.getLogger(__name__)


class _Report:
    figures: dict[str, float]  # of the task

    def listed(self) -> str:
        """Write the figures on one line, to four digits: ``loss 0.1234  nll -0.5678``."""
        return "  ".join(f"{name} {value:.4f}" for name, value in self.figures.items())


@dataclass(frozen=True)
class Progress(_Report):
    """The progress of a run."""

    seen: int
    total: int
    figures: dict[str, float]  # averaged since the last report
    photos_per_second: float
    gradient_norm: float
    skipped: int  # steps left out, see Health
    rollbacks: int  # returns to a checkpoint
    unreadable: int  # photos and shards of the data left out


@dataclass(frozen=True)
class Evaluation(_Report):
    """Figures of the averaged model on held-out data."""

    seen: int
    figures: dict[str, float]  # of the task
    sheet: Path | None  # picture of samples


@dataclass(frozen=True)
class RunOptions:
    """Options of a run; its task and hyper-parameters define what it learns."""

    device: torch.device  # to train on
    precision: str = "fp32"  # name in Precision, of the autocast; parameters and latents stay fp32
    workers: int = 1  # processes that decode photos, per process that trains
    processes: Processes = field(default_factory=Processes)  # that share the run
    resume: bool = False  # continue from the run's last checkpoint, if there is one
    start: Path | None = None  # weights to start from; None for new ones
    compile: bool = False  # use torch.compile
    save_memory: bool = False  # recompute the flow's activations in the backward pass
    checkpoint_seconds: float = 300  # between checkpoints
    evaluate_every: int | None = None  # photos between evaluations; None for the task's default
    report_seconds: float = 10  # between reports
    report: Callable[[Progress], None] = lambda progress: None  # after the first step, and regularly
    report_evaluation: Callable[[Evaluation], None] = lambda evaluation: None  # if data is held out
    # Called once per step; if it returns true, a checkpoint is written and the run ends early.
    stop: Callable[[], bool] = lambda: False


def train(
    model: Model,
    task: Task[Model],
    config: TrainingConfig,
    run: Path,
    options: RunOptions,
    *,
    begin: Callable[[int], None] = lambda seen: None,
    evaluate: Callable[[Model, int], None] = lambda model, seen: None,
) -> Model:
    """Train a model; return its averaged weights, in eval mode. For errors, see :func:`.run_training`.

    A step whose loss or gradient is not finite, or explodes (see :class:`Health`), is left out. After two
    such steps in a row, the run returns to its last checkpoint, in the folder ``run``, and continues with the
    photos after them; after three returns to one checkpoint, it has diverged.

    ``begin`` is called once with the number of photos seen, before the first step, ``evaluate`` with the
    averaged model and that number, regularly and at the end.
    """
    processes = options.processes
    state, step, is_new = _start(model, task, config, run, options)
    report = _Reports(state, options, evaluate)
    with closing(task.batches(config, state.seen, step.loading)) as batches:
        first = [*islice(batches, 1)]  # what cannot be learnt from is refused before anything is written
        if is_new:  # a run that diverges at once returns to this checkpoint
            processes.once(report.save)
        if not processes.rank:
            begin(state.seen)
        report.begin()  # only now: the processes that load data take seconds to start
        for batch in chain(first, batches):
            found = step(batch)
            state.seen += config.batch
            if fault := state.judge(found.figures["loss"], found.norm):
                log.warning("step at photo %d skipped: %s", state.seen, fault)
            else:
                state.update()
                report.add(found.figures, found.norm)
            if state.faults == 2:
                state.go_back(processes.once(partial(load_newest, run)), fault)
            if not processes.rank:
                report.after_step(bool(fault))
            if found.stopping:
                break
    processes.once(report.save)
    if state.seen >= config.photos:
        processes.once(report.evaluate)
    return state.averaged


class _Reports:
    """Average figures over the good steps since the last report; report and write while a run goes on."""

    def __init__(
        self, state: RunState[Model], options: RunOptions, evaluate: Callable[[Model, int], None]
    ) -> None:
        self.state, self.config, self.options = state, state.config, options
        self.every = options.evaluate_every or state.task.evaluate_every
        self.evaluate = lambda: evaluate(state.averaged, state.seen)
        self.saved_at, self.is_new = time.monotonic(), True

    def begin(self) -> None:
        self.since, self.started_at, self.steps, self.norm = time.monotonic(), self.state.seen, 0, 0.0
        self.figures: dict[str, float] = {}

    def add(self, figures: Mapping[str, float], norm: float) -> None:
        self.steps, self.norm = self.steps + 1, self.norm + norm
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0.0) + value

    def save(self) -> None:
        save_checkpoint(self.state.run, self.state.state_dict())

    def after_step(self, is_bad: bool) -> None:
        seen, ended = self.state.seen, self.state.seen >= self.config.photos
        if self.is_new or ended or time.monotonic() - self.since > self.options.report_seconds:
            progress, self.is_new = self._progress(), False
            self.begin()
            self.options.report(progress)
        if not ended and seen % self.every < self.config.batch:
            _if_possible(self.evaluate)
        # Never between a return and the next good step: each checkpoint allows some returns to it.
        if time.monotonic() - self.saved_at > self.options.checkpoint_seconds and not is_bad:
            _if_possible(self.save)
            self.saved_at = time.monotonic()

    def _progress(self) -> Progress:
        state, n = self.state, max(self.steps, 1)
        return Progress(
            seen=state.seen,
            total=self.config.length,
            figures={name: total / n for name, total in self.figures.items()},
            photos_per_second=(state.seen - self.started_at) / (time.monotonic() - self.since),
            gradient_norm=self.norm / n,
            skipped=state.skipped,
            rollbacks=state.rollbacks,
            unreadable=len(state.unreadable),
        )


def _start(
    model: Model, task: Task[Model], config: TrainingConfig, run: Path, options: RunOptions
) -> "tuple[RunState[Model], _Step, bool]":
    """Return the state of a run as it begins or continues, its step, and whether it begins."""
    device, processes = options.device, options.processes
    if config.batch % processes.count:
        raise DataError(f"a batch of {config.batch} cannot be split evenly among {processes.count} processes")
    saved = processes.once(partial(load_resumable, run, task, config)) if options.resume else None
    precision = options.precision
    if saved is not None and precision == Precision.auto:
        precision = saved.get("precision", precision)
    dtype = processes.once(partial(choose_precision, precision, device))

    torch.manual_seed(config.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = task.learning(model, config)
    if options.compile:
        task.compile()
    forward: nn.Module = _Forward(model, task, config, dtype)
    if processes.count > 1:  # gradients are averaged
        forward = DistributedDataParallel(forward, device_ids=[device] if device.type == "cuda" else None)
    state = RunState(run, model, task.optimizer(model, groups, config, dtype), task, config, dtype)
    step = _Step(forward, state, options, [p for parameters, _ in groups for p in parameters])
    if saved is not None:
        state.load_state_dict(saved)
    state.skip(task.unreadable)
    model.train()
    return state, step, saved is None


class _Found(NamedTuple):
    figures: dict[str, float]
    norm: float  # of the gradient
    stopping: bool


class _Step:
    """Set the learning rate, and compute the gradients of a batch, averaged over all processes."""

    def __init__(
        self, forward: nn.Module, state: RunState[Any], options: RunOptions, trained: Sequence[nn.Parameter]
    ) -> None:
        self.forward, self.state, self.trained, self.is_to_stop = forward, state, trained, options.stop
        self.processes, self.device = options.processes, options.device
        self.loading = Loading(options.workers, self.processes.rank, self.processes.count)
        self.generator = torch.Generator(self.device)

    def __call__(self, batch: Batch) -> _Found:
        state, config, processes = self.state, self.state.config, self.processes
        # Noise and dropout depend only on the position, so that a resumed run repeats them.
        self.generator.manual_seed(_seed(config.seed, state.seen, 0))
        torch.manual_seed(_seed(config.seed, state.seen, 1 + processes.rank))
        for group in state.optimizer.param_groups:
            group["lr"] = group["factor"] * config.rate(state.seen)

        state.optimizer.zero_grad(set_to_none=True)
        parts = [part.to(self.device, non_blocking=True) for part in batch.parts]
        figures = self.forward(parts, Noise(self.generator, processes.rank, processes.count))
        figures["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained, config.clip)

        asked = [norm.new_tensor(len(batch.unreadable)), norm.new_tensor(self.is_to_stop())]
        told = processes.mean(torch.stack([norm, *figures.values(), *asked]).detach().float())
        gradient_norm, *values, unreadable, stopping = told.tolist()
        if unreadable:
            state.skip(processes.join(list(batch.unreadable)))
        return _Found(dict(zip(figures, values, strict=True)), gradient_norm, bool(stopping))


class _Forward(nn.Module):
    """The forward pass of a step, as a module for DistributedDataParallel."""

    def __init__(
        self, model: nn.Module, task: Task[Any], config: TrainingConfig, precision: torch.dtype
    ) -> None:
        super().__init__()
        self.model, self.task, self.config, self.precision = model, task, config, precision

    def forward(self, parts: Parts, noise: Noise) -> dict[str, Tensor]:
        return self.task.losses(self.model, parts, self.config, noise, self.precision)


def _seed(*numbers: int) -> int:
    """Return a seed for torch from the run's, a position and a purpose; no two of them are related."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _if_possible(write: Callable[[], None]) -> None:
    """Write files of the run. A full disk does not end it."""
    try:
        write()
    except (DataError, PhotoError) as error:
        log.warning("%s; the run continues", error)
