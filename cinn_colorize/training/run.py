"""A training run: its folder, its model, what it writes as it goes."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cinn_colorize.errors import DataError
from cinn_colorize.models import load_model
from cinn_colorize.sources import Source, find_photos
from cinn_colorize.training.bedrooms import LSUN_VAL, BedroomsTask, find_lsun
from cinn_colorize.training.features import FeaturesTask
from cinn_colorize.training.loop import Progress, train
from cinn_colorize.training.mnist import MnistTask
from cinn_colorize.training.natural import JointTask, NaturalTask
from cinn_colorize.training.task import Task, TrainingConfig

log = logging.getLogger(__name__)

STAGES = ("flow", "features", "joint")
DEV = "photos-dev.zip"  # what a run is watched on, where the data has it


@dataclass(frozen=True)
class Evaluation:
    """The averaged model on data that it does not learn from."""

    seen: int
    figures: dict[str, float]  # of the task
    sheet: Path | None  # a picture of samples


def run_training(
    task: Task[Any],
    run: Path,
    config: TrainingConfig,
    *,
    device: torch.device,
    precision: torch.dtype,
    workers: int,
    resume: bool,
    start: Path | None,
    compile: bool,
    checkpoint_seconds: float,
    evaluate_every: int,
    report: Callable[[Progress], None],
    report_evaluation: Callable[[Evaluation], None],
    stop: Callable[[], bool],
) -> Path:
    """Train a model and write its weights into the run's folder.

    The folder gets ``checkpoint.pt``, ``progress.csv``, ``evaluation.csv``, ``samples_*.jpg`` and
    ``MODEL.safetensors``, the averaged weights, after every evaluation and at the end.

    Args:
        task: data and model, see :func:`open_task`.
        run: the run's folder.
        config: hyper-parameters.
        device: to train on.
        precision: of the autocast.
        workers: processes that decode.
        resume: go on from the folder's checkpoint.
        start: weights to begin with, new ones otherwise.
        compile: use torch.compile.
        checkpoint_seconds: between checkpoints.
        evaluate_every: samples between evaluations.
        report: called every few seconds.
        report_evaluation: called after an evaluation.
        stop: asked after each step; when true, the run ends early, to be resumed.

    Returns:
        path of the weights.

    Raises:
        CinnError: the data, the checkpoint or the weights cannot be used, or the run diverged.
    """
    if not resume and (run / "checkpoint.pt").exists():
        raise DataError(f"{run}: holds a run already; add --resume to go on, or choose another --run")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{run}: cannot be made ({error.strerror})") from error
    weights = run / f"{task.model}.safetensors"

    def on_report(progress: Progress) -> None:
        values = asdict(progress)
        _append(run / "progress.csv", values | values.pop("figures"))
        report(progress)

    def on_evaluate(model: nn.Module, seen: int) -> None:
        task.save(model, weights, asdict(config) | {"seen": seen, "distinct_photos": task.distinct})
        figures = task.measure(model)
        if figures:
            _append(run / "evaluation.csv", {"seen": seen, **figures})
            sheet = run / f"samples_{seen:08d}.jpg"
            report_evaluation(Evaluation(seen, figures, sheet if task.draw(model, device, sheet) else None))

    train(
        _initial_model(task, config.seed, start),
        task,
        config,
        run,
        device=device,
        precision=precision,
        workers=workers,
        resume=resume,
        compile=compile,
        checkpoint_seconds=checkpoint_seconds,
        report=on_report,
        evaluate=on_evaluate,
        evaluate_every=evaluate_every,
        stop=stop,
    )
    return weights


def open_task(
    dataset: str, data: Sequence[Path], stage: str = "flow", backbone: Path | None = None
) -> Task[Any]:
    """The task of a data set of :data:`DATASETS`.

    Args:
        dataset: its name.
        data: where it lies; what each kind of data set expects there is said by its task.
        stage: of :data:`STAGES`; all but ``flow`` are of photos alone.
        backbone: weights of the backbone that a new model of photos begins with.

    Raises:
        DataError: it is not there, or cannot be used.
    """
    if dataset == "photos":
        return _open_photos(data, stage, backbone)
    if stage != "flow" or backbone:
        raise DataError(f"{dataset}: has no backbone; stages and --backbone are for photos")
    return DATASETS[dataset](data)


def _open_photos(data: Sequence[Path], stage: str, backbone: Path | None) -> Task[Any]:
    photos = [photo for root in data for photo in find_photos(root)]
    dev = [photo for root in data if (root / DEV).is_file() for photo in find_photos(root / DEV)]
    if not dev:
        log.warning("no %s there, so the run is not watched on photos it does not learn from", DEV)
    if stage == "features":
        return FeaturesTask(photos, dev)
    return (JointTask if stage == "joint" else NaturalTask)(photos, dev, backbone)


def _open_mnist(data: Sequence[Path]) -> MnistTask:
    if len(data) != 1:
        raise DataError("MNIST lies in one folder; give --data once")
    return MnistTask(data[0])


def _open_lsun(data: Sequence[Path]) -> BedroomsTask:
    photos: list[Source] = []
    dev: list[Source] = []
    for root in data:
        found, held_out = find_lsun(root)
        photos += found
        dev += held_out
    if not dev:
        log.warning("no %s there, so the run is not watched on photos it does not learn from", LSUN_VAL)
    return BedroomsTask(photos, dev)


DATASETS: dict[str, Callable[[Sequence[Path]], Task[Any]]] = {
    "photos": lambda data: _open_photos(data, "flow", None),
    "mnist": _open_mnist,
    "lsun": _open_lsun,
}


def _initial_model(task: Task[Any], seed: int, start: Path | None) -> nn.Module:
    if start is not None:
        return load_model(task.model, start).model.requires_grad_(True)
    torch.manual_seed(seed)
    model: nn.Module = task.initial_model()
    return model


def _append(path: Path, values: dict[str, object]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(values))
        if new:
            writer.writeheader()
        writer.writerow(values)
