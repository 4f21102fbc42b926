"""Values of options, which may be written in any case; what is none of them is a usage error."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from cinn_colorize.files.formats import OUTPUT_FORMATS, OUTPUT_SUFFIXES, format_of_name
from cinn_colorize.imaging.options import Pages
from cinn_colorize.models.registry import MODELS, PhotoModelInfo

DEVICES = "auto|cpu|cuda[:i]|mps"
FORMATS = ["auto", *OUTPUT_FORMATS]
PHOTO_MODELS = [name for name, info in MODELS.items() if isinstance(info, PhotoModelInfo)]


def completed(names: Iterable[str]) -> Callable[[], list[str]]:
    """Return what a shell completes a value from."""
    return lambda: [*names]


def any_model(text: str) -> str:
    """Parse the name of a model."""
    name = text.lower()
    if name not in MODELS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(MODELS)}")
    return name


def model(text: str) -> str:
    """Parse the name of a model that colorizes photos."""
    name = text.lower()
    if name in MODELS and name not in PHOTO_MODELS:
        raise typer.BadParameter(f"{name} does not colorize photos; choose {', '.join(PHOTO_MODELS)}")
    if name not in PHOTO_MODELS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(PHOTO_MODELS)}")
    return name


def device(text: str) -> str:
    """Parse the name of a device."""
    # A device that no machine has is refused before torch is imported.
    name = text.lower()
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise typer.BadParameter(f"{text!r} is not one of {DEVICES}")
    return name


def format(text: str) -> str:
    """Parse a file format, or a suffix such as tif or .jpeg."""
    named = format_of_name(f"a.{text.lower().removeprefix('.')}") or text.lower()
    if named not in FORMATS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(FORMATS)}")
    return named


def folder(context: typer.Context, path: Path) -> Path:
    """Refuse the name of a picture or graph, of which a folder would be made."""
    if path.suffix.lower() not in {*OUTPUT_SUFFIXES, ".onnx"} or path.exists():
        return path
    names = any(parameter.name == "output" for parameter in context.command.params)
    written = shlex.join(["-o", str(path.parent), "--output", path.name])
    instead = f"; write {written} for that file" if names else ""
    raise typer.BadParameter(f"{str(path)!r} is the name of a file, not of a folder{instead}")


def pages(text: str | None) -> Pages | None:
    """Parse a choice of pages."""
    try:
        return None if text is None else Pages.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--pages") from error
