"""A training run: its folder, its model, what it writes as it goes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cinn_colorize import flow
from cinn_colorize.data.sources import Source, find_photos
from cinn_colorize.data.urls import Url, is_folder
from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name
from cinn_colorize.models import load_model
from cinn_colorize.training.bedrooms import LSUN_VAL, BedroomsTask, find_lsun
from cinn_colorize.training.checkpoint import KEPT, checkpoints
from cinn_colorize.training.features import FeaturesTask
from cinn_colorize.training.imagenet import ImagenetJointTask, ImagenetTask, VggTask, find_imagenet
from cinn_colorize.training.logs import Logs
from cinn_colorize.training.loop import Progress, train
from cinn_colorize.training.mnist import MnistTask
from cinn_colorize.training.natural import JointTask, NaturalTask
from cinn_colorize.training.processes import Processes
from cinn_colorize.training.task import Task, TrainingConfig

log = logging.getLogger(__name__)

STAGES = ("flow", "features", "joint")
LOGS_BYTES = 100_000_000  # room for weights, logs and sheets
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
    processes: Processes,
    resume: bool,
    checkpoint_seconds: float,
    evaluate_every: int,
    report: Callable[[Progress], None],
    report_evaluation: Callable[[Evaluation], None],
    stop: Callable[[], bool],
    start: Path | None = None,
    compile: bool = False,
    save_memory: bool = False,
) -> Path:
    """Train a model and write its weights into the run's folder.

    The folder gets checkpoints, ``progress.csv``, ``evaluation.csv``, a ``tensorboard`` folder if that
    package is installed, ``samples_*.jpg``, and ``MODEL.safetensors``, the averaged weights, after every
    evaluation and at the end.

    Args:
        task: data and model, see :func:`open_task`.
        run: the run's folder.
        config: hyper-parameters.
        device: to train on.
        precision: of the autocast.
        workers: processes that decode, for each process that trains.
        processes: among which the run is shared.
        resume: go on from the folder's last checkpoint, if there is one.
        checkpoint_seconds: between checkpoints.
        evaluate_every: samples between evaluations.
        report: called every few seconds.
        report_evaluation: called after an evaluation.
        stop: asked after each step; when true, the run ends early, to be resumed.
        start: weights to begin with, new ones otherwise.
        compile: use torch.compile.
        save_memory: recompute the flow's activations in the backward pass, see
            :class:`cinn_colorize.flow.Sequence`.

    Returns:
        path of the weights.

    Raises:
        CinnError: the data, the checkpoint or the weights cannot be used, or the run diverged.
    """
    model = _initial_model(task, config.seed, start)
    for module in model.modules():
        if isinstance(module, flow.Sequence):
            module.save_memory = save_memory
    processes.once(lambda: _prepare_folder(run, model, resume))
    weights, logs = run / f"{task.model}.safetensors", Logs(run)

    def on_report(progress: Progress) -> None:
        values = asdict(progress)
        logs.write("progress", values | values.pop("figures"))
        report(progress)

    def on_evaluate(model: nn.Module, seen: int) -> None:
        task.save(model, weights, asdict(config) | {"seen": seen, "distinct_photos": task.distinct})
        figures = task.measure(model)
        if figures:
            logs.write("evaluation", {"seen": seen, **figures})
            path = run / f"samples_{seen:08d}.jpg"
            sheet = path if task.draw(model, device, path) else None
            if sheet:
                logs.picture(sheet, seen)
            report_evaluation(Evaluation(seen, figures, sheet))

    train(
        model,
        task,
        config,
        run,
        device=device,
        precision=precision,
        workers=workers,
        processes=processes,
        resume=resume,
        compile=compile,
        checkpoint_seconds=checkpoint_seconds,
        begin=logs.open,
        report=on_report,
        evaluate=on_evaluate,
        evaluate_every=evaluate_every,
        stop=stop,
    )
    return weights


def open_task(
    dataset: str,
    data: Sequence[Path | Url],
    stage: str = "flow",
    backbone: Path | None = None,
    preset: str | None = None,
    cache: Path | None = None,
    ablate: Sequence[str] = (),
) -> Task[Any]:
    """The task of a data set of :data:`DATASETS`.

    Args:
        dataset: its name.
        data: where it lies; what each kind of data set expects there is said by its task.
        stage: of :data:`STAGES`; all but ``flow`` are of photos and ImageNet alone.
        backbone: weights of the conditioning network that a new model of these begins with.
        preset: the architecture of a new model, of ImageNet alone.
        cache: folder where shards of photos at URLs are kept; None to read from afar, photo by photo.
        ablate: what of the paper's recipe to leave out, of the task's ablations.

    Raises:
        DataError: it is not there, or cannot be used.
    """
    task = _open_task(dataset, data, stage, backbone, preset, cache)
    for name in ablate:
        if name not in task.ablations:
            known = ", ".join(task.ablations) or "nothing"
            raise DataError(f"--ablate {name}: not for {task.model}, where {known} can be left out")
    if backbone and "conditioning" in ablate:
        raise DataError(f"{backbone}: a model without conditioning network has no backbone")
    task.ablate = tuple(sorted(set(ablate)))
    return task


def _open_task(
    dataset: str,
    data: Sequence[Path | Url],
    stage: str,
    backbone: Path | None,
    preset: str | None,
    cache: Path | None,
) -> Task[Any]:
    if preset and dataset != "imagenet":
        raise DataError(f"{dataset}: has one architecture; --preset is for imagenet")
    if dataset == "photos":
        return _open_photos(data, stage, backbone, cache)
    paths = [root for root in data if isinstance(root, Path)]
    for root in data:
        if isinstance(root, Url):
            raise DataError(f"{printable_name(root)}: only photos are read from URLs, not {dataset}")
    if dataset == "imagenet":
        return _open_imagenet(paths, stage, backbone, preset)
    if stage != "flow" or backbone:
        raise DataError(f"{dataset}: has no backbone; stages and --backbone are for photos and imagenet")
    return DATASETS[dataset](paths)


def _open_photos(
    data: Sequence[Path | Url], stage: str, backbone: Path | None, cache: Path | None
) -> Task[Any]:
    damaged: list[str] = []
    photos = [photo for root in data for photo in find_photos(root, cache=cache, damaged=damaged)]
    dev = [photo for root in data for photo in _held_out(root, cache)]
    if not dev:
        log.warning("no %s there, so the run is not watched on photos it does not learn from", DEV)
    task: Task[Any]
    if stage == "features":
        task = FeaturesTask(photos, dev)
    else:
        task = (JointTask if stage == "joint" else NaturalTask)(photos, dev, backbone)
    task.unreadable = damaged
    return task


def _held_out(root: Path | Url, cache: Path | None) -> list[Source]:
    """What a run on the data of a folder is watched on, if it is there."""
    if isinstance(root, Path):
        return find_photos(root / DEV) if (root / DEV).is_file() else []
    try:
        return find_photos(root, DEV, cache=cache) if is_folder(root) else []
    except DataError:
        return []


def _open_imagenet(
    data: Sequence[Path], stage: str, backbone: Path | None, preset: str | None
) -> ImagenetTask | VggTask:
    photos, dev = _joined(data, find_imagenet)
    if not dev:
        log.warning(
            "no val folder or %s there, so the run is not watched on photos it does not learn from", DEV
        )
    preset = preset or "paper"
    if stage == "features":
        if backbone:
            raise DataError(f"{backbone}: the stage features makes such a file; leave out --backbone")
        return VggTask(photos, dev, preset)
    return (ImagenetJointTask if stage == "joint" else ImagenetTask)(photos, dev, backbone, preset)


def _joined(
    data: Sequence[Path], find: Callable[[Path], tuple[Sequence[Source], Sequence[Source]]]
) -> tuple[Sequence[Source], Sequence[Source]]:
    """Photos to learn from and photos held out of several places."""
    found = [find(root) for root in data]
    if len(found) == 1:
        return found[0]
    return [p for photos, _ in found for p in photos], [p for _, dev in found for p in dev]


def _open_mnist(data: Sequence[Path]) -> MnistTask:
    if len(data) != 1:
        raise DataError("MNIST lies in one folder; give --data once")
    return MnistTask(data[0])


def _open_lsun(data: Sequence[Path]) -> BedroomsTask:
    photos, dev = _joined(data, find_lsun)
    if not dev:
        log.warning("no %s there, so the run is not watched on photos it does not learn from", LSUN_VAL)
    return BedroomsTask(photos, dev)


DATASETS: dict[str, Callable[[Sequence[Path]], Task[Any]]] = {
    "photos": lambda data: _open_photos(data, "flow", None, None),
    "imagenet": lambda data: _open_imagenet(data, "flow", None, None),
    "mnist": _open_mnist,
    "lsun": _open_lsun,
}


def _initial_model(task: Task[Any], seed: int, start: Path | None) -> nn.Module:
    if start is not None:
        return load_model(task.model, start).model.requires_grad_(True)
    torch.manual_seed(seed)
    model: nn.Module = task.initial_model()
    return model


def _prepare_folder(run: Path, model: nn.Module, resume: bool) -> None:
    """Make it, and see that the checkpoints will have room there."""
    name = printable_name(run)
    if checkpoints(run) and not resume:
        raise DataError(f"{name}: holds a run already; add --resume to go on, or choose another --run")
    try:
        run.mkdir(parents=True, exist_ok=True)
        for part in run.glob(".*.part"):
            part.unlink()  # what a killed run was writing
        free = shutil.disk_usage(run).free + sum(path.stat().st_size for path in checkpoints(run))
    except OSError as error:
        raise DataError(f"{name}: cannot be made or used ({error.strerror})") from error
    # Model, average and two moments of the optimiser; one checkpoint more than are kept while it is written.
    checkpoint = 4 * sum(tensor.nbytes for tensor in model.state_dict().values())
    needed = (KEPT + 1) * checkpoint + LOGS_BYTES
    if free < needed:
        raise DataError(
            f"{name}: {free / 1e9:.1f} GB are free there, {needed / 1e9:.1f} GB are needed for checkpoints"
        )
