"""What all processes of a batch share: how they start and end, and how they get their network."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer

CONTEXT = get_context("spawn")  # forked processes could wait for threads that they lack


@dataclass(frozen=True)
class ModelSpec:
    """How a process gets its network; see :class:`cinn_colorize.Colorizer`.

    Attributes:
        sha256: of the weights.
        device: ``auto`` or one that is there.
        onnx: folder of ONNX files, to have it in onnxruntime; None for torch.
    """

    model: str
    weights: Path
    sha256: str
    device: str
    precision: str
    onnx: Path | None = None

    def colorizer(self) -> BaseColorizer:
        """Load it.

        Raises:
            WeightsError: it can't be.
        """
        if self.onnx:
            from cinn_colorize.onnx.engine import OnnxColorizer

            return OnnxColorizer(self.model, self.sha256, self.onnx)
        from cinn_colorize.colorizer import Colorizer

        return Colorizer(self.model, weights=self.weights, device=self.device, precision=self.precision)


def usable_cores() -> int:
    """Cores that this process may use, by its affinity and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # another system, or no quota
        return cores


@contextlib.contextmanager
def block_sigint_in_children() -> Iterator[None]:
    """Processes that start in here never hear Ctrl-C, which a terminal sends to all of a group.

    They inherit that it is blocked. This process hears of it in the end.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process with the one that started it, however that ends, and not by Ctrl-C."""
    parent = parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
