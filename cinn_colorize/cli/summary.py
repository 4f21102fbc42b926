"""Report a batch as it runs, and the results of commands that make one picture."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.cli.console import print_json, print_path, print_trace, say
from cinn_colorize.cli.interrupts import keeping
from cinn_colorize.cli.progress_bar import Progress, duration, shown, speed
from cinn_colorize.errors import PhotoError
from cinn_colorize.files.atomic import check_output
from cinn_colorize.files.messages import counted, printable_name

if TYPE_CHECKING:
    from cinn_colorize.batch.events import Event, Result
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.cli.common import GeneralOptions

log = logging.getLogger(__name__)

_OUTCOMES = ("done", "there already", "failed", "not done", "left out")


class Summary:
    """Counts what a batch does, and says it at the end, or where Ctrl-C stops it."""

    def __init__(self, batch: Batch) -> None:
        self._batch, self._photos, self._start = batch, len(batch.inputs), time.monotonic()
        self._outcomes, self._files = Counter[str](), 0
        total, unit = (batch.files, "files") if self._photos == 1 else (self._photos, "photos")
        self.progress = Progress(total, unit, batch.first)

    @property
    def failed(self) -> int:
        """Number of photos that failed."""
        return self._outcomes["failed"]

    def count(self, event: Event) -> None:
        """Count a result, or the outcome of a photo."""
        from cinn_colorize.batch.events import Failure, Result

        if event.input:
            self.progress.name = printable_name(event.input)
        if isinstance(event, Result):
            self._files += not event.existed
        elif isinstance(event, Failure):
            self._outcomes["failed"] += 1
        else:
            existing = "left out" if event.left_out else "there already"
            self._outcomes["done" if event.written else existing] += 1
        if isinstance(event, Result) == (self._photos == 1):
            self.progress.advance()

    def stopped(self) -> str:
        """Return what to say where the batch is stopped."""
        outcomes = self._outcomes
        done = f"{outcomes['done'] + outcomes['there already']} of {self._photos} photos done, "
        how = f"; the same command {'continues' if self._batch.resumes else 'starts over'}"
        return (
            f"stopped: {done if self._photos > 1 else ''}{counted(self._files, 'file')} written"
            f"{how if self._files or outcomes else ''}"
        )

    def say_end(self) -> None:
        """Say what became of the photos."""
        outcomes, total = self._outcomes, self._photos
        if total > 1:
            seconds = time.monotonic() - self._start
            outcomes["not done"] = total - outcomes.total()
            parts = [f"{outcomes[outcome]} {outcome}" for outcome in _OUTCOMES if outcomes[outcome]]
            why = " (made by cinn-colorize)" if outcomes["left out"] else ""
            rate = f", {speed(outcomes['done'] / seconds, 'photos')}" if outcomes["done"] else ""
            say(f"{total} photos: {', '.join(parts)}{why}; {duration(seconds)}{rate}")
        elif outcomes["there already"]:
            say(f"{self._batch.first}: nothing to do; its files are there already")
        elif outcomes["left out"]:
            say(f"{self._batch.first}: made by cinn-colorize, and left out")


def report(
    batch: Batch,
    as_json: bool,
    general: GeneralOptions,
    not_taken: Sequence[Path] = (),
    has_bar: bool = False,
) -> int:
    """Run a batch, print results on stdout and the rest on stderr; return how many photos failed.

    Args:
        batch: photos and what to do with them.
        as_json: whether to print results as JSON.
        general: what to print beside.
        not_taken: see :func:`.batch.inputs.find_inputs`.
        has_bar: whether the caller shows a progress bar.
    """
    from cinn_colorize.batch.events import Failure, Result

    summary, quiet = Summary(batch), general.quiet
    if batch.plan.repeats and not quiet:
        say(f"without noise all {batch.plan.number} samples are the same; -n 1 draws only one")
    display = shown(summary.progress, bar=not (quiet or has_bar), lines=not quiet)
    with keeping(summary.stopped), display, contextlib.closing(batch.run()) as events:
        for event in events:
            summary.count(event)
            if isinstance(event, Result) and not event.existed:
                print_result(event, as_json)
            elif isinstance(event, Failure):
                say(event.message)
                if general.debug:
                    print_trace(event.trace)
    if not quiet:
        summary.say_end()
    _say_not_taken(not_taken, general)
    return summary.failed


def report_dry_run(batch: Batch, general: GeneralOptions, not_taken: Sequence[Path]) -> int:
    """Print what a batch would write on stdout, and the rest on stderr; return how many photos would fail."""
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
    return len(planned.problems)


def _say_not_taken(paths: Sequence[Path], general: GeneralOptions) -> None:
    from cinn_colorize.batch.inputs import counts_by_suffix, is_linked_folder, is_special

    for path in paths if general.verbose else ():
        why = "it is not a file" if is_special(path) else "its name is not that of a photo"
        why = "it is a link to a folder" if is_linked_folder(path) else why
        say(f"{printable_name(path)}: not taken, {why}")
    if paths and not general.quiet:
        say(f"not taken: {counts_by_suffix(paths)}" + ("" if general.verbose else "; -v lists them"))


def _size(size: float) -> str:
    """Return a number of bytes in words."""
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
    """Return which pictures, given by path with their recipes, are to be made, and make their folders.

    Raises:
        PhotoError: a file is there that was made in another way, or a folder cannot be made.
        OriginalError: a picture would replace a file that the call reads.
    """
    from cinn_colorize.methods.recipe import differences, recipe_at

    missing = []
    for path, wanted in recipes.items():
        recipe = {} if overwrite else recipe_at(path, max_pixels)
        if recipe and (different := differences(recipe, wanted)):
            how = " and ".join(different.values())
            raise PhotoError(
                f"{printable_name(path)}: exists, made {how}; add --overwrite or choose another folder with "
                "-o"
            )
        if not recipe:
            missing.append(path)
    if not missing:
        what = printable_name(next(iter(recipes))) if len(recipes) == 1 else f"all {len(recipes)} results"
        log.info(f"{what}: there already")
    claim(missing, overwrite)
    return missing


def claim(outputs: Iterable[Path], overwrite: bool, otherwise: str = "another folder with -o") -> None:
    """Check that results may be written, and make their folders; messages say what to choose otherwise.

    Raises:
        PhotoError: a result exists, or its folder cannot be made.
        OriginalError: a result would replace a file that the call reads.
    """
    for output in outputs:
        name = printable_name(output)
        if os.path.lexists(output) and not overwrite:
            raise PhotoError(f"{name}: exists; add --overwrite or choose {otherwise}")
        check_output(output, otherwise)
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            folder = printable_name(output.parent)
            raise PhotoError(f"{folder}: cannot be made ({error.strerror})") from error
