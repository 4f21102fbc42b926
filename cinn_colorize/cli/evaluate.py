"""``cinn-colorize evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, progress_bar, say, show_log
from cinn_colorize.cli.options import (
    DEFAULT_MODEL,
    DebugOption,
    DeviceOption,
    ModelOption,
    Precision,
    PrecisionOption,
    QuietOption,
    TemperatureOption,
    WeightsOption,
    device_of,
)

DRAWING = "Drawing"


def evaluate(
    photos: Annotated[
        Path, typer.Argument(metavar="FOLDER|ZIP", help="Photos in colour.", show_default=False)
    ],
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=1, help="Of each photo.", rich_help_panel=DRAWING)
    ] = 8,
    temperature: TemperatureOption = 1.0,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Only the first N photos, by name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, not a table.")] = False,
    model: ModelOption = DEFAULT_MODEL,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.fp32,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a model on photos in colour.

    Prints a Markdown table with the model's row, a gray photo's and that of the photo's own colours.
    A photo that cannot be read is named and left out, and the exit code is 1.
    """
    show_log(quiet)
    with fatal(debug):
        import cv2

        from cinn_colorize import evaluation
        from cinn_colorize.colorizer import Colorizer
        from cinn_colorize.sources import find_photos

        # A damaged photo is reported once, by its name.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        device_of(device)
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
        say(failure)
    typer.echo(report.to_json() if as_json else report.to_markdown())
    if report.failures:
        raise typer.Exit(1)
