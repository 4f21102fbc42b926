"""The task of a data set: what lies where, and what learns from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cinn_colorize.data.sources import Source, find_photos
from cinn_colorize.data.urls import Url, is_folder
from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name
from cinn_colorize.training.bedrooms import LSUN_VAL, BedroomsTask, find_lsun
from cinn_colorize.training.data import DEV
from cinn_colorize.training.features import FeaturesTask
from cinn_colorize.training.imagenet import ImagenetJointTask, ImagenetTask, VggTask, find_imagenet
from cinn_colorize.training.mnist import MnistTask
from cinn_colorize.training.natural import JointTask, NaturalTask
from cinn_colorize.training.registry import Dataset, Preset, Stage
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
    """Open a data set and say what learns from it.

    Args:
        dataset: of :class:`cinn_colorize.training.registry.Dataset`.
        data: where it lies; what each kind of data set expects there is said by its task.
        stage: of :class:`cinn_colorize.training.registry.Stage`; all but ``flow`` are of photos and ImageNet
            alone.
        backbone: weights of the conditioning network that a new model of these begins with.
        preset: the architecture of a new model, of ImageNet alone.
        cache: folder where shards of photos at URLs are kept; None to read from afar, photo by photo.
        ablate: what of the paper's recipe to leave out, of the task's ablations.

    Raises:
        DataError: it is not there, or cannot be used.
    """
    if preset and dataset != Dataset.imagenet:
        raise DataError(f"{dataset}: has one architecture; --preset is for imagenet")
    task = _open(Dataset(dataset), data, Stage(stage), backbone, Preset(preset or Preset.paper), cache)
    for name in ablate:
        if name not in task.ablations:
            known = ", ".join(task.ablations) or "nothing"
            raise DataError(f"--ablate {name}: not for {task.model}, where {known} can be left out")
    if backbone and "conditioning" in ablate:
        raise DataError(f"{backbone}: a model without conditioning network has no backbone")
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
            raise DataError(f"{printable_name(root)}: only photos are read from URLs, not {dataset}")
    paths = [root for root in data if isinstance(root, Path)]
    if dataset is Dataset.imagenet:
        return _open_imagenet(paths, stage, backbone, preset)
    if stage is not Stage.flow or backbone:
        raise DataError(f"{dataset}: has no backbone; stages and --backbone are for photos and imagenet")
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
        task = (JointTask if stage is Stage.joint else NaturalTask)(photos, dev, backbone)
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
    data: Sequence[Path], stage: Stage, backbone: Path | None, preset: Preset
) -> ImagenetTask | VggTask:
    photos, dev = _joined(data, find_imagenet)
    _warn_if_unwatched(dev, f"val folder or {DEV}")
    if stage is Stage.features:
        if backbone:
            raise DataError(f"{backbone}: the stage features makes such a file; leave out --backbone")
        return VggTask(photos, dev, preset)
    return (ImagenetJointTask if stage is Stage.joint else ImagenetTask)(photos, dev, backbone, preset)


def _open_mnist(data: Sequence[Path]) -> MnistTask:
    if len(data) != 1:
        raise DataError("MNIST lies in one folder; give --data once")
    return MnistTask(data[0])


def _open_lsun(data: Sequence[Path]) -> BedroomsTask:
    photos, dev = _joined(data, find_lsun)
    _warn_if_unwatched(dev, LSUN_VAL)
    return BedroomsTask(photos, dev)


def _joined(data: Sequence[Path], find: Find) -> tuple[Sequence[Source], Sequence[Source]]:
    """Photos to learn from and photos held out of several places."""
    found = [find(root) for root in data]
    if len(found) == 1:
        return found[0]
    return [p for photos, _ in found for p in photos], [p for _, dev in found for p in dev]


def _warn_if_unwatched(dev: Sequence[Source], missing: str) -> None:
    if not dev:
        log.warning("no %s there, so the run is not watched on photos it does not learn from", missing)
