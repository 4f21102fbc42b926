"""What processes that work for another share: how they start and end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from cinn_colorize.files.signals import blocked_in_children

CONTEXT = get_context("spawn")  # a forked process could wait for a thread that was not forked


def started(work: Callable[..., object], *arguments: object) -> tuple[SpawnProcess, Connection]:
    """Start a process that works with its end of a pipe and these arguments; return it and the other end."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=work, args=(theirs, *arguments), daemon=True)
    with blocked_in_children(signal.SIGINT):
        process.start()
    theirs.close()  # so that the pipe ends with the process
    return process, ours


def end_with_parent() -> None:
    """End this process when its parent ends, however it does, and not by Ctrl-C."""
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
