"""Signals that wait: for the end of an import, a library's call, or the start of a child or temporary folder.

A handler may raise an exception wherever the main thread is. :func:`handle_between_imports` handles a signal
once more, a moment later, where that would do harm or the exception would be lost.
"""

import contextlib
import inspect
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# By which a system asks a process to end, and a terminal that is closed, where there are such.
ENDING = (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)

_MOMENT = 0.05  # seconds
_SIGNAL = "cinn_colorize_signal"  # attribute of an exception: the number for which it was raised

_waiting: set[int] = set()  # signals to handle in a moment


def handle_between_imports(
    number: signal.Signals, handler: Callable[[int, FrameType | None], object]
) -> None:
    """Handle a signal with a handler that raises an exception, while the main thread imports no module.

    In an import, the exception may be lost, or leave the lock of all imports taken, for which other threads
    then wait forever; it would also leave a temporary folder that has just been made, so the signal waits for
    this, too. In destructors and calls of weak references, Python only prints it.
    """
    print_unraisable = sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_delicate(frame) and _handle_soon(number):
            return
        try:
            handler(number, frame)
        except BaseException as error:
            vars(error)[_SIGNAL] = number
            raise

    def handle_again(lost: "sys.UnraisableHookArgs") -> None:
        is_own = getattr(lost.exc_value, _SIGNAL, None) == number
        if not (is_own and _handle_soon(number)):
            print_unraisable(lost)

    signal.signal(number, handle)
    sys.unraisablehook = handle_again


def _is_delicate(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename in ("<frozen importlib._bootstrap>", tempfile.__file__):
            return True
        frame = frame.f_back
    return False


def _handle_soon(number: int) -> bool:
    """Call the handler of a signal in a moment; return whether this system has alarms to do so."""
    if sys.platform == "win32":
        return False
    _waiting.add(number)
    signal.signal(signal.SIGALRM, _handle_waiting)
    signal.setitimer(signal.ITIMER_REAL, _MOMENT)
    return True


def _handle_waiting(_: int, frame: FrameType | None) -> None:
    numbers = {*_waiting}
    _waiting.clear()  # before a handler, which may raise, or let its signal wait again
    for number in numbers:
        handler = signal.getsignal(number)  # it may be another by now
        if callable(handler):
            handler(number, frame)


def ignore(number: signal.Signals) -> None:
    """Ignore a signal, and one that waits."""
    signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """Block signals in this thread until the context ends, and in threads that it starts there."""
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

    Ctrl-C waits in this process too: it would end a child that starts with a traceback.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # spawning starts it otherwise, and it unblocks the signals
    with ctrl_c_later(), blocked(*signals):
        yield


@contextlib.contextmanager
def ctrl_c_later() -> Iterator[list[int]]:
    """Handle Ctrl-C when the context ends; yield a list that it is in until then.

    Does nothing in threads other than the main one, where Python handles no signals.
    """
    handler = signal.getsignal(signal.SIGINT)
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield received
        return
    signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, handler)
        for number in received:
            handler(number, inspect.currentframe())
