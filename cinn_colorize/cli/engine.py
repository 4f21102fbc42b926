"""The engine that computes the network, as an option."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from typing import Annotated

import typer

from cinn_colorize.cli.options import NETWORK, ModelOptions
from cinn_colorize.options import Precision

Engine = StrEnum("Engine", ["torch", "onnx", "ray"])

EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="Engine of the network; onnx: onnxruntime on the CPU, which starts sooner; ray: a Ray cluster.",
        rich_help_panel=NETWORK,
    ),
]


def check_engine(engine: Engine, network: ModelOptions) -> None:
    """Refuse an engine that is not installed, or options that it does not support."""
    device, precision = network.device, network.precision
    if engine is Engine.ray:
        if device not in ("auto", "cpu", "cuda"):
            raise typer.BadParameter(
                f"ray requires --device auto, cpu or cuda, not {device}", param_hint="--engine"
            )
        if not find_spec("ray"):
            raise typer.BadParameter(
                "ray requires Ray; pip install 'cinn-colorize[ray]'", param_hint="--engine"
            )
    if engine is not Engine.onnx:
        return
    if device not in ("auto", "cpu"):
        raise typer.BadParameter(f"onnx requires --device auto or cpu, not {device}", param_hint="--engine")
    if precision is not Precision.fp32:
        raise typer.BadParameter(f"onnx requires --precision fp32, not {precision}", param_hint="--engine")
    if not find_spec("onnxruntime"):
        raise typer.BadParameter(
            "onnx requires onnxruntime; pip install 'cinn-colorize[onnx]'", param_hint="--engine"
        )
