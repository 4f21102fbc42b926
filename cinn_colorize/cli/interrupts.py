"""Ctrl-C: the first one stops a command, which says what it keeps; the second ends the process at once.

The first raises KeyboardInterrupt, which :func:`keeping` turns into a line and an exit code. A thread counts:
unlike handlers of signals, it runs while the command computes in C, too, and can end the process then.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from cinn_colorize.cli.console import say
from cinn_colorize.errors import CinnError
from cinn_colorize.files.signals import blocked, handle_between_imports

CODE = 128 + signal.SIGINT
_SHOW_CURSOR = "\x1b[?25h"  # which a progress bar hides


def _printed_files() -> str:
    return "stopped; every file whose path was printed is complete, and no other one was written"


@dataclass
class _Call:
    """The command that runs: what it says when it is stopped, see :func:`keeping`, and how often it was."""

    kept: Callable[[], str] = _printed_files
    note: str = ""
    presses: int = 0
    is_said: bool = False


_call = _Call()
_saying = threading.Lock()


@contextlib.contextmanager
def keeping(kept: Callable[[], str] = _printed_files, note: str = "") -> Iterator[None]:
    """Say what a call keeps when Ctrl-C stops it in this context, and how to continue.

    ``kept`` returns that line, in any thread, or nothing; ``note`` is said at once, if stopping takes long.
    """
    before = _call.kept, _call.note
    _call.kept, _call.note = kept, note
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if not _is_of_ctrl_c(error):
            raise
        signal.signal(signal.SIGINT, lambda *_: None)  # interrupted once more, the line would be cut
        _say_kept()
        raise typer.Exit(CODE) from None
    finally:
        _call.kept, _call.note = before


def _is_of_ctrl_c(error: BaseException) -> bool:
    """Return whether Ctrl-C raised an error; what it interrupts, an import say, may fail with another one."""
    is_expected = isinstance(error, CinnError | typer.Exit)
    return isinstance(error, KeyboardInterrupt) or (_call.presses > 0 and not is_expected)


def _say_kept() -> None:
    with _saying:  # the second Ctrl-C may come meanwhile
        if not _call.is_said and (line := _call.kept()):
            _call.is_said = True
            say(line)


def watch() -> None:
    """Interrupt this process at the first Ctrl-C, between two imports, and end it at the second."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a background job ignores it
        handle_between_imports(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "win32":
        return
    reader, writer = os.pipe()  # into which Python writes the number of each signal that comes
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    with blocked(signal.SIGINT):  # in the thread, so that the main one receives it
        threading.Thread(target=_count_presses, args=(reader,), daemon=True).start()


def _count_presses(reader: int) -> None:
    while number := os.read(reader, 1):
        if number[0] != signal.SIGINT:
            continue
        _call.presses += 1
        if _call.presses == 2:
            if sys.stderr.isatty():
                sys.stderr.write(_SHOW_CURSOR)
            _say_kept()
            # Files appear when they are complete, and processes of a batch end with this one.
            os._exit(CODE)
        if _call.note:
            say(_call.note)
