"""Signals, and the threads and processes that are started."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """Block signals in this thread, and in threads that it starts in this context.

    This thread receives them when the context ends.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def blocked_in_children(*signals: signal.Signals) -> Iterator[None]:
    """Block signals, which a terminal sends to a whole process group, in processes started in this context.

    They inherit the signal mask. Ctrl-C waits in this process too: one that another thread receives would
    otherwise interrupt the start of a child, which then ends with a traceback.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # spawning starts it otherwise, and it unblocks the signals
    with ctrl_c_later(), blocked(*signals):
        yield


@contextlib.contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Handle Ctrl-C when the context ends: for libraries that report an interrupt as another error.

    Does nothing in threads other than the main one, where Python handles no signals.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for arguments in received:
            handler(*arguments)
