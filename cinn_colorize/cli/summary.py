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
    from cinn_colorize.batch.pipeline import Result
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.cli.common import GeneralOptions

log = logging.getLogger(__name__)

_OUTCOMES = ("done", "there already", "failed", "not done", "left out")


def report(
    batch: Batch,
    as_json: bool,
    general: GeneralOptions,
    others: Sequence[Path] = (),
    has_bar: bool = False,
) -> int:
    """Run a batch, print results on stdout and the rest on stderr; return how many photos failed.

    Args:
        batch: photos and what to do with them.
        as_json: whether to print results as JSON.
        general: what to print beside.
        others: files of folders that are not photos, and links to folders.
        has_bar: whether the caller shows a progress bar.
    """
    from cinn_colorize.batch.pipeline import Failure, Result

    total, counts, start = len(batch.inputs), Counter[str](), time.monotonic()
    written = 0

    def kept() -> str:
        done = f"{counts['done'] + counts['there already']} of {total} photos done, " if total > 1 else ""
        how = f"the same command {'continues' if batch.resumes else 'starts over'}"
        files = f"{counted(written, 'file')} written"
        return f"stopped: {done}{files}" + (f"; {how}" if written or counts else "")

    quiet, one = general.quiet, total == 1
    progress = Progress(batch.files if one else total, "files" if one else "photos", batch.first)
    if batch.plan.repeats and not quiet:
        say(f"without noise all {batch.plan.number} samples are the same; -n 1 draws only one")
    display = shown(progress, bar=not (quiet or has_bar), lines=not quiet)
    with keeping(kept), display, contextlib.closing(batch.run()) as events:
        for event in events:
            if event.input:
                progress.name = printable_name(event.input)
            if isinstance(event, Result):
                if not event.found:
                    written += 1
                    print_result(event, as_json)
                if one:
                    progress.advance()
                continue
            if isinstance(event, Failure):
                say(event.message)
                if general.debug:
                    print_trace(event.trace)
                outcome = "failed"
            else:
                outcome = "done" if event.written else "left out" if event.own else "there already"
            counts[outcome] += 1
            if not one:
                progress.advance()
    if one and counts["there already"] and not quiet:
        say(f"{batch.first}: nothing to do; its files are there already")
    if one and counts["left out"] and not quiet:
        say(f"{batch.first}: made by cinn-colorize, and left out")
    if total > 1 and not quiet:
        seconds = time.monotonic() - start
        counts["not done"] = total - counts.total()
        parts = [f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome]]
        why = " (made by cinn-colorize)" if counts["left out"] else ""
        rate = f", {speed(counts['done'] / seconds, 'photos')}" if counts["done"] else ""
        say(f"{total} photos: {', '.join(parts)}{why}; {duration(seconds)}{rate}")
    _say_others(others, general)
    return counts["failed"]


def report_rehearsal(batch: Batch, general: GeneralOptions, others: Sequence[Path]) -> int:
    """Print what a batch would write on stdout, and the rest on stderr; return how many photos would fail."""
    from cinn_colorize.batch.dry_run import rehearse

    found = rehearse(batch)
    for problem in found.problems:
        say(problem)
    for output in found.outputs:
        print_path(output)
    if not general.quiet:
        what = f"{counted(found.files, 'file')} of {counted(found.photos, 'photo')}"
        if found.measured:
            processes = counted(batch.workers, "process", "processes")
            what += f", about {duration(found.seconds)} with {processes} and {_size(found.size)}"
            what += f" (measured: {found.measured}); {_size(found.free)} are free"
        what += f"; there already: {counted(found.there, 'file')}" if found.there else ""
        say(f"dry run, nothing is written: {what}")
        _say_others(others, general)
    return len(found.problems)


def _say_others(others: Sequence[Path], general: GeneralOptions) -> None:
    from cinn_colorize.batch.inputs import counts_by_suffix, is_linked_folder, is_pipe

    if general.verbose:
        for other in others:
            why = "it is not a file" if is_pipe(other) else "its name is not that of a photo"
            why = "it is a link to a folder" if is_linked_folder(other) else why
            say(f"{printable_name(other)}: not taken, {why}")
    if others and not general.quiet:
        say(f"not taken: {counts_by_suffix(others)}" + ("" if general.verbose else "; -v lists them"))


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
    """Return the pictures that are not there yet, or are to be replaced, and make their folders.

    Args:
        recipes: the recipe in the file of each picture, by its path.
        overwrite: whether files that the call does not read may be replaced.
        max_pixels: the largest picture that may be one of them.

    Raises:
        PhotoError: a file is there that was made in another way, or a folder cannot be made.
        OriginalError: a picture would replace a file that the call reads.
    """
    from cinn_colorize.methods.differences import differences, recipe_at

    missing = []
    for path, recipe in recipes.items():
        found = {} if overwrite else recipe_at(path, max_pixels)
        if found and (others := differences(found, recipe)):
            raise PhotoError(
                f"{printable_name(path)}: exists, made {' and '.join(others.values())}; add --overwrite or "
                "choose another folder with -o"
            )
        if not found:
            missing.append(path)
    if not missing:
        what = printable_name(next(iter(recipes))) if len(recipes) == 1 else f"all {len(recipes)} results"
        log.info(f"{what}: there already")
    claim(missing, overwrite)
    return missing


def claim(outputs: Iterable[Path], overwrite: bool, otherwise: str = "another folder with -o") -> None:
    """Check that results may be written, and make their folders.

    Args:
        outputs: files to write.
        overwrite: whether files that the call does not read may be replaced.
        otherwise: what to choose instead, for messages.

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
