"""The engine that computes the network, as an option."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.options import NETWORK, device_of
from cinn_colorize.engines import Engine, ModelSpec
from cinn_colorize.options import Precision

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer

BatchEngine = StrEnum("BatchEngine", ["auto", "torch", "onnx", "ray"])

_AUTO = (
    "Engine of the network; onnx: onnxruntime on the CPU, which starts sooner; auto: onnx where it does all "
    "that is needed, else torch"
)
EngineOption = Annotated[Engine, typer.Option("--engine", help=f"{_AUTO}.", rich_help_panel=NETWORK)]
BatchEngineOption = Annotated[
    BatchEngine, typer.Option("--engine", help=f"{_AUTO}; ray: a Ray cluster.", rich_help_panel=NETWORK)
]


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
    return spec.colorizer()
