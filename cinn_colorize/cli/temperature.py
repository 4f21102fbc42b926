"""``cinn-colorize temperature``: paper Fig. 14."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, print_path, show_log
from cinn_colorize.cli.options import (
    FolderOptions,
    FrameOption,
    GeneralOptions,
    ModelOptions,
    PhotoOptions,
    SeedOption,
    TemperaturesOption,
    check_seeds,
    level_of,
    temperature_of,
)
from cinn_colorize.cli.report import claim
from cinn_colorize.files import OUTPUT_SUFFIXES
from cinn_colorize.options import DRAWING, OUTPUT, Rendering

_MOST = 64  # temperatures; more come from a mistyped step


def temperature(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo to colorize.", show_default=False)],
    *,
    temperatures: Annotated[
        str,
        typer.Option(
            "--temperatures",
            metavar="T,T,...|START:STOP:STEP",
            help="Temperatures of the samples, a list or a range.",
            rich_help_panel=DRAWING,
        ),
    ] = "0:1.2:0.3",
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="LEVEL,...",
            help="Scale only these levels of the code; the others stay at -t.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    rest: TemperaturesOption = None,
    seed: SeedOption = 0,
    rendering: Rendering,
    frame: FrameOption = "auto",
    out: FolderOptions,
    files: Annotated[
        bool,
        typer.Option(
            "--files", help="Write a full-size picture for each temperature too.", rich_help_panel=OUTPUT
        ),
    ] = False,
    reading: PhotoOptions,
    network: ModelOptions,
    general: GeneralOptions,
) -> None:
    """Show one sample at several temperatures.

    Its latent code is scaled from the safest colours to the boldest. The strip is called
    PHOTO_temperature_SEED.jpg, the pictures of --files PHOTO_SEED_tT.

    Examples:
        cinn-colorize temperature photo.jpg -s 5
        cinn-colorize temperature photo.jpg --temperatures 0,0.5,1 --only 32,16
    """
    check_seeds(seed, 1)
    values = _temperatures(temperatures)
    scaled = None if only is None else tuple(_level(part, network.model) for part in only.split(","))
    others = temperature_of(rest, network.model)
    show_log(general.quiet)
    with fatal(general.debug):
        from cinn_colorize.imaging.photo import open_photo

        opened = open_photo(photo, max_pixels=reading.limit).framed(frame)
        suffix = photo.suffix if photo.suffix.lower() in OUTPUT_SUFFIXES else ".png"
        strip_path = out.output_dir / f"{photo.stem}_temperature_{seed:03d}.jpg"
        names = [f"{photo.stem}_{seed:03d}_t{t:g}{suffix}" for t in values] if files else []
        pictures = [out.output_dir / name for name in names]
        claim([strip_path, *pictures], [photo], out.overwrite)
        from cinn_colorize.methods.strip import Strip

        colorizer = network.colorizer()
        strip = Strip(values, scaled)
        for sample, path in zip(strip.samples(colorizer, opened, others, seed), pictures, strict=False):
            (colorization,) = colorizer.compose(opened, [sample], rendering)
            colorization.save(path)
            print_path(path)
        strip.draw(colorizer, opened, others, seed, rendering).save(strip_path)
        print_path(strip_path)


def _level(text: str, model: str) -> int:
    try:
        level = int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a level", param_hint="--only") from None
    return level_of(level, model, "--only")


def _temperatures(text: str) -> tuple[float, ...]:
    """Parse a list, or a range that includes its end."""
    try:
        if ":" in text:
            start, stop, step = map(float, text.split(":"))
            count = math.floor((stop - start) / step + 1e-9) + 1
            values = tuple(round(start + k * step, 9) for k in range(min(count, _MOST + 1)))
        else:
            values = tuple(map(float, text.split(",")))
    except (ValueError, ZeroDivisionError, OverflowError):
        values = ()
    if not values or len(values) > _MOST or not all(0 <= value < math.inf for value in values):
        raise typer.BadParameter(
            f"{text!r} is not a list such as 0,0.5,1 or a range such as 0:1.2:0.3 of up to {_MOST} numbers",
            param_hint="--temperatures",
        )
    if len(set(values)) < len(values):
        raise typer.BadParameter(f"{text!r} has the same number twice", param_hint="--temperatures")
    return values
