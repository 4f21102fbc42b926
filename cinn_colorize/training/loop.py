"""The training loop, from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from cinn_colorize.errors import DataError, DivergedError
from cinn_colorize.training.checkpoint import load_checkpoint, save_checkpoint
from cinn_colorize.training.schedule import cosine
from cinn_colorize.training.task import Model, Task, TrainingConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where a run is, for whoever shows it."""

    seen: int
    total: int
    figures: dict[str, float]  # of the task, means since the last report
    photos_per_second: float
    gradient_norm: float
    skipped: int  # steps left out for a loss or gradient that was not finite


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
    resume: bool = False,
    compile: bool = False,
    checkpoint_seconds: float = 300,
    report: Callable[[Progress], None] = lambda progress: None,
    report_seconds: float = 10,
    evaluate: Callable[[Model, int], None] = lambda model, seen: None,
    evaluate_every: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
) -> Model:
    """Train a model.

    Args:
        model: initialised.
        task: its data and objective.
        config: hyper-parameters.
        run: folder of the run; ``checkpoint.pt`` lies there.
        device: to train on.
        precision: of the autocast; parameters and latents stay fp32.
        workers: processes that decode photos.
        resume: go on from the run's checkpoint.
        compile: use torch.compile.
        checkpoint_seconds: between checkpoints.
        report: called every ``report_seconds``.
        report_seconds: between reports.
        evaluate: called with the averaged model and the photos seen, every ``evaluate_every`` photos and at
            the end.
        evaluate_every: photos between evaluations.
        stop: asked after each step; when true, a checkpoint is written and the run ends early.

    Returns:
        the averaged model, in eval mode.

    Raises:
        DataError: the data or the checkpoint cannot be used.
        DivergedError: losses are no longer finite.
    """
    torch.manual_seed(config.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = task.learning(model, config)
    trained = [parameter for parameters, _ in groups for parameter in parameters]
    optimizer = torch.optim.AdamW(
        [{"params": parameters} for parameters, _ in groups],
        config.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=True,
    )
    average = AveragedModel(model, multi_avg_fn=_moving_average(config.ema))
    average.eval()
    averaged = cast(Model, average.module)
    seen = 0
    checkpoint_path = run / "checkpoint.pt"
    if resume:
        state = load_checkpoint(checkpoint_path)
        if state["config"] != asdict(config):
            changed = [k for k, v in asdict(config).items() if state["config"].get(k) != v]
            raise DataError(f"{run}: the run to resume has other settings: {', '.join(changed)}")
        try:
            model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise DataError(f"{run}: the run to resume is of another architecture") from error
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]

    def checkpoint() -> None:
        state = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "config": asdict(config),
            "seen": seen,
        }
        save_checkpoint(checkpoint_path, state)

    if compile:
        task.compile()
    generator = torch.Generator(device)
    meter = _Meter(config.photos, seen)
    last_checkpoint = time.monotonic()
    failures = 0
    model.train()
    for batch in task.batches(config, seen, workers):
        # Noise and dropout depend on the position alone, so that a resumed run repeats them.
        generator.manual_seed(config.seed + seen)
        torch.manual_seed(config.seed + seen)
        rate = cosine(seen, config.photos, config.learning_rate, min(config.warmup, config.photos // 10))
        for group, (_, factor) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = factor * rate

        batch = [part.to(device, non_blocking=True) for part in batch]
        count = len(batch[0])
        optimizer.zero_grad(set_to_none=True)
        figures = task.learn(model, batch, config, generator, precision)
        norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)

        seen += count
        if torch.isfinite(norm) and torch.isfinite(figures["loss"]):
            failures = 0
            optimizer.step()
            average.update_parameters(model)
            meter.add(count, figures, norm.item())
        else:
            failures += 1
            meter.skipped += 1
            loss = figures["loss"].item()
            log.warning("step at photo %d skipped: loss %s, gradient norm %s", seen, loss, norm.item())
            if failures == 10:
                raise DivergedError(f"{run}: ten steps in a row were not finite; lower the learning rate")

        if time.monotonic() - meter.since > report_seconds or seen >= config.photos:
            report(meter.progress())
        if seen // evaluate_every > (seen - count) // evaluate_every or seen >= config.photos:
            evaluate(averaged, seen)
        if time.monotonic() - last_checkpoint > checkpoint_seconds or stop():
            checkpoint()
            last_checkpoint = time.monotonic()
            if stop():
                break
    checkpoint()
    return averaged


def _moving_average(decay: float) -> Callable[..., None]:
    """Exponential moving average whose decay rises at first, so that initial weights are soon forgotten."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], updates: int | Tensor) -> None:
        rising = min(decay, (1 + float(updates)) / (10 + float(updates)))
        torch._foreach_lerp_(averages, currents, 1 - rising)

    return update


class _Meter:
    """Means since the last report."""

    def __init__(self, total: int, seen: int) -> None:
        self.total, self.seen, self.skipped = total, seen, 0
        self._clear()

    def _clear(self) -> None:
        self.since, self.photos, self.steps, self.norm = time.monotonic(), 0, 0, 0.0
        self.figures: dict[str, float] = {}

    def add(self, photos: int, figures: dict[str, Tensor], norm: float) -> None:
        self.seen += photos
        self.photos += photos
        self.steps += 1
        self.norm += norm
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0.0) + value.item()

    def progress(self) -> Progress:
        """Report, and start anew."""
        n = max(self.steps, 1)
        rate = self.photos / (time.monotonic() - self.since)
        figures = {name: total / n for name, total in self.figures.items()}
        result = Progress(self.seen, self.total, figures, rate, self.norm / n, self.skipped)
        self._clear()
        return result
