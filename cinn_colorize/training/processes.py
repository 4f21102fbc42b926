"""Run in one process, or in several that ``torchrun`` started; the device of each, and its precision."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cinn_colorize.errors import CinnError, DataError
from cinn_colorize.training.choices import Precision

T = TypeVar("T")
_PATIENCE = timedelta(hours=4)  # the first process evaluates while the others wait


class Processes:
    """Communication among the processes of a run, by default one; the one of rank 0 writes."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    def mean(self, values: Tensor) -> Tensor:
        """Average over the processes; the result is the same in all of them."""
        if self.count > 1:
            dist.all_reduce(values)
            values = values / self.count
        return values

    def join(self, values: list[T]) -> list[T]:
        if self.count == 1:
            return values
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, values)
        return [value for part in parts for value in part]

    def once(self, function: Callable[[], T]) -> T:
        """Call a function in the first process only; all return its result or raise its error."""
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
    """Return the device of this process: each uses a GPU of its own; DataError if there are too few."""
    if device.type != "cuda" or not dist.is_torchelastic_launched():
        return device
    index = dist.get_node_local_rank()
    if index >= (count := torch.cuda.device_count()):
        more = f"torchrun started more processes than this machine has GPUs, {count}"
        raise DataError(f"{more}; start it with --nproc-per-node gpu")
    return torch.device("cuda", index)


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Join the other processes of this run, if ``torchrun`` started it."""
    if not dist.is_torchelastic_launched():
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
        # Gloo's threads hold tensors of the last exchange for a moment longer. If one gives them back while
        # Python shuts down, the process is aborted; so let the threads exchange something without any.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Choose the autocast's type by a name in :class:`Precision`; ``auto`` is bf16 where that is faster."""
    if precision == Precision.auto:
        on_gpu = device.type == "cuda"
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else _bf16_is_faster(device)
        return torch.bfloat16 if fast else torch.float32
    return {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}[Precision(precision)]


@torch.no_grad()
def _bf16_is_faster(device: torch.device) -> bool:
    """Time a convolution: a processor's instructions do not tell, since some of them are emulated."""
    if device.type != "cpu":
        return False
    convolution = torch.nn.Conv2d(96, 96, 3, padding=1)
    convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(8, 96, 32, 32).to(memory_format=torch.channels_last)
    fastest = {False: math.inf, True: math.inf}
    for half in (False, True) * 6:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            start = time.perf_counter()
            convolution(x)
            fastest[half] = min(fastest[half], time.perf_counter() - start)
    return fastest[True] < 0.8 * fastest[False]
