"""Open data sets as tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cinn_colorize.data.sources import Source, find_photos
from cinn_colorize.data.urls import Url, find, is_folder
from cinn_colorize.errors import DataError
from cinn_colorize.files.messages import printable_name
from cinn_colorize.training.bedrooms import LSUN_VAL, BedroomsTask, find_lsun
from cinn_colorize.training.choices import Dataset, Preset, Stage
from cinn_colorize.training.data import DEV
from cinn_colorize.training.features import FeaturesTask
from cinn_colorize.training.imagenet import ImagenetJointTask, ImagenetTask, VggTask, find_imagenet
from cinn_colorize.training.mnist import MnistTask
from cinn_colorize.training.natural import CoarseTask, FineTask, JointTask, NaturalTask
from cinn_colorize.training.task import Task

log = logging.getLogger(__name__)

Find = Callable[[Path], tuple[Sequence[Source], Sequence[Source]]]


def open_task(
    dataset: str,
    data: Sequence[Path | Url],
    stage: str = Stage.flow,
    backbone: Path | None = None,
    preset: str | None = None,
    cache: Path | None = None,
    ablate: Sequence[str] = (),
) -> Task[Any]:
    """Open a data set and return the task of training on it.

    Args:
        dataset: name in :class:`cinn_colorize.training.choices.Dataset`.
        data: locations of the data set; its task says what they must contain.
        stage: name in :class:`cinn_colorize.training.choices.Stage`; only photos and ImageNet have stages
            other than ``flow``.
        backbone: weights of the conditioning network that a new model starts with, for the same two.
        preset: architecture of a new model, for ImageNet only.
        cache: folder that keeps shards of photos at URLs; None to read them remotely, photo by photo.
        ablate: parts of the paper's recipe to leave out, of the task's ablations.

    Raises:
        DataError: the data does not exist or cannot be used, or the arguments do not fit together.
    """
    if preset and dataset != Dataset.imagenet:
        raise DataError(f"{dataset}: has only one architecture; --preset is for imagenet")
    task = _open(Dataset(dataset), data, Stage(stage), backbone, Preset(preset or Preset.paper), cache)
    for name in ablate:
        if name not in task.ablations:
            known = ", ".join(task.ablations) or "nothing"
            raise DataError(f"--ablate {name}: does not apply to {task.model}, where {known} can be left out")
    if backbone and stage == Stage.features:
        name = printable_name(backbone)
        raise DataError(f"{name}: --stage features writes such a file; leave out --backbone")
    if backbone and "conditioning" in ablate:
        name = printable_name(backbone)
        raise DataError(f"{name}: a model without a conditioning network has no backbone")
    task.ablate = tuple(sorted(set(ablate)))
    return task


def _open(
    dataset: Dataset,
    data: Sequence[Path | Url],
    stage: Stage,
    backbone: Path | None,
    preset: Preset,
    cache: Path | None,
) -> Task[Any]:
    if dataset is Dataset.photos:
        return _open_photos(data, stage, backbone, cache)
    for root in data:
        if isinstance(root, Url):
            raise DataError(f"{root.shown}: photos can be read from URLs, {dataset} cannot")
    paths = [root for root in data if isinstance(root, Path)]
    if dataset is Dataset.imagenet:
        return _open_imagenet(paths, stage, backbone, preset)
    if stage is not Stage.flow or backbone:
        raise DataError(f"{dataset}: has no backbone; --stage and --backbone are for photos and imagenet")
    return _open_mnist(paths) if dataset is Dataset.mnist else _open_lsun(paths)


def _open_photos(
    data: Sequence[Path | Url], stage: Stage, backbone: Path | None, cache: Path | None
) -> Task[Any]:
    damaged: list[str] = []
    photos = [photo for root in data for photo in find_photos(root, cache=cache, damaged=damaged)]
    dev = [photo for root in data for photo in _held_out(root, cache)]
    _warn_if_unwatched(dev, DEV)
    task: Task[Any]
    if stage is Stage.features:
        task = FeaturesTask(photos, dev)
    else:
        tasks = {Stage.coarse: CoarseTask, Stage.fine: FineTask, Stage.joint: JointTask}
        task = tasks.get(stage, NaturalTask)(photos, dev, backbone)
    task.unreadable = damaged
    return task


def _held_out(root: Path | Url, cache: Path | None) -> list[Source]:
    """Find the held-out photos beside the shards of a folder, if there are any."""
    if isinstance(root, Path):
        return find_photos(root / DEV) if (root / DEV).is_file() else []
    return find_photos(root, DEV, cache=cache) if is_folder(root) and find(root, DEV) else []


def _open_imagenet(
    data: Sequence[Path], stage: Stage, backbone: Path | None, preset: Preset
) -> ImagenetTask | VggTask:
    if stage in (Stage.coarse, Stage.fine):
        raise DataError(f"imagenet: has no stage {stage}, which is for photos")
    photos, dev = _joined(data, find_imagenet)
    _warn_if_unwatched(dev, f"val folder or {DEV}")
    if stage is Stage.features:
        return VggTask(photos, dev, preset)
    return (ImagenetJointTask if stage is Stage.joint else ImagenetTask)(photos, dev, backbone, preset)


def _open_mnist(data: Sequence[Path]) -> MnistTask:
    if len(data) != 1:
        raise DataError("mnist requires a single folder; give --data once")
    return MnistTask(data[0])


def _open_lsun(data: Sequence[Path]) -> BedroomsTask:
    photos, dev = _joined(data, find_lsun)
    _warn_if_unwatched(dev, LSUN_VAL)
    return BedroomsTask(photos, dev)


def _joined(data: Sequence[Path], find: Find) -> tuple[Sequence[Source], Sequence[Source]]:
    """Join the photos to train on, and those held out, of several locations."""
    found = [find(root) for root in data]
    if len(found) == 1:
        return found[0]
    return [p for photos, _ in found for p in photos], [p for _, dev in found for p in dev]


def _warn_if_unwatched(dev: Sequence[Source], missing: str) -> None:
    if not dev:
        log.warning("no %s found; the run is not evaluated on held-out photos", missing)
