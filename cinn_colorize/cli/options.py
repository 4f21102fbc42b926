"""Options that mean the same in every command."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.models.registry import DEFAULT, MODELS, PhotoModelInfo

if TYPE_CHECKING:
    import torch

Precision = StrEnum("Precision", ["fp32", "bf16"])
Upsampling = StrEnum("Upsampling", ["jbu", "exact", "bicubic"])
Format = StrEnum("Format", ["auto", "png", "jpg", "webp", "tiff", "avif"])

NETWORK = "Network"
MAX_SEED = 2**63 - 1  # of torch's generators

_DEVICES = "auto|cpu|cuda[:i]|mps"


_COLOURING = [name for name, info in MODELS.items() if isinstance(info, PhotoModelInfo)]


def _model(name: str) -> str:
    if name in MODELS and name not in _COLOURING:
        raise typer.BadParameter(f"{name!r} colours no photos; choose {', '.join(_COLOURING)}")
    if name not in _COLOURING:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(_COLOURING)}")
    return name


def _device(name: str) -> str:
    # What no machine has is refused before torch is imported.
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise typer.BadParameter(f"{name!r} is not one of {_DEVICES}")
    return name


def _temperature(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no temperature")
    return value


ModelOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="|".join(_COLOURING), callback=_model, help="Which model.", rich_help_panel=NETWORK
    ),
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
        "--device",
        metavar=_DEVICES,
        callback=_device,
        help="Where to compute; auto: a GPU if there is one.",
        rich_help_panel=NETWORK,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Of the networks; colours stay fp32.", rich_help_panel=NETWORK),
]
TemperatureOption = Annotated[
    float,
    typer.Option(
        "-t",
        "--temperature",
        metavar="T",
        min=0,
        callback=_temperature,
        help="0: the safest colours; 1: the model's full variety.",
        rich_help_panel="Drawing",
    ),
]
MaxPixelsOption = Annotated[
    float,
    typer.Option("--max-pixels", metavar="MILLIONS", min=0, help="Refuse photos of more million pixels."),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors and results.")]

DEFAULT_MODEL = DEFAULT


def pixels_of(millions: float) -> int:
    """The pixels of ``--max-pixels``; beyond what any file can have, infinity is the same."""
    return round(min(millions, 1e12) * 1e6)


def device_of(name: str) -> torch.device:
    """The device of ``--device``; one that this machine lacks is a usage error."""
    from cinn_colorize.colorizer import choose_device

    try:
        return choose_device(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from error
