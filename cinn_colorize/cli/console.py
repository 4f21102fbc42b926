"""Print messages on stderr; stdout is for paths, tables and JSON."""

import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, TextIO

import typer

from cinn_colorize.errors import CinnError, printable, printable_name

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console
    from rich.progress import Progress

# rich is imported where it is used, so that --help does not wait for it.


@cache
def console() -> "Console":
    """Return the console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def draws() -> bool:
    """Return whether stderr is a terminal that shows a bar; one without a cursor to move shows none."""
    return console().is_terminal and not console().is_dumb_terminal


class _LossyFile(io.FileIO):
    """A file that drops what it cannot write."""

    def write(self, content: "ReadableBuffer", /) -> int:
        with contextlib.suppress(OSError):
            if written := super().write(content):
                return written
        return memoryview(content).nbytes


def open_streams() -> None:
    """Let Python's standard streams do what the rest of a command expects of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # a service may be started without them
            # The lowest number that is free is that of the stream; a pipe or a file would take it otherwise.
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode, closefd=False))
    stdout, stderr = sys.stdout, sys.stderr
    if isinstance(stdout, io.TextIOWrapper) and isinstance(stdout.buffer, io.RawIOBase):
        # PYTHONUNBUFFERED: it would write a part of a picture, and say so only by a number.
        sys.stdout = _text(stdout.buffer, stdout)
    if sys.platform != "win32" and isinstance(stderr, io.TextIOWrapper):
        # No remark is worth the batch that it would end, as where a disk is full or a terminal is gone.
        sys.stderr = _text(_LossyFile(stderr.fileno(), "wb", closefd=False), stderr)


def _text(file: io.RawIOBase, like: io.TextIOWrapper) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(file), like.encoding, like.errors, line_buffering=True)


def say(message: object) -> None:
    """Print a message on stderr as one line, however long, with escapes for control characters."""
    _print_line(f"cinn-colorize: {printable(' '.join(str(message).split()))}", sys.stderr)


def _print_line(line: str, stream: TextIO) -> None:
    """Print a line as it is, beside a progress bar too, which would break it where the terminal ends."""
    proxies = sys.modules.get("rich.file_proxy")
    if proxies and isinstance(stream, proxies.FileProxy):
        console().print(line, soft_wrap=True, markup=False, emoji=False)
    else:
        print(line, file=stream, flush=True)


def print_trace(trace: str) -> None:
    """Print a traceback on stderr, with escapes for control characters."""
    print("\n".join(map(printable, trace.splitlines())), file=sys.stderr, flush=True)


def print_json(values: object) -> None:
    """Print a JSON value on stdout, in ASCII without control characters."""
    write_stdout(json.dumps(values).replace("\x7f", r"\u007f").encode() + b"\n")


def print_path(path: os.PathLike[str]) -> None:
    """Print a path on stdout, byte for byte, whether it is UTF-8 or not."""
    if sys.stdout.isatty():  # a progress bar makes room for text, not for bytes
        _print_line(printable_name(path), sys.stdout)
        return
    write_stdout(os.fsencode(path) + b"\n")


def require_stdout() -> None:
    """Refuse to run without the stdout that the result of a command is for."""
    if sys.__stdout__ is None:
        raise CinnError("stdout: is closed")


def write_stdout(content: bytes) -> None:
    """Write to stdout at once; a BrokenPipeError, of whom nobody reads, ends the program without a word."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CinnError(f"stdout: cannot be written: {error.strerror}") from error


def discard_stdout() -> None:
    """Let what is written to stdout from now on, and what is left of it, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def fatal(debug: bool) -> Iterator[None]:
    """Report an error in one line and exit with code 1; with ``debug``, raise it."""
    try:
        yield
    except CinnError as error:
        if debug:
            raise
        say(error)
        raise typer.Exit(1) from error
    except ModuleNotFoundError as error:  # torch, where the program needs no Python
        if debug:
            raise
        say(f"this requires {error.name}, which is not installed here; pip install cinn-colorize has it")
        raise typer.Exit(1) from error


def show_log(quiet: bool, verbose: bool = False) -> None:
    """Print the library's warnings and, unless ``quiet``, its remarks, each kind once unless ``verbose``."""
    printed = set()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if verbose or record.levelno > logging.INFO or record.msg not in printed:
                printed.add(record.msg)
                say(record.getMessage())

    log = logging.getLogger("cinn_colorize")
    log.handlers = [Handler()]
    log.setLevel(logging.WARNING if quiet else logging.INFO)


def progress_bar(quiet: bool, rate: str = "") -> "Progress":
    """Return a progress bar for a terminal that draws, with the speed if it has a unit: ``photos/s``."""
    from rich import progress
    from rich.text import Text

    class Speed(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            return Text(f"{task.speed:.1f} {rate}" if rate and task.speed else "")

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),  # the name of a photo may have brackets
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Speed(),
        progress.TextColumn("elapsed"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=console(),
        transient=True,
        disable=quiet or not draws(),
    )


def counting(bars: "Progress", description: str, visible: bool = True) -> Callable[[int, int], None]:
    """Show a bar; return what is called with the number done and the total."""
    task = bars.add_task(description, total=None, visible=visible)
    return lambda done, total: bars.update(task, completed=done, total=total)
