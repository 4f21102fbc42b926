"""``cinn-colorize sample``: raw samples of a model, and their latent codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cinn_colorize.cli.common import (
    AnyModelOptions,
    FolderOptions,
    GeneralOptions,
    PhotoOptions,
    check_seeds,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.console import fatal, print_path, show_log
from cinn_colorize.cli.digits import MODEL, digit_option, pca_option, refuse, refuse_all_but, sample_digits
from cinn_colorize.cli.engine import check_engine, colorizer_of, engine_option
from cinn_colorize.cli.summary import claim, unmade
from cinn_colorize.engines.choice import Engine
from cinn_colorize.imaging.options import DRAWING, OUTPUT, option, parse_seed
from cinn_colorize.methods.grid import MOST, RENDERING, Grid
from cinn_colorize.request import frame_option, seed_option, temperature_option

_SAMPLES, _STEPS, _STEPS_OF_A_SIDE = 16, 8, 5
_CODES = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Options of ``sample``."""

    panel: ClassVar[str] = DRAWING

    number: int | None = option(
        None,
        "N",
        "Number of samples, or of steps with --interpolate (per side between four codes).",
        "-n --number",
        min=1,
        max=MOST,
        show_default=f"{_SAMPLES}, all of a file, {_STEPS} or {_STEPS_OF_A_SIDE} steps",
    )
    temperature: str | None = temperature_option()
    seed: int = seed_option()
    frame: str = frame_option()
    interpolate: str | None = option(
        None,
        "A,B[,C,D]",
        "Interpolate from code A to B, or between four codes in the corners: seeds or files.",
        show_default=False,
    )
    vary_level: int | None = option(
        None, "LEVEL", "Keep the first code and redraw only this level of it.", show_default=False
    )
    load_z: Path | None = option(
        None, "FILE", "Load the codes from a file instead of drawing them.", show_default=False
    )
    save_z: Path | None = option(
        None, "FILE", "Save the codes of the grid to a .safetensors file.", panel=OUTPUT, show_default=False
    )
    digit: int | None = digit_option("Digit to draw.")
    pca: bool = pca_option()
    out: FolderOptions
    reading: PhotoOptions
    network: AnyModelOptions
    engine: Engine = engine_option()
    general: GeneralOptions


def sample(
    context: typer.Context,
    photo: Annotated[
        Path | None,
        typer.Argument(
            metavar="PHOTO", help="Photo to colorize; none with --model mnist.", show_default=False
        ),
    ] = None,
    *,
    options: SampleOptions,
) -> None:
    """Draw raw samples; save, load and interpolate their codes.

    Raw samples are small and not upsampled along edges. They show the latent space: many seeds at a glance,
    the way from one sample to another, the effect of a single level. The grid is called PHOTO_samples.jpg.
    With --model mnist it shows handwritten digits and is called digits.png.

    Examples:
        cinn-colorize sample photo.jpg --interpolate 6,11
        cinn-colorize sample photo.jpg -n 8 --vary-level 8 --save-z codes.safetensors
    """
    if options.network.model == MODEL:
        refuse_all_but(context, ["pca", "number", "temperature", "seed"])
        if options.pca:
            given = {
                "--number": options.number,
                "--temperature": options.temperature,
                "--seed": options.seed or None,
            }
            refuse(given, "not with --pca")
        check_seeds(options.seed, options.number or 1)
        sample_digits(
            options.number,
            options.temperature,
            options.seed,
            options.digit,
            options.pca,
            options.out,
            options.network,
            options.general,
        )
        return
    refuse({"--digit": options.digit, "--pca": options.pca}, "only with --model mnist")
    check_engine(options.engine, options.network.device, options.network.precision)
    if photo is None:
        raise typer.BadParameter("Missing argument 'PHOTO'")
    ends = _ends(options.interpolate)
    loaded = options.load_z is not None and options.vary_level is None
    if options.number is None and not loaded:
        number = {2: _STEPS, 4: _STEPS_OF_A_SIDE}.get(len(ends), _SAMPLES)
        options = replace(options, number=number)
    if loaded or (ends and all(isinstance(end, Path) for end in ends)):
        given = {"--seed": options.seed or None, "--temperature": options.temperature}
        refuse(given, "nothing is drawn where all codes are read")
    if options.interpolate:
        refuse({"--seed": options.seed or None}, "the ends are those of --interpolate")
    grid = Grid(options.number, options.load_z, ends, options.vary_level)
    with usage_errors():
        grid.check(options.network.info.levels)
    check_seeds(options.seed, (options.number or 0) + 1)
    if options.save_z and options.save_z.suffix != _CODES:
        raise typer.BadParameter(f"must end in {_CODES}", param_hint="--save-z")
    temperatures = temperature_of(options.temperature, options.network.info)
    show_log(options.general.quiet, options.general.verbose)
    with fatal(options.general.debug):
        from cinn_colorize.imaging.photo import open_photo

        opened = open_photo(photo, max_pixels=options.reading.limit).framed(options.frame)
        opened.log_notes()
        path = options.out.output_dir / f"{photo.stem}_samples.jpg"
        colorizer = colorizer_of(options.network.spec(grid.encodes, options.engine))
        chart = grid.draw(colorizer, opened, temperatures, options.seed, RENDERING)
        assert chart.codes
        missing = unmade({path: chart.recipe_at(path)}, options.out.overwrite, options.reading.limit)
        made_with = colorizer.info.name, colorizer.sha256
        saves = options.save_z and (
            options.out.overwrite or not chart.codes.is_saved(options.save_z, *made_with)
        )
        if options.save_z and saves:
            claim([options.save_z], options.out.overwrite, "another name for --save-z")
        if path in missing:
            chart.save(path)
            print_path(path)
        if options.save_z and saves:
            chart.codes.save(options.save_z, *made_with, chart.mode)
            print_path(options.save_z)


def _ends(text: str | None) -> tuple[int | Path, ...]:
    """Parse the seeds and files of codes to interpolate between."""
    if text is None:
        return ()
    return tuple(map(_end, text.split(",")))


def _end(text: str) -> int | Path:
    if Path(text).suffix == _CODES:
        return Path(text)
    try:
        return parse_seed(text)
    except ValueError:
        problem = f"{text} is neither a seed nor a {_CODES} file"
        raise typer.BadParameter(problem, param_hint="--interpolate") from None
