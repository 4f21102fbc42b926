"""``cinn-colorize mix``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.options import (
    FrameOption,
    GeneralOptions,
    ModelOptions,
    OutputOptions,
    PhotoOptions,
    TemperaturesOption,
    device_of,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.report import report
from cinn_colorize.options import DRAWING, OUTPUT, Rendering, parse_seed


def mix(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo to colorize.", show_default=False)],
    *,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            metavar="A,B",
            help="Seeds of the samples inside and outside the mask.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ],
    mask: Annotated[
        Path,
        typer.Option(
            "--mask",
            metavar="MASK",
            help="Picture that is white inside and black outside.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ],
    temperature: TemperaturesOption = None,
    rendering: Rendering,
    frame: FrameOption = "auto",
    out: OutputOptions,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet/--no-sheet",
            help="Write a sheet with the mask, both samples and the mix too.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    reading: PhotoOptions,
    network: ModelOptions,
    general: GeneralOptions,
) -> None:
    """Join two samples of a photo by a mask.

    For example, join the sky of one with the rest of another. A and B are seeds as colorize shows them. A
    rough mask is enough: the model draws the border between the two along the edges of the photo. MASK may be
    smaller than PHOTO but must have its shape. The result is called PHOTO_mix_A_B.

    Examples:
        cinn-colorize mix photo.jpg --seeds 17,22 --mask sky.png
        cinn-colorize mix photo.jpg --seeds 17,22 --mask sky.png -t 1 --no-sheet
    """
    with usage_errors("--seeds"):
        parsed = [parse_seed(text) for text in seeds.replace(" ", "").split(",")]
        if len(parsed) != 2:
            raise ValueError(f"{seeds!r} is not a pair of seeds such as 3,7")
    inside, outside = parsed
    if inside == outside:
        raise typer.BadParameter(
            "both seeds give the same sample; choose two different ones", param_hint="--seeds"
        )
    temperatures = temperature_of(temperature, network.info)
    show_log(general.quiet, general.verbose)
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.methods.mix import Mix

    with fatal(general.debug):
        method = Mix(mask, outside, reading.limit)
        _ = method.opened  # report an unreadable mask before torch is imported
        name = f"{{stem}}_mix_{inside:03d}_{outside:03d}"
        plan = out.plan(
            method=method,
            number=1,
            temperature=temperatures,
            seed=inside,
            rendering=rendering,
            frame=frame,
            pattern=f"{name}{{ext}}",
            sheet=sheet,
            sheet_pattern=f"{name}_sheet.jpg",
            max_pixels=reading.limit,
        )
        spec = network.spec(method.encodes)
        device_of(network.device)
        batch = Batch([Input(photo)], plan, spec, workers=1)
        failed = report(batch, out.as_json, general)
    if failed:
        raise typer.Exit(1)
