"""What processes that work for another share: how they start and end."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import connection, get_context, parent_process

CONTEXT = get_context("spawn")  # a forked process could wait for a thread that was not forked


def end_with_parent() -> None:
    """End this process when its parent ends, however it does, and not by Ctrl-C."""
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
