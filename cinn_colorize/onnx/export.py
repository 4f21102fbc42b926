"""Write the ONNX files; see :mod:`cinn_colorize.onnx.files`."""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cinn_colorize import __version__
from cinn_colorize.errors import WeightsError
from cinn_colorize.files import printable_name, replacing
from cinn_colorize.flow.autoregressive import HEAD, AutoregressivePass
from cinn_colorize.models import Loaded, PhotoModelInfo
from cinn_colorize.models.natural import COARSE, Natural
from cinn_colorize.onnx.files import (
    AB,
    BEGUN,
    CONDITION,
    LATENT,
    LOG_DET,
    LUMINANCE,
    SAMPLE,
    STEP,
    STEP_INPUTS,
    STEP_OUTPUTS,
    TOGETHER,
)
from cinn_colorize.samples import DENSITY_SCALE

_OPSET = 20
_ROWS = torch.export.Dim("rows")
STEP_SHAPES = (None, {0: _ROWS}, {0: _ROWS}, {2: _ROWS})


class _Condition(nn.Module):
    """Computes the tensors of a photo's condition as a flat list."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, L: Tensor) -> list[Tensor]:
        return [leaf for leaf in pytree.tree_leaves(self.model.condition(L)) if leaf is not None]


class _Sample(nn.Module):
    """Decodes a sample from its code, or what the passes made of it, and the tensors of the condition."""

    def __init__(self, model: Any, condition: Any, levels: list[int]) -> None:
        super().__init__()
        self.model, self.levels = model, levels
        leaves, self.structure = pytree.tree_flatten(condition)
        self.present = [leaf is not None for leaf in leaves]

    def forward(
        self, latents: list[Tensor], begun: list[Tensor], condition: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        tensors = iter(condition)
        leaves = [next(tensors) if present else None for present in self.present]
        x, log_dets = self.model.finish(
            dict(zip(self.levels, latents, strict=True)),
            pytree.tree_unflatten(leaves, self.structure),
            tuple(begun),
        )
        scale = self.model.config.chroma_scale
        log_det = torch.stack(list(log_dets.values())).sum(0)
        return x * scale, log_det + x[0].numel() * math.log(scale / DENSITY_SCALE)


class _Step(nn.Module):
    """Computes the map at one place; see :meth:`AutoregressivePass.inverse`."""

    def __init__(self, flow: AutoregressivePass) -> None:
        super().__init__()
        self.flow = flow

    def forward(
        self, t: Tensor, before: Tensor, features: Tensor, keys_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        h = self.flow.embedded(before) + features + self.flow.position.index_select(0, t[None])
        places = torch.arange(len(self.flow.position))
        now, known, found = (places == t)[:, None], (places <= t)[None], []
        for block, (keys, values) in zip(self.flow.blocks, keys_values, strict=True):
            q, k, v = block.projected(h)
            keys, values = torch.where(now, k, keys), torch.where(now, v, values)
            h = block.transformed(h, F.scaled_dot_product_attention(q, keys, values, known))
            found.append(torch.stack([k, v]))
        return *self.flow.affine(h, h.dtype), torch.stack(found)


def export(loaded: Loaded, folder: Path) -> list[Path]:
    """Write the files of a model; existing ones are replaced.

    Args:
        loaded: the model, on the CPU.
        folder: folder for the files, which is made if it does not exist.

    Returns:
        paths of the files.

    Raises:
        WeightsError: the files cannot be written, or the packages that this requires are missing.
    """
    if missing := [package for package in ("onnx", "onnxscript") if not find_spec(package)]:
        raise WeightsError(f"export requires {' and '.join(missing)}; pip install 'cinn-colorize[onnx]'")
    info = loaded.info
    assert isinstance(info, PhotoModelInfo)
    model, size = loaded.model, info.luminance_size
    L = torch.linspace(0, 100, size * size).reshape(1, 1, size, size)
    with torch.no_grad():
        condition = model.condition(L)
    leaves = pytree.tree_leaves_with_path(condition)
    shared = {name_of(path): leaf for path, leaf in leaves if leaf is not None}
    latents = {r: torch.zeros(1, *shape) for r, shape in model.latent_shapes.items()}
    with torch.no_grad():
        begun = dict(zip(BEGUN, model.begin(latents, condition), strict=False))
    passes = []
    if isinstance(model, Natural):
        passes = model.passes[::-1]
    if passes:
        del latents[COARSE]
    codes = {f"{LATENT}{r}": z for r, z in latents.items()}
    inputs = [*codes.values()], [*begun.values()], [*shared.values()]
    facts = {"model": info.name, "weights": loaded.sha256, "version": __version__}
    contents = {
        CONDITION: _serialised(_Condition(model), (L,), [LUMINANCE], [*shared], facts),
        SAMPLE: _serialised(
            _Sample(model, condition, [*latents]),
            inputs,
            [*codes, *begun, *shared],
            [AB, LOG_DET],
            facts | {"passes": str(len(passes)), "chroma_scale": repr(model.config.chroma_scale)},
        ),
    }
    for k, flow in enumerate(passes):
        about = {
            "level": str(COARSE),
            "features": f"prepared.{COARSE}.features.{len(passes) - 1 - k}",
            "without": f"prepared.{COARSE}.without.{len(passes) - 1 - k}",
            "order": "-1" if flow.reverse else "1",
        }
        step = _serialised(
            _Step(flow), step_inputs(flow), [*STEP_INPUTS], [*STEP_OUTPUTS], facts | about, STEP_SHAPES
        )
        contents[STEP.format(k)] = step
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            with replacing(folder / file) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as out:
                out.write(content)
    except OSError as error:
        raise WeightsError(f"{printable_name(folder)}: cannot be written ({error.strerror})") from error
    return [folder / file for file in contents]


def step_inputs(flow: AutoregressivePass) -> tuple[Tensor, ...]:
    """Return inputs of the first step of a pass, zeros, in the order of their names."""
    places, width = flow.position.shape
    before, features = torch.zeros(TOGETHER, 1, flow.embed.in_features), torch.zeros(TOGETHER, 1, width)
    cache = torch.zeros(len(flow.blocks), 2, TOGETHER, width // HEAD, places, HEAD)
    return torch.tensor(0), before, features, cache


def name_of(path: tuple[Any, ...]) -> str:
    """Return the name of a tensor in a condition, such as ``prepared.32.features``."""
    return ".".join(re.findall(r"\w+", pytree.keystr(path)))


def _serialised(
    module: nn.Module,
    inputs: tuple[Any, ...],
    takes: list[str],
    gives: list[str],
    facts: dict[str, str],
    shapes: tuple[Any, ...] | None = None,
) -> bytes:
    with _silence():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=takes,
            output_names=gives,
            dynamic_shapes=shapes,
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(facts)
    return program.model_proto.SerializeToString()


@contextmanager
def _silence() -> Iterator[None]:
    """Open a context in which torch does not report on its export."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
