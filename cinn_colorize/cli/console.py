"""What people read goes to stderr; stdout is for paths, tables and JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cinn_colorize.errors import CinnError

console = Console(stderr=True, highlight=False)


def complain(error: CinnError) -> None:
    """One line on stderr, however long."""
    message = " ".join(str(error).split())
    print(f"cinn-colorize: {message}", file=sys.stderr, flush=True)


def print_path(path: os.PathLike[str]) -> None:
    """A path on stdout, byte for byte, whether it is UTF-8 or not."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")
    sys.stdout.buffer.flush()


@contextmanager
def fatal(debug: bool) -> Iterator[None]:
    """End the command with one line and exit code 1; with ``debug``, with a traceback."""
    try:
        yield
    except CinnError as error:
        if debug:
            raise
        complain(error)
        raise typer.Exit(1) from error


def progress_bar(quiet: bool) -> Progress:
    """A progress bar with a count and the time left; it shows on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
