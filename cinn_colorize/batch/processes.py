"""What all processes of a batch share: how they start and end."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

CONTEXT = get_context("spawn")  # a forked process could wait for a thread that was not forked


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # another system, or no quota
        return cores


def end_with_parent() -> None:
    """End this process when its parent ends, however it does, and not by Ctrl-C."""
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
