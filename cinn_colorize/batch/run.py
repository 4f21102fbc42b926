"""Many photos: what to do for each, where it is recorded, and which process does it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinn_colorize.batch.events import Event, Failure, Finished, Result
from cinn_colorize.batch.inputs import Input
from cinn_colorize.batch.manifest import Manifest
from cinn_colorize.batch.pipeline import Job, loading_colorizer
from cinn_colorize.batch.plan import Existing, Plan, Task
from cinn_colorize.batch.result_files import ResultNames, is_made_here
from cinn_colorize.batch.workers import InProcess, WorkerPool
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import CinnError, OriginalError, PhotoError
from cinn_colorize.files.atomic import TemporaryFolder, open_input, remove_leftovers
from cinn_colorize.files.formats import FORMATS, format_of_content
from cinn_colorize.files.limits import read_stream
from cinn_colorize.files.messages import printable_name
from cinn_colorize.files.originals import original_at, protecting

if TYPE_CHECKING:
    from cinn_colorize.batch.cluster import Cluster


class Batch:
    """Photos colorized by one plan, each in one of several processes.

    Args:
        inputs: photos, and errors in the arguments.
        plan: what to draw for each photo, and where to write it.
        spec: how a process loads the network.
        workers: number of processes; a single photo is done in this one.
        manifest: the results that are done, and where new ones are recorded.
        cluster: the machines that do it, in place of processes of this one.
    """

    def __init__(
        self,
        inputs: list[Input | PhotoError],
        plan: Plan,
        spec: ModelSpec,
        workers: int,
        manifest: Manifest | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.inputs, self.plan, self.spec = inputs, plan, spec
        self._photos = [item for item in inputs if isinstance(item, Input)]
        self.workers = max(1, min(workers, len(self._photos)))
        self._manifest, self._cluster, self._names = manifest, cluster, ResultNames(plan)

    @property
    def files(self) -> int:
        """Number of files that are made of a photo."""
        return self.plan.method.kept + self.plan.sheet

    @property
    def first(self) -> str:
        """Name of the first photo; empty if there is none."""
        return printable_name(self._photos[0].path) if self._photos else ""

    @property
    def resumes(self) -> bool:
        """Whether the same call continues where this one was stopped."""
        return bool(self._manifest) or self.plan.existing is not Existing.OVERWRITE

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What identifies a result beside photo, seed, temperature and model."""
        return {
            "weights": self.spec.sha256,
            "precision": self.spec.precision,
            **({"guidance": self.spec.guidance} if self.spec.guidance else {}),
            **vars(self.plan.rendering),
            **vars(self.plan.encoding),
            "frame": self.plan.request.frame,
            **({"pages": str(self.plan.pages)} if self.plan.pages else {}),
            **self.plan.method.settings,
            **({"picked_from": [self.plan.seeds[0], self.plan.seeds[-1]]} if self.plan.picks else {}),
        }

    def run(self) -> Generator[Event, None, None]:
        """Colorize all photos; yield each result as soon as it is written, and the end of each photo.

        Raises:
            WeightsError: the network cannot be loaded.
            DataError: the manifest cannot be written.
        """
        with self._protecting(), contextlib.closing(self._events()) as events:
            for event in events:
                if self._manifest and (line := self._line(event)):
                    self._manifest.add(line)
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
        # Results of an earlier call may lie in these folders; they are not colorized again.
        with protecting(named), protecting(in_folders, unless=self._is_made_here):
            yield

    def _is_made_here(self, path: Path) -> bool:
        return is_made_here(path, self.plan.max_pixels)

    def _events(self) -> Generator[Event, None, None]:
        tasks = _without_leftovers(self._tasks())
        if self._cluster:
            yield from self._cluster.run(self.spec, self.plan, tasks)
        elif len(self._photos) > 1:
            yield from WorkerPool(self.spec, self.plan, self.workers).run(tasks)
        else:
            yield from InProcess(self.spec, self.plan).run(tasks)

    def _tasks(self) -> Iterator[Task | Failure | Finished]:
        for item in self.inputs:
            if isinstance(item, PhotoError):
                yield Failure(None, str(item))
                continue
            try:
                yield self._task(item) or Finished(item.path)
            except CinnError as error:
                yield Failure(item.path, str(error))

    def _task(self, photo: Input) -> Task | None:
        """Return a photo with its files, or None if the manifest lists them all."""
        plan = self.plan
        outputs, sheet = self._names.of(photo)
        seeds = zip(outputs, plan.seeds, strict=True)
        done = {output for output, seed in seeds if self._is_done(photo, output, seed)}
        wanted = [output for output in dict.fromkeys(outputs) if output not in done]
        if sheet and not self._is_done(photo, sheet):
            wanted.append(sheet)
        existing = [output for output in wanted if os.path.lexists(output)]
        for output in existing:
            self._check_replaced(photo, output, is_sheet=output == sheet)
        # A method that picks samples does not write the others; a single one needs no seed in its name.
        kept = min(plan.method.kept, len(set(outputs)))
        if len(done) >= kept and sheet not in wanted:
            return None
        if plan.existing is Existing.OVERWRITE:
            existing = []
        return Task(photo, outputs, sheet, wanted, existing, _content(photo.path, plan.max_pixels))

    def _is_done(self, photo: Input, output: Path, seed: int | None = None) -> bool:
        """Return whether the manifest says it was made from this photo in this way, and it still exists."""
        if self._manifest is None or not os.path.lexists(output):
            return False
        size, mtime = _size_and_time(photo.path)
        if size is None:
            return False
        result = Result(photo.path, output, size, mtime, 0, seed, self.plan.temperature)
        return self._manifest.says(json.loads(json.dumps(self._line(result))))

    def _check_replaced(self, photo: Input, output: Path, *, is_sheet: bool) -> None:
        """Refuse a result in the place of the photo, or of another file that the call reads."""
        name = printable_name(photo.path)
        if os.path.exists(photo.path) and os.path.exists(output) and output.samefile(photo.path):  # noqa: PTH110
            raise PhotoError(f"{name}: its result would replace the photo; choose another --output-dir")
        # A sheet of other pictures is replaced unasked.
        is_replaced = is_sheet or self.plan.existing is Existing.OVERWRITE
        if is_replaced and (original := original_at(output)):
            raise OriginalError(
                f"{name}: its result {printable_name(output)} would replace {printable_name(original)}, one "
                "of the files given; choose another --output or --output-dir"
            )

    def _line(self, event: Event) -> dict[str, Any] | None:
        """Return an event's line in the manifest, or None."""
        if isinstance(event, Failure) and event.input:
            size, mtime = _size_and_time(event.input)
            return {"input": os.fspath(event.input), "size": size, "mtime": mtime, "error": event.message}
        if not isinstance(event, Result):
            return None
        plan = self.plan
        all_seeds = {"seeds": [plan.seed, plan.seed + plan.number - 1]}
        return {
            "input": os.fspath(event.input),
            "size": event.size,
            "mtime": event.mtime,
            "output": os.fspath(event.output),
            **(all_seeds if event.seed is None else {"seed": event.seed}),
            "temperature": plan.temperature,
            "model": self.spec.model,
            "log_prob": event.log_prob,
            "ms": event.ms,
            "settings": self._settings,
        }


def _without_leftovers(tasks: Iterable[Task | Event]) -> Iterator[Task | Event]:
    """Remove what killed processes left in a folder before the first task that writes there."""
    clean: set[Path] = set()
    for task in tasks:
        if isinstance(task, Task):
            folders = {output.parent for output in task.wanted} - clean
            for folder in folders:
                remove_leftovers(folder)
            clean |= folders
        yield task


def colorize_stream(content: bytes, plan: Plan, spec: ModelSpec) -> bytes:
    """Return the file of one sample of a photo that is given as bytes.

    Raises:
        PhotoError: the photo cannot be read.
        WeightsError: the network cannot be loaded.
        CinnError: there is no place for temporary files.
    """
    format = format_of_content(content[:32])
    photo = Input(Path("stdin" + (FORMATS[format][0] if format else "")))
    with TemporaryFolder() as folder:
        plan = replace(plan, folder=Path(folder), pattern="{stem}{ext}")
        outputs = plan.outputs(photo, photo.path.stem)  # all of one name
        task = Task(photo, outputs, None, outputs, content=content)
        list(Job(loading_colorizer(spec), plan).colorize(task))
        return outputs[0].read_bytes()


def _size_and_time(photo: Path) -> tuple[int | None, float | None]:
    try:
        status = photo.stat()
    except OSError:
        return None, None
    return status.st_size, status.st_mtime


def _content(path: Path, max_pixels: int) -> bytes | None:
    """Read a pipe, which other processes cannot open, and which nobody can read twice; None for a file.

    Raises:
        PhotoError: the pipe cannot be read, or has more bytes than a photo of ``max_pixels`` can have.
    """
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
