"""``cinn-colorize colorize``, the default command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli import common, values
from cinn_colorize.cli.console import progress_bar, require_stdout, say, write_stdout
from cinn_colorize.cli.many import STREAM, BatchOptions
from cinn_colorize.cli.summary import report, report_dry_run
from cinn_colorize.files.formats import OUTPUT_SUFFIXES, format_of_name
from cinn_colorize.files.limits import read_stream
from cinn_colorize.imaging.options import option
from cinn_colorize.request import SampleRequest

if TYPE_CHECKING:
    from cinn_colorize.batch.plan import Plan
    from cinn_colorize.methods.base import SampleMethod

_PATTERN = "{stem}_{seed:03d}{ext}"
_FIELDS = "{stem}, {seed}, {temperature}, {n}, {method}, {model} and {ext}"
_OUTPUT = f"File names of the results; {_FIELDS} are replaced."
_PHOTOS = "Photos, folders, patterns or @LIST, a file of names; - reads stdin and writes stdout."


@dataclass(frozen=True)
class ResultOptions(common.BatchOutputOptions):
    """What files a call makes of each photo."""

    output: str | None = option(None, "PATTERN", _OUTPUT, show_default=_PATTERN)
    sheet: bool = common.sheet_option("Write a labelled contact sheet too, if more than one sample is kept.")

    @property
    def is_plain(self) -> bool:
        """Whether nothing says where results go and how they are printed."""
        chosen = self.as_json or self.overwrite or self.skip_existing or self.output is not None
        return not chosen and self.output_dir == common.FOLDER

    def plan_of(
        self, request: SampleRequest, method: SampleMethod, model: str, reading: common.PhotoOptions
    ) -> Plan:
        """Return the plan of a batch; a file name that does not fit is a usage error."""
        kept = request.pick or request.number
        names = {**common.pattern_values(method, request.number, model), "method": method.name}
        # Beside the samples themselves, which have the same seeds.
        stem = "{stem}" if request.like is None else f"{{stem}}_like_{request.like:03d}"
        pattern = _PATTERN.replace("{stem}", stem) if self.output is None else self.output
        _check_pattern(pattern, self.format, names, method.number if kept > 1 else 1, method.seed)
        sheet = f"{stem}_sheet.jpg" if self.sheet and kept > 1 else ""
        return self.plan(request, method, reading, pattern=pattern, names=names, sheet=sheet)


def _check_pattern(
    pattern: str, format: str, values: Mapping[str, str | int], number: int, first: int
) -> None:
    """Refuse a pattern that is not of such pictures, or gives two of the samples of a photo one name."""
    ext = ".jpg" if format == "auto" else f".{format}"
    names = common.check_pattern(
        pattern, _FIELDS, {**values, "ext": ext}, range(first, first + number), "samples"
    )
    if not all(Path(name).suffix.lower() in OUTPUT_SUFFIXES for name in names):
        problem = "must end in {ext}, .png, .jpg, .webp, .tif or .avif"
    elif format != "auto" and any(format_of_name(name) != format for name in names):
        problem = f"has a suffix of its own; leave out --format {format}"
    else:
        return
    raise typer.BadParameter(f"--output {pattern!r} {problem}")


def colorize(
    photos: Annotated[list[Path] | None, common.argument("PHOTO", _PHOTOS)] = None,
    *,
    request: SampleRequest,
    out: ResultOptions,
    many: BatchOptions,
    reading: common.PhotoOptions,
    network: common.BatchModelOptions,
    general: common.GeneralOptions,
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
    named, not_taken = photos or [], list[Path]()
    _check(request, network)
    many.check(named, network.engine)
    if many.dry_run and out.as_json:
        raise typer.BadParameter("--json prints results, and --dry-run makes none; leave out one of them")
    if streamed := STREAM in named:
        alone = named == [STREAM] and request.number == 1 and many.is_plain and out.is_plain
        _check_stream(alone, network.engine)
    with general.reporting(), contextlib.ExitStack() as stack:
        steps = stack.enter_context(progress_bar(general.quiet or not request.is_hinted))
        step = steps.add_task("following hints", total=None, visible=request.is_hinted)
        method = common.method_of(
            request,
            network.info,
            reading,
            "--hint",
            progress=lambda done, total: steps.update(step, completed=done, total=total),
        )
        plan = out.plan_of(request, method, network.model, reading)
        if streamed or many.dry_run:
            require_stdout()
        if streamed:
            from cinn_colorize.batch.run import colorize_stream

            content = read_stream(sys.stdin.buffer, "stdin", reading.limit)
            write_stdout(colorize_stream(content, plan, network.batch_spec(method.encodes)))
            return
        inputs = many.inputs(named, out.output_dir, not_taken)
        if request.is_hinted and len(inputs) > 1:
            raise typer.BadParameter("hints apply to one photo; name no other", param_hint="--hint")
        batch = many.batch(inputs, plan, network, stack)
        if not inputs and not (many.shard and general.quiet):  # a share may well have nothing to do
            say(f"share {many.shard} has no photos" if many.shard else "the list names no photos")
        if many.dry_run:
            report_dry_run(batch, general, not_taken)
        else:
            report(batch, out.as_json, general, not_taken, has_bar=request.is_hinted)


def _check(request: SampleRequest, network: common.BatchModelOptions) -> None:
    """Refuse options that contradict each other."""
    pages = values.pages(request.pages)
    common.check_seeds(max(request.seed or 0, request.like or 0), request.number + (request.like is not None))
    if request.pick and request.pick > request.number:
        problem = f"cannot keep {request.pick} of {request.number} samples; raise -n"
        raise typer.BadParameter(problem, param_hint="--pick")
    if request.is_hinted:
        if request.rank or request.pick or request.like is not None or request.rendering.white_balance:
            problem = "--like, --rank, --pick and --white-balance exclude --hint and --hints"
            raise typer.BadParameter(problem)
        if network.engine is common.BatchEngine.ray:
            problem = "hints apply to one photo; leave out --engine ray"
            raise typer.BadParameter(problem, param_hint="--engine")
        if pages and pages.first != pages.last:
            raise typer.BadParameter("hints apply to one page", param_hint="--pages")
    common.check_engine(network.engine, network.device, network.precision)


def _check_stream(alone: bool, engine: common.BatchEngine) -> None:
    """Refuse options that exclude a photo from stdin."""
    if not alone:
        raise typer.BadParameter(
            "- is one photo and one sample, written to stdout; leave out other photos and -n, --files-from, "
            "--manifest, --shard, --dry-run, --json, --overwrite, --skip-existing, --output and --output-dir"
        )
    if engine is common.BatchEngine.ray:
        problem = "- is colorized on this machine; leave out --engine ray"
        raise typer.BadParameter(problem, param_hint="--engine")
    if sys.stdout.isatty():
        raise typer.BadParameter("- writes the picture to stdout; redirect it to a file or a program")
