"""``cinn-colorize evaluate``."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.console import fatal, progress_bar, require_stdout, say, show_log
from cinn_colorize.cli.options import (
    LEVELS,
    GeneralOptions,
    ModelOptions,
    OverwriteOption,
    device_of,
    temperature_of,
)
from cinn_colorize.cli.report import claim
from cinn_colorize.files import check_output
from cinn_colorize.formats import OUTPUT_SUFFIXES
from cinn_colorize.latents.levels import MAX_TEMPERATURE, short_levels
from cinn_colorize.messages import printable_name
from cinn_colorize.models.registry import MAX_GUIDANCE
from cinn_colorize.options import DRAWING, OUTPUT
from cinn_colorize.originals import protecting

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

    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance",
            metavar="G",
            help=f"Guidance of the samples, 0 to {MAX_GUIDANCE:g}; the likelihood is always that without.",
            rich_help_panel=DRAWING,
        ),
    ] = 0.0


def evaluate(
    photos: Annotated[Path, typer.Argument(metavar="FOLDER|ZIP", help="Colour photos.", show_default=False)],
    *,
    samples: Annotated[
        int,
        typer.Option(
            "--samples", metavar="N", min=1, help="Number of samples per photo.", rich_help_panel=DRAWING
        ),
    ] = 8,
    temperatures: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--temperature",
            metavar="T|LEVEL:T,...",
            help=f"Temperature of a row, 0 to {MAX_TEMPERATURE:g}: 0 draws the safest colours, 1 the model's "
            f"full variety; may be repeated. 0.8,32:0.6 sets it by level. {LEVELS}",
            show_default="1",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    every: Annotated[
        int,
        typer.Option("--every", metavar="N", min=1, help="Measure only every N-th photo, sorted by name."),
    ] = 1,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=1, help="Measure only the first N of these.", show_default=False
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAME,...",
            autocompletion=_more_metrics,
            help=f"Slower measures to add: {', '.join(_NEEDED)}.",
            show_default=False,
            rich_help_panel=_REALISM,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="FOLDER|ZIP",
            help="Colour photos to compare the samples with, for kid_lite0 and fid.",
            show_default=False,
            rich_help_panel=_REALISM,
        ),
    ] = None,
    reference_limit: Annotated[
        int | None,
        typer.Option(
            "--reference-limit",
            metavar="N",
            min=2,
            help="Use only the first N reference photos, sorted by name.",
            show_default=f"{_REFERENCES}",
            rich_help_panel=_REALISM,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="TSV",
            help="ImageNet classes of the photos, for top5_lite0 and top5_vgg16: a table with the columns "
            "entry and class.",
            show_default=False,
            rich_help_panel=_REALISM,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Plot how well the spread of the samples predicts the photos, for a single -t.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="Compare with an earlier result of --json, photo by photo: add how much each measure "
            "differs from that of each of its rows.",
            show_default=False,
        ),
    ] = None,
    subsets: Annotated[
        Path | None,
        typer.Option(
            "--subsets",
            metavar="TSV",
            help="Measure photos by what they show too: a table with the columns entry and shows, words "
            "separated by commas.",
            show_default=False,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=OUTPUT)
    ] = False,
    network: EvaluatedModelOptions,
    general: GeneralOptions,
) -> None:
    """Measure a model on colour photos.

    Print Markdown tables with a row for the model at each -t, two for the control (its colours at temperature
    0 in random tints), one for the gray photo and one for its own colours. A photo that cannot be read or is
    gray is reported and left out, and the exit code is 1.

    Examples:
        cinn-colorize evaluate photos.zip -t 1 -t 0.6
        cinn-colorize evaluate photos.zip --metrics kid_lite0 --reference others.zip
    """
    chosen = _chosen(metrics, {"--reference": reference, "--labels": labels})
    rows = [temperature_of(text, network.info, 1.0) for text in temperatures or ["1"]]
    if len(set(map(short_levels, rows))) < len(rows):
        raise typer.BadParameter("has the same temperature twice", param_hint="--temperature")
    if reference_limit is not None and reference is None:
        raise typer.BadParameter("requires --reference", param_hint="--reference-limit")
    if plot:
        _check_plot(plot, len(rows), samples)
    show_log(general.quiet, general.verbose)
    with fatal(general.debug), contextlib.ExitStack() as stack:
        require_stdout()
        if plot:
            claim([plot], overwrite, "another file")
        import cv2

        from cinn_colorize import evaluation
        from cinn_colorize.data.sources import find_photos
        from cinn_colorize.methods.contact_sheet import save_sheet

        # OpenCV stays silent: a damaged photo is reported once, by its name.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        where = device_of(network.device)
        sources = find_photos(photos, pattern=None)[::every][:limit]
        names = [source.name_in(photos) for source in sources]
        earlier = evaluation.read_earlier(against, names, samples) if against else None
        shown = evaluation.read_subsets(subsets, names) if subsets else None
        references = (
            find_photos(reference, pattern=None)[: reference_limit or _REFERENCES] if reference else []
        )
        if plot:
            inputs = {Path(source.path) for source in [*sources, *references]}
            stack.enter_context(protecting(inputs))
            check_output(plot, "another file")
        classes = evaluation.read_labels(labels, sources, photos) if labels else {}
        # Measures do not show the last bits, which depend on the chunk.
        chunk = min(samples, _CHUNK)
        colorizer = network.colorizer(chunk)
        calibration = evaluation.Calibration(samples) if plot else None
        with progress_bar(general.quiet) as progress:

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
                samples=samples,
                temperatures=rows,
                measures=[makers[name]() for name in chosen],
                calibration=calibration,
                root=photos,
                network=evaluation.DrawnBy(network.model, colorizer.sha256, colorizer.guidance),
                progress=bar("measuring"),
            )
        for failure in report.failures:
            say(failure)
        typer.echo(report.to_json(earlier, shown) if as_json else report.to_markdown(earlier, shown))
        if plot and calibration:
            save_sheet(evaluation.calibration_plot(calibration), plot)
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
    for option, value in given.items():
        users = [name for name, needed in _NEEDED.items() if needed == option]
        if value is not None and not set(users) & set(names):
            raise typer.BadParameter(f"requires --metrics {' or '.join(users)}", param_hint=option)
    return names
