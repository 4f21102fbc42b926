"""timm's Muon, with a precision that the processor computes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.optim import Optimizer

from cinn_colorize.errors import DataError


def muon(device: torch.device) -> Callable[..., Optimizer]:
    """Return the optimiser Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    timm orthogonalises in bf16, which processors without such instructions emulate: a step of the coarse flow
    then spent two thirds of its time there. So a CPU takes fp32. DataError if timm is not installed.
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
