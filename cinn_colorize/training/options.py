"""How a run is begun, computed, kept and shown, whatever it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cinn_colorize.training.processes import Processes
from cinn_colorize.training.progress import Evaluation, Progress


@dataclass(frozen=True)
class RunOptions:
    """How a run is begun, computed, kept and shown; its task and its hyper-parameters say what it learns.

    Attributes:
        device: to train on.
        precision: of the autocast, of :class:`cinn_colorize.training.registry.Precision`; parameters and
            latents stay fp32.
        workers: processes that decode photos, for each process that trains.
        processes: among which the run is shared; the first one writes, reports and evaluates.
        resume: go on from the run's last checkpoint, if there is one.
        start: weights to begin with; None for new ones.
        compile: use torch.compile.
        save_memory: recompute the flow's activations in the backward pass, see
            :class:`cinn_colorize.flow.Sequence`.
        checkpoint_seconds: between checkpoints.
        evaluate_every: photos between evaluations; None for the task's own.
        report_seconds: between reports.
        report: called with the progress every ``report_seconds``.
        report_evaluation: called after an evaluation, if there is data held out.
        stop: asked once a step; when true, a checkpoint is written and the run ends early.
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
