"""timm's Muon, with a precision that the processor computes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.optim import Optimizer

from cinn_colorize.errors import DataError


def muon(device: torch.device) -> Callable[..., Optimizer]:
    """Return the optimiser Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    timm orthogonalises in bf16, which processors without such instructions emulate: on one of them a step of
    the coarse flow spent 4.8 s there, two thirds of its time, and 0.45 s in fp32. So a CPU takes fp32.

    Args:
        device: device of the parameters.

    Raises:
        DataError: timm is not installed.
    """
    try:
        import timm.optim.muon as implementation  # timm takes seconds to import
    except ImportError as error:
        raise DataError("natural: training requires timm; pip install 'cinn-colorize[train]'") from error
    # No option of the class reaches it.
    original = implementation.zeropower_via_newtonschulz
    original = getattr(original, "func", original)
    precise = partial(original, dtype=torch.float32)
    implementation.zeropower_via_newtonschulz = precise if device.type == "cpu" else original
    kind: Callable[..., Optimizer] = implementation.Muon
    return kind
