"""The training loop, from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from cinn_colorize.errors import DataError, DivergedError
from cinn_colorize.training.checkpoint import load_newest, save_checkpoint
from cinn_colorize.training.data import Loading
from cinn_colorize.training.health import Health
from cinn_colorize.training.objective import Noise
from cinn_colorize.training.processes import Processes
from cinn_colorize.training.schedule import cosine
from cinn_colorize.training.task import Model, Task, TrainingConfig

log = logging.getLogger(__name__)

MAX_RETURNS = 3  # to one checkpoint


@dataclass(frozen=True)
class Progress:
    """Where a run is, for whoever shows it."""

    seen: int
    total: int
    figures: dict[str, float]  # of the task, means since the last report
    photos_per_second: float
    gradient_norm: float
    skipped: int  # steps left out, see Health
    rollbacks: int  # returns to a checkpoint
    unreadable: int  # photos and shards of the data left out


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """'auto' is bf16 on GPUs that know it and on processors where it is tried and found faster, else fp32."""
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _bf16_is_faster(device)
        return torch.bfloat16 if fast else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


@torch.no_grad()
def _bf16_is_faster(device: torch.device) -> bool:
    """Try a convolution: which instructions a processor has does not tell, some emulate what others have."""
    if device.type != "cpu":
        return False
    convolution = torch.nn.Conv2d(96, 96, 3, padding=1)
    convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(8, 96, 32, 32).to(memory_format=torch.channels_last)
    fastest = {False: math.inf, True: math.inf}
    for half in (False, True) * 6:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            start = time.perf_counter()
            convolution(x)
            fastest[half] = min(fastest[half], time.perf_counter() - start)
    return fastest[True] < 0.8 * fastest[False]


def train(
    model: Model,
    task: Task[Model],
    config: TrainingConfig,
    run: Path,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    workers: int = 1,
    processes: Processes | None = None,
    resume: bool = False,
    compile: bool = False,
    checkpoint_seconds: float = 300,
    begin: Callable[[int], None] = lambda seen: None,
    report: Callable[[Progress], None] = lambda progress: None,
    report_seconds: float = 10,
    evaluate: Callable[[Model, int], None] = lambda model, seen: None,
    evaluate_every: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
) -> Model:
    """Train a model.

    A step whose loss or gradient is not finite, or explodes (see :class:`Health`), is left out. After a
    second one in a row the run goes back to its last checkpoint, but on with the photos after these.

    Args:
        model: initialised.
        task: its data and objective.
        config: hyper-parameters; ``batch`` is that of all processes together.
        run: folder of the run, where the checkpoints lie.
        device: to train on.
        precision: of the autocast; parameters and latents stay fp32.
        workers: processes that decode photos, for each process that trains.
        processes: among which the run is shared; the first one writes, reports and evaluates.
        resume: go on from the run's last checkpoint, if there is one.
        compile: use torch.compile.
        checkpoint_seconds: between checkpoints.
        begin: called once with the photos seen, before the first step.
        report: called every ``report_seconds``.
        report_seconds: between reports.
        evaluate: called with the averaged model and the photos seen, every ``evaluate_every`` photos and at
            the end.
        evaluate_every: photos between evaluations.
        stop: asked once a step; when true, a checkpoint is written and the run ends early.

    Returns:
        the averaged model, in eval mode.

    Raises:
        DataError: the data or the checkpoint cannot be used.
        DivergedError: the run went back to one checkpoint three times.
    """
    processes = processes or Processes()
    if config.batch % processes.count:
        raise DataError(f"a batch of {config.batch} cannot be shared by {processes.count} processes evenly")
    state = processes.once(lambda: load_newest(run)) if resume else None
    if resume and state is None:
        log.info("%s: no checkpoint there yet, so the run begins", run)
    # What a checkpoint of an earlier version does not know is as it was: the default.
    settings = asdict(type(config)()) | state["config"] if state is not None else {}
    if state is not None and settings != asdict(config):
        changed = [k for k, v in asdict(config).items() if settings[k] != v]
        raise DataError(f"{run}: the run to resume has other settings: {', '.join(changed)}")
    if state is not None and state["distinct"] != task.distinct:
        log.warning("the data has changed: %d photos, %d before", task.distinct, state["distinct"])

    torch.manual_seed(config.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = task.learning(model, config)
    trained = [parameter for parameters, _ in groups for parameter in parameters]
    if compile:
        task.compile()
    step = _shared(_Step(model, task, config), device, processes)
    optimizer = task.optimizer(groups, config)
    average = AveragedModel(model, multi_avg_fn=_moving_average(config.ema))
    average.eval()
    averaged = cast(Model, average.module)

    def restore(state: dict[str, Any]) -> None:
        try:
            model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise DataError(f"{run}: the run to resume is of another architecture") from error
        average.load_state_dict(state["average"])
        (now, *_), (before, *_) = optimizer.state_dict()["param_groups"], state["optimizer"]["param_groups"]
        if now.keys() != before.keys():
            raise DataError(f"{run}: the run to resume has another optimiser; begin a new one with --start")
        optimizer.load_state_dict(state["optimizer"])

    seen, faults = 0, 0  # faults: in a row
    returned_to, returns = -1, 0  # the checkpoint of which position, and how often
    health, meter = Health((), task.exploding), _Meter(config.photos)
    if state is not None:
        restore(state)
        seen, faults = state["seen"], state["faults"]
        health = Health(state["norms"], task.exploding)
        meter.restore(state["counts"])

    def checkpoint() -> None:
        if processes.rank:
            return
        state = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "config": asdict(config),
            "distinct": task.distinct,
            "seen": seen,
            "faults": faults,
            "norms": list(health.norms),
            "counts": meter.counts(),
        }
        save_checkpoint(run, state)

    meter.skip(task.unreadable)
    if state is None:
        processes.once(checkpoint)  # what a run that diverges at once goes back to
    del state
    if not processes.rank:
        begin(seen)
    meter.start(seen)
    generator = torch.Generator(device)
    last_checkpoint = time.monotonic()
    model.train()
    loading = Loading(workers, processes.rank, processes.count)
    for batch in task.batches(config, seen, loading):
        # Noise and dropout depend on the position alone, so that a resumed run repeats them.
        generator.manual_seed(config.seed + seen)
        torch.manual_seed(config.seed + seen + processes.rank)
        rate = cosine(seen, config.photos, config.learning_rate, min(config.warmup, config.photos // 10))
        for group, (_, factor) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = factor * rate

        optimizer.zero_grad(set_to_none=True)
        parts = [part.to(device, non_blocking=True) for part in batch.parts]
        noise = Noise(generator, processes.rank, processes.count)
        figures = _backward(step, parts, task.chunk(device), noise, precision)
        norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)

        told = [norm, *figures.values(), norm.new_tensor(len(batch.unreadable)), norm.new_tensor(stop())]
        gradient_norm, *values, unreadable, stopping = processes.mean(torch.stack(told).float()).tolist()
        means = dict(zip(figures, values, strict=True))
        if unreadable:
            meter.skip(processes.join(list(batch.unreadable)))

        seen += config.batch
        fault = health.fault(means["loss"], gradient_norm)
        if not fault:
            faults = 0
            optimizer.step()
            average.update_parameters(model)
            meter.add(means, gradient_norm)
        else:
            faults += 1
            meter.skipped += 1
            log.warning("step at photo %d skipped: %s", seen, fault)
        meter.seen = seen
        if faults == 2:
            good = processes.once(lambda: load_newest(run))
            assert good is not None
            returns = returns + 1 if good["seen"] == returned_to else 1
            returned_to = good["seen"]
            if returns > MAX_RETURNS:
                raise DivergedError(
                    f"{run}: {fault}, after {MAX_RETURNS} returns to the checkpoint of photo {returned_to}; "
                    "lower the learning rate with --lr, in a new --run"
                )
            log.warning("two in a row: back to the checkpoint of photo %d, on with new photos", returned_to)
            restore(good)
            health, faults = Health(good["norms"], task.exploding), 0
            meter.rollbacks += 1
            del good

        if not processes.rank:
            if time.monotonic() - meter.since > report_seconds or seen >= config.photos:
                report(meter.progress())
            if seen // evaluate_every > (seen - config.batch) // evaluate_every or seen >= config.photos:
                evaluate(averaged, seen)
            if time.monotonic() - last_checkpoint > checkpoint_seconds and not faults:
                try:
                    checkpoint()
                except DataError as error:
                    log.warning("%s; the run goes on", error)
                last_checkpoint = time.monotonic()
        if stopping:
            break
    processes.once(checkpoint)
    return averaged


class _Step(nn.Module):
    """A step forward as a module, as DistributedDataParallel wants it."""

    def __init__(self, model: nn.Module, task: Task[Any], config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.task, self.config = model, task, config

    def forward(self, parts: Sequence[Tensor], noise: Noise, precision: torch.dtype) -> dict[str, Tensor]:
        return self.task.losses(self.model, parts, self.config, noise, precision)


def _shared(step: _Step, device: torch.device, processes: Processes) -> nn.Module:
    """The step; among several processes, one whose gradients are means over them all."""
    if processes.count == 1:
        return step
    return DistributedDataParallel(step, device_ids=[device] if device.type == "cuda" else None)


def _backward(
    step: nn.Module, parts: Sequence[Tensor], chunk: int | None, noise: Noise, precision: torch.dtype
) -> dict[str, Tensor]:
    """Forward and backward, in chunks: gradients are added to those of the parameters.

    Returns:
        the task's figures, means over the batch.
    """
    count = len(parts[0])
    chunks = list(zip(*(part.split(chunk or count) for part in parts), strict=True))
    figures: dict[str, Tensor] = {}
    for n, some in enumerate(chunks, 1):
        alone = isinstance(step, DistributedDataParallel) and n < len(chunks)
        # Gradients are exchanged once, with the last chunk.
        with cast(DistributedDataParallel, step).no_sync() if alone else nullcontext():
            losses = step(some, noise, precision)
            share = len(some[0]) / count
            (share * losses["loss"]).backward()
        for name, value in losses.items():
            figures[name] = figures.get(name, 0) + share * value.detach()
    return figures


def _moving_average(decay: float) -> Callable[..., None]:
    """Exponential moving average whose decay rises at first, so that initial weights are soon forgotten."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], updates: int | Tensor) -> None:
        rising = min(decay, (1 + float(updates)) / (10 + float(updates)))
        torch._foreach_lerp_(averages, currents, 1 - rising)

    return update


class _Meter:
    """Means since the last report, and counts since the run began."""

    def __init__(self, total: int) -> None:
        self.total, self.seen, self.skipped, self.rollbacks = total, 0, 0, 0
        self.unreadable: set[str] = set()
        self._clear()

    def start(self, seen: int) -> None:
        """Begin to measure."""
        self.seen = seen
        self._clear()

    def counts(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "unreadable": sorted(self.unreadable),
        }

    def restore(self, counts: dict[str, Any]) -> None:
        """Take them from a checkpoint."""
        self.skipped, self.rollbacks = counts["skipped"], counts["rollbacks"]
        self.unreadable = set(counts["unreadable"])

    def skip(self, unreadable: Sequence[str]) -> None:
        """Count and name, once each, what cannot be read."""
        for message in unreadable:
            if message not in self.unreadable:
                self.unreadable.add(message)
                log.warning("skipped %s", message)

    def _clear(self) -> None:
        self.since, self.started_at, self.steps, self.norm = time.monotonic(), self.seen, 0, 0.0
        self.figures: dict[str, float] = {}

    def add(self, figures: dict[str, float], norm: float) -> None:
        self.steps += 1
        self.norm += norm
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0.0) + value

    def progress(self) -> Progress:
        """Report, and start anew."""
        n = max(self.steps, 1)
        result = Progress(
            seen=self.seen,
            total=self.total,
            figures={name: total / n for name, total in self.figures.items()},
            photos_per_second=(self.seen - self.started_at) / (time.monotonic() - self.since),
            gradient_norm=self.norm / n,
            skipped=self.skipped,
            rollbacks=self.rollbacks,
            unreadable=len(self.unreadable),
        )
        self._clear()
        return result
