"""``cinn-colorize evaluate``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import complain, fatal, progress_bar
from cinn_colorize.cli.options import (
    DebugOption,
    DeviceOption,
    Model,
    ModelOption,
    Precision,
    PrecisionOption,
    QuietOption,
    WeightsOption,
)
from cinn_colorize.errors import DataError


def evaluate(
    photos: Annotated[
        Path, typer.Argument(metavar="FOLDER|ZIP", help="Photos in colour.", show_default=False)
    ],
    samples: Annotated[int, typer.Option("--samples", min=1, help="Of each photo.")] = 8,
    temperature: Annotated[float, typer.Option("--temperature", "-t", min=0, help="Of the samples.")] = 1.0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first photos, by name.", show_default="all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, not a table.")] = False,
    model: ModelOption = Model.natural,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.fp32,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a model on photos in colour, beside a gray photo and the photo's own colours.

    Prints a Markdown table. A photo that cannot be read is named and left out, and the exit code is 1.
    """
    if not math.isfinite(temperature):
        raise typer.BadParameter(f"{temperature} is no temperature", param_hint="--temperature")
    with fatal(debug):
        import cv2

        from cinn_colorize import evaluation
        from cinn_colorize.colorizer import Colorizer, choose_device
        from cinn_colorize.sources import find_photos

        # A damaged photo is reported once, by its name.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            choose_device(device)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--device") from error
        sources = find_photos(photos, pattern=None)[:limit]
        colorizer = Colorizer(model, weights=weights, device=device, precision=precision)
        with progress_bar(quiet) as progress:
            task = progress.add_task("measuring", total=len(sources))
            report = evaluation.evaluate(
                colorizer,
                sources,
                samples=samples,
                temperature=temperature,
                progress=lambda done, total: progress.update(task, completed=done),
            )
    for failure in report.failures:
        complain(DataError(failure))
    typer.echo(report.to_json() if as_json else report.to_markdown())
    if report.failures:
        raise typer.Exit(1)
