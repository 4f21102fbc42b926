"""A batch without its results: what would be made, how long it would take, and how much disk it would need.

For each format of results, the photo of median size is colorized in a temporary folder, and so is the
largest photo of all. The time per file is interpolated between these by the number of pixels, and the size of
a file is in proportion to it, by format.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cinn_colorize.batch.pipeline import Failure, Job, Plan, Task
from cinn_colorize.batch.run import Batch
from cinn_colorize.errors import CinnError
from cinn_colorize.files import printable_name
from cinn_colorize.imaging.photo import Photo

_MOST = 4  # samples of a photo that are drawn to measure


@dataclass(frozen=True)
class Rehearsal:
    """What a batch would do.

    Attributes:
        outputs: the files it would write, as far as their names are known: which samples are picked is not.
        files: how many it would write.
        photos: number of photos they are made of.
        problems: lines for photos that would fail.
        seconds: about how long it would take, without the start.
        size: about how many bytes the files would have.
        free: bytes that are free on the disk of the output folder.
        measured: what the estimate is based on; empty if there is nothing to do.
    """

    outputs: list[Path]
    files: int
    photos: int
    problems: list[str]
    seconds: float
    size: float
    free: int
    measured: str


@dataclass(frozen=True)
class _Due:
    """A photo to be colorized, the number of its pixels, and the bytes of a picture before it is encoded."""

    task: Task
    files: int
    pixels: int
    bytes: int


@dataclass(frozen=True)
class _Measure:
    """What a photo took: seconds per file, and bytes of a file per byte of the picture."""

    due: _Due
    seconds: float
    ratio: float

    def __str__(self) -> str:
        name = printable_name(self.due.task.input.path)
        return f"{name}, {self.due.pixels / 1e6:.2g} MP: {self.seconds:.2g} s a file"


def rehearse(batch: Batch) -> Rehearsal:
    """Find out what a batch would do; nothing is written but temporary files.

    Raises:
        CinnError: the network cannot be loaded, or a photo cannot be colorized.
    """
    due, problems = [], []
    for item in batch.rehearsed():
        try:
            if isinstance(item, Failure):
                problems.append(item.message)
            elif isinstance(item, Task) and (one := _due(item, batch.plan)):
                due.append(one)
        except CinnError as error:
            problems.append(str(error))
    picks = batch.plan.method.kept(batch.plan.number) < batch.plan.number
    outputs = [output for one in due for output in one.task.wanted if not picks]
    folder = batch.plan.folder.absolute()
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free
    seconds, size, measures = 0.0, 0.0, []
    if due:
        job = Job(batch.spec.colorizer(), batch.plan)
        due.sort(key=lambda one: one.pixels)
        _measure(job, due[0])  # what only the first photo takes is no part of the rate
        measures = [_measure(job, one) for one in _examples(due, batch.plan)]
        points = [measure.due.pixels for measure in measures], [measure.seconds for measure in measures]
        seconds = sum(one.files * float(np.interp(one.pixels, *points)) for one in due) / batch.workers
        size = sum(one.files * one.bytes * _ratio(measures, one, batch.plan) for one in due)
    files = sum(one.files for one in due)
    return Rehearsal(outputs, files, len(due), problems, seconds, size, free, "; ".join(map(str, measures)))


def _due(task: Task, plan: Plan) -> _Due | None:
    photo = _opened(task, plan)
    if task.input.found and photo.recipe:
        return None
    files = min(plan.method.kept(plan.number), len({*task.wanted} - {task.sheet})) + (
        task.sheet in task.wanted
    )
    return _Due(task, files, photo.width * photo.height, photo.picture_bytes)


def _opened(task: Task, plan: Plan) -> Photo:
    source = task.input.path if task.content is None else task.content
    return plan.open(source, printable_name(task.input.path))


def _examples(due: Sequence[_Due], plan: Plan) -> list[_Due]:
    """Return the photos to measure, by size.

    Args:
        due: all photos, by size.
        plan: what is to be done with them.
    """
    kinds: dict[str, list[_Due]] = {}
    for one in due:
        kinds.setdefault(plan.suffix(one.task.input.path).lower(), []).append(one)
    chosen = {id(one): one for one in (due[-1], *(same[len(same) // 2] for same in kinds.values()))}
    return sorted(chosen.values(), key=lambda one: one.pixels)


def _measure(job: Job, due: _Due) -> _Measure:
    plan, task = job.plan, due.task
    with tempfile.TemporaryDirectory(prefix="cinn-colorize-") as folder:
        number = min(plan.number, _MOST)
        plan = replace(plan, folder=Path(folder), number=number, sheet=False, pattern="{seed}{ext}")
        outputs = plan.outputs(replace(task.input, below=Path()), "")
        alone = replace(task, input=replace(task.input, found=False), outputs=outputs, wanted=outputs)
        alone = replace(alone, sheet=None)
        start = time.perf_counter()
        made = [*Job(job.colorizer, plan).colorize(alone)]
        seconds = time.perf_counter() - start
        size = sum(result.output.stat().st_size for result in made)
    return _Measure(due, seconds / len(made), size / len(made) / due.bytes)


def _ratio(measures: Sequence[_Measure], due: _Due, plan: Plan) -> float:
    """Return the bytes of a file per byte of the picture, by the photos measured of that format."""
    suffix = plan.suffix(due.task.input.path).lower()
    same = [one.ratio for one in measures if plan.suffix(one.due.task.input.path).lower() == suffix]
    return sum(same) / len(same)
