"""Processes that work for another one: how they start and end."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from cinn_colorize.files.atomic import remove_leftovers
from cinn_colorize.files.signals import blocked_in_children

CONTEXT = get_context("spawn")  # a forked process could wait for a thread that was not forked


class Child:
    """A process that works with its end of a pipe and further arguments; ``pipe`` is the other end."""

    def __init__(self, work: Callable[..., object], *arguments: object, daemon: bool = True) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        # One that is no daemon may start processes, and must be killed.
        self.process = CONTEXT.Process(target=work, args=(theirs, *arguments), daemon=daemon)
        with blocked_in_children(signal.SIGINT):
            self.process.start()
        theirs.close()  # so that the pipe ends with the process

    def send(self, message: object) -> None:
        """Send a message; if the process is dead, the next one received is its end."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def kill(self, outputs: Iterable[Path] = ()) -> None:
        """End it, and remove temporary files beside its outputs; files appear only when complete."""
        self.process.kill()
        self.process.join()
        for folder in {output.parent for output in outputs}:
            remove_leftovers(folder)


def end_with_parent() -> None:
    """End this process when its parent ends, however it does, and not by Ctrl-C."""
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
