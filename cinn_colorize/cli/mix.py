"""``cinn-colorize mix``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cinn_colorize.cli.common import (
    GeneralOptions,
    ModelOptions,
    OutputOptions,
    PhotoOptions,
    device_of,
    frame_option,
    temperature_of,
    temperature_option,
    usage_errors,
)
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.summary import report
from cinn_colorize.imaging.options import DRAWING, OUTPUT, Rendering, option, parse_seed


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """Options of ``mix``."""

    panel: ClassVar[str] = DRAWING

    seeds: str = option(..., "A,B", "Seeds of the samples inside and outside the mask.", show_default=False)
    mask: Path = option(..., "MASK", "Picture that is white inside and black outside.", show_default=False)
    temperature: str | None = temperature_option()
    rendering: Rendering
    frame: str = frame_option()
    out: OutputOptions
    sheet: bool = option(
        True,
        None,
        "Write a sheet with the mask, both samples and the mix too.",
        "--sheet/--no-sheet",
        panel=OUTPUT,
    )
    reading: PhotoOptions
    network: ModelOptions
    general: GeneralOptions


def mix(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo to colorize.", show_default=False)],
    options: MixOptions,
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
        parsed = [parse_seed(text) for text in options.seeds.replace(" ", "").split(",")]
        if len(parsed) != 2:
            raise ValueError(f"{options.seeds!r} is not a pair of seeds such as 3,7")
    inside, outside = parsed
    if inside == outside:
        raise typer.BadParameter(
            "both seeds give the same sample; choose two different ones", param_hint="--seeds"
        )
    temperatures = temperature_of(options.temperature, options.network.info)
    show_log(options.general.quiet, options.general.verbose)
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.methods.mix import Mix

    with fatal(options.general.debug):
        method = Mix(options.mask, outside, options.reading.limit)
        _ = method.opened  # report an unreadable mask before torch is imported
        name = f"{{stem}}_mix_{inside:03d}_{outside:03d}"
        plan = options.out.plan(
            method=method,
            number=1,
            temperature=temperatures,
            seed=inside,
            rendering=options.rendering,
            frame=options.frame,
            pattern=f"{name}{{ext}}",
            sheet=options.sheet,
            sheet_pattern=f"{name}_sheet.jpg",
            max_pixels=options.reading.limit,
        )
        spec = options.network.spec(method.encodes)
        device_of(options.network.device)
        batch = Batch([Input(photo)], plan, spec, workers=1)
        failed = report(batch, options.out.as_json, options.general)
    if failed:
        raise typer.Exit(1)
