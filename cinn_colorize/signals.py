"""Signals, and the threads and processes that are started."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator


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

    They inherit the signal mask.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # spawning starts it otherwise, and it unblocks the signals
    with blocked(*signals):
        yield
