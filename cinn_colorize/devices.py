"""The devices that networks compute on, and their threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DEVICES = ("cpu", "cuda", "mps")


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one CPU thread in this context."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is a GPU where there is one.

    Raises:
        ValueError: the name is unknown, or this machine does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in DEVICES:
        raise ValueError(f"unknown device {name!r}; choose auto, cpu, cuda, cuda:1, ... or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r} here ({torch.cuda.device_count()} CUDA devices)")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("there is no device 'mps' here")
    return device
