"""Write the ONNX files; see :mod:`cinn_colorize.engines.onnx.files`."""

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
from cinn_colorize.engines.interface import DENSITY_SCALE, TOGETHER
from cinn_colorize.engines.onnx.files import COARSE, CONDITION, CONTENTS, SAMPLE, STEP
from cinn_colorize.engines.pytorch import evaluating
from cinn_colorize.errors import WeightsError, os_errors_as
from cinn_colorize.files.atomic import writing
from cinn_colorize.flow.autoregressive import HEAD, AutoregressivePass
from cinn_colorize.flow.details import Interval
from cinn_colorize.models import Loaded, PhotoModelInfo
from cinn_colorize.models.natural import GUIDED, Natural
from cinn_colorize.models.natural_config import COARSE as LEVEL

if TYPE_CHECKING:
    import onnx_ir

    from cinn_colorize.models.base import ConditionalFlow

Named = dict[str, Tensor]  # inputs or outputs of a graph

_OPSET = 20
_SIDE = 2 * LEVEL  # of the coarse colours
_LOW, _HIGH = f"gamut.{_SIDE}.low", f"gamut.{_SIDE}.high"


def name_of(path: tuple[Any, ...]) -> str:
    """Return the name of a tensor in a condition, such as ``prepared.32.features``."""
    return ".".join(re.findall(r"\w+", pytree.keystr(path)))


def _named(condition: Any) -> Named:
    leaves = pytree.tree_leaves_with_path(condition)
    return {name_of(path): leaf for path, leaf in leaves if leaf is not None}


class _Condition(nn.Module):
    """Computes the tensors of a photo's condition."""

    def __init__(self, model: ConditionalFlow) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Named) -> Named:
        return _named(self.model.condition(inputs["L"]))


class _Sample(nn.Module):
    """Decodes a sample from its code, or what the passes made of it, and the tensors of the condition."""

    def __init__(self, model: ConditionalFlow, condition: Any) -> None:
        super().__init__()
        self.model, self.condition = model, condition

    def forward(self, inputs: Named) -> Named:
        latents = {r: inputs[f"z{r}"] for r in self.model.latent_shapes if f"z{r}" in inputs}
        condition = pytree.tree_map_with_path(lambda path, _: inputs.get(name_of(path)), self.condition)
        begun = (inputs["begun"], inputs["begun_log_det"]) if "begun" in inputs else ()
        x, log_dets = self.model.finish(latents, condition, begun)
        scale = self.model.config.chroma_scale
        log_det = torch.stack(list(log_dets.values())).sum(0)
        return {"ab": x * scale, "log_det": log_det + x[0].numel() * math.log(scale / DENSITY_SCALE)}


class _Coarse(nn.Module):
    """Turns what the passes decode into coarse colours."""

    def __init__(self, model: Natural) -> None:
        super().__init__()
        self.squeeze, self.clamp = model.coarse.flow.maps[0], model.coarse.clamp

    def forward(self, inputs: Named) -> Named:
        x, _ = self.squeeze.inverse(inputs["values"], None)
        x, log_det = self.clamp.inverse(x, Interval(inputs[_LOW], inputs[_HIGH]))
        return {"begun": x, "begun_log_det": log_det}


class _Step(nn.Module):
    """Computes the map at one place; see :meth:`AutoregressivePass.inverse`.

    What a place attends to of itself is kept apart from what is known of the places before, so that nothing
    as large as the latter is copied.
    """

    def __init__(self, flow: AutoregressivePass) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, inputs: Named) -> Named:
        t, position = inputs["t"], self.flow.position
        h = self.flow.embedded(inputs["before"]) + inputs["features"] + position.index_select(0, t[None])
        unknown = torch.zeros(len(position)).masked_fill(torch.arange(len(position)) >= t, -math.inf)
        new: Named = {}
        for k, block in enumerate(self.flow.blocks):
            query, key, value = block.projected(h)
            query = query * HEAD**-0.5
            others = query @ inputs[f"keys{k}"].mT + unknown
            share = torch.cat([others, (query * key).sum(-1, keepdim=True)], dim=-1).softmax(-1)
            h = block.transformed(h, share[..., :-1] @ inputs[f"values{k}"] + share[..., -1:] * value)
            new |= {f"key{k}": key, f"value{k}": value}
        log_scale, shift = self.flow.affine(h, h.dtype)
        return {"log_scale": log_scale, "shift": shift, **new}


def export(loaded: Loaded, folder: Path) -> list[Path]:
    """Write the files of a model, on the CPU, with its weights into a folder; WeightsError if that fails."""
    graphs = _graphs(loaded)
    for graph in graphs.values():
        graph.metadata_props.update({"weights": loaded.sha256, "version": __version__})
    return _write(folder, graphs)


def export_graphs(loaded: Loaded, folder: Path) -> list[Path]:
    """Write the files of a model without its weights, and what these files lack; see :func:`export`."""
    import onnx_ir

    state, graphs = loaded.model.state_dict(), _graphs(loaded)
    lacks: dict[str, dict[str, list[int]]] = {}
    for file, graph in graphs.items():
        external = {name: value for name, value in graph.graph.initializers.items() if name in state}
        for name, value in external.items():
            held = value.const_value
            assert held is not None
            shape, size = onnx_ir.Shape(state[name].shape), held.nbytes
            value.const_value = onnx_ir.ExternalTensor("weights", 0, size, held.dtype, shape=shape, name=name)
        lacks[file] = {name: list(state[name].shape) for name in sorted(external)}
    config = loaded.model.config
    about = {
        "architecture": asdict(config),
        "defaults": {field.name: field.default for field in fields(config) if field.default is not MISSING},
        "files": lacks,
    }
    return _write(folder, graphs, {CONTENTS: (json.dumps(about, sort_keys=True) + "\n").encode()})


def _graphs(loaded: Loaded) -> dict[str, onnx_ir.Model]:
    """Return the content of each file; initializers that are weights have their names in the state dict."""
    if missing := [package for package in ("onnx", "onnxscript") if not find_spec(package)]:
        raise WeightsError(f"export requires {' and '.join(missing)}; pip install 'cinn-colorize[onnx]'")
    model, info = loaded.model, loaded.info
    if not isinstance(info, PhotoModelInfo):
        raise WeightsError(f"{info.name} does not colorize photos; only models that do are exported")
    size = info.luminance_size
    L = torch.linspace(0, 100, size * size).reshape(1, 1, size, size)
    with evaluating(model):
        with torch.no_grad():
            condition = model.condition(L)
        codes = {f"z{r}": torch.zeros(1, *shape) for r, shape in model.latent_shapes.items()}
        coarse: dict[str, onnx_ir.Model] = {}
        if isinstance(model, Natural):
            coarse = _coarse_graphs(model, codes.pop(f"z{LEVEL}"), condition)
            codes |= {"begun": torch.zeros(1, 2, _SIDE, _SIDE), "begun_log_det": torch.zeros(1)}
        graphs = {
            CONDITION: _graph(_Condition(model), {"L": L}),
            SAMPLE: _graph(_Sample(model, condition), {**codes, **_named(condition)}),
            **coarse,
        }
    passes = len(model.coarse.passes) if isinstance(model, Natural) else 0
    facts = {"passes": str(passes), "chroma_scale": repr(model.config.chroma_scale)}
    graphs[SAMPLE].metadata_props.update(facts)
    for graph in graphs.values():
        graph.metadata_props["model"] = info.name
    return graphs


def _coarse_graphs(model: Natural, values: Tensor, condition: Any) -> dict[str, onnx_ir.Model]:
    """Return the graphs of the coarse level: of its colours, and of a step of each pass of g."""
    gamut = {name: tensor for name, tensor in _named(condition).items() if name in (_LOW, _HIGH)}
    graphs = {COARSE: _graph(_Coarse(model), {"values": values, **gamut})}
    passes = model.coarse.passes
    guided = range(len(passes))[GUIDED]
    for number, flow in reversed([*enumerate(passes)]):  # of f
        step = _step_graph(flow, f"levels.{LEVEL}.flow.maps.{number + 1}.")
        features, order = f"prepared.{LEVEL}.features.{number}", "-1" if flow.reverse else "1"
        step.metadata_props.update({"level": str(LEVEL), "features": features, "order": order})
        if number in guided:
            step.metadata_props["without"] = f"prepared.{LEVEL}.without.{guided.index(number)}"
        graphs[STEP.format(len(passes) - 1 - number)] = step
    return graphs


def _step_graph(flow: AutoregressivePass, prefix: str) -> onnx_ir.Model:
    (places, width), rows = flow.position.shape, torch.export.Dim("rows")
    known = [f"{name}{k}" for k in range(len(flow.blocks)) for name in ("keys", "values")]
    of_rows = {
        "before": torch.zeros(TOGETHER, 1, flow.embed.in_features),
        "features": torch.zeros(TOGETHER, 1, width),
        **{name: torch.zeros(TOGETHER, width // HEAD, places, HEAD) for name in known},
    }
    shapes = {"t": None, **{name: {0: rows} for name in of_rows}}
    return _graph(_Step(flow), {"t": torch.tensor(0), **of_rows}, prefix, shapes)


def _graph(
    module: nn.Module, inputs: Named, prefix: str = "", shapes: Mapping[str, Any] | None = None
) -> onnx_ir.Model:
    """Return the graph of a wrapper around a model, or a part of it, a map between named tensors.

    Of what can be computed beforehand, only what does not depend on the weights is: whichever engine runs the
    graph does the rest when it reads them. Other passes of an optimizer would look at the weights' values.
    ``inputs`` are examples, ``prefix`` belongs to the part's names in the model's state dict, ``shapes`` are
    dynamic dimensions.
    """
    from onnx_ir.passes import common
    from onnxscript import optimizer

    with _silence():
        program = torch.onnx.export(
            module.eval(),
            kwargs={"inputs": inputs},
            input_names=[*inputs],
            output_names=[*module(inputs)],
            dynamic_shapes={"inputs": shapes} if shapes else None,
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
    for value in graph.inputs:
        value.metadata_props.clear()
    for value in (*graph.initializers.values(), *(value for node in graph for value in node.outputs)):
        value.metadata_props.clear()
        if not value.is_graph_output():
            value.type = value.shape = None
    return model


def _write(
    folder: Path, graphs: Mapping[str, onnx_ir.Model], others: dict[str, bytes] | None = None
) -> list[Path]:
    import onnx_ir

    protos = {file: onnx_ir.to_proto(graph) for file, graph in graphs.items()}
    contents = {file: proto.SerializeToString(deterministic=True) for file, proto in protos.items()}
    contents |= others or {}
    with os_errors_as(WeightsError, folder, "cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            with writing(folder / file) as out:
                out.write(content)
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
