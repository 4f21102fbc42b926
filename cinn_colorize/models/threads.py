"""The number of threads that torch computes with on a CPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_limiting = threading.RLock()


def _unlock() -> None:
    """Replace the lock, which a thread may have held that a forked process does not have."""
    global _limiting
    _limiting = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one CPU thread in this context; contexts in several threads take turns.

    The number is the process's: of two contexts at once, the later would restore the limit of the earlier.
    """
    with _limiting:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
