"""Photos through a job one after the other, and results of commands that make one picture."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cinn_colorize.cli.console import print_path, progress_bar, say
from cinn_colorize.errors import CinnError, PhotoError
from cinn_colorize.files import printable_name

if TYPE_CHECKING:
    from cinn_colorize.pipeline import Job, Result


def run_job(job: Job, inputs: Sequence[Path | PhotoError], as_json: bool, quiet: bool, debug: bool) -> None:
    """Print what becomes of each input; one that fails costs a line, and exit code 1 at the end."""
    failed = 0
    with progress_bar(quiet or len(inputs) == 1) as progress:
        for photo in progress.track(inputs, description="colorizing"):
            try:
                if isinstance(photo, CinnError):
                    raise photo
                for result in job.colorize(photo):
                    print_result(result, as_json)
            except BrokenPipeError:
                raise  # whoever read stdout has gone
            except Exception as error:  # whatever it is, the other photos are done
                if debug:
                    raise
                expected = isinstance(error, CinnError)
                say(error if expected else f"{printable_name(str(photo))}: {error!r}; --debug tells more")
                failed += 1
    if failed:
        raise typer.Exit(1)


def print_result(result: Result, as_json: bool) -> None:
    """The path of a result, or all that is known of it as JSON."""
    if not as_json:
        print_path(result.output)
        return
    values = {"input": str(result.input), "output": str(result.output)}
    rest = {"seed": result.seed, "temperature": result.temperature, "log_prob": result.log_prob}
    typer.echo(json.dumps(values | {key: value for key, value in rest.items() if value is not None}))


def claim(outputs: Iterable[Path], inputs: Iterable[Path], overwrite: bool) -> None:
    """Make the folders of results, after asking whether they may be written.

    Raises:
        PhotoError: one exists, would replace an input, or its folder cannot be made.
    """
    for output in outputs:
        name = printable_name(output)
        if os.path.lexists(output) and not overwrite:
            raise PhotoError(f"{name}: exists; add --overwrite or choose another folder with -o")
        if output.exists() and any(path.exists() and output.samefile(path) for path in inputs):
            raise PhotoError(f"{name}: is one of the files given; choose another folder with -o")
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            folder = printable_name(output.parent)
            raise PhotoError(f"{folder}: cannot be made ({error.strerror})") from error
