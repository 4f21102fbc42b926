"""Many photos: what to do for each, where it is recorded, and which process does it."""

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.colorizing import Job
from cinn_colorize.batch.inputs import Input
from cinn_colorize.batch.plan import Event, Existing, Failure, Finished, Plan, Task
from cinn_colorize.batch.result_files import ResultNames, is_made_here
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import CinnError, OriginalError, PhotoError, printable_name
from cinn_colorize.files.atomic import TemporaryFolder, open_input, original_at, protecting, remove_leftovers
from cinn_colorize.files.formats import FORMATS, format_of_content
from cinn_colorize.files.limits import read_stream

if TYPE_CHECKING:
    from cinn_colorize.batch.manifest import Manifest

Cluster = Callable[[ModelSpec, Plan, Iterator[Task | Event]], Generator[Event, None, None]]


class Batch:
    """Photos colorized by one plan, each in one of several processes or on the machines of a cluster.

    ``inputs`` are photos, and errors in the arguments. There are ``workers`` processes, None for one per
    core; a single photo is done in this one.
    """

    things = "photos"

    def __init__(
        self,
        inputs: list[Input | PhotoError],
        plan: Plan,
        spec: ModelSpec,
        workers: int | None = None,
        manifest: "Manifest | None" = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.inputs, self.plan, self.spec = inputs, plan, spec
        self._photos = [item for item in inputs if isinstance(item, Input)]
        number = len(self._photos)
        self.workers = 1
        if number > 1:
            from cinn_colorize.batch.workers import usable_cores

            self.workers = min(workers or usable_cores(), number)
        self._manifest, self._cluster, self._names = manifest, cluster, ResultNames(plan)

    @property
    def files(self) -> int:
        """Number of files that are made of a photo."""
        return self.plan.method.kept + bool(self.plan.sheet)

    @property
    def first(self) -> str:
        """Name of the first photo; empty if there is none."""
        return printable_name(self._photos[0].path) if self._photos else ""

    @property
    def resumes(self) -> bool:
        """Whether the same call continues where this one was stopped."""
        return bool(self._manifest) or self.plan.existing is not Existing.OVERWRITE

    def run(self) -> Generator[Event, None, None]:
        """Colorize all photos; yield each result as soon as it is written, and the end of each photo."""
        tasks, job = _without_leftovers(self._tasks()), Job(self.spec, self.plan)
        events = (event for task in tasks for event in job.events(task))
        if self._cluster:
            events = self._cluster(self.spec, self.plan, tasks)
        elif len(self._photos) > 1:
            from cinn_colorize.batch.workers import WorkerPool

            events = WorkerPool(self.spec, self.plan, self.workers).run(tasks)
        with self._protecting(), contextlib.closing(events):
            for event in events:
                if self._manifest:
                    self._manifest.add(event)
                yield event
                if isinstance(event, Failure) and event.ends:
                    return

    def tasks(self) -> list[Task | Failure | Finished]:
        """Return what is to be done for each photo, and do nothing."""
        with self._protecting():
            return list(self._tasks())

    @contextlib.contextmanager
    def _protecting(self) -> Iterator[None]:
        """Protect all that the batch reads from its results."""
        named = [photo.path for photo in self._photos if photo.named]
        named += [*self.plan.method.paths, *([self._manifest.path] if self._manifest else [])]
        in_folders = [photo.path for photo in self._photos if not photo.named]
        made_here = partial(is_made_here, max_pixels=self.plan.max_pixels)
        # Results of an earlier call may lie in these folders; they are not colorized again.
        with protecting(named), protecting(in_folders, unless=made_here):
            yield

    def _tasks(self) -> Iterator[Task | Failure | Finished]:
        for item in self.inputs:
            if isinstance(item, PhotoError):
                yield Failure(None, str(item))
                continue
            try:
                task = self._task(item)
                is_done = task.is_done(self.plan)
                content = None if is_done else _content(item.path, self.plan.max_pixels)
            except CinnError as error:
                yield Failure(item.path, str(error))
            else:
                yield Finished(item.path) if is_done else replace(task, content=content)

    def _task(self, photo: Input) -> Task:
        """Return a photo with its files, but for the content."""
        outputs, sheet = self._names.of(photo)
        task = Task(photo, outputs, sheet)
        if self._manifest:
            task = replace(task, listed=self._manifest.listed(photo.path, outputs, sheet))
        for output in filter(os.path.lexists, task.unlisted):
            self._check_replaced(photo, output, is_sheet=output == sheet)
        return task

    def _check_replaced(self, photo: Input, output: Path, *, is_sheet: bool) -> None:
        """Refuse a result in the place of the photo, or of another file that the call reads."""
        name = printable_name(photo.path)
        if os.path.exists(photo.path) and os.path.exists(output) and output.samefile(photo.path):  # noqa: PTH110
            raise PhotoError(f"{name}: its result would replace the photo; choose another --output-dir")
        # A sheet of other pictures is replaced unasked.
        is_replaced = is_sheet or self.plan.existing is Existing.OVERWRITE
        if is_replaced and (original := original_at(output)):
            problem = f"its result {printable_name(output)} would replace {printable_name(original)}"
            advice = "choose another --output or --output-dir"
            raise OriginalError(f"{name}: {problem}, one of the files given; {advice}")


def _without_leftovers(tasks: Iterable[Task | Event]) -> Iterator[Task | Event]:
    """Remove what killed processes left in a folder before the first task that writes there."""
    clean: set[Path] = set()
    for task in tasks:
        if isinstance(task, Task):
            folders = {output.parent for output in task.unlisted} - clean
            for folder in folders:
                remove_leftovers(folder)
            clean |= folders
        yield task


def colorize_stream(content: bytes, plan: Plan, spec: ModelSpec) -> bytes:
    """Return the file of one sample of a photo that is given as bytes."""
    format = format_of_content(content[:32])
    photo = Input(Path("stdin" + (FORMATS[format][0] if format else "")))
    with TemporaryFolder() as folder:
        plan = replace(plan, folder=Path(folder), pattern="{stem}{ext}")
        outputs = plan.outputs(photo.path, photo.path.stem, plan.suffix(photo.path))  # all of one name
        list(Job(spec, plan).colorize(Task(photo, outputs, content=content)))
        return outputs[plan.method.seed].read_bytes()


def _content(path: Path, max_pixels: int) -> bytes | None:
    """Read a pipe, which other processes cannot open, and which nobody can read twice; None for a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # which is reported when the photo is opened
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    try:
        with open_input(path) as file:
            return read_stream(file, printable_name(path), max_pixels)
    except OSError as error:
        raise PhotoError(f"{printable_name(path)}: cannot be read: {error.strerror}") from error
