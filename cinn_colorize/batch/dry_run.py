"""A batch without its results: what would be made, how long it would take, and how much disk it would need.

For each format of results, the photo of median size is colorized in a temporary folder, and so is the
largest photo of all. The time per file is interpolated between these by the number of pixels, and the size of
a file is in proportion to it, by format.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cinn_colorize.batch.existing import State, There
from cinn_colorize.batch.pipeline import Failure, Finished, Job, check_names, load_colorizer, make_folder
from cinn_colorize.batch.plan import Plan, Task
from cinn_colorize.batch.run import Batch
from cinn_colorize.errors import OutputError, PhotoError
from cinn_colorize.files.atomic import TemporaryFolder
from cinn_colorize.files.messages import printable_name

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer

_MOST = 4  # samples of a photo that are drawn to measure, if all are kept


@dataclass(frozen=True)
class Rehearsal:
    """What a batch would do.

    Attributes:
        outputs: the files it would write, as far as their names are known: which samples are picked is not.
        files: how many it would write.
        photos: number of photos they are made of.
        there: how many are there and right. Where only some of the samples drawn are kept, and as many are
            there, these count as the ones.
        problems: lines for photos that would fail.
        seconds: about how long it would take, without the start.
        size: about how many bytes the files would have.
        free: bytes that are free on the disk of the output folder.
        measured: what the estimate is based on; empty if there is nothing to do.
    """

    outputs: list[Path]
    files: int
    photos: int
    there: int
    problems: list[str]
    seconds: float
    size: float
    free: int
    measured: str


@dataclass(frozen=True)
class _Due:
    """A photo and what is to be made of it.

    Attributes:
        outputs: the files to write, as far as their names are known.
        files: their number.
        there: number of files that are there and right.
        pixels: number of the photo's pixels.
        bytes: bytes of a picture before it is encoded.
    """

    task: Task
    outputs: list[Path]
    files: int
    there: int
    pixels: int
    bytes: int

    @property
    def suffix(self) -> str:
        """Suffix of its results."""
        return self.task.outputs[0].suffix.lower()


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
        CinnError: the network cannot be loaded, nothing can be written in the output folder, or there is no
            space for temporary files.
    """
    due, problems, there, colorizer = (
        [],
        [],
        0,
        functools.cache(functools.partial(load_colorizer, batch.spec)),
    )
    for item in batch.rehearsed():
        try:
            if isinstance(item, Failure):
                problems.append(item.message)
            elif isinstance(item, Finished):
                there += batch.files
            elif one := _due(item, batch.plan, colorizer):
                there += one.there
                due += [one] if one.files else []
        except PhotoError as error:
            problems.append(str(error))
    refused = set()
    for folder in {output.parent: None for one in due for output in one.task.wanted}:
        try:
            make_folder(folder, batch.plan.folder, rehearsed=True)
        except OutputError:
            raise
        except PhotoError as error:
            problems.append(str(error))
            refused.add(folder)
    due = [one for one in due if not refused & {output.parent for output in one.task.wanted}]
    measures = _measures(Job(colorizer(), batch.plan), due, problems) if due else []
    outputs = [output for one in due for output in one.outputs]
    folder = batch.plan.folder
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free
    seconds, size = 0.0, 0.0
    if due:
        points = [measure.due.pixels for measure in measures], [measure.seconds for measure in measures]
        seconds = sum(one.files * float(np.interp(one.pixels, *points)) for one in due) / batch.workers
        size = sum(one.files * one.bytes * _ratio(measures, one) for one in due)
    files = sum(one.files for one in due)
    measured = "; ".join(map(str, measures))
    return Rehearsal(outputs, files, len(due), there, problems, seconds, size, free, measured)


def _due(task: Task, plan: Plan, colorizer: Callable[[], BaseColorizer]) -> _Due | None:
    """Return what is to be made of a photo; None if this program made it.

    Raises:
        PhotoError: the photo cannot be read, or a result is there that was made in another way.
        WeightsError: the network cannot be loaded.
    """
    photo = plan.open(
        task.input.path if task.content is None else task.content, printable_name(task.input.path)
    )
    if task.input.found and photo.recipe:
        return None
    photo = (
        photo if plan.request.frame == "auto" else photo.framed(plan.request.frame)
    )  # which takes no pixels
    plan.check(photo, task.outputs[0])
    some = bool(task.existing) or len(task.wanted) < len({*task.outputs}) + bool(task.sheet)
    photo = photo.framed(plan.request.frame) if some else photo
    there, kept = There(task, plan, colorizer(), photo), plan.method.kept(plan.number)
    seeds = list(plan.seeds)
    if plan.picks:
        seeds = there.right()
        if some and len(seeds) < kept:
            drawn = plan.method.samples(colorizer(), photo, plan.number, plan.temperature, plan.seed)
            seeds = [sample.seed for sample in drawn]
    todo = there.todo(seeds)
    outputs = todo.outputs(task, plan)
    files = len(outputs) if seeds else kept + bool(task.sheet)
    if files:
        check_names(outputs or task.wanted)
        # To find a frame takes all pixels of a page.
        known = plan.without_frame() if plan.request.frame == "auto" else plan
        for number in range(photo.page + 1, photo.page + photo.together):
            known.page(photo, number)
    right = min(kept, len(todo.right)) + (todo.sheet is State.RIGHT)
    return _Due(task, outputs, files, right, photo.width * photo.height, photo.picture_bytes)


def _measures(job: Job, due: list[_Due], problems: list[str]) -> list[_Measure]:
    """Measure some of the photos, by size; damage that this shows moves them from ``due`` to ``problems``.

    Raises:
        OutputError: there is no space for temporary files.
        WeightsError: the network cannot be loaded.
    """
    measures: dict[int, _Measure] = {}  # by the photo's identity
    warm = False
    while due:
        by_size = sorted(due, key=lambda one: one.pixels)
        examples = _examples(by_size)
        try:
            if not warm:  # what only the first photo takes is no part of the rate
                _measure(job, one := by_size[0])
                warm = True
            for one in examples:
                if id(one) not in measures:
                    measures[id(one)] = _measure(job, one)
            return [measures[id(one)] for one in examples]
        except OutputError:
            raise
        except PhotoError as error:
            problems.append(str(error))
            due.remove(one)
    return []


def _examples(due: Sequence[_Due]) -> list[_Due]:
    """Return the photos to measure, by size, of all photos by size."""
    kinds: dict[str, list[_Due]] = {}
    for one in due:
        kinds.setdefault(one.suffix, []).append(one)
    chosen = {id(one): one for one in (due[-1], *(same[len(same) // 2] for same in kinds.values()))}
    return sorted(chosen.values(), key=lambda one: one.pixels)


def _measure(job: Job, due: _Due) -> _Measure:
    plan, task = job.plan, due.task
    with TemporaryFolder() as folder:
        number = plan.number if plan.picks else min(plan.number, _MOST)
        pattern = f"{{seed}}{due.suffix}"
        drawing = plan.drawing._replace(number=number)
        plan = replace(plan, folder=Path(folder), drawing=drawing, sheet=False, pattern=pattern)
        outputs = plan.outputs(replace(task.input, below=Path()), "")
        alone = replace(task, input=replace(task.input, found=False), outputs=outputs, wanted=outputs)
        alone = replace(alone, sheet=None, existing=[])
        start = time.perf_counter()
        made = [*Job(job.colorizer, plan).colorize(alone)]
        seconds = time.perf_counter() - start
        size = sum(result.output.stat().st_size for result in made)
    return _Measure(due, seconds / len(made), size / len(made) / due.bytes)


def _ratio(measures: Sequence[_Measure], due: _Due) -> float:
    """Return the bytes of a file per byte of the picture, by the photos measured of that format."""
    same = [one.ratio for one in measures if one.due.suffix == due.suffix]
    return sum(same) / len(same)
