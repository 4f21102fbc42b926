"""A batch without its results: what would be made, how long it takes, and how much disk it needs."""

import time
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cinn_colorize.batch.colorizing import Job, LeftOutError, opened
from cinn_colorize.batch.inputs import Input
from cinn_colorize.batch.plan import Failure, Finished, State, Task
from cinn_colorize.batch.result_files import ExistingResults, check_names, make_folder
from cinn_colorize.batch.run import Batch
from cinn_colorize.errors import OutputError, PhotoError, printable_name
from cinn_colorize.files.atomic import TemporaryFolder

_MOST = 4  # samples of a photo that are drawn to measure, if all are kept


@dataclass
class DryRun:
    """What a batch would do."""

    outputs: list[Path] = field(default_factory=list)  # to write, if known: which samples are picked is not
    files: int = 0  # that it would write
    originals: int = 0  # photos or films of which they are made
    right: int = 0  # files that exist and are as wanted
    problems: list[str] = field(default_factory=list)  # lines for photos or films that would fail
    seconds: float = 0.0  # without the start
    size: float = 0.0  # of the files, in bytes
    measured: list[str] = field(default_factory=list)  # what the estimate is based on


@dataclass(frozen=True, eq=False)
class _Photo:
    """A photo, and what DryRun says of its files."""

    task: Task
    outputs: list[Path]
    files: int
    right: int
    pixels: int
    bytes: int  # of a picture before encoding

    @property
    def suffix(self) -> str:
        return next(iter(self.task.outputs.values())).suffix.lower()


def dry_run(batch: Batch) -> DryRun:
    """Find out what a batch would do; nothing is written but temporary files."""
    plan, problems, right, job = batch.plan, list[str](), 0, Job(batch.spec, batch.plan)
    photos: list[_Photo] = []
    for item in batch.tasks():
        try:
            if isinstance(item, Failure):
                problems.append(item.message)
            elif isinstance(item, Finished):
                right += batch.files
            else:
                photo = _photo(item, job)
                right += photo.right
                photos += [photo] if photo.files else []
        except LeftOutError:
            continue
        except PhotoError as error:
            problems.append(str(error))
    refused = {}
    for folder in dict.fromkeys(output.parent for photo in photos for output in photo.task.unlisted):
        try:
            make_folder(folder, plan.folder, dry_run=True)
        except OutputError:
            raise
        except PhotoError as error:
            refused[folder] = str(error)
    photos = [p for p in photos if not any(output.parent in refused for output in p.task.unlisted)]
    problems += refused.values()
    measures = _measures(job, photos, problems) if photos else []
    return DryRun(
        outputs=[output for photo in photos for output in photo.outputs],
        files=sum(photo.files for photo in photos),
        originals=len(photos),
        right=right,
        problems=problems,
        seconds=sum(photo.files * _seconds(photo, measures) for photo in photos) / batch.workers,
        size=sum(photo.files * photo.bytes * _ratio(photo, measures) for photo in photos),
        measured=[*map(str, measures)],
    )


def _photo(task: Task, job: Job) -> _Photo:
    plan = job.plan
    some_exist = bool(task.listed) or any(map(plan.keeps, task.unlisted))
    photo = opened(task, plan, is_sought=some_exist)
    existing, kept = ExistingResults(task, plan, job.load(), photo), plan.method.kept
    seeds = list(plan.seeds)
    if plan.picks:
        seeds = existing.picked()
        if some_exist and len(seeds) < kept:
            samples = plan.method.samples(job.load(), photo)
            seeds = [sample.seed for sample in samples]
    states = existing.states(seeds)
    outputs = states.outputs(task)
    files = len(outputs) if seeds else kept + bool(task.sheet)
    if files:
        check_names(outputs or task.unlisted)
        for number in range(photo.page + 1, photo.page + photo.together):
            plan.page(photo, number, is_sought=False)
    right = min(kept, len(states.right)) + (states.sheet is State.RIGHT)
    return _Photo(task, outputs, files, right, photo.width * photo.height, photo.picture_bytes)


@dataclass(frozen=True)
class _Measure:
    """What a photo took: seconds per file, and bytes of a file per byte of the picture."""

    photo: _Photo
    seconds: float
    ratio: float

    def __str__(self) -> str:
        name = printable_name(self.photo.task.input.path)
        return f"{name}, {self.photo.pixels / 1e6:.2g} MP: {self.seconds:.2g} s a file"


def _measures(job: Job, photos: list[_Photo], problems: list[str]) -> list[_Measure]:
    """Measure the photo of median size of each format, and the largest; remove those that are damaged."""
    measured: dict[_Photo, _Measure] = {}
    while photos:
        by_size = sorted(photos, key=lambda photo: photo.pixels)
        groups = [[p for p in by_size if p.suffix == suffix] for suffix in sorted({p.suffix for p in photos})]
        chosen = {by_size[-1], *(group[len(group) // 2] for group in groups)}
        try:
            if not measured:
                _measure(job, photo := by_size[0])  # what only the first photo takes is no part of the rate
            for photo in [photo for photo in by_size if photo in chosen]:
                measured[photo] = measured.get(photo) or _measure(job, photo)
            return [measured[photo] for photo in by_size if photo in chosen]
        except OutputError:
            raise
        except PhotoError as error:
            problems.append(str(error))
            photos.remove(photo)
    return []


def _measure(job: Job, photo: _Photo) -> _Measure:
    plan, alone = job.plan, Input(photo.task.input.path)
    number = plan.method.number if plan.picks else min(plan.method.number, _MOST)
    with TemporaryFolder() as folder:
        pattern = f"{{seed}}{photo.suffix}"
        method = replace(plan.method, number=number)
        job = copy(job)
        job.plan = replace(plan, folder=Path(folder), method=method, sheet="", pattern=pattern)
        outputs = job.plan.outputs(alone.path, "", "")
        task = Task(alone, outputs, content=photo.task.content)
        start = time.perf_counter()
        results = [*job.colorize(task)]
        seconds = time.perf_counter() - start
        size = sum(result.output.stat().st_size for result in results)
    return _Measure(photo, seconds / len(results), size / len(results) / photo.bytes)


def _seconds(photo: _Photo, measures: list[_Measure]) -> float:
    """Return about how long one of its files takes, by its pixels."""
    pixels = [measure.photo.pixels for measure in measures]
    return float(np.interp(photo.pixels, pixels, [measure.seconds for measure in measures]))


def _ratio(photo: _Photo, measures: list[_Measure]) -> float:
    """Return the bytes of one of its files per byte of the picture, by the median photo of its format."""
    return next(measure.ratio for measure in measures if measure.photo.suffix == photo.suffix)
