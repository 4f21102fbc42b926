"""``cinn-colorize train``."""

from __future__ import annotations

import contextlib
import signal
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize.cli.console import console, draws, fatal, print_path, say, show_log, silence
from cinn_colorize.cli.interrupts import CODE, keeping
from cinn_colorize.cli.options import NETWORK, DebugOption, DeviceOption, QuietOption, device_of
from cinn_colorize.messages import printable_name
from cinn_colorize.signals import ENDING
from cinn_colorize.training.registry import ABLATIONS, Ablation, Dataset, Precision, Preset, Stage

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


def train(
    dataset: Annotated[
        Dataset,
        typer.Option(
            "--dataset", help="Data set to train on; it determines the model.", rich_help_panel=DATA
        ),
    ] = Dataset.photos,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="FOLDER|ZIP|URL",
            help="Location of the data; may be repeated. Zips of photos may be at https://, s3:// or gs://.",
            show_default="data/DATASET",
            rich_help_panel=DATA,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FOLDER",
            help="Folder that keeps whole copies of zips at URLs.",
            show_default="none: photos are read one by one",
            rich_help_panel=DATA,
        ),
    ] = None,
    stage: Annotated[
        Stage,
        typer.Option(
            "--stage",
            help="Stage of training, for photos and imagenet: features trains the backbone on gray photos, "
            "coarse the colours at 16 px with it, fine the details above them (these two for photos only), "
            "flow the model on a frozen backbone, and joint both.",
            rich_help_panel=DATA,
        ),
    ] = Stage.flow,
    preset: Annotated[
        Preset | None,
        typer.Option(
            "--preset",
            help="Architecture of a new imagenet model: paper follows the text, authors their code, and "
            "narrow has a quarter of the paper's channels, to rehearse on a CPU.",
            show_default="paper",
            rich_help_panel=DATA,
        ),
    ] = None,
    ablate: Annotated[
        list[Ablation] | None,
        typer.Option(
            "--ablate",
            metavar="PART",
            help="Part of the paper's recipe to leave out, to see what it contributes; may be repeated. "
            f"For lsun: {_parts(Dataset.lsun, conditioning='the network', learning='of that network')}. "
            f"For mnist: {_parts(Dataset.mnist)}. For photos: {_parts(Dataset.photos)}.",
            show_default="nothing",
            rich_help_panel=DATA,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="FOLDER",
            help="Folder of the run, for checkpoints, logs and weights.",
            show_default="runs/MODEL",
            rich_help_panel=RUN,
        ),
    ] = None,
    photos: Annotated[
        int | None,
        typer.Option(
            "--photos",
            metavar="N",
            min=1,
            help="Length of the run in photos (or digits), repeats included; with --resume, its new length.",
            show_default=_OF_TASK,
            rich_help_panel=RUN,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            metavar="N",
            min=1,
            help="Number of photos per step, over all processes.",
            show_default=_OF_TASK,
            rich_help_panel=RUN,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--lr",
            metavar="RATE",
            min=0,
            help="Peak of the learning rate.",
            show_default=_OF_TASK,
            rich_help_panel=RUN,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--seed",
            metavar="SEED",
            min=0,
            max=2**63 - 1,
            help="Seed of the run.",
            show_default="0",
            rich_help_panel=RUN,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue exactly where the run stopped, with its settings, or begin it if there is no "
            "checkpoint.",
            rich_help_panel=RUN,
        ),
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FILE",
            help="Weights to start from.",
            show_default="new ones",
            rich_help_panel=RUN,
        ),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            "--backbone",
            metavar="FILE",
            help="Backbone of a new model, from --stage features.",
            show_default="pretrained on ImageNet, for photos",
            rich_help_panel=RUN,
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            "--evaluate-every",
            metavar="N",
            min=1,
            help="Number of photos between evaluations.",
            show_default=_OF_TASK,
            rich_help_panel=RUN,
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="Precision of the autocast; auto: bf16 if it is faster, otherwise fp32.",
            rich_help_panel=NETWORK,
        ),
    ] = Precision.auto,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Number of processes that decode photos, per process that trains.",
            rich_help_panel=NETWORK,
        ),
    ] = 1,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile the forward pass with torch.compile.", rich_help_panel=NETWORK
        ),
    ] = False,
    save_memory: Annotated[
        bool,
        typer.Option(
            "--save-memory",
            help="Recompute the activations of the flow in the backward pass, and train in fp32.",
            rich_help_panel=NETWORK,
        ),
    ] = False,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            "--checkpoint-minutes",
            metavar="MINUTES",
            min=0,
            help="Minutes between checkpoints.",
            rich_help_panel=RUN,
        ),
    ] = 5,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a model.

    Ctrl-C writes a checkpoint and stops; --resume continues from it.

    On several GPUs: torchrun --nproc-per-node gpu -m -- cinn_colorize train ...

    Examples:
        cinn-colorize train --data photos --run runs/first
        cinn-colorize train --dataset mnist --data mnist --resume
    """
    if save_memory and compile:
        raise typer.BadParameter("--save-memory and --compile exclude each other")
    if save_memory and precision is Precision.bf16:
        raise typer.BadParameter("--save-memory requires fp32", param_hint="--precision")
    show_log(quiet)
    with fatal(debug):
        from cinn_colorize.data.urls import Url
        from cinn_colorize.errors import DataError
        from cinn_colorize.training.datasets import open_task
        from cinn_colorize.training.options import RunOptions
        from cinn_colorize.training.processes import local_device, processes
        from cinn_colorize.training.run import run_training
        from cinn_colorize.training.state import settings_to_resume

        chosen = local_device(device_of(device))
        places = [Url.or_path(place) for place in data or [f"data/{dataset}"]]
        if cache and not any(isinstance(place, Url) for place in places):
            raise typer.BadParameter("is for zips at URLs, and --data names none", param_hint="--cache")
        if not data and not Path(f"data/{dataset}").exists():
            files = "MNIST's four files" if dataset is Dataset.mnist else "zips or folders of photos"
            raise DataError(f"{places[0]}: not there; put {files} there, or pass --data FOLDER")
        if start and stage is Stage.features:
            raise DataError(f"{start}: --stage features begins anew; leave out --start")
        if start and backbone:
            raise DataError(f"{start}: has its own backbone; leave out --start or --backbone")
        if start and preset:
            raise DataError(f"{start}: has its own architecture; leave out --start or --preset")
        if start and ablate:
            raise DataError(f"{start}: has its own architecture; leave out --start or --ablate")
        with processes(chosen) as shared, contextlib.ExitStack() as stack:
            if shared.rank:
                quiet = silence()
            task = open_task(dataset, places, stage, backbone, preset, cache, ablate or ())
            run = run or Path("runs") / task.model
            asked = {"photos": photos, "batch": batch, "learning_rate": learning_rate, "seed": seed}
            given = {name: value for name, value in asked.items() if value is not None}
            config = task.settings(**given)
            if resume:
                config = shared.once(partial(settings_to_resume, run, config, given))
            if not quiet:
                found = f"{task.distinct:,} {'digits' if dataset is Dataset.mnist else 'photos'} found"
                steps = "1 step" if config.steps == 1 else f"{config.steps:,} steps"
                say(f"{found}; {config.length:,} to see, in {steps} of {config.batch}")
            kept = partial(_kept, run, config.length)
            stack.enter_context(keeping(lambda: "") if shared.rank else keeping(kept, _STOPPING))
            stop = _StopRequest()
            display = _Display(config.length, config.batch, quiet)
            options = RunOptions(
                device=chosen,
                precision=Precision.fp32 if save_memory else precision,
                workers=workers,
                processes=shared,
                resume=resume,
                start=start,
                compile=compile,
                save_memory=save_memory,
                checkpoint_seconds=60 * checkpoint_minutes,
                evaluate_every=evaluate_every,
                report=display.report,
                report_evaluation=display.report_evaluation,
                stop=stop,
            )
            with display.bar:
                weights = run_training(task, run, config, options)
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
