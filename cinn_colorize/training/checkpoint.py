"""Checkpoints of a training run: all that is needed to go on exactly where it stopped.

``checkpoint-N.pt`` is what a run was after N photos. The last two are kept.
"""

from __future__ import annotations

import logging
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name, replacing

log = logging.getLogger(__name__)

KEPT = 2


def checkpoints(run: Path) -> list[Path]:
    """Those of a run, newest first."""
    names = {path: re.fullmatch(r"checkpoint-(\d+)\.pt", path.name) for path in run.glob("checkpoint-*.pt")}
    return sorted((path for path, match in names.items() if match), key=_position, reverse=True)


def _position(path: Path) -> int:
    return int(path.stem.removeprefix("checkpoint-"))


def save_checkpoint(run: Path, state: Mapping[str, Any]) -> None:
    """Write a run's state under its position ``seen``, and keep of the older ones the newest alone.

    A kill at any moment leaves the older checkpoints as they are, and the new one whole or not there.

    Raises:
        DataError: it cannot be written; the older ones stay.
    """
    path = run / f"checkpoint-{state['seen']:010d}.pt"
    try:
        run.mkdir(parents=True, exist_ok=True)
        with replacing(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(descriptor)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise DataError(f"{printable_name(path)}: cannot be written ({_reason(error)})") from error
    for old in checkpoints(run)[KEPT:]:
        old.unlink(missing_ok=True)


def load_newest(run: Path) -> dict[str, Any] | None:
    """The newest state that can be read; None if there is no checkpoint at all.

    Damaged ones are renamed, so that they do not count among those kept.

    Raises:
        DataError: there are checkpoints, all of them damaged.
    """
    found = checkpoints(run)
    for tried, path in enumerate(found):
        try:
            state = _load(path)
        except DataError as error:
            log.warning("%s; trying the checkpoint before it", error)
            continue
        for damaged in found[:tried]:
            damaged.replace(damaged.with_suffix(".damaged"))
        return state
    if found:
        raise DataError(f"{printable_name(run)}: all checkpoints are damaged; begin again in another --run")
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not compare checksums
            damaged = archive.testzip()
        if damaged is None:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    except Exception as error:
        raise DataError(f"{printable_name(path)}: damaged ({_reason(error)})") from error
    raise DataError(f"{printable_name(path)}: damaged (checksum)")


def _reason(error: Exception) -> str:
    while isinstance(error.__context__, OSError):
        error = error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
