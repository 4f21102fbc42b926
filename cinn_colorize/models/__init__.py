"""One file a system of the paper, and the registry that names them."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cinn_colorize import weights
from cinn_colorize.errors import WeightsError
from cinn_colorize.models.registry import DEFAULT as DEFAULT
from cinn_colorize.models.registry import MODELS as MODELS
from cinn_colorize.models.registry import ModelInfo as ModelInfo

if TYPE_CHECKING:
    from cinn_colorize.models.natural import Natural


class Loaded(NamedTuple):
    """A model ready for use, and where it came from."""

    model: Natural
    info: ModelInfo
    sha256: str  # of the weights file


def load_model(name: str = DEFAULT, source: str | os.PathLike[str] | None = None) -> Loaded:
    """Build a model and load its weights, fp32 on the CPU, in eval mode.

    Args:
        name: a model of the registry.
        source: its weights, a path or ``hf:owner/name``; the packaged ones by default, whose SHA-256 is
            verified.

    Raises:
        WeightsError: unknown model, or weights that cannot be had, are damaged or belong to something else.
    """
    path, digest = find_weights(name, source)
    return Loaded(_build(path, name), MODELS[name], digest)


def find_weights(name: str = DEFAULT, source: str | os.PathLike[str] | None = None) -> tuple[Path, str]:
    """The weights file that :func:`load_model` would load, downloaded if need be, and its SHA-256.

    Raises:
        WeightsError: unknown model, or weights that cannot be had or are damaged.
    """
    if name not in MODELS:
        raise WeightsError(f"{name}: unknown model; there are {', '.join(MODELS)}")
    if source is None:
        path = weights.find_packaged(MODELS[name].file)
        return path, weights.verify(path, MODELS[name].sha256)
    path = weights.find(source)
    return path, weights.sha256(path)


def _build(path: Path, name: str) -> Natural:
    from cinn_colorize.models.natural import Natural, NaturalConfig

    config, tensors = weights.load(path)
    if config.get("model") != name:
        raise WeightsError(f"{path}: weights of the model {config.get('model')!r}, not of {name!r}")
    try:
        model = Natural(NaturalConfig.from_dict(config["architecture"]))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path}: does not fit this version of {name!r} ({reason})") from error
    model.requires_grad_(False)
    return model.eval()


def save_model(path: Path, model: Natural, training: dict[str, object]) -> None:
    """Write a model as a weights file, fp16, with its architecture and a word on how it was trained.

    Raises:
        OSError: it cannot be written.
    """
    import torch

    config = {"model": "natural", "architecture": asdict(model.config), "training": training}
    tensors = {name: tensor.to(torch.float16) for name, tensor in model.state_dict().items()}
    weights.save(path, config, tensors)
