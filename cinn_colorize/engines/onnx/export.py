"""Write the ONNX files; see :mod:`cinn_colorize.engines.onnx.names`."""

from __future__ import annotations

import json
import logging
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cinn_colorize import __version__
from cinn_colorize.engines.interface import DENSITY_SCALE
from cinn_colorize.engines.onnx.names import (
    AB,
    BEGUN,
    COARSE,
    CONDITION,
    CONTENTS,
    KNOWN,
    LATENT,
    LOG_DET,
    LUMINANCE,
    NEW,
    SAMPLE,
    STEP,
    STEP_INPUTS,
    STEP_OUTPUTS,
    TOGETHER,
    VALUES,
    of_blocks,
)
from cinn_colorize.engines.pytorch import evaluating
from cinn_colorize.errors import WeightsError
from cinn_colorize.files.atomic import writing
from cinn_colorize.files.messages import printable_name
from cinn_colorize.flow.autoregressive import HEAD, AutoregressivePass
from cinn_colorize.flow.bounds import Interval
from cinn_colorize.models import Loaded, PhotoModelInfo
from cinn_colorize.models.architecture import retired_keys
from cinn_colorize.models.natural import COARSE as COARSE_LEVEL
from cinn_colorize.models.natural import GUIDED, Natural

if TYPE_CHECKING:
    import onnx_ir

    from cinn_colorize.models.base import ConditionalFlow

_OPSET = 20
_ROWS = torch.export.Dim("rows")


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


class _Coarse(nn.Module):
    """Turns what the passes decode into coarse colours."""

    def __init__(self, model: Natural) -> None:
        super().__init__()
        self.model = model

    def forward(self, values: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.coarse_colours(values, Interval(lower, upper))


class _Step(nn.Module):
    """Computes the map at one place; see :meth:`AutoregressivePass.inverse`.

    What a place attends to of itself is kept apart from what is known of the places before, so that nothing
    as large as the latter is copied.
    """

    def __init__(self, flow: AutoregressivePass) -> None:
        super().__init__()
        self.flow = flow

    def forward(
        self, t: Tensor, before: Tensor, features: Tensor, known: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        h = self.flow.embedded(before) + features + self.flow.position.index_select(0, t[None])
        unknown = torch.zeros(len(self.flow.position)).masked_fill(
            torch.arange(len(self.flow.position)) >= t, -math.inf
        )
        new = []
        for block, keys, values in zip(self.flow.blocks, known[::2], known[1::2], strict=True):
            q, k, v = block.projected(h)
            q = q * HEAD**-0.5
            scores = torch.cat([q @ keys.mT + unknown, (q * k).sum(-1, keepdim=True)], dim=-1)
            share = scores.softmax(-1)
            h = block.transformed(h, share[..., :-1] @ values + share[..., -1:] * v)
            new += [k, v]
        return *self.flow.affine(h, h.dtype), new


def export(loaded: Loaded, folder: Path) -> list[Path]:
    """Write the files of a model, complete with their weights; existing ones are replaced.

    Args:
        loaded: the model, on the CPU.
        folder: folder for the files, which is made if it does not exist.

    Returns:
        paths of the files.

    Raises:
        WeightsError: the files cannot be written, or the packages that this requires are missing.
    """
    facts = {"weights": loaded.sha256, "version": __version__}
    contents = {}
    for file, graph in _graphs(loaded).items():
        graph.metadata_props.update(facts)
        contents[file] = _serialised(graph)
    return _write(folder, contents)


def export_graphs(loaded: Loaded, folder: Path) -> list[Path]:
    """Write the files of a model without its weights, and what these files lack; see :func:`export`."""
    import onnx_ir

    state, contents = loaded.model.state_dict(), dict[str, bytes]()
    lacks: dict[str, dict[str, list[int]]] = {}
    for file, graph in _graphs(loaded).items():
        external = {name: value for name, value in graph.graph.initializers.items() if name in state}
        for name, value in external.items():
            held = value.const_value
            assert held is not None
            value.const_value = onnx_ir.ExternalTensor(
                "weights", 0, held.nbytes, held.dtype, shape=onnx_ir.Shape(state[name].shape), name=name
            )
        lacks[file] = {name: list(state[name].shape) for name in sorted(external)}
        contents[file] = _serialised(graph)
    config = loaded.model.config
    about = {
        "architecture": asdict(config),
        "defaults": {field.name: field.default for field in fields(config) if field.default is not MISSING},
        "retired": sorted(retired_keys(type(config))),
        "files": lacks,
    }
    contents[CONTENTS] = (json.dumps(about, sort_keys=True) + "\n").encode()
    return _write(folder, contents)


def name_of(path: tuple[Any, ...]) -> str:
    """Return the name of a tensor in a condition, such as ``prepared.32.features``."""
    return ".".join(re.findall(r"\w+", pytree.keystr(path)))


def _graphs(loaded: Loaded) -> dict[str, onnx_ir.Model]:
    """Return the content of each file; initializers that are weights have their names in the state dict."""
    if missing := [package for package in ("onnx", "onnxscript") if not find_spec(package)]:
        raise WeightsError(f"export requires {' and '.join(missing)}; pip install 'cinn-colorize[onnx]'")
    info = loaded.info
    if not isinstance(info, PhotoModelInfo):
        raise WeightsError(f"{info.name} does not colorize photos; only models that do are exported")
    with evaluating(loaded.model):
        return _graphs_of(loaded.model, info)


def _graphs_of(model: ConditionalFlow, info: PhotoModelInfo) -> dict[str, onnx_ir.Model]:
    size = info.luminance_size
    L = torch.linspace(0, 100, size * size).reshape(1, 1, size, size)
    with torch.no_grad():
        condition = model.condition(L)
    leaves = pytree.tree_leaves_with_path(condition)
    shared = {name_of(path): leaf for path, leaf in leaves if leaf is not None}
    latents = {r: torch.zeros(1, *shape) for r, shape in model.latent_shapes.items()}
    with torch.no_grad():
        begun = dict(zip(BEGUN, model.begin(latents, condition), strict=False))
    passes = model.passes[::-1] if isinstance(model, Natural) else []
    if passes:
        values = latents.pop(COARSE_LEVEL)
    codes = {f"{LATENT}{r}": z for r, z in latents.items()}
    inputs = [*codes.values()], [*begun.values()], [*shared.values()]
    names = {module: name for name, module in model.named_modules()}
    graphs = {
        CONDITION: _graph(_Condition(model), (L,), [LUMINANCE], [*shared], ""),
        SAMPLE: _graph(
            _Sample(model, condition, [*latents]), inputs, [*codes, *begun, *shared], [AB, LOG_DET], ""
        ),
    }
    graphs[SAMPLE].metadata_props.update(
        {"passes": str(len(passes)), "chroma_scale": repr(model.config.chroma_scale)}
    )
    if isinstance(model, Natural) and passes:
        gamut = [f"gamut.{model.coarse_size}.{end}" for end in Interval._fields]
        graphs[COARSE] = _graph(
            _Coarse(model),
            (values, *(shared[name] for name in gamut)),
            [VALUES, *gamut],
            [*BEGUN],
            "",
        )
    guided = range(len(passes))[GUIDED]
    for k, flow in enumerate(passes):
        graphs[STEP.format(k)] = step = _step_graph(flow, f"{names[flow]}.")
        number, condition_of = len(passes) - 1 - k, f"prepared.{COARSE_LEVEL}"
        step.metadata_props.update(
            {
                "level": str(COARSE_LEVEL),
                "features": f"{condition_of}.features.{number}",
                "order": "-1" if flow.reverse else "1",
            }
        )
        if number in guided:
            step.metadata_props["without"] = f"{condition_of}.without.{guided.index(number)}"
    for graph in graphs.values():
        graph.metadata_props["model"] = info.name
    return graphs


def _step_graph(flow: AutoregressivePass, prefix: str) -> onnx_ir.Model:
    (places, width), blocks = flow.position.shape, len(flow.blocks)
    before, features = torch.zeros(TOGETHER, 1, flow.embed.in_features), torch.zeros(TOGETHER, 1, width)
    known = [torch.zeros(TOGETHER, width // HEAD, places, HEAD) for _ in range(2 * blocks)]
    rows = {0: _ROWS}
    return _graph(
        _Step(flow),
        (torch.tensor(0), before, features, known),
        [*STEP_INPUTS, *of_blocks(KNOWN, blocks)],
        [*STEP_OUTPUTS, *of_blocks(NEW, blocks)],
        prefix,
        (None, rows, rows, [rows] * (2 * blocks)),
    )


def _graph(
    module: nn.Module,
    inputs: tuple[Any, ...],
    takes: list[str],
    gives: list[str],
    prefix: str,
    shapes: tuple[Any, ...] | None = None,
) -> onnx_ir.Model:
    """Return the graph of a wrapper around (a part of) a model, whose names in the state dict have a prefix.

    Of what can be computed beforehand, only what does not depend on the weights is: whichever engine runs the
    graph does the rest when it reads them. Other passes of an optimizer would look at the weights' values.
    """
    from onnx_ir.passes import common
    from onnxscript import optimizer

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
            optimize=False,
        )
    assert program is not None
    model: onnx_ir.Model = program.model
    weights = {f"{name}.{key}" for name, part in module.named_children() for key in part.state_dict()}

    def takes_weights(node: onnx_ir.Node) -> bool:
        return any(value is not None and value.name in weights for value in node.inputs)

    optimizer.fold_constants_ir(model, should_fold=lambda node: False if takes_weights(node) else None)
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    graph = model.graph
    for name in sorted(weights & graph.initializers.keys()):  # a set has another order in each process
        graph.initializers[name].name = prefix + name.partition(".")[2]
    # Most of the file would say where in the code a node comes from, and which shapes there are.
    graph.metadata_props.clear()
    for node in graph:
        node.metadata_props.clear()
    for value in (*graph.initializers.values(), *(value for node in graph for value in node.outputs)):
        value.metadata_props.clear()
        if not value.is_graph_output():
            value.type = value.shape = None
    return model


def _serialised(model: onnx_ir.Model) -> bytes:
    import onnx_ir

    return onnx_ir.to_proto(model).SerializeToString(deterministic=True)


def _write(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            with writing(folder / file) as out:
                out.write(content)
    except OSError as error:
        raise WeightsError(f"{printable_name(folder)}: cannot be written ({error.strerror})") from error
    return [folder / file for file in contents]


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
