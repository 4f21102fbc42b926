"""Options that mean the same in every command."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cinn_colorize.models.registry import MODELS

Precision = StrEnum("Precision", ["fp32", "bf16"])
Upsampling = StrEnum("Upsampling", ["jbu", "exact", "bicubic"])
Format = StrEnum("Format", ["auto", "png", "jpg", "webp", "tiff"])
Model = StrEnum("Model", list(MODELS))

NETWORK = "Network"

ModelOption = Annotated[
    Model, typer.Option("--model", help="Which model.", rich_help_panel=NETWORK, show_choices=True)
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|hf:OWNER/NAME",
        help="Other weights than the packaged ones.",
        rich_help_panel=NETWORK,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", metavar="auto|cpu|cuda[:i]|mps", help="Where to compute.", rich_help_panel=NETWORK
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Of the networks; colours stay fp32.", rich_help_panel=NETWORK),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and results.")]
