"""The two files, and what is in them.

``condition.onnx``
    takes ``L``, (1, 1, 256, 256), L* in [0, 100], the photo squeezed to that square, and gives what all
    samples of the photo share, under names such as ``prepared.32.features``.
``sample.onnx``
    takes all of that and the latent code of a sample, ``z32`` to ``z0``, (1, C, r, r); it gives ``ab``,
    (1, 2, 64, 64), and ``log_det``, (1,), that of g: x = ab / 15 has the log density
    log N(z; 0, 1) - log_det.

All is fp32. The metadata say of which model, weights and version of this package they are.
"""

from __future__ import annotations

import logging
from pathlib import Path

from cinn_colorize import __version__, weights
from cinn_colorize.files import printable_name

log = logging.getLogger(__name__)

CONDITION, SAMPLE = "condition.onnx", "sample.onnx"
LUMINANCE, AB, LOG_DET = "L", "ab", "log_det"
LATENT = "z"  # and the level


def cached(model: str, path: Path, sha256: str) -> Path:
    """The folder of the user with the files of a model, which are written there if they are missing.

    Args:
        model: a name of the registry.
        path: of its weights.
        sha256: of its weights.

    Raises:
        WeightsError: the files cannot be written, or what that takes is missing.
    """
    folder = weights.cache_folder() / "onnx" / f"{model}-{sha256[:16]}-{__version__}"
    if not all((folder / file).is_file() for file in (CONDITION, SAMPLE)):
        log.info(f"{printable_name(folder)}: ONNX files are written there, once; that takes a minute")
        from cinn_colorize.models import load_model
        from cinn_colorize.onnx.export import export

        export(load_model(model, path), folder)
    return folder
