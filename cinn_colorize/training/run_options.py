"""What a run is told, whatever it learns, and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cinn_colorize.training.processes import Processes


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
