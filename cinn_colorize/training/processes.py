"""A run in one process, or in several that ``torchrun`` started, each with a share of every batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cinn_colorize.errors import CinnError, DataError

T = TypeVar("T")
_PATIENCE = timedelta(hours=4)  # the first process evaluates while the others wait


class Processes:
    """What the processes of a run tell each other; one alone, by default.

    Attributes:
        rank: of this process; the first, 0, writes.
        count: of all.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    def mean(self, values: Tensor) -> Tensor:
        """Over the processes, the same on all of them."""
        if self.count > 1:
            dist.all_reduce(values)
            values = values / self.count
        return values

    def join(self, values: list[T]) -> list[T]:
        """The lists of all processes, one after the other."""
        if self.count == 1:
            return values
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, values)
        return [value for part in parts for value in part]

    def once(self, function: Callable[[], T]) -> T:
        """Call it in the first process alone; its result, or its error, is that of all."""
        if self.count == 1:
            return function()
        outcome: list[Any] = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = function()
            except CinnError as error:
                outcome[1] = error
        dist.broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        result: T = outcome[0]
        return result


def local_device(device: torch.device) -> torch.device:
    """The device of this process: where a machine has several GPUs, each process takes one.

    Raises:
        DataError: there are more processes than GPUs.
    """
    if device.type != "cuda" or not dist.is_torchelastic_launched():
        return device
    index = dist.get_node_local_rank()
    if index >= torch.cuda.device_count():
        raise DataError(
            f"torchrun started more processes than the {torch.cuda.device_count()} GPUs of this machine; "
            "give it --nproc-per-node gpu"
        )
    return torch.device("cuda", index)


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes of this run, if ``torchrun`` started it.

    Args:
        device: of this process, see :func:`local_device`.
    """
    if not dist.is_torchelastic_launched():
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
