"""``cinn-colorize colorize``, the default command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.common import (
    FOLDER,
    BatchOutputOptions,
    GeneralOptions,
    ModelOptions,
    PhotoOptions,
    check_seeds,
    device_of,
    frame_option,
    pages_option,
    temperature_of,
    temperature_option,
    usage_errors,
)
from cinn_colorize.cli.console import fatal, progress_bar, require_stdout, say, show_log, write_stdout
from cinn_colorize.cli.engine import BatchEngine, batch_engine_option, check_engine
from cinn_colorize.cli.many import STREAM, BatchOptions
from cinn_colorize.cli.summary import report, report_rehearsal
from cinn_colorize.engines.choice import Engine
from cinn_colorize.files.atomic import leaves_folder
from cinn_colorize.files.formats import OUTPUT_SUFFIXES, format_of_name
from cinn_colorize.files.limits import read_stream
from cinn_colorize.imaging.options import DRAWING, OUTPUT, TYPICAL_OF, Rank, Rendering, option
from cinn_colorize.latents.levels import short_levels

_PATTERN = "{stem}_{seed:03d}{ext}"
_FIELDS = "{stem}, {seed}, {temperature}, {n}, {method}, {model} and {ext}"


@dataclass(frozen=True, kw_only=True)
class ColorizeOptions:
    """Options of ``colorize``."""

    panel: ClassVar[str] = DRAWING

    number: int = option(1, "N", "Number of samples per photo.", "-n --number", min=1)
    temperature: str | None = temperature_option()
    seed: int | None = option(
        None,
        "SEED",
        "Seed of the first sample; later samples count up from it.",
        "-s --seed",
        min=0,
        show_default=f"0; with -n 1, the most typical of 0 to {TYPICAL_OF - 1}; "
        "with --like, the one after it",
    )
    rendering: Rendering
    frame: str = frame_option()
    pages: str | None = pages_option()
    like: int | None = option(
        None,
        "SEED",
        "Draw samples like the one with this seed: its colours varied a little, details drawn anew.",
        min=0,
        show_default=False,
    )
    rank: Rank | None = option(
        None,
        None,
        "Sort the samples, in the sheet too: the most typical first, or the likeliest.",
        show_default="by seed",
    )
    pick: int | None = option(
        None,
        "K",
        "Keep only K of the N samples: typical but different ones or, by --rank log-prob, the likeliest.",
        min=1,
    )
    hint: list[str] | None = option(
        None,
        "X,Y,COLOR",
        "Colour wanted at a pixel of the photo: #a02832, #a23 or red, say; may be repeated.",
        show_default=False,
    )
    strokes: Path | None = option(
        None,
        "FILE",
        "Picture of the colours wanted, painted over the photo on a transparent layer.",
        "--hints",
        show_default=False,
    )
    out: BatchOutputOptions
    output: str | None = option(
        None,
        "PATTERN",
        f"File names of the results; {_FIELDS} are replaced.",
        panel=OUTPUT,
        show_default=_PATTERN,
    )
    sheet: bool = option(
        True,
        None,
        "Write a labelled contact sheet too, if more than one sample is kept.",
        "--sheet/--no-sheet",
        panel=OUTPUT,
    )
    many: BatchOptions
    reading: PhotoOptions
    network: ModelOptions
    engine: BatchEngine = batch_engine_option()
    general: GeneralOptions


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
    options: ColorizeOptions,
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
    options.out.check()
    chosen = values.pages(options.pages)
    check_seeds(max(options.seed or 0, options.like or 0), options.number + (options.like is not None))
    if options.pick and options.pick > options.number:
        raise typer.BadParameter(
            f"cannot keep {options.pick} of {options.number} samples; raise -n", param_hint="--pick"
        )
    hinted = bool(options.hint or options.strokes)
    if hinted and (options.rank or options.pick or options.like is not None):
        raise typer.BadParameter("--like, --rank and --pick exclude --hint and --hints")
    if hinted and options.engine is BatchEngine.ray:
        raise typer.BadParameter("hints apply to one photo; leave out --engine ray", param_hint="--engine")
    if hinted and chosen and chosen.first != chosen.last:
        raise typer.BadParameter("hints apply to one page", param_hint="--pages")
    check_engine(options.engine, options.network.device, options.network.precision)
    kept = options.pick or options.number
    temperatures = temperature_of(options.temperature, options.network.info)
    named = photos or []
    options.many.check(named, options.engine)
    if options.many.dry_run and options.out.as_json:
        raise typer.BadParameter("--json prints results, and --dry-run makes none; leave out one of them")
    streamed = STREAM in named
    if streamed:
        alone = (
            named == [STREAM]
            and options.number == 1
            and not (options.many.files_from or options.many.manifest or options.many.shard)
        )
        to_files = (
            options.out.as_json
            or options.out.overwrite
            or options.out.skip_existing
            or options.output is not None
        )
        _check_stream(
            alone and not to_files and options.out.output_dir == FOLDER and not options.many.dry_run,
            options.engine,
        )
    show_log(options.general.quiet, options.general.verbose)

    from cinn_colorize.batch.manifest import Manifest
    from cinn_colorize.batch.processes import usable_cores
    from cinn_colorize.batch.run import Batch, colorize_stream
    from cinn_colorize.methods.drawing import drawing

    steps = progress_bar(options.general.quiet or not hinted)
    if hinted:
        step = steps.add_task("following hints", total=None)
    with usage_errors("--hint"):
        method, drawn, first = drawing(
            options.number,
            options.seed,
            options.network.info.levels,
            like=options.like,
            rank=options.rank,
            pick=options.pick,
            hints=options.hint or (),
            strokes=options.strokes,
            progress=lambda done, total: steps.update(step, completed=done, total=total),
        )
    names: dict[str, str | int] = {
        "temperature": short_levels(temperatures).replace(":", "-"),
        "n": options.number,
        "method": method.name,
        "model": options.network.model,
    }
    # Beside the samples themselves, which have the same seeds.
    stem = "{stem}" if options.like is None else f"{{stem}}_like_{options.like:03d}"
    output = _PATTERN.replace("{stem}", stem) if options.output is None else options.output
    _check_pattern(output, options.out.format, names, kept)
    plan = options.out.plan(
        method=method.rendered(options.rendering),
        number=drawn,
        temperature=temperatures,
        seed=first,
        rendering=options.rendering,
        frame=options.frame,
        pages=chosen,
        pattern=output,
        names=names,
        sheet=options.sheet and kept > 1,
        sheet_pattern=f"{stem}_sheet.jpg",
        max_pixels=options.reading.limit,
    )
    with fatal(options.general.debug), contextlib.ExitStack() as stack, steps:
        if streamed or options.many.dry_run:
            require_stdout()
        others: list[Path] = []
        inputs = [] if streamed else options.many.inputs(named, options.out.output_dir, others)
        if hinted and len(inputs) > 1:
            raise typer.BadParameter("hints apply to one photo; name no other", param_hint="--hint")
        on_cluster = options.engine is BatchEngine.ray
        spec = options.network.spec(method.encodes, Engine.auto if on_cluster else Engine(options.engine))
        cluster = None
        if on_cluster:
            from cinn_colorize.batch.cluster import Cluster

            cluster = Cluster(options.many.address, options.many.workers)
        if options.network.device not in ("auto", "cpu") and not cluster:
            device_of(options.network.device)  # otherwise this process does not need torch
        if streamed:
            content = read_stream(sys.stdin.buffer, "stdin", options.reading.limit)
            write_stdout(colorize_stream(content, plan, spec))
            return
        records = options.many.manifest and (not options.many.dry_run or options.many.manifest.exists())
        notes = (
            stack.enter_context(Manifest(options.many.manifest))
            if options.many.manifest and records
            else None
        )
        if not inputs and not (
            options.many.shard and options.general.quiet
        ):  # a share may well have nothing to do
            say(
                f"share {options.many.shard} has no photos"
                if options.many.shard
                else "the list names no photos"
            )
        batch = Batch(inputs, plan, spec, options.many.workers or usable_cores(), notes, cluster)
        if options.many.dry_run:
            failed = report_rehearsal(batch, options.general, others)
        else:
            failed = report(batch, options.out.as_json, options.general, others=others, has_bar=hinted)
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
