"""``cinn-colorize PHOTO...``: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.console import fatal, print_path, progress_bar, say, show_log
from cinn_colorize.cli.options import (
    DEFAULT_MODEL,
    MAX_SEED,
    DebugOption,
    DeviceOption,
    Format,
    MaxPixelsOption,
    ModelOption,
    Precision,
    PrecisionOption,
    QuietOption,
    TemperaturesOption,
    Upsampling,
    WeightsOption,
    device_of,
    per_level,
    pixels_of,
)
from cinn_colorize.errors import CinnError
from cinn_colorize.files import OUTPUT_SUFFIXES, printable_name

if TYPE_CHECKING:
    from cinn_colorize.hints import Hint
    from cinn_colorize.pipeline import Result

DRAWING, OUTPUT = "Drawing", "Output"


def colorize(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO", help="Photos, or folders of photos.", show_default=False),
    ],
    number: Annotated[
        int,
        typer.Option(
            "-n", "--number", metavar="N", min=1, help="Samples of each photo.", rich_help_panel=DRAWING
        ),
    ] = 1,
    temperature: TemperaturesOption = "0.8",
    seed: Annotated[
        int,
        typer.Option(
            "-s",
            "--seed",
            metavar="SEED",
            min=0,
            help="Of the first sample; the others count up from it.",
            rich_help_panel=DRAWING,
        ),
    ] = 0,
    upsampling: Annotated[
        Upsampling,
        typer.Option(
            "--upsampling",
            help="How colours reach full size: along the photo's edges, fast or exact, or smoothly.",
            rich_help_panel=DRAWING,
        ),
    ] = Upsampling.jbu,
    rank: Annotated[
        bool,
        typer.Option("--rank", help="The likeliest first, in list and sheet.", rich_help_panel=DRAWING),
    ] = False,
    pick: Annotated[
        int | None,
        typer.Option(
            "--pick", metavar="K", min=1, help="Keep the K likeliest of the N only.", rich_help_panel=DRAWING
        ),
    ] = None,
    hint: Annotated[
        list[str] | None,
        typer.Option(
            "--hint",
            metavar="X,Y,#RRGGBB",
            help="A colour wanted at a pixel of the photo; may be repeated.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    strokes: Annotated[
        Path | None,
        typer.Option(
            "--hints",
            metavar="FILE",
            help="Colours wanted, painted over the photo on a transparent layer.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    output_dir: Annotated[
        Path,
        typer.Option(
            "-o", "--output-dir", metavar="FOLDER", help="Folder for the results.", rich_help_panel=OUTPUT
        ),
    ] = Path("colorized"),
    output: Annotated[
        str,
        typer.Option(
            "--output", metavar="PATTERN", help="Their names: {stem}, {seed}, {ext}.", rich_help_panel=OUTPUT
        ),
    ] = "{stem}_{seed:03d}{ext}",
    format: Annotated[
        Format,
        MaxPixelsOption,
        typer.Option("--format", help="auto: the photo's own.", rich_help_panel=OUTPUT),
    ] = Format.auto,
    quality: Annotated[
        int,
        typer.Option(
            "--quality", metavar="Q", min=1, max=100, help="Of JPEG, WebP, AVIF.", rich_help_panel=OUTPUT
        ),
    ] = 95,
    strip: Annotated[
        bool,
        typer.Option(
            "--strip",
            help="Leave out all metadata but the colour profile and the recipe.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=OUTPUT)
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Make only results that are missing.", rich_help_panel=OUTPUT),
    ] = False,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet/--no-sheet",
            help="With -n over 1, a labelled contact sheet too.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a result, not its path.", rich_help_panel=OUTPUT),
    ] = False,
    max_pixels: MaxPixelsOption = 300,
    model: ModelOption = DEFAULT_MODEL,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.fp32,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw N colorizations of each photo.

    They have the photo's size, depth, metadata and luminance. Sample k has the seed SEED + k - 1, and
    the same seed gives the same picture again. The paths written go to stdout. A result that exists
    is an error unless --overwrite or --skip-existing is given.
    """
    if overwrite and skip_existing:
        raise typer.BadParameter("--overwrite and --skip-existing exclude each other")
    if seed + number - 1 > MAX_SEED:
        raise typer.BadParameter(f"seeds go up to {MAX_SEED}", param_hint="--seed")
    if pick and pick > number:
        raise typer.BadParameter(f"only {number} samples are drawn; raise -n", param_hint="--pick")
    if (hint or strokes) and (rank or pick):
        raise typer.BadParameter("--rank and --pick do not go with hints")
    kept = pick or number
    _check_pattern(output, kept)
    temperatures = per_level(temperature, model, 0.8, "--temperature")
    show_log(quiet)

    from cinn_colorize.pipeline import Existing, Job, Plan, expand

    plan = Plan(
        number=number,
        temperature=temperatures,
        seed=seed,
        upsampling=upsampling,
        folder=output_dir,
        pattern=output,
        format=format,
        quality=quality,
        existing=Existing.OVERWRITE if overwrite else Existing.SKIP if skip_existing else Existing.REFUSE,
        sheet=sheet and kept > 1,
        strip=strip,
        max_pixels=pixels_of(max_pixels),
    )
    inputs = list(expand(photos))
    if (hint or strokes) and len(inputs) > 1:
        raise typer.BadParameter("hints are of one photo", param_hint="--hint")
    steps = progress_bar(quiet or not (hint or strokes))
    with fatal(debug):
        if len(inputs) == 1 and isinstance(inputs[0], CinnError):
            raise inputs[0]  # a mistyped name need not wait for torch
        from cinn_colorize.colorizer import Colorizer
        from cinn_colorize.drawing import Drawing, Hinted, Sampling

        drawing: Drawing = Sampling(rank, pick)
        if hint or strokes:
            task = steps.add_task("following hints", total=None)
            drawing = Hinted(
                _points(hint or []),
                strokes,
                lambda done, total: steps.update(task, completed=done, total=total),
            )
        device_of(device)
        colorizer = Colorizer(model, weights=weights, device=device, precision=precision)
        job = Job(colorizer, plan, drawing)

    failed = 0
    with steps, progress_bar(quiet or len(inputs) == 1) as progress:
        for photo in progress.track(inputs, description="colorizing"):
            try:
                if isinstance(photo, CinnError):
                    raise photo
                for result in job.colorize(photo):
                    _print(result, as_json)
            except BrokenPipeError:
                raise  # whoever read stdout has gone
            except Exception as error:  # whatever it is, the other photos are done
                if debug:
                    raise
                expected = isinstance(error, CinnError)
                say(error if expected else f"{printable_name(str(photo))}: {error!r}; --debug tells more")
                failed += 1
    if failed:
        raise typer.Exit(1)


def _points(texts: list[str]) -> tuple[Hint, ...]:
    from cinn_colorize.hints import Hint

    try:
        return tuple(map(Hint.parse, texts))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--hint") from error


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
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise typer.BadParameter(f"--output takes {{stem}}, {{seed}} and {{ext}}, not {pattern!r}") from error
    if not all(Path(name).suffix.lower() in OUTPUT_SUFFIXES for name in names):
        raise typer.BadParameter(
            f"--output {pattern!r} must end in {{ext}}, .png, .jpg, .webp, .tif or .avif"
        )
    if number > 1 and len(names) == 1:
        raise typer.BadParameter(f"--output {pattern!r} gives all {number} samples one name; add {{seed}}")
