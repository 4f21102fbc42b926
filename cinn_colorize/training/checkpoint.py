"""Checkpoints of a training run: all that is needed to go on exactly where it stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cinn_colorize.errors import DataError
from cinn_colorize.files import replacing


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write atomically: a kill at any moment leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(descriptor)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote.

    Raises:
        DataError: it is missing or no checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no checkpoint there to resume from") from error
    except Exception as error:
        raise DataError(f"{path}: not a checkpoint of this program, or damaged") from error
    return state
