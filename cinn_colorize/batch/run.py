"""Many photos: what to do for each, where it is recorded, and which process does it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import unicodedata
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinn_colorize.batch.inputs import Input, is_photo
from cinn_colorize.batch.manifest import Manifest
from cinn_colorize.batch.pipeline import Event, Failure, Finished, Job, Result, loading_colorizer
from cinn_colorize.batch.plan import Existing, Plan, Task
from cinn_colorize.batch.workers import InProcess, WorkerPool
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import CinnError, OriginalError, PhotoError
from cinn_colorize.files.atomic import TemporaryFolder, open_input, remove_leftovers
from cinn_colorize.files.formats import FORMATS, OUTPUT_SUFFIXES, format_of_content
from cinn_colorize.files.limits import read_stream
from cinn_colorize.files.messages import printable_name
from cinn_colorize.files.originals import original_at, protecting

if TYPE_CHECKING:
    from cinn_colorize.batch.cluster import Cluster

_BLIND_TO_CASE = sys.platform in ("darwin", "win32")  # their file systems, mostly


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
        self._photos = sum(isinstance(item, Input) for item in inputs)
        self.workers = max(1, min(workers, self._photos))
        self._manifest = manifest
        self._cluster = cluster
        self._taken: dict[str, int] = {}  # the number of the photo that each output belongs to
        self._stems: dict[Path, dict[str, list[Path]]] = {}  # by folder
        self._clean: set[Path] = set()  # output folders without leftovers
        self._rehearses = False

    @property
    def files(self) -> int:
        """Number of files that are made of a photo."""
        return self.plan.method.kept(self.plan.number) + self.plan.sheet

    @property
    def first(self) -> str:
        """Name of the first photo; empty if there is none."""
        return next((printable_name(item.path) for item in self.inputs if isinstance(item, Input)), "")

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
        """Colorize all photos.

        Yields:
            each result as soon as it is written, failures, and the end of each photo.

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

    def rehearsed(self) -> list[Task | Failure | Finished]:
        """Return what is to be done for each photo, and do nothing."""
        self._rehearses = True
        with self._protecting():
            return list(self._tasks())

    @contextlib.contextmanager
    def _protecting(self) -> Iterator[None]:
        """Protect all that the batch reads from its results."""
        named = [item.path for item in self.inputs if isinstance(item, Input) and not item.found]
        found = [item.path for item in self.inputs if isinstance(item, Input) and item.found]
        named += [*self.plan.method.paths, *([self._manifest.path] if self._manifest else [])]
        with protecting(named), protecting(found, unless=self._made_here):  # results are not colorized again
            yield

    def _events(self) -> Generator[Event, None, None]:
        if self._cluster:
            yield from self._cluster.run(self.spec, self.plan, self._tasks())
        elif self._photos > 1:
            with WorkerPool(self.spec, self.plan, self.workers) as pool:
                yield from pool.run(self._tasks())
        else:
            yield from InProcess(self.spec, self.plan).run(self._tasks())

    def _tasks(self) -> Iterator[Task | Failure | Finished]:
        for number, item in enumerate(self.inputs):
            if isinstance(item, PhotoError):
                yield Failure(None, str(item))
                continue
            try:
                yield self._task(number, item) or Finished(item.path)
            except CinnError as error:
                yield Failure(item.path, str(error))

    def _task(self, number: int, item: Input) -> Task | None:
        """Return the files of a photo that no manifest lists, or None if there are none."""
        plan, name = self.plan, printable_name(item.path)
        outputs = plan.outputs(item, self._stem(item.path, plan.pattern))
        sheet = plan.sheet_path(item, self._stem(item.path, plan.sheet_pattern)) if plan.sheet else None
        wanted, existing = [], []
        seeds: list[int | None] = [*plan.seeds]
        results = [*zip(outputs, seeds, strict=True), *([(sheet, None)] if sheet else [])]
        done = {output for output, seed in results if self._is_done(item, output, seed)}
        for output in dict(results):
            other = self._taken.setdefault(_as_one(output), number)
            if other != number:
                first = self.inputs[other]
                assert isinstance(first, Input)
                raise PhotoError(
                    f"{name}: its results would have the same names as those of "
                    f"{printable_name(first.path)}; give the folders with --recursive, or colorize it in "
                    "a call with another -o"
                )
            if output in done:
                continue
            wanted.append(output)
            if not os.path.lexists(output):
                continue
            if os.path.exists(item.path) and os.path.exists(output) and output.samefile(item.path):  # noqa: PTH110
                raise PhotoError(f"{name}: its result would replace the photo; choose another --output-dir")
            replaced = plan.existing is Existing.OVERWRITE
            if not replaced:
                existing.append(output)
            # A sheet of other pictures is replaced unasked.
            if (replaced or output == sheet) and (original := original_at(output)):
                raise OriginalError(
                    f"{name}: its result {printable_name(output)} would replace "
                    f"{printable_name(original)}, one of the files given; "
                    "choose another --output or --output-dir"
                )
        # A method that picks samples does not write the others; a single one needs no seed in its name.
        kept = min(plan.method.kept(plan.number), len(set(outputs)))
        if len(done.intersection(outputs)) >= kept and sheet not in wanted:
            return None
        for folder in {output.parent for output in wanted} - self._clean if not self._rehearses else ():
            remove_leftovers(folder)
            self._clean.add(folder)
        return Task(item, outputs, sheet, wanted, existing, _content(item.path, plan.max_pixels))

    def _is_done(self, item: Input, output: Path, seed: int | None) -> bool:
        """Return whether the manifest says it was made from this photo in this way, and it still exists."""
        if self._manifest is None or not os.path.lexists(output):
            return False
        size, mtime = _status(item.path)
        if size is None:
            return False
        result = Result(item.path, output, size, mtime, 0, seed, self.plan.temperature)
        return self._manifest.says(json.loads(json.dumps(self._line(result))))

    def _stem(self, photo: Path, pattern: str) -> str:
        """Return a photo's name without its suffix, or with it if another photo's results would clash.

        A name of dots alone keeps its suffix too.

        The folder's content decides, so that a photo's results have the same names whatever else is
        colorized with it.
        """
        if photo.parent not in self._stems:
            self._stems[photo.parent] = _shared_stems(photo.parent)
        suffix = self.plan.suffix
        for sibling in self._stems[photo.parent].get(photo.stem, []):
            clashes = "{ext}" not in pattern or suffix(sibling) == suffix(photo)
            if sibling.name == photo.name or not clashes:
                continue
            if not self._is_result(sibling) or self._is_result(photo):  # results do not count beside photos
                return photo.name
        return photo.stem if photo.stem.strip(".") else photo.name  # ...jpg has the stem .., a folder

    def _is_result(self, path: Path) -> bool:
        """Return whether this program made a file; others, and pipes, are not opened."""
        may_be = path.suffix.lower() in OUTPUT_SUFFIXES and os.path.isfile(path)  # noqa: PTH113
        return may_be and self._made_here(path)

    def _made_here(self, path: Path) -> bool:
        from cinn_colorize.imaging.photo import has_recipe

        return has_recipe(path, self.plan.max_pixels)

    def _line(self, event: Event) -> dict[str, Any] | None:
        """Return an event's line in the manifest, or None."""
        if isinstance(event, Failure) and event.input:
            size, mtime = _status(event.input)
            return {"input": os.fspath(event.input), "size": size, "mtime": mtime, "error": event.message}
        if not isinstance(event, Result):
            return None
        plan = self.plan
        if event.seed is None:
            seeds: dict[str, Any] = {"seeds": [plan.seed, plan.seed + plan.number - 1]}
        else:
            seeds = {"seed": event.seed}
        return {
            "input": os.fspath(event.input),
            "size": event.size,
            "mtime": event.mtime,
            "output": os.fspath(event.output),
            **seeds,
            "temperature": plan.temperature,
            "model": self.spec.model,
            "log_prob": event.log_prob,
            "ms": event.ms,
            "settings": self._settings,
        }


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
        for _ in Job(loading_colorizer(spec), plan).colorize(
            Task(photo, outputs, None, outputs, [], content)
        ):
            pass
        return outputs[0].read_bytes()


def _shared_stems(folder: Path) -> dict[str, list[Path]]:
    """Return the stems that several photos of a folder share, with these photos."""
    stems: dict[str, list[Path]] = {}
    try:
        for path in folder.iterdir():
            if is_photo(path):
                stems.setdefault(path.stem, []).append(path)
    except OSError:
        return {}
    return {stem: photos for stem, photos in stems.items() if len(photos) > 1}


def _status(photo: Path) -> tuple[int | None, float | None]:
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


def _as_one(path: Path) -> str:
    """Return the same text for all paths that may be the same file, going by the system alone."""
    text = os.fspath(path)
    return unicodedata.normalize("NFC", text).casefold() if _BLIND_TO_CASE else text
