"""``cinn-colorize train``."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from cinn_colorize.cli.common import NETWORK, debug_option, device_of, device_option, quiet_option
from cinn_colorize.cli.console import console, draws, fatal, print_path, say, show_log
from cinn_colorize.cli.interrupts import CODE, keeping
from cinn_colorize.errors import DataError, printable_name
from cinn_colorize.files.signals import ENDING
from cinn_colorize.imaging.options import option
from cinn_colorize.training.choices import ABLATIONS, Ablation, Dataset, Precision, Preset, Stage

if TYPE_CHECKING:
    import torch

    from cinn_colorize.data.urls import Url
    from cinn_colorize.training.loop import Evaluation, Progress, RunOptions
    from cinn_colorize.training.processes import Processes

RUN = "Run"
_DATA = "Location of the data; may be repeated. Zips of photos may be at https://, s3:// or gs://."
_CACHE = "Folder that keeps whole copies of zips at URLs."
_STAGE = (
    "Stage of training, for photos and imagenet: features trains the backbone on gray photos, coarse the "
    "colours at 16 px with it, fine the details above them (these two for photos only), flow the model on a "
    "frozen backbone, and joint both."
)
_PRESET = (
    "Architecture of a new imagenet model: paper follows the text, authors their code, and narrow has a "
    "quarter of the paper's channels, to rehearse on a CPU."
)
_PHOTOS = "Length of the run in photos (or digits), repeats included; with --resume, its new length."
_BACKBONE = "Backbone of a new model, from --stage features."
_RUN = "Folder of the run, for checkpoints, logs and weights."
_RESUME = "Continue exactly where the run stopped, with its settings, or begin it if there is no checkpoint."
_PRECISION = "Precision of the autocast; auto: bf16 if it is faster, otherwise fp32."
_MEMORY = "Recompute the activations of the flow in the backward pass, and train in fp32."
_OF_TASK = "depends on --dataset and --stage"
_LONGEST = 1e9  # seconds, of a time left; calendars end
_STOPPING = "stopping after this step, with a checkpoint; Ctrl-C again ends the run at once"


def _parts(dataset: Dataset, **remarks: str) -> str:
    return ", ".join(f"{name} ({remarks[name]})" if name in remarks else name for name in ABLATIONS[dataset])


_ABLATE = (
    "Part of the paper's recipe to leave out, to see what it contributes; may be repeated. "
    f"For lsun: {_parts(Dataset.lsun, conditioning='the network', learning='of that network')}. "
    f"For mnist: {_parts(Dataset.mnist)}. For photos: {_parts(Dataset.photos)}."
)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What is learnt, and from what."""

    panel: ClassVar[str] = "Data"

    dataset: Dataset = option(Dataset.photos, None, "Data set to train on; it determines the model.")
    data: list[str] | None = option(None, "FOLDER|ZIP|URL", _DATA, show_default="data/DATASET")
    cache: Path | None = option(None, "FOLDER", _CACHE, show_default="none: photos are read one by one")
    stage: Stage = option(Stage.flow, None, _STAGE)
    preset: Preset | None = option(None, None, _PRESET, show_default="paper")
    ablate: list[Ablation] | None = option(None, "PART", _ABLATE, show_default="nothing")

    def places(self) -> list[Path | Url]:
        from cinn_colorize.data.urls import Url

        places = [Url.or_path(place) for place in self.data or [f"data/{self.dataset}"]]
        if self.cache and not any(isinstance(place, Url) for place in places):
            raise typer.BadParameter("is for zips at URLs, and --data names none", param_hint="--cache")
        if not self.data and not Path(f"data/{self.dataset}").exists():
            files = "MNIST's four files" if self.dataset is Dataset.mnist else "zips or folders of photos"
            raise DataError(f"{places[0]}: not there; put {files} there, or pass --data FOLDER")
        return places


@dataclass(frozen=True, kw_only=True)
class SettingOptions:
    """Hyper-parameters; None for those of the task or, of a run that continues, its own."""

    panel: ClassVar[str] = RUN

    photos: int | None = option(None, "N", _PHOTOS, min=1, show_default=_OF_TASK)
    batch: int | None = option(None, "N", "Photos a step, over all processes.", min=1, show_default=_OF_TASK)
    learning_rate: float | None = option(
        None, "RATE", "Peak of the learning rate.", "--lr", min=0, show_default=_OF_TASK
    )
    seed: int | None = option(
        None, "SEED", "Seed of the run.", "-s --seed", min=0, max=2**63 - 1, show_default="0"
    )

    def given(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What a new run starts from."""

    panel: ClassVar[str] = RUN

    start: Path | None = option(None, "FILE", "Weights to start from.", show_default="new ones")
    backbone: Path | None = option(None, "FILE", _BACKBONE, show_default="pretrained on ImageNet, for photos")

    def check(self, data: DataOptions) -> None:
        if self.start and data.stage is Stage.features:
            raise DataError(f"{self.start}: --stage features begins anew; leave out --start")
        if self.start and self.backbone:
            raise DataError(f"{self.start}: has its own backbone; leave out --start or --backbone")
        for name in ("preset", "ablate"):
            if self.start and getattr(data, name):
                raise DataError(f"{self.start}: has its own architecture; leave out --start or --{name}")


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """How a run computes."""

    panel: ClassVar[str] = NETWORK

    device: str = device_option()
    precision: Precision = option(Precision.auto, None, _PRECISION)
    workers: int = option(1, "N", "Number of processes that decode photos, per process that trains.", min=0)
    compile: bool = option(False, None, "Compile the forward pass with torch.compile.")
    save_memory: bool = option(False, None, _MEMORY)

    def __post_init__(self) -> None:
        if self.save_memory and self.compile:
            raise typer.BadParameter("--save-memory and --compile exclude each other")
        if self.save_memory and self.precision is Precision.bf16:
            raise typer.BadParameter("--save-memory requires fp32", param_hint="--precision")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of ``train``."""

    panel: ClassVar[str] = RUN

    data: DataOptions
    run: Path | None = option(None, "FOLDER", _RUN, show_default="runs/MODEL")
    settings: SettingOptions
    resume: bool = option(False, None, _RESUME)
    start: StartOptions
    evaluate_every: int | None = option(
        None, "N", "Number of photos between evaluations.", min=1, show_default=_OF_TASK
    )
    compute: ComputeOptions
    checkpoint_minutes: float = option(5, "MINUTES", "Minutes between checkpoints.", min=0)
    quiet: bool = quiet_option()
    debug: bool = debug_option()


def train(options: TrainOptions) -> None:
    """Train a model.

    Ctrl-C writes a checkpoint and stops; --resume continues from it.

    On several GPUs: torchrun --nproc-per-node gpu -m -- cinn_colorize train ...

    Examples:
        cinn-colorize train --data photos --run runs/first
        cinn-colorize train --dataset mnist --data mnist --resume
    """
    show_log(options.quiet)
    with fatal(options.debug):
        from cinn_colorize.training.datasets import open_task
        from cinn_colorize.training.processes import local_device, processes
        from cinn_colorize.training.run import run_training
        from cinn_colorize.training.state import settings_to_resume

        data, given, compute = options.data, options.settings.given(), options.compute
        device, places = local_device(device_of(compute.device)), data.places()
        options.start.check(data)
        with processes(device) as shared:
            quiet = options.quiet or shared.rank > 0
            if shared.rank:  # what this one would say, the first process says
                logging.getLogger("cinn_colorize").setLevel(logging.CRITICAL)
            new = options.start.backbone, data.preset, data.cache, data.ablate or ()
            task = open_task(data.dataset, places, data.stage, *new)
            run = options.run or Path("runs") / task.model
            config = task.settings(**given)
            if options.resume:
                config = shared.once(partial(settings_to_resume, run, config, given))
            if not quiet:
                what = "digits" if data.dataset is Dataset.mnist else "photos"
                steps = "1 step" if config.steps == 1 else f"{config.steps:,} steps"
                say(f"{task.distinct:,} {what} found; {config.length:,} to see, in {steps} of {config.batch}")
            kept = partial(_kept, run, config.length)
            with keeping(lambda: "") if shared.rank else keeping(kept, _STOPPING):
                display = Display(config.length, config.batch, quiet)
                settings = _run_options(options, device, shared, display)
                with display.bar:
                    weights = run_training(task, run, config, settings)
        if shared.rank:
            return
        if weights is None:
            say(kept())
            raise typer.Exit(CODE)
        print_path(weights)


def _run_options(
    options: TrainOptions, device: torch.device, processes: Processes, display: Display
) -> RunOptions:
    from cinn_colorize.training.loop import RunOptions

    compute = options.compute
    return RunOptions(
        device=device,
        precision=Precision.fp32 if compute.save_memory else compute.precision,
        workers=compute.workers,
        processes=processes,
        resume=options.resume,
        start=options.start.start,
        compile=compute.compile,
        save_memory=compute.save_memory,
        checkpoint_seconds=60 * options.checkpoint_minutes,
        evaluate_every=options.evaluate_every,
        report=display.report,
        report_evaluation=display.report_evaluation,
        stop=_stop_request(),
    )


def _kept(run: Path, total: int) -> str:
    """Return the line on what a stopped run keeps, and how to continue."""
    from cinn_colorize.training.state import checkpoints, position

    for newest in checkpoints(run)[:1]:
        return (
            f"stopped; {printable_name(newest)} is kept, after {position(newest):,} of {total:,} photos; "
            f"continue with --resume --run {printable_name(run)}"
        )
    return "stopped before the first checkpoint; the same command begins the run again"


def _stop_request() -> Callable[[], bool]:
    """Answer Ctrl-C, or a signal to end, with a checkpoint and the end of the run."""
    received: list[int] = []
    for number in (signal.SIGINT, *ENDING):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a background job ignores Ctrl-C
            signal.signal(number, lambda number, _: received.append(number))
    return lambda: bool(received)


class Display:
    """Show loss, speed and time left: as a bar on a terminal, otherwise as one line per report."""

    def __init__(self, total: int, batch: int, quiet: bool) -> None:
        from rich import progress
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        self.quiet, self.batch = quiet, batch
        self.first: tuple[datetime, int] | None = None
        self.bar = progress.Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} photos"),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=console(),
            disable=quiet or not draws(),
        )
        self.task = self.bar.add_task("training", total=total, facts="")

    def report(self, progress: Progress) -> None:
        speed = max(progress.photos_per_second, 1e-9)
        left = self._left(progress, speed)
        facts = (
            f"{progress.listed()}  {self.batch / speed:.2g} s a step  {speed:.1f} photos/s  "
            f"about {left} left, until {datetime.now() + left:%Y-%m-%d %H:%M}"
        )
        for count, what in (
            (progress.skipped, "steps skipped"),
            (progress.rollbacks, "returns to a checkpoint"),
            (progress.unreadable, "photos or zips left out"),
        ):
            if count:
                facts += f"  {what}: {count}"
        self.bar.update(self.task, completed=progress.seen, facts=facts)
        if self.bar.disable and not self.quiet:
            console().print(f"{progress.seen:,} of {progress.total:,} photos  {facts}", soft_wrap=True)

    def _left(self, progress: Progress, speed: float) -> timedelta:
        """Return the time left, at the speed since the first report: with evaluations and checkpoints."""
        now = datetime.now()
        start, seen = self.first = self.first or (now, progress.seen)
        if progress.seen > seen:
            speed = (progress.seen - seen) / max((now - start).total_seconds(), 1e-9)
        seconds = (progress.total - progress.seen) / speed
        return timedelta(seconds=round(min(seconds, _LONGEST)))

    def report_evaluation(self, evaluation: Evaluation) -> None:
        if not self.quiet:
            line = f"after {evaluation.seen:,} photos, on held-out ones: {evaluation.listed()}"
            sheet = printable_name(evaluation.sheet) if evaluation.sheet else ""
            self.bar.console.print(f"{line}  {sheet}".rstrip(), soft_wrap=True, markup=False)
