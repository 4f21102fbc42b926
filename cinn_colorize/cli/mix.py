"""``cinn-colorize mix``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.options import (
    MAX_SEED,
    GeneralOptions,
    ModelOptions,
    OutputOptions,
    PhotoOptions,
    TemperaturesOption,
    device_of,
    temperature_of,
)
from cinn_colorize.cli.report import report
from cinn_colorize.options import DRAWING, OUTPUT, Rendering


def mix(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo.", show_default=False)],
    *,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            metavar="A,B",
            help="Of the sample inside the mask and of that outside.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ],
    mask: Annotated[
        Path,
        typer.Option(
            "--mask",
            metavar="MASK",
            help="A picture, white inside and black outside.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ],
    temperature: TemperaturesOption = None,
    rendering: Rendering,
    out: OutputOptions,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet/--no-sheet",
            help="A sheet with mask, both samples and the mix too.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    reading: PhotoOptions,
    network: ModelOptions,
    general: GeneralOptions,
) -> None:
    """Join two samples of a photo by a mask.

    The sky of one, the rest of another: A and B are seeds as colorize shows them. A rough mask is enough: the
    model draws what lies between the two along the edges of the photo. MASK may be smaller than PHOTO, but
    has its shape. The result is called PHOTO_mix_A_B.
    """
    found = re.fullmatch(r"(\d+),(\d+)", seeds.replace(" ", ""))
    if not found or max(map(int, found.groups())) > MAX_SEED:
        raise typer.BadParameter(f"{seeds!r} is no pair of seeds like 3,7", param_hint="--seeds")
    inside, outside = map(int, found.groups())
    if inside == outside:
        raise typer.BadParameter("the two are the same sample", param_hint="--seeds")
    temperatures = temperature_of(temperature, network.model)
    show_log(general.quiet)
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.methods.mix import Mix

    with fatal(general.debug):
        method = Mix(mask, outside, reading.limit)
        _ = method.opened  # a mask that cannot be read need not wait for torch
        name = f"{{stem}}_mix_{inside:03d}_{outside:03d}"
        plan = out.plan(
            method=method,
            number=1,
            temperature=temperatures,
            seed=inside,
            rendering=rendering,
            pattern=f"{name}{{ext}}",
            sheet=sheet,
            sheet_pattern=f"{name}_sheet.jpg",
            max_pixels=reading.limit,
        )
        spec = network.spec()
        device_of(network.device)
        batch = Batch([Input(photo)], plan, spec, workers=1)
        failed = report(batch, out.as_json, general.quiet, general.debug)
    if failed:
        raise typer.Exit(1)
