"""Signals, and the threads and processes that are started."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# By which a system asks a process to end, and a terminal that is closed, where there are such.
ENDING = (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)

_RETRY = 0.05  # seconds until a signal that could not be handled is handled again

_RAISED_FOR = "raised_for_signal"  # attribute of an exception

_postponed: list[int] = []


def handle_between_imports(
    number: signal.Signals, handler: Callable[[int, FrameType | None], object]
) -> None:
    """Handle a signal while the main thread imports no module, with a handler that raises an exception.

    In the middle of an import the exception may be lost, or leave the lock of all imports taken, for which
    other threads then wait forever. It is lost in a destructor too, and in what a weak reference calls; then
    the signal is handled once more.
    """
    others = sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> None:
        if _imports(frame) and _postpone(number):
            return
        try:
            handler(number, frame)
        except BaseException as error:
            vars(error)[_RAISED_FOR] = number
            raise

    def take_up(lost: sys.UnraisableHookArgs) -> None:
        if getattr(lost.exc_value, _RAISED_FOR, None) != number or not _postpone(number):
            others(lost)

    signal.signal(number, handle)
    sys.unraisablehook = take_up


def ignore(number: signal.Signals) -> None:
    """Ignore a signal, and one that was to be handled between imports."""
    signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, 0)


def _imports(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _postpone(number: int) -> bool:
    """Handle a signal a moment later; return whether this system has alarms to do so."""
    if sys.platform == "win32":
        return False
    _postponed.append(number)
    signal.signal(signal.SIGALRM, _handle_postponed)
    signal.setitimer(signal.ITIMER_REAL, _RETRY)
    return True


def _handle_postponed(_: int, frame: FrameType | None) -> None:
    numbers = set(_postponed)
    _postponed.clear()
    for number in numbers:
        handler = signal.getsignal(number)  # it may be another by now
        if callable(handler):
            handler(number, frame)


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
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for number in received:
            handler(number, inspect.currentframe())
