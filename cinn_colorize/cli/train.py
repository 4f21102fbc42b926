"""``cinn-colorize train``."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from cinn_colorize.cli.common import NETWORK, debug_option, device_of, device_option, quiet_option
from cinn_colorize.cli.console import console, draws, fatal, print_path, say, show_log, silence
from cinn_colorize.cli.interrupts import CODE, keeping
from cinn_colorize.files.messages import printable_name
from cinn_colorize.files.signals import ENDING
from cinn_colorize.imaging.options import option
from cinn_colorize.training.choices import ABLATIONS, Ablation, Dataset, Precision, Preset, Stage

if TYPE_CHECKING:
    from cinn_colorize.training.progress import Evaluation
    from cinn_colorize.training.progress import Progress as TrainingProgress

DATA, RUN = "Data", "Run"
_OF_TASK = "depends on --dataset and --stage"
_STOPPING = "stopping after this step, with a checkpoint; Ctrl-C again ends the run at once"
_LONGEST = 1e9  # seconds, of a time left; calendars end


def _parts(dataset: Dataset, **remarks: str) -> str:
    """List the parts that can be left out for a data set, some with a remark."""
    return ", ".join(f"{name} ({remarks[name]})" if name in remarks else name for name in ABLATIONS[dataset])


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of ``train``."""

    panel: ClassVar[str] = RUN

    dataset: Dataset = option(
        Dataset.photos, None, "Data set to train on; it determines the model.", panel=DATA
    )
    data: list[str] | None = option(
        None,
        "FOLDER|ZIP|URL",
        "Location of the data; may be repeated. Zips of photos may be at https://, s3:// or gs://.",
        panel=DATA,
        show_default="data/DATASET",
    )
    cache: Path | None = option(
        None,
        "FOLDER",
        "Folder that keeps whole copies of zips at URLs.",
        panel=DATA,
        show_default="none: photos are read one by one",
    )
    stage: Stage = option(
        Stage.flow,
        None,
        "Stage of training, for photos and imagenet: features trains the backbone on gray photos, "
        "coarse the colours at 16 px with it, fine the details above them (these two for photos only), "
        "flow the model on a frozen backbone, and joint both.",
        panel=DATA,
    )
    preset: Preset | None = option(
        None,
        None,
        "Architecture of a new imagenet model: paper follows the text, authors their code, and "
        "narrow has a quarter of the paper's channels, to rehearse on a CPU.",
        panel=DATA,
        show_default="paper",
    )
    ablate: list[Ablation] | None = option(
        None,
        "PART",
        "Part of the paper's recipe to leave out, to see what it contributes; may be repeated. "
        f"For lsun: {_parts(Dataset.lsun, conditioning='the network', learning='of that network')}. "
        f"For mnist: {_parts(Dataset.mnist)}. For photos: {_parts(Dataset.photos)}.",
        panel=DATA,
        show_default="nothing",
    )
    run: Path | None = option(
        None, "FOLDER", "Folder of the run, for checkpoints, logs and weights.", show_default="runs/MODEL"
    )
    photos: int | None = option(
        None,
        "N",
        "Length of the run in photos (or digits), repeats included; with --resume, its new length.",
        min=1,
        show_default=_OF_TASK,
    )
    batch: int | None = option(
        None, "N", "Number of photos per step, over all processes.", min=1, show_default=_OF_TASK
    )
    learning_rate: float | None = option(
        None, "RATE", "Peak of the learning rate.", "--lr", min=0, show_default=_OF_TASK
    )
    seed: int | None = option(
        None, "SEED", "Seed of the run.", "-s --seed", min=0, max=2**63 - 1, show_default="0"
    )
    resume: bool = option(
        False,
        None,
        "Continue exactly where the run stopped, with its settings, or begin it if there is no checkpoint.",
    )
    start: Path | None = option(None, "FILE", "Weights to start from.", show_default="new ones")
    backbone: Path | None = option(
        None,
        "FILE",
        "Backbone of a new model, from --stage features.",
        show_default="pretrained on ImageNet, for photos",
    )
    evaluate_every: int | None = option(
        None, "N", "Number of photos between evaluations.", min=1, show_default=_OF_TASK
    )
    device: str = device_option()
    precision: Precision = option(
        Precision.auto,
        None,
        "Precision of the autocast; auto: bf16 if it is faster, otherwise fp32.",
        panel=NETWORK,
    )
    workers: int = option(
        1, "N", "Number of processes that decode photos, per process that trains.", panel=NETWORK, min=0
    )
    compile: bool = option(False, None, "Compile the forward pass with torch.compile.", panel=NETWORK)
    save_memory: bool = option(
        False,
        None,
        "Recompute the activations of the flow in the backward pass, and train in fp32.",
        panel=NETWORK,
    )
    checkpoint_minutes: float = option(5, "MINUTES", "Minutes between checkpoints.", min=0)
    quiet: bool = quiet_option()
    debug: bool = debug_option()


def train(
    options: TrainOptions,
) -> None:
    """Train a model.

    Ctrl-C writes a checkpoint and stops; --resume continues from it.

    On several GPUs: torchrun --nproc-per-node gpu -m -- cinn_colorize train ...

    Examples:
        cinn-colorize train --data photos --run runs/first
        cinn-colorize train --dataset mnist --data mnist --resume
    """
    if options.save_memory and options.compile:
        raise typer.BadParameter("--save-memory and --compile exclude each other")
    if options.save_memory and options.precision is Precision.bf16:
        raise typer.BadParameter("--save-memory requires fp32", param_hint="--precision")
    show_log(options.quiet)
    with fatal(options.debug):
        from cinn_colorize.data.urls import Url
        from cinn_colorize.errors import DataError
        from cinn_colorize.training.datasets import open_task
        from cinn_colorize.training.processes import local_device, processes
        from cinn_colorize.training.run import run_training
        from cinn_colorize.training.run_options import RunOptions
        from cinn_colorize.training.state import settings_to_resume

        chosen = local_device(device_of(options.device))
        places = [Url.or_path(place) for place in options.data or [f"data/{options.dataset}"]]
        if options.cache and not any(isinstance(place, Url) for place in places):
            raise typer.BadParameter("is for zips at URLs, and --data names none", param_hint="--cache")
        if not options.data and not Path(f"data/{options.dataset}").exists():
            files = "MNIST's four files" if options.dataset is Dataset.mnist else "zips or folders of photos"
            raise DataError(f"{places[0]}: not there; put {files} there, or pass --data FOLDER")
        if options.start and options.stage is Stage.features:
            raise DataError(f"{options.start}: --stage features begins anew; leave out --start")
        if options.start and options.backbone:
            raise DataError(f"{options.start}: has its own backbone; leave out --start or --backbone")
        if options.start and options.preset:
            raise DataError(f"{options.start}: has its own architecture; leave out --start or --preset")
        if options.start and options.ablate:
            raise DataError(f"{options.start}: has its own architecture; leave out --start or --ablate")
        with processes(chosen) as shared, contextlib.ExitStack() as stack:
            quiet = silence() if shared.rank else options.quiet
            task = open_task(
                options.dataset,
                places,
                options.stage,
                options.backbone,
                options.preset,
                options.cache,
                options.ablate or (),
            )
            run = options.run or Path("runs") / task.model
            asked = {
                "photos": options.photos,
                "batch": options.batch,
                "learning_rate": options.learning_rate,
                "seed": options.seed,
            }
            given = {name: value for name, value in asked.items() if value is not None}
            config = task.settings(**given)
            if options.resume:
                config = shared.once(partial(settings_to_resume, run, config, given))
            if not quiet:
                found = (
                    f"{task.distinct:,} {'digits' if options.dataset is Dataset.mnist else 'photos'} found"
                )
                steps = "1 step" if config.steps == 1 else f"{config.steps:,} steps"
                say(f"{found}; {config.length:,} to see, in {steps} of {config.batch}")
            kept = partial(_kept, run, config.length)
            stack.enter_context(keeping(lambda: "") if shared.rank else keeping(kept, _STOPPING))
            stop = _StopRequest()
            display = _Display(config.length, config.batch, quiet)
            settings = RunOptions(
                device=chosen,
                precision=Precision.fp32 if options.save_memory else options.precision,
                workers=options.workers,
                processes=shared,
                resume=options.resume,
                start=options.start,
                compile=options.compile,
                save_memory=options.save_memory,
                checkpoint_seconds=60 * options.checkpoint_minutes,
                evaluate_every=options.evaluate_every,
                report=display.report,
                report_evaluation=display.report_evaluation,
                stop=stop,
            )
            with display.bar:
                weights = run_training(task, run, config, settings)
        if shared.rank:
            return
        if weights is None:
            say(kept())
            raise typer.Exit(CODE)
        print_path(weights)


def _kept(run: Path, total: int) -> str:
    """Return the line on what a stopped run keeps, and how to continue."""
    from cinn_colorize.training.checkpoint import checkpoints, position

    for newest in checkpoints(run)[:1]:
        return (
            f"stopped; {printable_name(newest)} is kept, after {position(newest):,} of {total:,} photos; "
            f"continue with --resume --run {printable_name(run)}"
        )
    return "stopped before the first checkpoint; the same command begins the run again"


class _StopRequest:
    """Answer Ctrl-C, or a signal to end, with a checkpoint and the end of the run."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, *ENDING):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a background job ignores Ctrl-C
                signal.signal(number, self._request)

    def _request(self, number: int, frame: object) -> None:
        self.requested = True

    def __call__(self) -> bool:
        return self.requested


class _Display:
    """Show loss, speed and time left: as a bar on a terminal, otherwise as one line per report."""

    def __init__(self, total: int, batch: int, quiet: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.quiet, self.batch = quiet, batch
        self.first: tuple[datetime, int] | None = None
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} photos"),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=console(),
            disable=quiet or not draws(),
        )
        self.task = self.bar.add_task("training", total=total, facts="")

    def report(self, progress: TrainingProgress) -> None:
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

    def _left(self, progress: TrainingProgress, speed: float) -> timedelta:
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
