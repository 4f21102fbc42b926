"""Ctrl-C: the first one stops a command, which says what it keeps; the second ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import typer

from cinn_colorize.cli.console import say
from cinn_colorize.errors import CinnError
from cinn_colorize.files.signals import blocked, handle_between_imports

CODE = 128 + signal.SIGINT
_SHOW_CURSOR = "\x1b[?25h"  # which a progress bar hides


def _anything() -> str:
    return "stopped; every file whose path was printed is complete, and no other one was written"


_kept: Callable[[], str] = _anything
_note = ""
_presses = 0
_is_said = False
_saying = threading.Lock()


def _say_kept() -> None:
    global _is_said
    with _saying:  # the second Ctrl-C, which another thread handles, may come meanwhile
        line = "" if _is_said else _kept()
        if line:
            _is_said = True
            say(line)


@contextlib.contextmanager
def keeping(kept: Callable[[], str] = _anything, note: str = "") -> Iterator[None]:
    """Say what a call keeps when Ctrl-C stops it in this context, and how to continue.

    Args:
        kept: returns that line, empty for none; called in any thread.
        note: what to say at once, where stopping takes its time.
    """
    global _kept, _note
    before = _kept, _note
    _kept, _note = kept, note
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        # What Ctrl-C interrupts, an import for example, may fail with another error.
        expected = isinstance(error, (CinnError, typer.Exit))
        if not isinstance(error, KeyboardInterrupt) and (expected or not _presses):
            raise
        # The call is over; interrupted once more, the line would be cut.
        signal.signal(signal.SIGINT, lambda *_: None)
        _say_kept()
        raise typer.Exit(CODE) from None
    finally:
        _kept, _note = before


def watch() -> None:
    """Interrupt this process at the first Ctrl-C, between two imports, and end it at the second.

    The second works while it computes in C too, where Python handles no signal.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a background job ignores it
        handle_between_imports(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "win32":
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    with blocked(signal.SIGINT):  # so that it reaches the main thread
        threading.Thread(target=_count, args=(reader,), daemon=True).start()


def _count(reader: int) -> None:
    global _presses
    while number := os.read(reader, 1):
        if number[0] != signal.SIGINT:
            continue
        _presses += 1
        if _presses == 2:
            if sys.stderr.isatty():
                sys.stderr.write(_SHOW_CURSOR)
            _say_kept()
            # Files appear when they are complete, and processes of a batch end with this one.
            os._exit(CODE)
        if _note:
            say(_note)
