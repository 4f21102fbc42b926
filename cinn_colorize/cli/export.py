"""``cinn-colorize export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.console import fatal, print_path
from cinn_colorize.cli.options import (
    DEFAULT_MODEL,
    DebugOption,
    ModelOption,
    OverwriteOption,
    WeightsOption,
)
from cinn_colorize.cli.report import claim
from cinn_colorize.options import OUTPUT


def export(
    output_dir: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output-dir",
            metavar="FOLDER",
            callback=values.folder,
            help="Folder for the ONNX files.",
            rich_help_panel=OUTPUT,
        ),
    ],
    model: ModelOption = DEFAULT_MODEL,
    weights: WeightsOption = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a model as ONNX files for other programs and languages.

    condition.onnx maps the luminance of a photo to what all its samples share. sample.onnx maps that and a
    latent code to ab; with the default model, after coarse.onnx and the steps that docs/onnx.md explains.
    The paths go to stdout. colorize --engine onnx does not require an export.

    Examples:
        cinn-colorize export -o onnx
        cinn-colorize export -o bedrooms --model bedrooms
    """
    with fatal(debug):
        from cinn_colorize.onnx.files import COARSE, CONDITION, SAMPLE, STEP

        before = {output_dir / name for name in (CONDITION, COARSE, SAMPLE)}
        steps = output_dir.glob(STEP.format("*"))
        before.update(path for path in steps if path.stem.removeprefix("step").isdecimal())
        claim(sorted(before), overwrite)
        from cinn_colorize.models import load_model
        from cinn_colorize.onnx.export import export as write

        written = write(load_model(model, weights), output_dir)
        for other in before.difference(written):  # of another model, which these would seem to belong to
            other.unlink(missing_ok=True)
        for path in written:
            print_path(path)
