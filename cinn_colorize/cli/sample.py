"""``cinn-colorize sample``: raw samples of a model, and their latent codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli.console import fatal, print_path, show_log
from cinn_colorize.cli.digits import MODEL, DrawnDigitOption, PcaOption, refuse, refuse_all_but, sample_digits
from cinn_colorize.cli.engine import EngineOption, check_engine, colorizer_of
from cinn_colorize.cli.options import (
    AnyModelOptions,
    FolderOptions,
    FrameOption,
    GeneralOptions,
    PhotoOptions,
    SeedOption,
    TemperaturesOption,
    check_seeds,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.report import claim, unmade
from cinn_colorize.engines import Engine
from cinn_colorize.methods.grid import MOST, RENDERING, Grid
from cinn_colorize.options import DRAWING, OUTPUT, parse_seed

_SAMPLES, _STEPS, _STEPS_OF_A_SIDE = 16, 8, 5
_CODES = ".safetensors"


def sample(
    context: typer.Context,
    photo: Annotated[
        Path | None,
        typer.Argument(
            metavar="PHOTO", help="Photo to colorize; none with --model mnist.", show_default=False
        ),
    ] = None,
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--number",
            metavar="N",
            min=1,
            max=MOST,
            help="Number of samples, or of steps with --interpolate (per side between four codes).",
            show_default=f"{_SAMPLES}, all of a file, {_STEPS} or {_STEPS_OF_A_SIDE} steps",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    temperature: TemperaturesOption = None,
    seed: SeedOption = 0,
    frame: FrameOption = "auto",
    interpolate: Annotated[
        str | None,
        typer.Option(
            "--interpolate",
            metavar="A,B[,C,D]",
            help="Interpolate from code A to B, or between four codes in the corners: seeds or files.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    vary_level: Annotated[
        int | None,
        typer.Option(
            "--vary-level",
            metavar="LEVEL",
            help="Keep the first code and redraw only this level of it.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    load_z: Annotated[
        Path | None,
        typer.Option(
            "--load-z",
            metavar="FILE",
            help="Load the codes from a file instead of drawing them.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    save_z: Annotated[
        Path | None,
        typer.Option(
            "--save-z",
            metavar="FILE",
            help="Save the codes of the grid to a .safetensors file.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    digit: DrawnDigitOption = None,
    pca: PcaOption = False,
    out: FolderOptions,
    reading: PhotoOptions,
    network: AnyModelOptions,
    engine: EngineOption = Engine.auto,
    general: GeneralOptions,
) -> None:
    """Draw raw samples; save, load and interpolate their codes.

    Raw samples are small and not upsampled along edges. They show the latent space: many seeds at a glance,
    the way from one sample to another, the effect of a single level. The grid is called PHOTO_samples.jpg.
    With --model mnist it shows handwritten digits and is called digits.png.

    Examples:
        cinn-colorize sample photo.jpg --interpolate 6,11
        cinn-colorize sample photo.jpg -n 8 --vary-level 8 --save-z codes.safetensors
    """
    if network.model == MODEL:
        refuse_all_but(context, ["pca", "number", "temperature", "seed"])
        if pca:
            given = {"--number": number, "--temperature": temperature, "--seed": seed or None}
            refuse(given, "not with --pca")
        check_seeds(seed, number or 1)
        sample_digits(number, temperature, seed, digit, pca, out, network, general)
        return
    refuse({"--digit": digit, "--pca": pca}, "only with --model mnist")
    check_engine(engine, network.device, network.precision)
    if photo is None:
        raise typer.BadParameter("Missing argument 'PHOTO'")
    ends = _ends(interpolate)
    loaded = load_z is not None and vary_level is None
    if number is None and not loaded:
        number = {2: _STEPS, 4: _STEPS_OF_A_SIDE}.get(len(ends), _SAMPLES)
    if loaded or (ends and all(isinstance(end, Path) for end in ends)):
        given = {"--seed": seed or None, "--temperature": temperature}
        refuse(given, "nothing is drawn where all codes are read")
    if interpolate:
        refuse({"--seed": seed or None}, "the ends are those of --interpolate")
    grid = Grid(number, load_z, ends, vary_level)
    with usage_errors():
        grid.check(network.info.levels)
    check_seeds(seed, (number or 0) + 1)
    if save_z and save_z.suffix != _CODES:
        raise typer.BadParameter(f"must end in {_CODES}", param_hint="--save-z")
    temperatures = temperature_of(temperature, network.info)
    show_log(general.quiet, general.verbose)
    with fatal(general.debug):
        from cinn_colorize.imaging.photo import open_photo

        opened = open_photo(photo, max_pixels=reading.limit).framed(frame)
        opened.log_notes()
        path = out.output_dir / f"{photo.stem}_samples.jpg"
        colorizer = colorizer_of(network.spec(grid.encodes, engine))
        chart = grid.draw(colorizer, opened, temperatures, seed, RENDERING)
        assert chart.codes
        missing = unmade({path: chart.recipe_at(path)}, out.overwrite, reading.limit)
        made_with = colorizer.info.name, colorizer.sha256
        saves = save_z and (out.overwrite or not chart.codes.is_saved(save_z, *made_with))
        if save_z and saves:
            claim([save_z], out.overwrite, "another name for --save-z")
        if path in missing:
            chart.save(path)
            print_path(path)
        if save_z and saves:
            chart.codes.save(save_z, *made_with, chart.mode)
            print_path(save_z)


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
