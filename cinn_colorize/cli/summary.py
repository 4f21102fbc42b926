"""Report a batch as it runs, and the results of commands that make one picture."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cinn_colorize.cli.console import (
    discard_stdout,
    draws,
    print_json,
    print_path,
    print_trace,
    progress_bar,
    say,
)
from cinn_colorize.cli.interrupts import keeping
from cinn_colorize.errors import PhotoError, counted, os_errors_as, printable_name
from cinn_colorize.files.atomic import check_output

if TYPE_CHECKING:
    from cinn_colorize.batch.films import Films
    from cinn_colorize.batch.plan import Event, Result
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.cli.common import GeneralOptions

log = logging.getLogger(__name__)

_OUTCOMES = ("done", "there already", "failed", "not done", "left out")
_EVERY = 30.0  # seconds between two lines of progress where no terminal is
_RECENT = 30  # the last photos, whose speed the estimate follows


class Progress:
    """How many photos of a batch, or files of its only photo, are done; ``name`` is the photo at work.

    Where others count, ``count`` returns how many are done, and of how many.
    """

    def __init__(
        self, total: int, unit: str, name: str = "", count: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        self.total, self.unit, self.name, self._count = total, unit, name, count
        self.done = 0
        self._start = time.monotonic()
        self._recent = deque([(self._start, 0)], _RECENT + 1)  # when as many were done

    def advance(self) -> None:
        self._reach(self.done + 1)

    def refresh(self) -> None:
        """Ask those who count, if others do."""
        if self._count:
            done, self.total = self._count()
            self._reach(min(done, self.total))

    def _reach(self, done: int) -> None:
        self.done = done
        self._recent.append((time.monotonic(), done))

    def line(self) -> str:
        """Return the state as a line: the photo at work, what is done and left, and how fast."""
        now = time.monotonic()
        left = self.total - self.done
        parts = [f"{self.done} of {self.total} {self.unit} done" + (f", {left} left" if left else "")]
        begun, before = self._recent[0]
        if self.done > before and left:
            rate = (self.done - before) / (now - begun)
            parts += [speed(rate, self.unit), f"about {duration(left / rate)} to go"]
        elif self.done <= before:
            parts.append(f"{duration(now - self._start)} so far")
        return f"{self.name}: {', '.join(parts)}" if self.name else ", ".join(parts)


@contextlib.contextmanager
def shown(progress: Progress, *, bar: bool, lines: bool) -> Iterator[None]:
    """Show progress as long as the context lasts: by a bar on a terminal, or by lines elsewhere."""
    end = threading.Event()
    shows_bar = bar and draws()

    def watch() -> None:
        if shows_bar:
            with progress_bar(False, rate=f"{progress.unit}/s") as display:
                task = display.add_task("colorizing", total=progress.total)
                while not end.wait(0.1):
                    progress.refresh()
                    name = printable_name(Path(progress.name).name)[-40:]
                    display.update(task, description=name, completed=progress.done, total=progress.total)
        else:
            while not end.wait(_EVERY):
                progress.refresh()
                say(progress.line())

    if not shows_bar and (not lines or draws()):
        yield
        return
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def speed(rate: float, unit: str) -> str:
    """Return a rate in words, that of slow ones per piece: ``2.0 photos/s``, ``10.0 s each``."""
    return f"{rate:.1f} {unit}/s" if rate >= 0.95 else f"{1 / rate:.1f} s each"


def duration(seconds: float) -> str:
    """Return a time in words: ``40 s``, ``12 min``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Summary:
    """Counts what a batch does, and says it at the end, or where Ctrl-C stops it."""

    def __init__(self, batch: Batch | Films, progress: Progress | None = None) -> None:
        self._batch, self._photos, self._start = batch, len(batch.inputs), time.monotonic()
        self._outcomes, self._files = Counter[str](), 0
        total, unit = (batch.files, "files") if self._photos == 1 else (self._photos, batch.things)
        self.progress = progress or Progress(total, unit, batch.first)

    @property
    def failed(self) -> int:
        return self._outcomes["failed"]

    def count(self, event: Event) -> None:
        """Count a result, or the outcome of a photo."""
        from cinn_colorize.batch.plan import Failure, Result

        if event.input:
            self.progress.name = printable_name(event.input)
        if isinstance(event, Result):
            self._files += not event.existed
        elif isinstance(event, Failure):
            self._outcomes["failed"] += 1
        else:
            existing = "left out" if event.left_out else "there already"
            self._outcomes["done" if event.written else existing] += 1
        if self.progress.unit in ("files", "photos") and isinstance(event, Result) == (self._photos == 1):
            self.progress.advance()

    def stopped(self) -> str:
        """Return what to say where the batch is stopped."""
        outcomes = self._outcomes
        self.progress.refresh()
        done = f"{outcomes['done'] + outcomes['there already']} of {self._photos} {self._batch.things} done, "
        how = f"; the same command {'continues' if self._batch.resumes else 'starts over'}"
        return (
            f"stopped: {done if self._photos > 1 else ''}{counted(self._files, 'file')} written"
            f"{how if self._files or outcomes or self.progress.done else ''}"
        )

    def say_end(self) -> None:
        outcomes, total = self._outcomes, self._photos
        if total > 1:
            seconds = time.monotonic() - self._start
            outcomes["not done"] = total - outcomes.total()
            parts = [f"{outcomes[outcome]} {outcome}" for outcome in _OUTCOMES if outcomes[outcome]]
            why = " (made by cinn-colorize)" if outcomes["left out"] else ""
            things = self._batch.things
            rate = f", {speed(outcomes['done'] / seconds, things)}" if outcomes["done"] else ""
            say(f"{total} {things}: {', '.join(parts)}{why}; {duration(seconds)}{rate}")
        elif outcomes["there already"]:
            say(f"{self._batch.first}: nothing to do; its files are there already")
        elif outcomes["left out"]:
            say(f"{self._batch.first}: made by cinn-colorize, and left out")


def report(
    batch: Batch | Films,
    as_json: bool,
    general: GeneralOptions,
    not_taken: Sequence[Path] = (),
    has_bar: bool = False,
    progress: Progress | None = None,
) -> None:
    """Run a batch, print results on stdout and the rest on stderr; exit with code 1 if a photo failed.

    ``has_bar`` says that the caller shows a progress bar; by default, ``progress`` counts photos.
    """
    from cinn_colorize.batch.plan import Failure, Result

    summary, quiet = Summary(batch, progress), general.quiet
    if batch.plan.repeats and not quiet:
        say(f"without noise all {batch.plan.method.number} samples are the same; -n 1 draws only one")
    display = shown(summary.progress, bar=not (quiet or has_bar), lines=not quiet)
    with keeping(summary.stopped), display, contextlib.closing(batch.run()) as events:
        for event in events:
            summary.count(event)
            if isinstance(event, Result) and not event.existed:
                try:
                    print_result(event, as_json)
                except BrokenPipeError:  # the results are files, which no reader of their names stops
                    discard_stdout()
            elif isinstance(event, Failure):
                say(event.message)
                if general.debug:
                    print_trace(event.trace)
    if not quiet:
        summary.say_end()
    _say_not_taken(not_taken, general)
    if summary.failed:
        raise typer.Exit(1)


def report_dry_run(batch: Batch, general: GeneralOptions, not_taken: Sequence[Path]) -> None:
    """Print what a batch would write on stdout, the rest on stderr; exit with code 1 if photos would fail."""
    from cinn_colorize.batch.dry_run import dry_run

    planned = dry_run(batch)
    for problem in planned.problems:
        say(problem)
    for output in planned.outputs:
        print_path(output)
    if not general.quiet:
        what = f"{counted(planned.files, 'file')} of {counted(planned.photos, 'photo')}"
        if planned.measured:
            processes = counted(batch.workers, "process", "processes")
            what += f", about {duration(planned.seconds)} with {processes} and {_size(planned.size)}"
            what += f" (measured: {planned.measured}); {_size(planned.free)} are free"
        what += f"; there already: {counted(planned.right, 'file')}" if planned.right else ""
        say(f"dry run, nothing is written: {what}")
        _say_not_taken(not_taken, general)
    if planned.problems:
        raise typer.Exit(1)


def _say_not_taken(paths: Sequence[Path], general: GeneralOptions) -> None:
    from cinn_colorize.batch.inputs import counts_by_suffix, is_linked_folder, is_special

    for path in paths if general.verbose else ():
        why = "it is not a file" if is_special(path) else "its name does not end like that of a photo"
        why = "it is a link to a folder" if is_linked_folder(path) else why
        say(f"{printable_name(path)}: not taken, {why}")
    if paths and not general.quiet:
        say(f"not taken: {counts_by_suffix(paths)}" + ("" if general.verbose else "; -v lists them"))


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def print_result(result: Result, as_json: bool) -> None:
    """Print the path of a result, or all that is known of it as JSON."""
    if not as_json:
        print_path(result.output)
        return
    values = {"input": str(result.input), "output": str(result.output)}
    rest = {"seed": result.seed, "temperature": result.temperature, "log_prob": result.log_prob}
    print_json(values | {key: value for key, value in rest.items() if value is not None})


def unmade(recipes: Mapping[Path, Mapping[str, str]], overwrite: bool, max_pixels: int) -> list[Path]:
    """Return which pictures, given with their recipes, are to be made, and make their folders."""
    from cinn_colorize.imaging.photo import recipe_at
    from cinn_colorize.methods.recipe import differences

    missing = []
    for path, wanted in recipes.items():
        recipe = {} if overwrite else recipe_at(path, max_pixels)
        if recipe and (different := differences(recipe, wanted)):
            how = " and ".join(different.values())
            advice = "add --overwrite or choose another folder with -o"
            raise PhotoError(f"{printable_name(path)}: exists, made {how}; {advice}")
        if not recipe:
            missing.append(path)
    if not missing:
        what = printable_name(next(iter(recipes))) if len(recipes) == 1 else f"all {len(recipes)} results"
        log.info(f"{what}: there already")
    claim(missing, overwrite)
    return missing


def claim(outputs: Iterable[Path], overwrite: bool, otherwise: str = "another folder with -o") -> None:
    """Check that results may be written, and make their folders; messages say what to choose otherwise."""
    for output in outputs:
        name = printable_name(output)
        if os.path.lexists(output) and not overwrite:
            raise PhotoError(f"{name}: exists; add --overwrite or choose {otherwise}")
        check_output(output, otherwise)
        with os_errors_as(PhotoError, output.parent, "cannot be made"):
            output.parent.mkdir(parents=True, exist_ok=True)
