"""``cinn-colorize PHOTO...``: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.console import complain, fatal, print_path, progress_bar
from cinn_colorize.cli.options import (
    DebugOption,
    DeviceOption,
    Format,
    Model,
    ModelOption,
    Precision,
    PrecisionOption,
    QuietOption,
    Upsampling,
    WeightsOption,
)
from cinn_colorize.errors import CinnError

if TYPE_CHECKING:
    from cinn_colorize.pipeline import Result

DRAWING, OUTPUT = "Drawing", "Output"


def colorize(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Photos, or folders of photos.", show_default=False),
    ],
    number: Annotated[
        int, typer.Option("-n", "--number", min=1, help="Samples of each photo.", rich_help_panel=DRAWING)
    ] = 1,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            "-t",
            min=0,
            help="0: the safest colours; 1: the model's full variety.",
            rich_help_panel=DRAWING,
        ),
    ] = 0.8,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            "-s",
            min=0,
            help="Of the first sample; the others count up from it.",
            rich_help_panel=DRAWING,
        ),
    ] = 0,
    upsampling: Annotated[
        Upsampling,
        typer.Option("--upsampling", help="How colours reach full size.", rich_help_panel=DRAWING),
    ] = Upsampling.jbu,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Folder for the results.", rich_help_panel=OUTPUT)
    ] = Path("colorized"),
    output: Annotated[
        str,
        typer.Option(
            "--output", metavar="PATTERN", help="Their names: {stem}, {seed}, {ext}.", rich_help_panel=OUTPUT
        ),
    ] = "{stem}_{seed:03d}{ext}",
    format: Annotated[
        Format,
        typer.Option("--format", help="auto: as the photo, PNG if that cannot be.", rich_help_panel=OUTPUT),
    ] = Format.auto,
    quality: Annotated[
        int, typer.Option("--quality", min=1, max=100, help="Of JPEG and WebP.", rich_help_panel=OUTPUT)
    ] = 95,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=OUTPUT)
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing", help="Leave photos alone whose results exist.", rich_help_panel=OUTPUT
        ),
    ] = False,
    sheet: Annotated[
        bool, typer.Option(help="With -n over 1, a labelled contact sheet too.", rich_help_panel=OUTPUT)
    ] = True,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a result, not its path.", rich_help_panel=OUTPUT),
    ] = False,
    model: ModelOption = Model.natural,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.fp32,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Colorize photos: draw n samples of each and write them at the photo's size, depth and profile.

    Sample k has the seed SEED + k - 1, and the same seed gives the same picture again.
    """
    if overwrite and skip_existing:
        raise typer.BadParameter("--overwrite and --skip-existing exclude each other")
    _check_pattern(output, number)

    with fatal(debug):
        from cinn_colorize.colorizer import Colorizer, choose_device

        try:
            choose_device(device)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--device") from error
        colorizer = Colorizer(model, weights=weights, device=device, precision=precision)
        from cinn_colorize.pipeline import Existing, Plan, colorize_file, expand

    existing = Existing.OVERWRITE if overwrite else Existing.SKIP if skip_existing else Existing.REFUSE
    plan = Plan(
        number=number,
        temperature=temperature,
        seed=seed,
        upsampling=upsampling,
        folder=output_dir,
        pattern=output,
        format=format,
        quality=quality,
        existing=existing,
        sheet=sheet and number > 1,
    )
    failed = 0
    inputs = list(expand(photos))
    with progress_bar(quiet or len(inputs) == 1) as progress:
        for photo in progress.track(inputs, description="colorizing"):
            try:
                if isinstance(photo, CinnError):
                    raise photo
                for result in colorize_file(colorizer, photo, plan):
                    _print(result, as_json)
            except CinnError as error:
                if debug:
                    raise
                complain(error)
                failed += 1
    if failed:
        raise typer.Exit(1)


def _print(result: Result, as_json: bool) -> None:
    if not as_json:
        print_path(result.output)
        return
    values = {"input": str(result.input), "output": str(result.output)}
    rest = {"seed": result.seed, "temperature": result.temperature, "log_prob": result.log_prob}
    typer.echo(json.dumps(values | {key: value for key, value in rest.items() if value is not None}))


def _check_pattern(pattern: str, number: int) -> None:
    """A pattern must be one that samples of one photo do not overwrite each other with."""
    try:
        names = {pattern.format(stem="photo", seed=seed, ext=".jpg") for seed in range(2)}
    except (KeyError, IndexError, ValueError) as error:
        raise typer.BadParameter(f"--output takes {{stem}}, {{seed}} and {{ext}}, not {pattern!r}") from error
    if number > 1 and len(names) == 1:
        raise typer.BadParameter(f"--output {pattern!r} gives all {number} samples one name; add {{seed}}")
