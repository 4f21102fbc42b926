"""``cinn-colorize colorize``, the default command."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.console import counting, progress_bar, require_stdout, say, write_stdout
from cinn_colorize.cli.summary import report, report_dry_run
from cinn_colorize.errors import DataError, PhotoError, os_errors_as, printable_name
from cinn_colorize.files.formats import OUTPUT_SUFFIXES, format_of_name
from cinn_colorize.files.limits import read_lines, read_stream, read_table
from cinn_colorize.imaging.options import HintReach, option
from cinn_colorize.request import SampleRequest

if TYPE_CHECKING:
    from cinn_colorize.batch.inputs import Input
    from cinn_colorize.batch.plan import Plan
    from cinn_colorize.batch.run import Batch
    from cinn_colorize.methods.base import SampleMethod

_STREAM = Path("-")
_FIELDS = "{stem}, {seed}, {temperature}, {n}, {method}, {model} and {ext}"
_OUTPUT = f"File names of the results; {_FIELDS} are replaced."
_PHOTOS = "Photos, folders, patterns or @LIST, a file of names; - reads stdin and writes stdout."
_MANIFEST = "Record results, one JSON object a line, and continue from that record."
_DRY_RUN = "Write nothing; print what would be written, and about how long and how large it is."
_ADDRESS = "Address of the cluster for --engine ray; default: one found or started on this machine."


@dataclass(frozen=True)
class ResultOptions(common.BatchOutputOptions):
    """What files a call makes of each photo."""

    output: str | None = option(None, "PATTERN", _OUTPUT, show_default=common.PATTERN)
    sheet: bool = common.sheet_option("Write a labelled contact sheet too, if more than one sample is kept.")

    @property
    def is_plain(self) -> bool:
        """Whether nothing says where results go and how they are printed."""
        chosen = self.as_json or self.overwrite or self.skip_existing or self.output is not None
        return not chosen and self.output_dir == common.FOLDER

    def plan_of(
        self, request: SampleRequest, method: "SampleMethod", model: str, reading: common.PhotoOptions
    ) -> "Plan":
        """Return the plan of a batch; a file name that does not fit is a usage error."""
        kept = request.pick or request.number
        names = {**common.pattern_values(method, request.number, model), "method": method.name}
        # Beside the samples themselves, which have the same seeds.
        stem = "{stem}" if request.like is None else f"{{stem}}_like_{request.like:03d}"
        pattern = common.PATTERN.replace("{stem}", stem) if self.output is None else self.output
        seeds = range(method.seed, method.seed + (method.number if kept > 1 else 1))
        _check_pattern(pattern, self.format, names, seeds)
        sheet = f"{stem}_sheet.jpg" if self.sheet and kept > 1 else ""
        return self.plan(request, method, reading, pattern=pattern, names=names, sheet=sheet)


def _check_pattern(pattern: str, format: str, values: Mapping[str, str | int], seeds: range) -> None:
    """Refuse a pattern that is not of such pictures, or gives two of the samples of a photo one name."""
    ext = ".jpg" if format == "auto" else f".{format}"
    names = common.check_pattern(pattern, _FIELDS, {**values, "ext": ext}, seeds, "samples")
    if not all(Path(name).suffix.lower() in OUTPUT_SUFFIXES for name in names):
        problem = "must end in {ext}, .png, .jpg, .webp, .tif or .avif"
    elif format != "auto" and any(format_of_name(name) != format for name in names):
        problem = f"has a suffix of its own; leave out --format {format}"
    else:
        return
    raise typer.BadParameter(f"--output {pattern!r} {problem}")


@dataclass(frozen=True)
class BatchOptions:
    """Options that only a batch has."""

    panel: ClassVar[str] = "Many photos"

    recursive: bool = common.recursive_option("results go into the same tree")
    files_from: Path | None = option(
        None, "FILE|-", "Read a list of photos, one name a line; results keep their folders."
    )
    null: bool = option(False, None, "Names in lists end in zero bytes.", "-0 --null")
    manifest: Path | None = option(None, "FILE", _MANIFEST)
    shard: str | None = option(None, "I/N", "Colorize only share I of N.")
    workers: int | None = option(None, "N", "Photos colorized at a time.", min=1, show_default="cores")
    dry_run: bool = option(False, None, _DRY_RUN)
    address: str | None = option(None, "HOST:PORT|auto|local", _ADDRESS)

    def check(self, photos: list[Path], engine: common.BatchEngine) -> None:
        self._check_address(engine)
        if not photos and not self.files_from:
            raise typer.BadParameter("no photos; name some, or give a list with --files-from")
        if self.null and not self.files_from and not any(map(_is_list, photos)):
            raise typer.BadParameter("--null requires a list; give one with --files-from or @FILE")
        if self.shard:
            _share(self.shard)

    @property
    def is_plain(self) -> bool:
        """Whether nothing asks for more than one photo or for records."""
        return not (self.files_from or self.manifest or self.shard or self.dry_run)

    def batch(
        self,
        inputs: "list[Input | PhotoError]",
        plan: "Plan",
        network: common.BatchModelOptions,
        stack: contextlib.ExitStack,
    ) -> "Batch":
        """Return the batch that does it; what must be closed afterwards goes onto the stack."""
        from cinn_colorize.batch.run import Batch

        spec, cluster = network.batch_spec(plan.method.encodes), None
        if network.engine is common.BatchEngine.ray:
            from cinn_colorize.batch.cluster import on_cluster

            cluster = partial(on_cluster, self.address, self.workers)
        manifest = None
        if self.manifest and (not self.dry_run or self.manifest.exists()):
            from cinn_colorize.batch.manifest import Manifest

            how = plan.settings(spec), (plan.seeds[0], plan.seeds[-1]), plan.method.order
            manifest = stack.enter_context(Manifest(self.manifest, *how))
        return Batch(inputs, plan, spec, self.workers, manifest, cluster)

    def inputs(self, photos: list[Path], output: Path, not_taken: list[Path]) -> "list[Input | PhotoError]":
        """Return this machine's share of the photos, named and listed; names that lead to none are errors."""
        from cinn_colorize.batch.inputs import checked, find_inputs, shard

        named, listed = self._names(photos)
        options: Any = {"recursive": self.recursive, "output": output, "not_taken": not_taken}
        found = checked(find_inputs(named, listed, **options))
        return shard(found, *_share(self.shard)) if self.shard else found

    def _names(self, photos: list[Path]) -> tuple[list[Path], list[Path]]:
        from cinn_colorize.batch.inputs import read_list

        named = [path for path in photos if not _is_list(path)]
        lists = [Path(str(path)[1:]) for path in photos if _is_list(path)]
        listed = []
        for path in lists + ([self.files_from] if self.files_from else []):
            name = "stdin" if path == _STREAM else printable_name(path)
            with os_errors_as(DataError, name, "the list cannot be read"):
                content = read_lines(sys.stdin.buffer) if path == _STREAM else read_table(path)
            listed += read_list(content, name, null=self.null)
        return named, listed

    def _check_address(self, engine: common.BatchEngine) -> None:
        address, problem = self.address, ""
        if address is None:
            return
        if engine is not common.BatchEngine.ray:
            problem = "requires a Ray cluster; add --engine ray"
        elif "://" in address:
            problem = f"{address} is for Ray Client; run this on a machine of the cluster with --address auto"
        elif not re.fullmatch(r"auto|local|.+:\d+", address):
            problem = f"{address!r} is not HOST:PORT, auto or local"
        if problem:
            raise typer.BadParameter(problem, param_hint="--address")


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
    and the same seed gives the same picture again. The paths of new results go to stdout. A result that
    exists and was made in the same way is left alone; one that was made in another way causes an error unless
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
    if streamed := _STREAM in named:
        alone = named == [_STREAM] and request.number == 1 and many.is_plain and out.is_plain
        _check_stream(alone, network.engine)
    with general.reporting(), contextlib.ExitStack() as stack:
        bars = stack.enter_context(progress_bar(general.quiet or not request.is_hinted))
        progress = counting(bars, "following hints", visible=request.is_hinted)
        method = common.method_of(request, network.info, reading, "--hint", progress=progress)
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
            from cinn_colorize.batch.dry_run import dry_run

            report_dry_run(dry_run(batch), batch, general, not_taken)
        else:
            report(batch, out.as_json, general, not_taken, has_bar=request.is_hinted)


def _check(request: SampleRequest, network: common.BatchModelOptions) -> None:
    pages = common.pages_of(request.pages)
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
    elif request.hint_reach is not HintReach.thing:
        raise typer.BadParameter("requires --hint or --hints", param_hint="--hint-reach")
    common.check_engine(network.engine, network.device, network.precision)


def _check_stream(alone: bool, engine: common.BatchEngine) -> None:
    """Refuse options that exclude a photo from stdin."""
    if not alone:
        others = (
            "--manifest, --shard, --dry-run, --json, --overwrite, --skip-existing, --output and --output-dir"
        )
        problem = f"leave out other photos and -n, --files-from, {others}"
        raise typer.BadParameter(f"- is one photo and one sample, written to stdout; {problem}")
    if engine is common.BatchEngine.ray:
        problem = "- is colorized on this machine; leave out --engine ray"
        raise typer.BadParameter(problem, param_hint="--engine")
    if sys.stdout.isatty():
        raise typer.BadParameter("- writes the picture to stdout; redirect it to a file or a program")


def _is_list(path: Path) -> bool:
    return str(path).startswith("@") and not os.path.lexists(path)


def _share(shard: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter(f"{shard!r} is not I/N with I from 1 to N", param_hint="--shard")
    return int(match[1]), int(match[2])
