"""``cinn-colorize PHOTO...``: the main job."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.console import fatal, progress_bar, show_log
from cinn_colorize.cli.options import (
    DEFAULT_MODEL,
    MAX_SEED,
    DebugOption,
    DeviceOption,
    Engine,
    EngineOption,
    Format,
    MaxPixelsOption,
    ModelOption,
    Precision,
    PrecisionOption,
    QuietOption,
    TemperaturesOption,
    Upsampling,
    WeightsOption,
    check_engine,
    device_of,
    pixels_of,
    temperature_of,
)
from cinn_colorize.cli.report import report
from cinn_colorize.errors import CinnError, DataError
from cinn_colorize.files import OUTPUT_SUFFIXES, printable_name

if TYPE_CHECKING:
    from cinn_colorize.methods.hints import Hint

DRAWING, OUTPUT, MANY = "Drawing", "Output", "Many photos"
STREAM = Path("-")


def colorize(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO",
            help="Photos, folders of photos, patterns, @LIST; or - from stdin to stdout.",
            show_default=False,
        ),
    ] = None,
    number: Annotated[
        int,
        typer.Option(
            "-n", "--number", metavar="N", min=1, help="Samples of each photo.", rich_help_panel=DRAWING
        ),
    ] = 1,
    temperature: TemperaturesOption = None,
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
    recursive: Annotated[
        bool,
        typer.Option(
            "-r",
            "--recursive",
            help="Folders with all below; results in the same tree.",
            rich_help_panel=MANY,
        ),
    ] = False,
    files_from: Annotated[
        Path | None,
        typer.Option(
            "--files-from",
            metavar="FILE|-",
            help="Read names, one a line; results keep their folders.",
            rich_help_panel=MANY,
        ),
    ] = None,
    null: Annotated[
        bool,
        typer.Option("-0", "--null", help="Names in lists end in zero bytes.", rich_help_panel=MANY),
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="Note results down, one JSON object a line; go on from there.",
            rich_help_panel=MANY,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Only this machine's share.", rich_help_panel=MANY),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Photos at a time.",
            show_default="cores",
            rich_help_panel=MANY,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT|auto|local",
            help="The Ray cluster, with --engine ray; one of this machine is found or started.",
            show_default=False,
            rich_help_panel=MANY,
        ),
    ] = None,
    max_pixels: MaxPixelsOption = 300,
    model: ModelOption = DEFAULT_MODEL,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.fp32,
    engine: EngineOption = Engine.torch,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw N colorizations of each photo.

    They have the photo's size, depth, metadata and luminance. Sample k has the seed SEED + k - 1, and
    the same seed gives the same picture again. The paths written go to stdout. A result that exists
    is an error unless --overwrite or --skip-existing is given, or the manifest says that it is done.
    """
    if overwrite and skip_existing:
        raise typer.BadParameter("--overwrite and --skip-existing exclude each other")
    if seed + number - 1 > MAX_SEED:
        raise typer.BadParameter(f"seeds go up to {MAX_SEED}", param_hint="--seed")
    if pick and pick > number:
        raise typer.BadParameter(f"only {number} samples are drawn; raise -n", param_hint="--pick")
    if (hint or strokes) and (rank or pick):
        raise typer.BadParameter("--rank and --pick do not go with hints")
    if (hint or strokes) and engine is not Engine.torch:
        raise typer.BadParameter("hints take torch", param_hint="--engine")
    check_engine(engine, device, precision)
    _check_address(address, engine)
    kept = pick or number
    _check_pattern(output, kept)
    temperatures = temperature_of(temperature, model)
    if not photos and not files_from:
        raise typer.BadParameter("no photos; name some, or give a list with --files-from")
    streamed = STREAM in (photos or [])
    if streamed and (photos != [STREAM] or files_from or manifest or shard or number > 1 or as_json):
        raise typer.BadParameter("- is one photo and one sample; it goes with no other and no list")
    if streamed and engine is Engine.ray:
        raise typer.BadParameter("- is drawn on this machine", param_hint="--engine")
    if streamed and sys.stdout.isatty():
        raise typer.BadParameter("- writes the picture to stdout; send it to a file or a program")
    if null and not files_from and not any(map(_is_list, photos or [])):
        raise typer.BadParameter("--null says how names in a list end; give one with --files-from or @FILE")
    share = _share(shard) if shard else None
    show_log(quiet)

    from cinn_colorize.batch.cluster import Cluster
    from cinn_colorize.batch.inputs import find_inputs
    from cinn_colorize.batch.inputs import shard as share_of
    from cinn_colorize.batch.manifest import Manifest
    from cinn_colorize.batch.pipeline import Existing, Plan
    from cinn_colorize.batch.processes import ModelSpec, usable_cores
    from cinn_colorize.batch.run import Batch, colorize_stream
    from cinn_colorize.methods.drawing import Drawing, Hinted, Sampling
    from cinn_colorize.models import find_weights
    from cinn_colorize.onnx.files import cached

    hinted = bool(hint or strokes)
    steps = progress_bar(quiet or not hinted)
    drawing: Drawing = Sampling(rank, pick)
    if hinted:
        step = steps.add_task("following hints", total=None)
        drawing = Hinted(
            _points(hint or []),
            strokes,
            lambda done, total: steps.update(step, completed=done, total=total),
        )
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
        drawing=drawing,
    )
    with fatal(debug), contextlib.ExitStack() as stack, steps:
        named, listed = _names([] if streamed else photos or [], files_from, null)
        inputs = find_inputs(named, listed, recursive=recursive, output=output_dir)
        if len(inputs) == 1 and isinstance(inputs[0], CinnError):
            raise inputs[0]  # a mistyped name need not wait for torch
        if hinted and len(inputs) > 1:
            raise typer.BadParameter("hints are of one photo", param_hint="--hint")
        if share:
            inputs = share_of(inputs, *share)
        file, digest = find_weights(model, weights)
        onnx = cached(model, file, digest) if engine is Engine.onnx else None
        spec = ModelSpec(model, file, digest, device, precision, onnx)
        cluster = Cluster(address, workers) if engine is Engine.ray else None
        if device not in ("auto", "cpu") and not cluster:
            device_of(device)  # else there is no need for torch in this process
        if streamed:
            sys.stdout.buffer.write(colorize_stream(sys.stdin.buffer.read(), plan, spec))
            return
        notes = stack.enter_context(Manifest(manifest)) if manifest else None
        batch = Batch(inputs, plan, spec, workers or usable_cores(), notes, cluster)
        failed = report(batch, as_json, quiet, debug)
    if failed:
        raise typer.Exit(1)


def _points(texts: list[str]) -> tuple[Hint, ...]:
    from cinn_colorize.methods.hints import Hint

    try:
        return tuple(map(Hint.parse, texts))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--hint") from error


def _names(photos: list[Path], files_from: Path | None, null: bool) -> tuple[list[Path], list[Path]]:
    """Names given one by one, and those in lists."""
    from cinn_colorize.batch.inputs import read_list

    named = [path for path in photos if not _is_list(path)]
    lists = [Path(str(path)[1:]) for path in photos if _is_list(path)]
    listed = []
    for path in lists + ([files_from] if files_from else []):
        name = "stdin" if path == STREAM else printable_name(path)
        try:
            content = sys.stdin.buffer.read() if path == STREAM else path.read_bytes()
        except OSError as error:
            raise DataError(f"{name}: the list cannot be read ({error.strerror})") from error
        listed += read_list(content, name, null=null)
    return named, listed


def _is_list(path: Path) -> bool:
    return str(path).startswith("@") and not os.path.lexists(path)


def _share(shard: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter(f"{shard!r} is not I/N with I from 1 to N", param_hint="--shard")
    return int(match[1]), int(match[2])


def _check_address(address: str | None, engine: Engine) -> None:
    if address is None:
        return
    if engine is not Engine.ray:
        raise typer.BadParameter("is that of a Ray cluster; add --engine ray", param_hint="--address")
    if "://" in address:
        problem = f"{address} is a Ray Client's; run this on a machine of the cluster, with --address auto"
        raise typer.BadParameter(problem, param_hint="--address")
    if not re.fullmatch(r"auto|local|.+:\d+", address):
        raise typer.BadParameter(f"{address!r} is not HOST:PORT, auto or local", param_hint="--address")


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
