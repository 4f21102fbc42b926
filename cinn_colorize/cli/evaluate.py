"""``cinn-colorize evaluate``."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.console import counting, progress_bar, require_stdout, say
from cinn_colorize.cli.summary import claim
from cinn_colorize.errors import printable_name
from cinn_colorize.files.atomic import check_output, protecting
from cinn_colorize.files.formats import OUTPUT_SUFFIXES
from cinn_colorize.imaging.options import DRAWING, OUTPUT, option
from cinn_colorize.latents.levels import MAX_TEMPERATURE, PerLevel, short_levels
from cinn_colorize.models.registry import MAX_GUIDANCE, ModelInfo
from cinn_colorize.request import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from rich.progress import Progress

    from cinn_colorize.data.sources import Source
    from cinn_colorize.evaluation import Measure

_CHUNK = 8  # samples that go through the network at a time
_REFERENCES = 1000
_NEEDED = {  # the option that each of them requires
    "kid_lite0": "--reference",
    "fid": "--reference",
    "st_lpips": None,
    "top5_lite0": "--labels",
    "top5_vgg16": "--labels",
}
_TEMPERATURES = (
    f"Temperature of a row, 0 to {MAX_TEMPERATURE:g}: 0 draws the safest colours, 1 the model's full "
    f"variety; may be repeated. 0.8,32:0.6 sets it by level. {LEVELS}"
)
_METRICS = f"Slower measures to add: {', '.join(_NEEDED)}."
_REFERENCE = "Colour photos to compare the samples with, for kid_lite0 and fid."
_LIMIT = "Use only the first N reference photos, sorted by name."
_LABELS = "ImageNet classes of photos, for top5_lite0 and top5_vgg16: a table with columns entry and class."
_GUIDANCE = f"Guidance of the samples, 0 to {MAX_GUIDANCE:g}; the likelihood is always computed without."
_PLOT = "Plot how well the spread of the samples predicts the photos, for a single -t."
_AGAINST = "Compare with an earlier result of --json, photo by photo: add tables of differences from it."
_SUBSETS = (
    "Measure photos by what they show too: a table with the columns entry and shows, words separated by "
    "commas."
)


def _more_metrics(incomplete: str) -> list[str]:
    given, comma, _ = incomplete.rpartition(",")
    return [f"{given}{comma}{name}" for name in _NEEDED if name not in given.split(",")]


@dataclass(frozen=True)
class SampleOptions:
    """What is drawn of each photo."""

    panel: ClassVar[str] = DRAWING

    samples: int = option(8, "N", "Number of samples per photo.", min=1)
    temperatures: list[str] | None = option(
        None, "T|LEVEL:T,...", _TEMPERATURES, "-t --temperature", show_default="1"
    )

    def rows(self, info: ModelInfo) -> list[PerLevel]:
        rows = [common.temperature_of(text, info, 1.0) for text in self.temperatures or ["1"]]
        if len(set(map(short_levels, rows))) < len(rows):
            raise typer.BadParameter("has the same temperature twice", param_hint="--temperature")
        return rows


@dataclass(frozen=True)
class MetricOptions:
    """Measures that require a network, and what they require."""

    panel: ClassVar[str] = "Measures that require a network"

    metrics: str | None = option(None, "NAME,...", _METRICS, autocompletion=_more_metrics)
    reference: Path | None = option(None, "FOLDER|ZIP", _REFERENCE)
    reference_limit: int | None = option(None, "N", _LIMIT, min=2, show_default=f"{_REFERENCES}")
    labels: Path | None = option(None, "TSV", _LABELS)

    def names(self) -> list[str]:
        """Return the measures asked for; refuse options that are missing or that none of them uses."""
        names = list(dict.fromkeys(self.metrics.split(","))) if self.metrics else []
        given = {"--reference": self.reference, "--labels": self.labels}
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
        if self.reference_limit is not None and self.reference is None:
            raise typer.BadParameter("requires --reference", param_hint="--reference-limit")
        return names

    def references(self) -> Sequence[Source]:
        from cinn_colorize.data.sources import find_photos

        if not self.reference:
            return []
        return find_photos(self.reference, pattern=None)[: self.reference_limit or _REFERENCES]


@dataclass(frozen=True)
class PhotoChoice:
    """Which photos are measured."""

    every: int = option(1, "N", "Measure only every N-th photo, sorted by name.", min=1)
    limit: int | None = option(None, "N", "Measure only the first N of these.", min=1)

    def of(self, photos: Path) -> Sequence[Source]:
        import cv2

        from cinn_colorize.data.sources import find_photos

        # OpenCV stays silent: a damaged photo is reported once, by its name.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        return find_photos(photos, pattern=None)[:: self.every][: self.limit]


@dataclass(frozen=True)
class EvaluatedModelOptions(common.ModelOptions):
    """The network that is measured: as it was learnt, unless guidance is asked for."""

    guidance: float | None = option(0.0, "G", _GUIDANCE, panel=DRAWING)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of ``evaluate``."""

    drawn: SampleOptions
    chosen: PhotoChoice
    metrics: MetricOptions
    plot: Path | None = option(None, "FILE", _PLOT, panel=OUTPUT)
    against: Path | None = option(None, "FILE", _AGAINST)
    subsets: Path | None = option(None, "TSV", _SUBSETS)
    overwrite: bool = common.overwrite_option()
    as_json: bool = option(False, None, "Print JSON instead of a table.", "--json", panel=OUTPUT)
    network: EvaluatedModelOptions
    general: common.GeneralOptions


def evaluate(
    photos: Annotated[Path, common.argument("FOLDER|ZIP", "Colour photos.")],
    options: EvaluateOptions,
) -> None:
    """Measure a model on colour photos.

    Print Markdown tables with a row for the model at each -t, three for controls (its colours at temperature
    0 in random tints and in other saturations), one for the gray photo and one for its own colours. A photo
    that cannot be read or is gray is reported and left out, and the exit code is 1.

    Examples:
        cinn-colorize evaluate photos.zip -t 1 -t 0.6
        cinn-colorize evaluate photos.zip --metrics kid_lite0 --reference others.zip
    """
    samples, plot = options.drawn.samples, options.plot
    names, rows = options.metrics.names(), options.drawn.rows(options.network.info)
    _check_plot(plot, len(rows), samples)
    with options.general.reporting(), contextlib.ExitStack() as stack:
        require_stdout()
        if plot:
            claim([plot], options.overwrite, "another file")
        from cinn_colorize import evaluation
        from cinn_colorize.colorizer import Colorizer
        from cinn_colorize.methods.contact_sheet import save_sheet

        device = common.device_of(options.network.device)
        sources = options.chosen.of(photos)
        entries = [source.name_in(photos) for source in sources]
        against, shown = options.against, options.subsets
        earlier = evaluation.read_earlier(against, entries, samples) if against else None
        subsets = evaluation.read_subsets(shown, entries) if shown else None
        references = options.metrics.references()
        if plot:
            stack.enter_context(protecting({Path(source.path) for source in [*sources, *references]}))
            check_output(plot, "another file")
        labels = options.metrics.labels
        classes = evaluation.read_labels(labels, sources, photos) if labels else {}
        # Measures do not show the last bits, which depend on the chunk.
        network = vars(options.network) | {"guidance": options.network.chosen_guidance}
        colorizer = Colorizer(**network, chunk=min(samples, _CHUNK))
        calibration = evaluation.Calibration(samples) if plot else None
        with progress_bar(options.general.quiet) as bars:
            report = evaluation.evaluate(
                colorizer,
                sources,
                samples=samples,
                temperatures=rows,
                measures=[_measure(name, references, classes, device, bars) for name in names],
                calibration=calibration,
                root=photos,
                network=evaluation.DrawnBy(options.network.model, colorizer.sha256, colorizer.guidance),
                progress=counting(bars, "measuring"),
            )
        for failure in report.failures:
            say(failure)
        typer.echo((report.to_json if options.as_json else report.to_markdown)(earlier, subsets))
        if plot and calibration:
            save_sheet(evaluation.calibration_plot(calibration), plot)
    if report.failures:
        raise typer.Exit(1)


def _measure(
    name: str,
    references: Sequence[Source],
    classes: Mapping[Source, int],
    device: torch.device,
    bars: Progress,
) -> Measure:
    from cinn_colorize import evaluation

    if name in ("kid_lite0", "fid"):
        kind = evaluation.KidLite0 if name == "kid_lite0" else evaluation.Fid
        return kind(references, device, counting(bars, f"reference photos of {name}"))
    if name == "st_lpips":
        return evaluation.StLpips(device)
    return evaluation.Top5(name.removeprefix("top5_"), classes, device)


def _check_plot(plot: Path | None, temperatures: int, samples: int) -> None:
    if plot is None:
        return
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
