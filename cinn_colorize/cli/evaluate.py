"""``cinn-colorize evaluate``."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.common import GeneralOptions, ModelOptions, device_of, overwrite_option, temperature_of
from cinn_colorize.cli.console import fatal, progress_bar, require_stdout, say, show_log
from cinn_colorize.cli.summary import claim
from cinn_colorize.files.atomic import check_output
from cinn_colorize.files.formats import OUTPUT_SUFFIXES
from cinn_colorize.files.messages import printable_name
from cinn_colorize.files.originals import protecting
from cinn_colorize.imaging.options import DRAWING, OUTPUT, option
from cinn_colorize.latents.levels import MAX_TEMPERATURE, short_levels
from cinn_colorize.models.registry import MAX_GUIDANCE
from cinn_colorize.request import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cinn_colorize.evaluation import Measure

_CHUNK = 8  # samples that go through the network at a time
_REFERENCES = 1000
_REALISM = "Measures that require a network"
_NEEDED = {  # the option that each of them requires
    "kid_lite0": "--reference",
    "fid": "--reference",
    "st_lpips": None,
    "top5_lite0": "--labels",
    "top5_vgg16": "--labels",
}


def _more_metrics(incomplete: str) -> list[str]:
    """Complete the last of several names."""
    given, comma, _ = incomplete.rpartition(",")
    return [f"{given}{comma}{name}" for name in _NEEDED if name not in given.split(",")]


@dataclass(frozen=True)
class EvaluatedModelOptions(ModelOptions):
    """The network that is measured: as it was learnt, unless guidance is asked for."""

    guidance: float | None = option(
        0.0,
        "G",
        f"Guidance of the samples, 0 to {MAX_GUIDANCE:g}; the likelihood is always that without.",
        panel=DRAWING,
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of ``evaluate``."""

    samples: int = option(8, "N", "Number of samples per photo.", panel=DRAWING, min=1)
    temperatures: list[str] | None = option(
        None,
        "T|LEVEL:T,...",
        f"Temperature of a row, 0 to {MAX_TEMPERATURE:g}: 0 draws the safest colours, 1 the model's "
        f"full variety; may be repeated. 0.8,32:0.6 sets it by level. {LEVELS}",
        "-t --temperature",
        panel=DRAWING,
        show_default="1",
    )
    every: int = option(1, "N", "Measure only every N-th photo, sorted by name.", min=1)
    limit: int | None = option(None, "N", "Measure only the first N of these.", min=1, show_default=False)
    metrics: str | None = option(
        None,
        "NAME,...",
        f"Slower measures to add: {', '.join(_NEEDED)}.",
        panel=_REALISM,
        autocompletion=_more_metrics,
        show_default=False,
    )
    reference: Path | None = option(
        None,
        "FOLDER|ZIP",
        "Colour photos to compare the samples with, for kid_lite0 and fid.",
        panel=_REALISM,
        show_default=False,
    )
    reference_limit: int | None = option(
        None,
        "N",
        "Use only the first N reference photos, sorted by name.",
        panel=_REALISM,
        min=2,
        show_default=f"{_REFERENCES}",
    )
    labels: Path | None = option(
        None,
        "TSV",
        "ImageNet classes of the photos, for top5_lite0 and top5_vgg16: a table with the columns "
        "entry and class.",
        panel=_REALISM,
        show_default=False,
    )
    plot: Path | None = option(
        None,
        "FILE",
        "Plot how well the spread of the samples predicts the photos, for a single -t.",
        panel=OUTPUT,
        show_default=False,
    )
    against: Path | None = option(
        None,
        "FILE",
        "Compare with an earlier result of --json, photo by photo: add how much each measure "
        "differs from that of each of its rows.",
        show_default=False,
    )
    subsets: Path | None = option(
        None,
        "TSV",
        "Measure photos by what they show too: a table with the columns entry and shows, words "
        "separated by commas.",
        show_default=False,
    )
    overwrite: bool = overwrite_option()
    as_json: bool = option(False, None, "Print JSON instead of a table.", "--json", panel=OUTPUT)
    network: EvaluatedModelOptions
    general: GeneralOptions


def evaluate(
    photos: Annotated[Path, typer.Argument(metavar="FOLDER|ZIP", help="Colour photos.", show_default=False)],
    options: EvaluateOptions,
) -> None:
    """Measure a model on colour photos.

    Print Markdown tables with a row for the model at each -t, two for the control (its colours at temperature
    0 in random tints), one for the gray photo and one for its own colours. A photo that cannot be read or is
    gray is reported and left out, and the exit code is 1.

    Examples:
        cinn-colorize evaluate photos.zip -t 1 -t 0.6
        cinn-colorize evaluate photos.zip --metrics kid_lite0 --reference others.zip
    """
    chosen = _chosen(options.metrics, {"--reference": options.reference, "--labels": options.labels})
    rows = [temperature_of(text, options.network.info, 1.0) for text in options.temperatures or ["1"]]
    if len(set(map(short_levels, rows))) < len(rows):
        raise typer.BadParameter("has the same temperature twice", param_hint="--temperature")
    if options.reference_limit is not None and options.reference is None:
        raise typer.BadParameter("requires --reference", param_hint="--reference-limit")
    if options.plot:
        _check_plot(options.plot, len(rows), options.samples)
    show_log(options.general.quiet, options.general.verbose)
    with fatal(options.general.debug), contextlib.ExitStack() as stack:
        require_stdout()
        if options.plot:
            claim([options.plot], options.overwrite, "another file")
        import cv2

        from cinn_colorize import evaluation
        from cinn_colorize.data.sources import find_photos
        from cinn_colorize.methods.contact_sheet import save_sheet

        # OpenCV stays silent: a damaged photo is reported once, by its name.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        where = device_of(options.network.device)
        sources = find_photos(photos, pattern=None)[:: options.every][: options.limit]
        names = [source.name_in(photos) for source in sources]
        earlier = (
            evaluation.read_earlier(options.against, names, options.samples) if options.against else None
        )
        shown = evaluation.read_subsets(options.subsets, names) if options.subsets else None
        references = (
            find_photos(options.reference, pattern=None)[: options.reference_limit or _REFERENCES]
            if options.reference
            else []
        )
        if options.plot:
            inputs = {Path(source.path) for source in [*sources, *references]}
            stack.enter_context(protecting(inputs))
            check_output(options.plot, "another file")
        classes = evaluation.read_labels(options.labels, sources, photos) if options.labels else {}
        # Measures do not show the last bits, which depend on the chunk.
        chunk = min(options.samples, _CHUNK)
        colorizer = options.network.colorizer(chunk)
        calibration = evaluation.Calibration(options.samples) if options.plot else None
        with progress_bar(options.general.quiet) as progress:

            def bar(description: str) -> Callable[[int, int], None]:
                task = progress.add_task(description, total=None)
                return lambda done, total: progress.update(task, completed=done, total=total)

            makers: dict[str, Callable[[], Measure]] = {
                "kid_lite0": lambda: evaluation.KidLite0(references, where, bar("reference photos")),
                "fid": lambda: evaluation.Fid(references, where, bar("reference photos of fid")),
                "st_lpips": lambda: evaluation.StLpips(where),
                "top5_lite0": lambda: evaluation.Top5("lite0", classes, where),
                "top5_vgg16": lambda: evaluation.Top5("vgg16", classes, where),
            }
            report = evaluation.evaluate(
                colorizer,
                sources,
                samples=options.samples,
                temperatures=rows,
                measures=[makers[name]() for name in chosen],
                calibration=calibration,
                root=photos,
                network=evaluation.DrawnBy(options.network.model, colorizer.sha256, colorizer.guidance),
                progress=bar("measuring"),
            )
        for failure in report.failures:
            say(failure)
        typer.echo(report.to_json(earlier, shown) if options.as_json else report.to_markdown(earlier, shown))
        if options.plot and calibration:
            save_sheet(evaluation.calibration_plot(calibration), options.plot)
    if report.failures:
        raise typer.Exit(1)


def _check_plot(plot: Path, temperatures: int, samples: int) -> None:
    problem = ""
    if plot.suffix.lower() not in OUTPUT_SUFFIXES:
        problem = f"{printable_name(plot)}: must end in {', '.join(sorted(OUTPUT_SUFFIXES))}"
    elif temperatures > 1:
        problem = "draws one temperature; give -t once"
    elif samples < 2:
        problem = "requires two samples or more"
    elif not find_spec("matplotlib"):
        problem = "requires the package matplotlib; pip install 'cinn-colorize[evaluation]'"
    if problem:
        raise typer.BadParameter(problem, param_hint="--plot")


def _chosen(metrics: str | None, given: dict[str, Path | None]) -> list[str]:
    """Return the measures asked for; refuse options that are missing or that none of them uses."""
    names = list(dict.fromkeys(metrics.split(","))) if metrics else []
    if unknown := [name for name in names if name not in _NEEDED]:
        problem = f"{unknown[0]!r} is not one of {', '.join(_NEEDED)}"
        raise typer.BadParameter(problem, param_hint="--metrics")
    for name in names:
        needed = _NEEDED[name]
        if needed and given[needed] is None:
            raise typer.BadParameter(f"{name} requires {needed}", param_hint="--metrics")
    for flag, value in given.items():
        users = [name for name, needed in _NEEDED.items() if needed == flag]
        if value is not None and not set(users) & set(names):
            raise typer.BadParameter(f"requires --metrics {' or '.join(users)}", param_hint=flag)
    return names
