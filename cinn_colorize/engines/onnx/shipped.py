"""Graphs that this package ships, without weights; see :mod:`cinn_colorize.engines.onnx.names`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cinn_colorize.engines.onnx.names import CONTENTS
from cinn_colorize.files import tensorfile

_FOLDER = Path(__file__).parent / "graphs"


def graphs_for(model: str, path: Path) -> Path | None:
    """Return the folder of the graphs that fit a weights file of a model; None if there are none.

    Raises:
        WeightsError: the weights are damaged, or not a weights file of this program.
    """
    folder = _FOLDER / model
    if not folder.is_dir():
        return None
    config, shapes = tensorfile.head(path)
    about = contents(folder)
    architecture = config.get("architecture")
    if config.get("model") != model or not isinstance(architecture, dict):
        return None
    if about["defaults"] | architecture != about["architecture"]:
        return None
    # What is wrong with a file that has other tensors than its architecture, torch says.
    lacks = {name: tuple(shape) for file in about["files"].values() for name, shape in file.items()}
    return folder if all(shapes.get(name) == shape for name, shape in lacks.items()) else None


def contents(folder: Path) -> dict[str, Any]:
    """Return what the file beside shipped graphs says of them."""
    about: dict[str, Any] = json.loads((folder / CONTENTS).read_text())
    return about
