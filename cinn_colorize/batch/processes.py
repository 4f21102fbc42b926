"""What all processes of a batch share: how they start and end, and how they load the network."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer

CONTEXT = get_context("spawn")  # a forked process could wait for a thread that was not forked


@dataclass(frozen=True)
class ModelSpec:
    """How a process loads the network; see :class:`cinn_colorize.Colorizer`.

    Attributes:
        sha256: SHA-256 of the weights.
        device: ``auto`` or an available one.
        guidance: None for the default.
        onnx: folder of ONNX files to compute it with onnxruntime; None for torch.
    """

    model: str
    weights: Path
    sha256: str
    device: str
    precision: str
    guidance: float | None = None
    onnx: Path | None = None

    def colorizer(self) -> BaseColorizer:
        """Load the network.

        Raises:
            WeightsError: it cannot be loaded.
        """
        if self.onnx:
            from cinn_colorize.onnx.engine import OnnxColorizer

            return OnnxColorizer(self.model, self.sha256, self.onnx, self.guidance)
        from cinn_colorize.colorizer import Colorizer

        return Colorizer(
            self.model,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            guidance=self.guidance,
        )


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
