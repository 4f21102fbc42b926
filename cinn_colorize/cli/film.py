"""``cinn-colorize film``."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.summary import Progress, report, report_dry_run
from cinn_colorize.engines.choice import Engine
from cinn_colorize.errors import CinnError
from cinn_colorize.imaging.options import FilmEncoding, option
from cinn_colorize.request import FilmRequest

_FIELDS = "{stem}, {seed}, {temperature}, {n}, {model} and {ext}"
_OUTPUT = f"File names of the results; {_FIELDS} are replaced."


@dataclass(frozen=True)
class FilmOutputOptions(common.ExistingOptions):
    """What files a call makes of each film."""

    output: str | None = option(None, "PATTERN", _OUTPUT, show_default=common.PATTERN)
    encoding: FilmEncoding = FilmEncoding()
    sheet: bool = option(False, None, "Write a table of the shots and a contact sheet, and no film.")
    as_json: bool = common.json_option()


@dataclass(frozen=True)
class WorkOptions:
    """How films are worked on."""

    panel: ClassVar[str] = "Long work"

    workers: int | None = option(None, "N", "Number of processes.", min=1, show_default="cores")
    dry_run: bool = option(False, None, "Print what would be written, its size and the time it takes.")


@dataclass(frozen=True)
class FilmModelOptions(common.ModelOptions):
    """The network, and what computes it."""

    engine: Engine = common.engine_option()


def film(
    films: Annotated[list[Path], common.argument("FILM", "Films, in any format that FFmpeg reads.")],
    *,
    request: FilmRequest,
    out: FilmOutputOptions,
    work: WorkOptions,
    network: FilmModelOptions,
    general: common.GeneralOptions,
) -> None:
    """Colorize films, with colours that move with things.

    Sizes, time stamps, sound, subtitles and metadata stay, and so does luminance. Version k has the seed
    SEED + k - 1 in all shots. If a call was stopped in whatever way, the same command continues it.

    Examples:
        cinn-colorize film old.mp4 -n 4 --from 1:20 --to 1:35
        cinn-colorize film old.mp4 --sheet
    """
    common.check_seeds(request.seed or 0, request.number)
    common.check_engine(network.engine, network.device, network.precision)
    if out.sheet and (request.shots or work.dry_run):
        raise typer.BadParameter("--sheet excludes --shots and --dry-run; leave these out")
    if work.dry_run and out.as_json:
        raise typer.BadParameter("--json prints results, and --dry-run makes none; leave out one of them")
    if request.end is not None and request.end <= (request.start or 0):
        raise typer.BadParameter("must be later than --from", param_hint="--to")
    info = network.info
    request = replace(request, temperature=common.temperature_of(request.temperature, info))
    with common.usage_errors("--pick"):
        method = request.method(info)
    names = common.pattern_values(method, request.number, network.model)
    pattern = out.output or common.PATTERN
    first = request.seed or 0
    seeds = range(first, first + request.number)
    common.check_pattern(pattern, _FIELDS, {**names, "ext": ".mp4"}, seeds, "versions")
    if not pattern.endswith("{ext}"):
        raise typer.BadParameter(f"--output {pattern!r} must end in {{ext}}")
    with general.reporting():
        if not find_spec("av"):
            raise CinnError("films require PyAV; pip install 'cinn-colorize[film]'")
        from cinn_colorize.batch.films import FilmPlan, Films

        plan = FilmPlan(
            request=request,
            method=method,
            folder=out.output_dir,
            pattern=pattern,
            existing=out.existing,
            names=names,
            encoding=out.encoding,
            sheet=out.sheet,
        )
        batch = Films(films, plan, network.spec(engine=network.engine), work.workers)
        if work.dry_run:
            report_dry_run(batch.dry_run(), batch, general)
        else:
            progress = Progress(0, "frames", batch.first, lambda: (round(batch.done), batch.frames))
            report(batch, out.as_json, general, progress=progress)
