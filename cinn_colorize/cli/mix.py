"""``cinn-colorize mix``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.common import (
    GeneralOptions,
    ModelOptions,
    OutputOptions,
    PhotoOptions,
    device_of,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.summary import report
from cinn_colorize.imaging.options import option
from cinn_colorize.request import MixRequest


@dataclass(frozen=True)
class MixOutputOptions(OutputOptions):
    """What files a mix makes."""

    sheet: bool = option(
        True, None, "Write a sheet with the mask, both samples and the mix too.", "--sheet/--no-sheet"
    )


def mix(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo to colorize.", show_default=False)],
    *,
    request: MixRequest,
    out: MixOutputOptions,
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
        inside, outside = request.both
        if inside == outside:
            raise ValueError("both seeds give the same sample; choose two different ones")
    temperature_of(request.temperature, network.info)
    show_log(general.quiet, general.verbose)
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.run import Batch

    with fatal(general.debug):
        method = request.method(network.info, reading.limit)
        method.open_files()  # an unreadable mask is reported before torch is imported
        name = f"{{stem}}_mix_{inside:03d}_{outside:03d}"
        plan = out.plan(
            request=request,
            method=method,
            pattern=f"{name}{{ext}}",
            sheet=out.sheet,
            sheet_pattern=f"{name}_sheet.jpg",
            max_pixels=reading.limit,
        )
        spec = network.spec(plan.method.encodes)
        device_of(network.device)
        batch = Batch([Input(photo)], plan, spec, workers=1)
        failed = report(batch, out.as_json, general)
    if failed:
        raise typer.Exit(1)
