"""``cinn-colorize sample``: raw samples of a model, and their latent codes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.console import print_path
from cinn_colorize.cli.digits import MODEL, DigitOptions, refuse, refuse_all_but, sample_digits
from cinn_colorize.cli.summary import claim, unmade
from cinn_colorize.engines.choice import Engine
from cinn_colorize.imaging.options import DRAWING, OUTPUT, option, parse_seed
from cinn_colorize.methods.charts import MOST, Grid
from cinn_colorize.request import frame_option, seed_option, temperature_option

if TYPE_CHECKING:
    from cinn_colorize.methods.contact_sheet import Chart

_SAMPLES, _STEPS, _STEPS_OF_A_SIDE = 16, 8, 5
_CODES = ".safetensors"
_NUMBER = "Number of samples, or of steps with --interpolate (per side between four codes)."
_SHOWN = f"{_SAMPLES}, all of a file, {_STEPS} or {_STEPS_OF_A_SIDE} steps"
_SAVED = "Save the codes of the grid to a .safetensors file."
_INTERPOLATE = "Interpolate from code A to B, or between four codes in the corners: seeds or files."


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Options of ``sample``."""

    panel: ClassVar[str] = DRAWING

    number: int | None = option(None, "N", _NUMBER, "-n --number", min=1, max=MOST, show_default=_SHOWN)
    temperature: str | None = temperature_option()
    seed: int = seed_option()
    frame: str = frame_option()
    interpolate: str | None = option(None, "A,B[,C,D]", _INTERPOLATE)
    vary_level: int | None = option(None, "LEVEL", "Keep the first code and redraw only this level of it.")
    load_z: Path | None = option(None, "FILE", "Load the codes from a file instead of drawing them.")
    save_z: Path | None = option(None, "FILE", _SAVED, panel=OUTPUT)
    digits: DigitOptions
    out: common.FolderOptions
    reading: common.PhotoOptions
    network: common.AnyModelOptions
    engine: Engine = common.engine_option()
    general: common.GeneralOptions

    def grid(self) -> Grid:
        """Return the grid; options that contradict each other are wrong usage."""
        ends = tuple(map(_end, self.interpolate.split(","))) if self.interpolate is not None else ()
        loaded, number = self.load_z is not None and self.vary_level is None, self.number
        if number is None and not loaded:
            number = {2: _STEPS, 4: _STEPS_OF_A_SIDE}.get(len(ends), _SAMPLES)
        if loaded or (ends and all(isinstance(end, Path) for end in ends)):
            given = {"--seed": self.seed or None, "--temperature": self.temperature}
            refuse(given, "nothing is drawn where all codes are read")
        if ends:
            refuse({"--seed": self.seed or None}, "the ends are those of --interpolate")
        with common.usage_errors():
            grid = Grid.of(number, self.load_z, ends, self.vary_level, self.network.info.levels)
        common.check_seeds(self.seed, (number or 0) + 1)
        if self.save_z and self.save_z.suffix != _CODES:
            raise typer.BadParameter(f"must end in {_CODES}", param_hint="--save-z")
        return grid


def sample(
    context: typer.Context,
    photo: Annotated[
        Path | None, common.argument("PHOTO", "Photo to colorize; none with --model mnist.")
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
    number, temperature, seed, digits = options.number, options.temperature, options.seed, options.digits
    if options.network.model == MODEL:
        refuse_all_but(context, ["pca", "number", "temperature", "seed"])
        if digits.pca:
            given = {"--number": number, "--temperature": temperature, "--seed": seed or None}
            refuse(given, "not with --pca")
        common.check_seeds(seed, number or 1)
        sample_digits(number, temperature, seed, digits, (options.out, options.network, options.general))
        return
    refuse({"--digit": digits.digit, "--pca": digits.pca}, "only with --model mnist")
    common.check_engine(options.engine, options.network.device, options.network.precision)
    if photo is None:
        raise typer.BadParameter("Missing argument 'PHOTO'")
    grid = options.grid()
    temperatures = common.temperature_of(temperature, options.network.info)
    with options.general.reporting():
        from cinn_colorize.imaging.photo import open_photo

        opened = open_photo(photo, max_pixels=options.reading.limit).framed(options.frame)
        opened.log_notes()
        colorizer = common.colorizer_of(options.network.spec(grid.encodes, options.engine))
        chart = replace(grid, seed=seed, temperature=temperatures).draw(colorizer, opened)
        path = options.out.output_dir / f"{photo.stem}_samples.jpg"
        _save(chart, path, (colorizer.info.name, colorizer.sha256), options)


def _save(chart: "Chart", path: Path, made_with: tuple[str, str], options: SampleOptions) -> None:
    codes, overwrite, save_z = chart.codes, options.out.overwrite, options.save_z
    assert codes
    missing = unmade({path: chart.recipe_at(path)}, overwrite, options.reading.limit)
    if save_z and not overwrite and codes.is_saved(save_z, *made_with):
        save_z = None
    if save_z:
        claim([save_z], overwrite, "another name for --save-z")
    if path in missing:
        chart.save(path)
        print_path(path)
    if save_z:
        codes.save(save_z, *made_with, chart.mode)
        print_path(save_z)


def _end(text: str) -> int | Path:
    """Parse an end of an interpolation: a seed, or a file of codes."""
    if Path(text).suffix == _CODES:
        return Path(text)
    try:
        return parse_seed(text)
    except ValueError:
        problem = f"{text} is neither a seed nor a {_CODES} file"
        raise typer.BadParameter(problem, param_hint="--interpolate") from None
