"""``cinn-colorize temperature``: paper Fig. 14."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, print_path, show_log
from cinn_colorize.cli.engine import EngineOption, check_engine, colorizer_of
from cinn_colorize.cli.options import (
    FolderOptions,
    FrameOption,
    GeneralOptions,
    ModelOptions,
    PhotoOptions,
    TemperaturesOption,
    check_seeds,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.report import unmade
from cinn_colorize.engines import Engine
from cinn_colorize.formats import format_of_name, own_suffix, written_suffix
from cinn_colorize.latents.levels import MAX_TEMPERATURE
from cinn_colorize.methods.strip import Strip, parse_scaled, parse_temperatures
from cinn_colorize.options import DRAWING, OUTPUT, Encoding, Rendering


def temperature(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo to colorize.", show_default=False)],
    *,
    temperatures: Annotated[
        str,
        typer.Option(
            "--temperatures",
            metavar="T,T,...|START:STOP:STEP",
            help=f"Temperatures of the samples, 0 to {MAX_TEMPERATURE:g}, a list or a range.",
            rich_help_panel=DRAWING,
        ),
    ] = "0:1:0.25",
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
    seed: Annotated[
        int,
        typer.Option(
            "-s", "--seed", metavar="SEED", min=0, help="Seed of the sample.", rich_help_panel=DRAWING
        ),
    ] = 0,
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
    engine: EngineOption = Engine.auto,
    general: GeneralOptions,
) -> None:
    """Show one sample at several temperatures.

    Its latent code is scaled from the safest colours to the boldest. The strip is called
    PHOTO_temperature_SEED.jpg, the pictures of --files PHOTO_SEED_tT.

    Examples:
        cinn-colorize temperature photo.jpg -s 5
        cinn-colorize temperature photo.jpg --temperatures 0,0.5,1 --only 32,16
    """
    check_engine(engine, network.device, network.precision)
    check_seeds(seed, 1)
    with usage_errors("--temperatures"):
        values = parse_temperatures(temperatures)
    with usage_errors("--only"):
        scaled = None if only is None else parse_scaled(only, network.info.levels)
    if rest is not None and scaled is None:
        problem = "requires --only; --temperatures sets those of the samples"
        raise typer.BadParameter(problem, param_hint="--temperature")
    others = temperature_of(rest, network.info)
    show_log(general.quiet, general.verbose)
    with fatal(general.debug):
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.samples import in_file

        opened = open_photo(photo, max_pixels=reading.limit).framed(frame)
        opened.log_notes()
        suffix = written_suffix(own_suffix(photo))
        strip_path = out.output_dir / f"{photo.stem}_temperature_{seed:03d}.jpg"
        names = [f"{photo.stem}_{seed:03d}_t{t:g}{suffix}" for t in values] if files else []
        pictures = [out.output_dir / name for name in names]
        strip = Strip(values, scaled)
        colorizer = colorizer_of(network.spec(strip.encodes, engine))
        samples = strip.samples(colorizer, opened, others, seed) if files else []
        chart = strip.draw(colorizer, opened, others, seed, rendering)
        recipes = {
            path: in_file(
                colorizer.recipe(sample.recipe, rendering, opened), format_of_name(path), Encoding()
            )
            for sample, path in zip(samples, pictures, strict=True)
        }
        recipes[strip_path] = chart.recipe_at(strip_path)
        missing = unmade(recipes, out.overwrite, reading.limit)
        for sample, path in zip(samples, pictures, strict=True):
            if path in missing:
                (colorization,) = colorizer.compose(opened, [sample], rendering)
                colorization.save(path)
                print_path(path)
        if strip_path in missing:
            chart.save(strip_path)
            print_path(strip_path)
