"""The engine that computes the network, as an option."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import typer

from cinn_colorize.cli.common import NETWORK, ModelOptions, device_of
from cinn_colorize.engines.choice import Engine, ModelSpec
from cinn_colorize.imaging.options import Precision, option

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer

BatchEngine = StrEnum("BatchEngine", ["auto", "torch", "onnx", "ray"])

_AUTO = (
    "Engine of the network; onnx: onnxruntime on the CPU, which starts sooner; auto: onnx where it does all "
    "that is needed, else torch"
)


def engine_option() -> Any:
    """Declare ``--engine`` of one photo."""
    return option(Engine.auto, None, f"{_AUTO}.", panel=NETWORK)


def batch_engine_option() -> Any:
    """Declare ``--engine`` of a batch."""
    return option(BatchEngine.auto, None, f"{_AUTO}; ray: a Ray cluster.", panel=NETWORK)


@dataclass(frozen=True)
class BatchModelOptions(ModelOptions):
    """The network of a batch, and what computes it."""

    engine: BatchEngine = batch_engine_option()

    def batch_spec(self, encodes: bool) -> ModelSpec:
        """Return how the processes that draw load the network; see :meth:`ModelOptions.spec`."""
        on_cluster = self.engine is BatchEngine.ray
        spec = self.spec(encodes, Engine.auto if on_cluster else Engine(self.engine))
        if self.device not in ("auto", "cpu") and not on_cluster:
            device_of(self.device)  # otherwise this process does not need torch
        return spec


def check_engine(engine: Engine | BatchEngine, device: str, precision: str) -> None:
    """Refuse an engine that is not installed, or a device or precision that it does not support."""
    if engine == BatchEngine.ray:
        if device not in ("auto", "cpu", "cuda"):
            raise typer.BadParameter(
                f"ray requires --device auto, cpu or cuda, not {device}", param_hint="--engine"
            )
        if not find_spec("ray"):
            raise typer.BadParameter(
                "ray requires Ray; pip install 'cinn-colorize[ray]'", param_hint="--engine"
            )
    if engine != BatchEngine.onnx:
        return
    if device not in ("auto", "cpu"):
        raise typer.BadParameter(f"onnx requires --device auto or cpu, not {device}", param_hint="--engine")
    if precision != Precision.fp32:
        raise typer.BadParameter(f"onnx requires --precision fp32, not {precision}", param_hint="--engine")
    if not find_spec("onnxruntime"):
        raise typer.BadParameter("onnx requires onnxruntime; pip install onnxruntime", param_hint="--engine")


def colorizer_of(spec: ModelSpec) -> BaseColorizer:
    """Load a network in this process; a device that this machine lacks is a usage error.

    Raises:
        WeightsError: the weights cannot be used.
        ValueError: the guidance is not possible with these weights.
    """
    if not spec.graphs:
        device_of(spec.device)
    from cinn_colorize.batch.pipeline import load_colorizer

    return load_colorizer(spec)
