"""``cinn-colorize film``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.console import print_path, say
from cinn_colorize.cli.summary import Progress, report
from cinn_colorize.engines.choice import Engine
from cinn_colorize.errors import CinnError, counted
from cinn_colorize.imaging.options import FilmEncoding, option
from cinn_colorize.request import FilmRequest

if TYPE_CHECKING:
    from cinn_colorize.batch.films import Films

_FIELDS = "{stem}, {seed}, {temperature}, {n}, {model} and {ext}"
_OUTPUT = f"File names of the results; {_FIELDS} are replaced."


@dataclass(frozen=True)
class FilmOutputOptions(common.ExistingOptions):
    """What files a call makes of each film."""

    output: str | None = option(None, "PATTERN", _OUTPUT, show_default=common.PATTERN)
    encoding: FilmEncoding = FilmEncoding()
    sheet: bool = option(
        False, None, "Write a table of the shots and a contact sheet with samples of each, and no film."
    )
    as_json: bool = common.json_option()


@dataclass(frozen=True)
class WorkOptions:
    """How films are worked on."""

    panel: ClassVar[str] = "Long work"

    workers: int | None = option(None, "N", "Number of processes.", min=1, show_default="cores")
    dry_run: bool = option(False, None, "Write nothing; print what would be written, and its frames.")


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
    """Colorize films, with colours that stay where things are.

    Sizes, time stamps, sound, subtitles and metadata stay, and so does luminance. Version k has the seed
    SEED + k - 1 in all shots. A call that was stopped, however it was, is continued by the same command.

    Examples:
        cinn-colorize film old.mp4 -n 4 --from 1:20 --to 1:35
        cinn-colorize film old.mp4 --sheet
    """
    common.check_seeds(request.seed or 0, request.number)
    common.check_engine(network.engine, network.device, network.precision)
    if out.sheet and request.shots:
        raise typer.BadParameter("--sheet and --shots exclude each other")
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
            _report_dry_run(batch, general.quiet)
        else:
            progress = Progress(0, "frames", batch.first, lambda: (round(batch.done), batch.frames))
            report(batch, out.as_json, general, progress=progress)


def _report_dry_run(films: Films, is_quiet: bool) -> None:
    """Print what would be written on stdout, the rest on stderr; exit with code 1 if films would fail."""
    from cinn_colorize.batch.plan import Failure, State

    failed = frames = files = 0
    for planned in films.dry_run():
        if isinstance(planned, Failure):
            failed += 1
            say(planned.message)
            continue
        missing = [seed for seed, state in planned.states.items() if state is State.MISSING]
        for seed in missing:
            print_path(planned.outputs[seed])
        number = len(missing) if planned.states else films.files
        frames, files = frames + number * planned.film.facts.frames, files + number
    if not is_quiet:
        what = f"{counted(files, 'film')} of {counted(frames, 'frame')} in all"
        say(f"dry run, nothing is written: {what}")
    if failed:
        raise typer.Exit(1)
