"""The precision of the autocast in training."""

from __future__ import annotations

import math
import time

import torch

from cinn_colorize.training.choices import Precision


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Choose the type that the autocast computes in, by a name in :class:`Precision`.

    ``auto`` is bf16 on GPUs that support it and on processors where a trial shows it to be faster, else fp32.
    """
    if precision == Precision.auto:
        on_gpu = device.type == "cuda"
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else _bf16_is_faster(device)
        precision = Precision.bf16 if fast else Precision.fp32
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
