"""Cache of the ONNX files of models, which are written when they are first needed."""

from __future__ import annotations

import logging
from pathlib import Path

from cinn_colorize import __version__, weights
from cinn_colorize.files import printable_name
from cinn_colorize.onnx.files import CONDITION, SAMPLE

log = logging.getLogger(__name__)


def cached(model: str, path: Path, sha256: str) -> Path:
    """Return the folder with the files of a model; missing ones are written first, which imports torch.

    Args:
        model: name of the model in the registry.
        path: path of its weights.
        sha256: SHA-256 of its weights.

    Raises:
        WeightsError: the files cannot be written, or a package that this requires is missing.
    """
    folder = weights.cache_folder() / "onnx" / f"{model}-{sha256[:16]}-{__version__}"
    if not all((folder / file).is_file() for file in (CONDITION, SAMPLE)):
        log.info(f"{printable_name(folder)}: writing ONNX files, once; this takes a minute")
        from cinn_colorize.models import load_model
        from cinn_colorize.onnx.export import export

        export(load_model(model, path), folder)
    return folder
