"""Loss, speed and time left of a training run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cinn_colorize.cli.console import console, draws
from cinn_colorize.files.messages import printable_name

if TYPE_CHECKING:
    from cinn_colorize.training.run_options import Evaluation, Progress

_LONGEST = 1e9  # seconds, of a time left; calendars end


class Display:
    """Show loss, speed and time left: as a bar on a terminal, otherwise as one line per report."""

    def __init__(self, total: int, batch: int, quiet: bool) -> None:
        from rich import progress
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        self.quiet, self.batch = quiet, batch
        self.first: tuple[datetime, int] | None = None
        self.bar = progress.Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} photos"),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=console(),
            disable=quiet or not draws(),
        )
        self.task = self.bar.add_task("training", total=total, facts="")

    def report(self, progress: Progress) -> None:
        """Show the progress."""
        speed = max(progress.photos_per_second, 1e-9)
        left = self._left(progress, speed)
        facts = (
            f"{progress.listed()}  {self.batch / speed:.2g} s a step  {speed:.1f} photos/s  "
            f"about {left} left, until {datetime.now() + left:%Y-%m-%d %H:%M}"
        )
        for count, what in (
            (progress.skipped, "steps skipped"),
            (progress.rollbacks, "returns to a checkpoint"),
            (progress.unreadable, "photos or zips left out"),
        ):
            if count:
                facts += f"  {what}: {count}"
        self.bar.update(self.task, completed=progress.seen, facts=facts)
        if self.bar.disable and not self.quiet:
            console().print(f"{progress.seen:,} of {progress.total:,} photos  {facts}", soft_wrap=True)

    def _left(self, progress: Progress, speed: float) -> timedelta:
        """Return the time left, at the speed since the first report: with evaluations and checkpoints."""
        now = datetime.now()
        start, seen = self.first = self.first or (now, progress.seen)
        if progress.seen > seen:
            speed = (progress.seen - seen) / max((now - start).total_seconds(), 1e-9)
        seconds = (progress.total - progress.seen) / speed
        return timedelta(seconds=round(min(seconds, _LONGEST)))

    def report_evaluation(self, evaluation: Evaluation) -> None:
        """Print figures on held-out data."""
        if not self.quiet:
            line = f"after {evaluation.seen:,} photos, on held-out ones: {evaluation.listed()}"
            sheet = printable_name(evaluation.sheet) if evaluation.sheet else ""
            self.bar.console.print(f"{line}  {sheet}".rstrip(), soft_wrap=True, markup=False)
