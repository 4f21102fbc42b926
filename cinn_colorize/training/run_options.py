"""The options of a run, whatever it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cinn_colorize.training.processes import Processes
from cinn_colorize.training.reports import Evaluation, Progress


@dataclass(frozen=True)
class RunOptions:
    """Options of a run; its task and hyper-parameters define what it learns.

    Attributes:
        device: device to train on.
        precision: name in :class:`Precision` of the autocast's; parameters and latents stay fp32.
        workers: number of processes that decode photos, per process that trains.
        processes: processes that share the run; the first one writes, reports and evaluates.
        resume: whether to continue from the run's last checkpoint, if there is one.
        start: weights to start from; None for new ones.
        compile: whether to use torch.compile.
        save_memory: whether to recompute the flow's activations in the backward pass.
        checkpoint_seconds: seconds between checkpoints.
        evaluate_every: number of photos between evaluations; None for the task's default.
        report_seconds: seconds between reports.
        report: called with the progress after the first step, then every ``report_seconds``.
        report_evaluation: called after an evaluation, if data is held out.
        stop: called once per step; if it returns true, a checkpoint is written and the run ends early.
    """

    device: torch.device
    precision: str = "fp32"
    workers: int = 1
    processes: Processes = field(default_factory=Processes)
    resume: bool = False
    start: Path | None = None
    compile: bool = False
    save_memory: bool = False
    checkpoint_seconds: float = 300
    evaluate_every: int | None = None
    report_seconds: float = 10
    report: Callable[[Progress], None] = lambda progress: None
    report_evaluation: Callable[[Evaluation], None] = lambda evaluation: None
    stop: Callable[[], bool] = lambda: False
