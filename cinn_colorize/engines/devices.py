"""The devices that networks compute on."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

DEVICES = ("cpu", "cuda", "mps")


def placed(model: Module, device: torch.device) -> Module:
    """Return a model on a device: itself if it is there, or a copy, since others may use it where it is."""
    there = torch.empty(0, device=device).device
    tensors = [*model.parameters(), *model.buffers()]
    if all(tensor.device == there for tensor in tensors):
        return model
    return copy.deepcopy(model).to(there)


def choose_device(name: str | torch.device) -> torch.device:
    """Return the device of a name; ``auto`` is a GPU where there is one.

    Raises:
        ValueError: the name is unknown, or this machine does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = torch.device("meta")
    if device.type not in DEVICES:
        raise ValueError(f"unknown device {name!r}; choose auto, cpu, cuda, cuda:1, ... or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r} here ({torch.cuda.device_count()} CUDA devices)")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("there is no device 'mps' here")
    return device
