"""Checkpoints of a training run, from which it continues exactly where it stopped.

``checkpoint-N.pt`` holds the state of a run after N photos. The last two are kept.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cinn_colorize.errors import DataError
from cinn_colorize.files.atomic import writing
from cinn_colorize.files.messages import printable_name

log = logging.getLogger(__name__)

KEPT = 2


def checkpoints(run: Path) -> list[Path]:
    """List the checkpoints of a run, newest first."""
    names = {path: re.fullmatch(r"checkpoint-(\d+)\.pt", path.name) for path in run.glob("checkpoint-*.pt")}
    return sorted((path for path, match in names.items() if match), key=position, reverse=True)


def position(path: Path) -> int:
    """Return how many photos a run had seen at a checkpoint."""
    return int(path.stem.removeprefix("checkpoint-"))


def save_checkpoint(run: Path, state: Mapping[str, Any]) -> None:
    """Write a run's state under its position ``seen``, and delete all older ones but the newest.

    A kill at any moment leaves the older checkpoints as they are, and the new one complete or absent.
    DataError if it cannot be written; the older ones stay.
    """
    path = run / f"checkpoint-{state['seen']:010d}.pt"
    try:
        run.mkdir(parents=True, exist_ok=True)
        with writing(path) as file:
            torch.save(dict(state), file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise DataError(f"{printable_name(path)}: cannot be written ({_reason(error)})") from error
    for old in checkpoints(run)[KEPT:]:
        old.unlink(missing_ok=True)


def load_newest(run: Path) -> dict[str, Any] | None:
    """Load the newest state that can be read; return None if there is no checkpoint at all.

    Newer, damaged checkpoints are renamed, so that they do not count among those kept. DataError if all are
    damaged.
    """
    found = checkpoints(run)
    for tried, path in enumerate(found):
        try:
            state = _load(path)
        except DataError as error:
            log.warning("%s; trying the previous checkpoint", error)
            continue
        for damaged in found[:tried]:
            damaged.replace(damaged.with_suffix(".damaged"))
        return state
    if found:
        raise DataError(f"{printable_name(run)}: all checkpoints are damaged; start again in another --run")
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not verify checksums
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
