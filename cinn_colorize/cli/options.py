"""Options that mean the same in every command."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.latents.levels import PerLevel, parse_levels, short_levels
from cinn_colorize.models.registry import DEFAULT, MODELS, PhotoModelInfo

if TYPE_CHECKING:
    import torch

Precision = StrEnum("Precision", ["fp32", "bf16"])
Engine = StrEnum("Engine", ["torch", "onnx", "ray"])
Upsampling = StrEnum("Upsampling", ["jbu", "exact", "bicubic"])
Format = StrEnum("Format", ["auto", "png", "jpg", "webp", "tiff", "avif"])

DRAWING, OUTPUT, NETWORK = "Drawing", "Output", "Network"
MAX_SEED = 2**63 - 1  # of torch's generators

_DEVICES = "auto|cpu|cuda[:i]|mps"


_COLOURING = [name for name, info in MODELS.items() if isinstance(info, PhotoModelInfo)]


def _any_model(name: str) -> str:
    if name not in MODELS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(MODELS)}")
    return name


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


ModelOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="|".join(_COLOURING), callback=_model, help="Which model.", rich_help_panel=NETWORK
    ),
]
AnyModelOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="|".join(MODELS), callback=_any_model, help="Which model.", rich_help_panel=NETWORK
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
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="What computes; onnx: onnxruntime on the CPU, which starts sooner; ray: a Ray cluster.",
        rich_help_panel=NETWORK,
    ),
]
TemperaturesOption = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--temperature",
        metavar="T|LEVEL:T,...",
        help="0: the safest colours; 1: the model's full variety; as 32:0.6,16:0.7 where levels differ.",
        show_default=short_levels(MODELS[DEFAULT].temperature),
        rich_help_panel=DRAWING,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "-s",
        "--seed",
        metavar="SEED",
        min=0,
        help="Of the noise; further samples count up from it.",
        rich_help_panel=DRAWING,
    ),
]
UpsamplingOption = Annotated[
    Upsampling,
    typer.Option(
        "--upsampling",
        help="How colours reach full size: along the photo's edges, fast or exact, or smoothly.",
        rich_help_panel=DRAWING,
    ),
]
OutputDirOption = Annotated[
    Path,
    typer.Option(
        "-o", "--output-dir", metavar="FOLDER", help="Folder for the results.", rich_help_panel=OUTPUT
    ),
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="auto: the photo's own.", rich_help_panel=OUTPUT)
]
QualityOption = Annotated[
    int,
    typer.Option(
        "--quality", metavar="Q", min=1, max=100, help="Of JPEG, WebP, AVIF.", rich_help_panel=OUTPUT
    ),
]
StripOption = Annotated[
    bool,
    typer.Option(
        "--strip",
        help="Leave out all metadata but the colour profile and the recipe.",
        rich_help_panel=OUTPUT,
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=OUTPUT)
]
SkipExistingOption = Annotated[
    bool,
    typer.Option("--skip-existing", help="Make only results that are missing.", rich_help_panel=OUTPUT),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object a result, not its path.", rich_help_panel=OUTPUT),
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


def temperature_of(text: str | None, model: str) -> PerLevel:
    """The temperature of ``--temperature``, where it is silent that of the model."""
    own = MODELS[model].temperature
    return own if text is None else per_level(text, model, own, "--temperature")


def per_level(
    text: str, model: str, rest: PerLevel, option: str, name: str = "temperature", largest: float = math.inf
) -> PerLevel:
    """The numbers of an option that has one for all levels of a model or one for each."""
    try:
        return parse_levels(text, MODELS[model].levels, rest, name, largest)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def check_seeds(seed: int, number: int) -> None:
    """Refuse seeds that torch does not take."""
    if seed + number - 1 > MAX_SEED:
        raise typer.BadParameter(f"seeds go up to {MAX_SEED}", param_hint="--seed")


def level_of(level: int, model: str, option: str) -> int:
    """A level of a model."""
    levels = MODELS[model].levels
    if level not in levels:
        problem = f"{model} has no level {level}; its levels are {', '.join(map(str, levels))}"
        raise typer.BadParameter(problem, param_hint=option)
    return level


def check_engine(engine: Engine, device: str, precision: Precision) -> None:
    """Refuse what an engine does not do, or what is not installed."""
    if engine is Engine.ray:
        if device not in ("auto", "cpu", "cuda"):
            raise typer.BadParameter(
                f"ray computes on auto, cpu or cuda, not on {device}", param_hint="--engine"
            )
        if not find_spec("ray"):
            raise typer.BadParameter("ray takes Ray; pip install 'cinn-colorize[ray]'", param_hint="--engine")
    if engine is not Engine.onnx:
        return
    if device not in ("auto", "cpu"):
        raise typer.BadParameter(f"onnx computes on the CPU, not on {device}", param_hint="--engine")
    if precision is not Precision.fp32:
        raise typer.BadParameter(f"onnx computes in fp32, not in {precision}", param_hint="--engine")
    if not find_spec("onnxruntime"):
        raise typer.BadParameter(
            "onnx takes onnxruntime; pip install 'cinn-colorize[onnx]'", param_hint="--engine"
        )


def device_of(name: str) -> torch.device:
    """The device of ``--device``; one that this machine lacks is a usage error."""
    from cinn_colorize.devices import choose_device

    try:
        return choose_device(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from error
