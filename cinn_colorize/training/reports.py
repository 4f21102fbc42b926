"""Reports of a run: its progress, and evaluations on held-out data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinn_colorize.training.state import RunState


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


class Meter:
    """Average figures over the good steps since the last report."""

    def __init__(self, total: int, seen: int) -> None:
        self.total, self.is_new, self._runs = total, True, False
        self._clear(seen)

    def start(self) -> None:
        """Start the clock at the first batch: the processes that load data take seconds to start."""
        if not self._runs:
            self.since, self._runs = time.monotonic(), True

    def is_due(self, seconds: float) -> bool:
        """Return whether to report: after the first step, then whenever so many seconds have passed."""
        return self.is_new or time.monotonic() - self.since > seconds

    def _clear(self, seen: int) -> None:
        self.since, self.started_at, self.steps, self.norm = time.monotonic(), seen, 0, 0.0
        self.figures: dict[str, float] = {}

    def add(self, figures: Mapping[str, float], norm: float) -> None:
        """Count a good step: its figures and its gradient norm."""
        self.steps, self.norm = self.steps + 1, self.norm + norm
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0.0) + value

    def progress(self, state: RunState[Any]) -> Progress:
        """Report the progress, and start new averages."""
        n = max(self.steps, 1)
        result = Progress(
            seen=state.seen,
            total=self.total,
            figures={name: total / n for name, total in self.figures.items()},
            photos_per_second=(state.seen - self.started_at) / (time.monotonic() - self.since),
            gradient_norm=self.norm / n,
            skipped=state.skipped,
            rollbacks=state.rollbacks,
            unreadable=len(state.unreadable),
        )
        self._clear(state.seen)
        self.is_new = False
        return result
