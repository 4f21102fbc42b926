"""Open data sets as tasks."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cinn_colorize.data.sources import Source, find_photos
from cinn_colorize.data.urls import Url, find, is_folder
from cinn_colorize.errors import DataError, printable_name
from cinn_colorize.training.bedrooms import LSUN_VAL, BedroomsTask, find_lsun
from cinn_colorize.training.choices import Dataset, Preset, Stage
from cinn_colorize.training.crops import DEV
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
    """Open a data set, at one or several locations, and return the task of training on it.

    Only photos and ImageNet have a ``backbone``, with which a new model starts, and stages other than
    ``flow``; only ImageNet has a ``preset``. ``cache`` keeps shards of photos at URLs. A DataError if
    the data cannot be used, or the arguments do not fit together.
    """
    if preset and dataset != Dataset.imagenet:
        raise DataError(f"{dataset}: has only one architecture; --preset is for imagenet")
    paths = [root for root in data if isinstance(root, Path)]
    task: Task[Any]
    if dataset == Dataset.photos:
        task = _photos(data, Stage(stage), backbone, cache)
    elif urls := [root for root in data if isinstance(root, Url)]:
        raise DataError(f"{urls[0].shown}: photos can be read from URLs, {dataset} cannot")
    elif dataset == Dataset.imagenet:
        task = _imagenet(paths, Stage(stage), backbone, Preset(preset or Preset.paper))
    elif stage != Stage.flow or backbone:
        raise DataError(f"{dataset}: has no backbone; --stage and --backbone are for photos and imagenet")
    elif dataset == Dataset.lsun:
        task = BedroomsTask(*_joined(paths, find_lsun, LSUN_VAL))
    elif len(paths) == 1:
        task = MnistTask(paths[0])
    else:
        raise DataError("mnist requires a single folder; give --data once")
    for name in ablate:
        if name not in task.ablations:
            known = ", ".join(task.ablations) or "nothing"
            raise DataError(f"--ablate {name}: does not apply to {task.model}, where {known} can be left out")
    name = printable_name(backbone or "")
    if backbone and stage == Stage.features:
        raise DataError(f"{name}: --stage features writes such a file; leave out --backbone")
    if backbone and "conditioning" in ablate:
        raise DataError(f"{name}: a model without a conditioning network has no backbone")
    task.ablate = tuple(sorted(set(ablate)))
    return task


def _photos(data: Sequence[Path | Url], stage: Stage, backbone: Path | None, cache: Path | None) -> Task[Any]:
    damaged: list[str] = []
    photos = [photo for root in data for photo in find_photos(root, cache=cache, damaged=damaged)]
    dev = [photo for root in data for photo in _held_out(root, cache)]
    _warn_if_unwatched(dev, DEV)
    tasks = {Stage.coarse: CoarseTask, Stage.fine: FineTask, Stage.joint: JointTask}
    kind = tasks.get(stage, NaturalTask)
    task = FeaturesTask(photos, dev) if stage is Stage.features else kind(photos, dev, backbone)
    task.unreadable = damaged
    return task


def _held_out(root: Path | Url, cache: Path | None) -> list[Source]:
    """Find the held-out photos beside the shards of a folder, if there are any."""
    if isinstance(root, Path):
        return find_photos(root / DEV) if (root / DEV).is_file() else []
    return find_photos(root, DEV, cache=cache) if is_folder(root) and find(root, DEV) else []


def _imagenet(
    data: Sequence[Path], stage: Stage, backbone: Path | None, preset: Preset
) -> ImagenetTask | VggTask:
    if stage in (Stage.coarse, Stage.fine):
        raise DataError(f"imagenet: has no stage {stage}, which is for photos")
    photos, dev = _joined(data, find_imagenet, f"val folder or {DEV}")
    if stage is Stage.features:
        return VggTask(photos, dev, preset)
    return (ImagenetJointTask if stage is Stage.joint else ImagenetTask)(photos, dev, backbone, preset)


def _joined(data: Sequence[Path], find: Find, held_out: str) -> tuple[Sequence[Source], Sequence[Source]]:
    """Join the photos to train on, and those held out, of several locations."""
    found = [find(root) for root in data]
    photos, dev = found[0]
    if len(found) > 1:
        photos, dev = [p for photos, _ in found for p in photos], [p for _, dev in found for p in dev]
    _warn_if_unwatched(dev, held_out)
    return photos, dev


def _warn_if_unwatched(dev: Sequence[Source], missing: str) -> None:
    if not dev:
        log.warning("no %s found; the run is not evaluated on held-out photos", missing)
