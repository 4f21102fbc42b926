"""``cinn-colorize colorize``, the default command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.console import fatal, progress_bar, require_stdout, say, show_log, write_stdout
from cinn_colorize.cli.engine import BatchEngine, BatchEngineOption, check_engine
from cinn_colorize.cli.many import STREAM, BatchOptions
from cinn_colorize.cli.options import (
    FOLDER,
    BatchOutputOptions,
    FrameOption,
    GeneralOptions,
    ModelOptions,
    PagesOption,
    PhotoOptions,
    TemperaturesOption,
    check_seeds,
    device_of,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.report import report, report_rehearsal
from cinn_colorize.engines import Engine
from cinn_colorize.files import leaves_folder
from cinn_colorize.formats import OUTPUT_SUFFIXES, format_of_name
from cinn_colorize.latents.levels import short_levels
from cinn_colorize.limits import read_stream
from cinn_colorize.options import DRAWING, OUTPUT, TYPICAL_OF, Rank, Rendering

_PATTERN = "{stem}_{seed:03d}{ext}"
_FIELDS = "{stem}, {seed}, {temperature}, {n}, {method}, {model} and {ext}"


def colorize(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO",
            help="Photos, folders, patterns or @LIST, a file of names; - reads stdin and writes stdout.",
            show_default=False,
        ),
    ] = None,
    *,
    number: Annotated[
        int,
        typer.Option(
            "-n", "--number", metavar="N", min=1, help="Number of samples per photo.", rich_help_panel=DRAWING
        ),
    ] = 1,
    temperature: TemperaturesOption = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--seed",
            metavar="SEED",
            min=0,
            help="Seed of the first sample; later samples count up from it.",
            show_default=f"0; with -n 1, the most typical of 0 to {TYPICAL_OF - 1}; "
            "with --like, the one after it",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    rendering: Rendering,
    frame: FrameOption = "auto",
    pages: PagesOption = None,
    like: Annotated[
        int | None,
        typer.Option(
            "--like",
            metavar="SEED",
            min=0,
            help="Draw samples like the one with this seed: its colours varied a little, details drawn anew.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    rank: Annotated[
        Rank | None,
        typer.Option(
            "--rank",
            help="Sort the samples, in the sheet too: the most typical first, or the likeliest.",
            show_default="by seed",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    pick: Annotated[
        int | None,
        typer.Option(
            "--pick",
            metavar="K",
            min=1,
            help="Keep only K of the N samples: typical but different ones or, by --rank log-prob, the "
            "likeliest.",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    hint: Annotated[
        list[str] | None,
        typer.Option(
            "--hint",
            metavar="X,Y,COLOR",
            help="Colour wanted at a pixel of the photo: #a02832, #a23 or red, say; may be repeated.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    strokes: Annotated[
        Path | None,
        typer.Option(
            "--hints",
            metavar="FILE",
            help="Picture of the colours wanted, painted over the photo on a transparent layer.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None,
    out: BatchOutputOptions,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="PATTERN",
            help=f"File names of the results; {_FIELDS} are replaced.",
            show_default=_PATTERN,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet/--no-sheet",
            help="Write a labelled contact sheet too, if more than one sample is kept.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    many: BatchOptions,
    reading: PhotoOptions,
    network: ModelOptions,
    engine: BatchEngineOption = BatchEngine.auto,
    general: GeneralOptions,
) -> None:
    """Draw N colorizations of each photo.

    Colorizations keep the photo's size, depth, metadata and luminance. Sample k has the seed SEED + k - 1,
    and the same seed gives the same picture again. The paths of new results go to stdout. A result that is
    there and was made in the same way is left alone; if it was made in another way, this is an error unless
    --overwrite or --skip-existing is given.

    Examples:
        cinn-colorize photo.jpg -n 8
        cinn-colorize scans -r -o colorized --manifest colorized.jsonl
    """
    out.check()
    chosen = values.pages(pages)
    check_seeds(max(seed or 0, like or 0), number + (like is not None))
    if pick and pick > number:
        raise typer.BadParameter(f"cannot keep {pick} of {number} samples; raise -n", param_hint="--pick")
    hinted = bool(hint or strokes)
    if hinted and (rank or pick or like is not None):
        raise typer.BadParameter("--like, --rank and --pick exclude --hint and --hints")
    if hinted and engine is BatchEngine.ray:
        raise typer.BadParameter("hints apply to one photo; leave out --engine ray", param_hint="--engine")
    if hinted and chosen and chosen.first != chosen.last:
        raise typer.BadParameter("hints apply to one page", param_hint="--pages")
    check_engine(engine, network.device, network.precision)
    kept = pick or number
    temperatures = temperature_of(temperature, network.info)
    named = photos or []
    many.check(named, engine)
    if many.dry_run and out.as_json:
        raise typer.BadParameter("--json prints results, and --dry-run makes none; leave out one of them")
    streamed = STREAM in named
    if streamed:
        alone = named == [STREAM] and number == 1 and not (many.files_from or many.manifest or many.shard)
        to_files = out.as_json or out.overwrite or out.skip_existing or output is not None
        _check_stream(alone and not to_files and out.output_dir == FOLDER and not many.dry_run, engine)
    show_log(general.quiet, general.verbose)

    from cinn_colorize.batch.manifest import Manifest
    from cinn_colorize.batch.processes import usable_cores
    from cinn_colorize.batch.run import Batch, colorize_stream
    from cinn_colorize.methods.drawing import drawing

    steps = progress_bar(general.quiet or not hinted)
    if hinted:
        step = steps.add_task("following hints", total=None)
    with usage_errors("--hint"):
        method, drawn, first = drawing(
            number,
            seed,
            network.info.levels,
            like=like,
            rank=rank,
            pick=pick,
            hints=hint or (),
            strokes=strokes,
            progress=lambda done, total: steps.update(step, completed=done, total=total),
        )
    names: dict[str, str | int] = {
        "temperature": short_levels(temperatures).replace(":", "-"),
        "n": number,
        "method": method.name,
        "model": network.model,
    }
    # Beside the samples themselves, which have the same seeds.
    stem = "{stem}" if like is None else f"{{stem}}_like_{like:03d}"
    output = _PATTERN.replace("{stem}", stem) if output is None else output
    _check_pattern(output, out.format, names, kept)
    plan = out.plan(
        method=method.rendered(rendering),
        number=drawn,
        temperature=temperatures,
        seed=first,
        rendering=rendering,
        frame=frame,
        pages=chosen,
        pattern=output,
        names=names,
        sheet=sheet and kept > 1,
        sheet_pattern=f"{stem}_sheet.jpg",
        max_pixels=reading.limit,
    )
    with fatal(general.debug), contextlib.ExitStack() as stack, steps:
        if streamed or many.dry_run:
            require_stdout()
        others: list[Path] = []
        inputs = [] if streamed else many.inputs(named, out.output_dir, others)
        if hinted and len(inputs) > 1:
            raise typer.BadParameter("hints apply to one photo; name no other", param_hint="--hint")
        on_cluster = engine is BatchEngine.ray
        spec = network.spec(method.encodes, Engine.auto if on_cluster else Engine(engine))
        cluster = None
        if on_cluster:
            from cinn_colorize.batch.cluster import Cluster

            cluster = Cluster(many.address, many.workers)
        if network.device not in ("auto", "cpu") and not cluster:
            device_of(network.device)  # otherwise this process does not need torch
        if streamed:
            content = read_stream(sys.stdin.buffer, "stdin", reading.limit)
            write_stdout(colorize_stream(content, plan, spec))
            return
        records = many.manifest and (not many.dry_run or many.manifest.exists())
        notes = stack.enter_context(Manifest(many.manifest)) if many.manifest and records else None
        if not inputs and not (many.shard and general.quiet):  # a share may well have nothing to do
            say(f"share {many.shard} has no photos" if many.shard else "the list names no photos")
        batch = Batch(inputs, plan, spec, many.workers or usable_cores(), notes, cluster)
        if many.dry_run:
            failed = report_rehearsal(batch, general, others)
        else:
            failed = report(batch, out.as_json, general, others=others, has_bar=hinted)
    if failed:
        raise typer.Exit(1)


def _check_stream(alone: bool, engine: BatchEngine) -> None:
    """Refuse options that exclude a photo from stdin."""
    if not alone:
        raise typer.BadParameter(
            "- is one photo and one sample, written to stdout; leave out other photos and -n, --files-from, "
            "--manifest, --shard, --dry-run, --json, --overwrite, --skip-existing, --output and --output-dir"
        )
    if engine is BatchEngine.ray:
        raise typer.BadParameter(
            "- is colorized on this machine; leave out --engine ray", param_hint="--engine"
        )
    if sys.stdout.isatty():
        raise typer.BadParameter("- writes the picture to stdout; redirect it to a file or a program")


def _check_pattern(pattern: str, format: str, values: Mapping[str, str | int], number: int) -> None:
    """Refuse a pattern that is not of such pictures, or gives several samples of a photo one name."""
    ext = ".jpg" if format == "auto" else f".{format}"
    try:
        names = {pattern.format(stem="photo", seed=seed, ext=ext, **values) for seed in range(2)}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise typer.BadParameter(f"--output accepts {_FIELDS}, not {pattern!r}") from error
    if not all(Path(name).suffix.lower() in OUTPUT_SUFFIXES for name in names):
        raise typer.BadParameter(
            f"--output {pattern!r} must end in {{ext}}, .png, .jpg, .webp, .tif or .avif"
        )
    if format != "auto" and any(format_of_name(name) != format for name in names):
        raise typer.BadParameter(f"--output {pattern!r} has a suffix of its own; leave out --format {format}")
    if not Path(pattern).is_absolute() and any(map(leaves_folder, names)):
        raise typer.BadParameter(
            f"--output {pattern!r} leaves the folder of -o; choose that folder, or an absolute --output"
        )
    if number > 1 and len(names) == 1:
        raise typer.BadParameter(
            f"--output {pattern!r} gives all {number} samples the same name; add {{seed}}"
        )
