"""``cinn-colorize temperature``: paper Fig. 14."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.console import print_path
from cinn_colorize.cli.summary import unmade
from cinn_colorize.engines.choice import Engine
from cinn_colorize.files.formats import format_of_name, own_suffix, written_suffix
from cinn_colorize.imaging.options import DRAWING, OUTPUT, Encoding, Rendering, option
from cinn_colorize.latents.levels import MAX_TEMPERATURE
from cinn_colorize.methods.charts import Strip, parse_scaled, parse_temperatures
from cinn_colorize.request import frame_option, temperature_option

_TEMPERATURES = f"Temperatures of the samples, 0 to {MAX_TEMPERATURE:g}, a list or a range."
_ONLY = "Scale only these levels of the code; the others stay at -t."


@dataclass(frozen=True, kw_only=True)
class TemperatureOptions:
    """Options of ``temperature``."""

    panel: ClassVar[str] = DRAWING

    temperatures: str = option("0:1:0.25", "T,T,...|START:STOP:STEP", _TEMPERATURES)
    only: str | None = option(None, "LEVEL,...", _ONLY)
    rest: str | None = temperature_option()
    seed: int = option(0, "SEED", "Seed of the sample.", "-s --seed", min=0)
    rendering: Rendering
    frame: str = frame_option()
    out: common.FolderOptions
    files: bool = option(False, None, "Write a full-size picture for each temperature too.", panel=OUTPUT)
    reading: common.PhotoOptions
    network: common.ModelOptions
    engine: Engine = common.engine_option()
    general: common.GeneralOptions


def temperature(
    photo: Annotated[Path, common.argument("PHOTO", "Photo to colorize.")],
    options: TemperatureOptions,
) -> None:
    """Show one sample at several temperatures.

    Its latent code is scaled from the safest colours to the boldest. The strip is called
    PHOTO_temperature_SEED.jpg, the pictures of --files PHOTO_SEED_tT.

    Examples:
        cinn-colorize temperature photo.jpg -s 5
        cinn-colorize temperature photo.jpg --temperatures 0,0.5,1 --only 32,16
    """
    common.check_engine(options.engine, options.network.device, options.network.precision)
    common.check_seeds(options.seed, 1)
    with common.usage_errors("--temperatures"):
        values = parse_temperatures(options.temperatures)
    with common.usage_errors("--only"):
        scaled = None if options.only is None else parse_scaled(options.only, options.network.info.levels)
    if options.rest is not None and scaled is None:
        problem = "requires --only; --temperatures sets those of the samples"
        raise typer.BadParameter(problem, param_hint="--temperature")
    others = common.temperature_of(options.rest, options.network.info)
    with options.general.reporting():
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.samples import in_file

        opened = open_photo(photo, max_pixels=options.reading.limit).framed(options.frame)
        opened.log_notes()
        suffix = written_suffix(own_suffix(photo))
        strip_path = options.out.output_dir / f"{photo.stem}_temperature_{options.seed:03d}.jpg"
        names = [f"{photo.stem}_{options.seed:03d}_t{t:g}{suffix}" for t in values] if options.files else []
        pictures = [options.out.output_dir / name for name in names]
        strip = Strip(values, scaled, seed=options.seed, temperature=others, rendering=options.rendering)
        colorizer = common.colorizer_of(options.network.spec(strip.encodes, options.engine))
        samples = strip.samples(colorizer, opened) if options.files else []
        chart = strip.draw(colorizer, opened)
        recipes = {}
        for sample, path in zip(samples, pictures, strict=True):
            recipe = colorizer.recipe(sample.recipe, options.rendering, opened)
            recipes[path] = in_file(recipe, format_of_name(path), Encoding())
        recipes[strip_path] = chart.recipe_at(strip_path)
        missing = unmade(recipes, options.out.overwrite, options.reading.limit)
        for sample, path in zip(samples, pictures, strict=True):
            if path in missing:
                (colorization,) = colorizer.compose(opened, [sample], options.rendering)
                colorization.save(path)
                print_path(path)
        if strip_path in missing:
            chart.save(strip_path)
            print_path(strip_path)
