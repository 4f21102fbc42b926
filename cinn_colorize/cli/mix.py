"""``cinn-colorize mix``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.options import (
    DEFAULT_MODEL,
    DRAWING,
    MAX_SEED,
    OUTPUT,
    DebugOption,
    DeviceOption,
    Format,
    FormatOption,
    JsonOption,
    MaxPixelsOption,
    ModelOption,
    OutputDirOption,
    OverwriteOption,
    Precision,
    PrecisionOption,
    QualityOption,
    QuietOption,
    StripOption,
    TemperaturesOption,
    Upsampling,
    UpsamplingOption,
    WeightsOption,
    device_of,
    pixels_of,
    temperature_of,
)
from cinn_colorize.cli.report import report


def mix(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo.", show_default=False)],
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
    upsampling: UpsamplingOption = Upsampling.jbu,
    output_dir: OutputDirOption = Path("colorized"),
    format: FormatOption = Format.auto,
    quality: QualityOption = 95,
    strip: StripOption = False,
    overwrite: OverwriteOption = False,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet/--no-sheet",
            help="A sheet with mask, both samples and the mix too.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    as_json: JsonOption = False,
    max_pixels: MaxPixelsOption = 300,
    model: ModelOption = DEFAULT_MODEL,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.fp32,
    quiet: QuietOption = False,
    debug: DebugOption = False,
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
    temperatures = temperature_of(temperature, model)
    show_log(quiet)
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.pipeline import Existing, Plan
    from cinn_colorize.batch.processes import ModelSpec
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.methods.drawing import Mix
    from cinn_colorize.models import find_weights

    with fatal(debug):
        from cinn_colorize.imaging.photo import open_photo

        name = f"{{stem}}_mix_{inside:03d}_{outside:03d}"
        plan = Plan(
            number=1,
            temperature=temperatures,
            seed=inside,
            upsampling=upsampling,
            folder=output_dir,
            pattern=f"{name}{{ext}}",
            format=format,
            quality=quality,
            existing=Existing.OVERWRITE if overwrite else Existing.REFUSE,
            sheet=sheet,
            strip=strip,
            max_pixels=pixels_of(max_pixels),
            drawing=Mix(open_photo(mask, max_pixels=pixels_of(max_pixels)), outside),
            sheet_pattern=f"{name}_sheet.jpg",
        )
        spec = ModelSpec(model, *find_weights(model, weights), device, precision)
        device_of(device)
        failed = report(Batch([Input(photo)], plan, spec, workers=1), as_json, quiet, debug)
    if failed:
        raise typer.Exit(1)
