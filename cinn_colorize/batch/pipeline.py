"""A photo's way from its file to its results."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import traceback
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cinn_colorize.batch.plan import Existing, Plan, Task
from cinn_colorize.errors import CinnError, ExistsError, OutputError, PhotoError
from cinn_colorize.files.atomic import FULL, is_too_long, mode_like
from cinn_colorize.files.messages import printable_name

if TYPE_CHECKING:
    from cinn_colorize.batch.existing import State, There
    from cinn_colorize.batch.model_server import ModelClient
    from cinn_colorize.colorizer import BaseColorizer, Colorization
    from cinn_colorize.engines.choice import ModelSpec
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.levels import PerLevel


_COMPOSED_AT_ONCE = 2**28  # bytes of pictures made in one pass through a photo


@dataclass(frozen=True)
class Result:
    """One file: a sample, or (without a seed) a contact sheet.

    Attributes:
        size: size of the photo's file in bytes.
        mtime: modification time of the photo's file in seconds; None for a pipe.
        ms: milliseconds since the previous result, or since the photo was opened.
        found: whether the file was there, made in the same way, and was left alone.
    """

    input: Path
    output: Path
    size: int
    mtime: float | None
    ms: int
    seed: int | None = None
    temperature: PerLevel | None = None
    log_prob: float | None = None
    found: bool = False


@dataclass(frozen=True)
class Failure:
    """A photo with a result that could not be made.

    Attributes:
        input: the photo; None if an argument names none.
        message: one line that names the photo.
        expected: whether the cause is bad input, not a bug.
        ends: whether the photos after it would fail in the same way.
        trace: the traceback.
    """

    input: Path | None
    message: str
    expected: bool = True
    ends: bool = False
    trace: str = ""


@dataclass(frozen=True)
class Finished:
    """The end of a photo.

    Attributes:
        written: number of files written; 0 if all existed, or the photo was skipped.
        own: whether it was skipped because this program made it.
    """

    input: Path
    written: int = 0
    own: bool = False


Event = Result | Failure | Finished


class LeftOutError(Exception):
    """A photo found in a folder is a picture made by this program."""


def load_colorizer(source: ModelSpec | ModelClient) -> BaseColorizer:
    """Load a network, or share the one of another process; return what draws with it.

    Raises:
        WeightsError: it cannot be loaded.
        ValueError: the guidance is not possible with these weights, or this machine lacks the device.
    """
    network = source.load()
    from cinn_colorize.colorizer import BaseColorizer  # which another thread may be importing meanwhile

    return BaseColorizer(*network)


def loading_colorizer(spec: ModelSpec) -> BaseColorizer | Future[BaseColorizer]:
    """Load a network, in onnxruntime while this thread does something else; see :func:`load_colorizer`."""
    if not spec.graphs:
        return load_colorizer(spec)
    pool = ThreadPoolExecutor(1, "cinn-colorize-loading")
    loaded = pool.submit(load_colorizer, spec)
    pool.shutdown(wait=False)
    return loaded


class Job:
    """Photos colorized one after the other by one plan.

    Args:
        colorizer: draws the samples; if it is still being loaded, the first photo is opened meanwhile.
        plan: what to draw, and where to write it.
    """

    def __init__(self, colorizer: BaseColorizer | Future[BaseColorizer], plan: Plan) -> None:
        self._given, self.plan = colorizer, plan

    @property
    def colorizer(self) -> BaseColorizer:
        """The colorizer, when it is loaded.

        Raises:
            WeightsError: it cannot be loaded.
        """
        return self._given.result() if isinstance(self._given, Future) else self._given

    def events(self, task: Task) -> Iterator[Event]:
        """Yield what :meth:`colorize` yields, and how it ended, whatever happens."""
        path, written = task.input.path, 0
        try:
            for result in self.colorize(task):
                written += not result.found
                yield result
        except LeftOutError:
            yield Finished(path, own=True)
        except Exception as error:  # whatever it is, the batch continues
            expected = isinstance(error, CinnError)
            message = str(error) if expected else f"{printable_name(path)}: {error!r}; --debug shows where"
            yield Failure(path, message, expected, isinstance(error, OutputError), traceback.format_exc())
        else:
            yield Finished(path, written)

    def colorize(self, task: Task) -> Iterator[Result]:
        """Draw and write the wanted samples of a photo, and its sheet.

        Yields:
            each result as soon as it is written, or found.

        Raises:
            PhotoError: the photo cannot be read, or a result cannot be written, or exists and was made in
                another way.
            LeftOutError: the photo is a picture made by this program.
        """
        before = _Status.of(task)
        try:
            yield from self._colorize(task, before)
        except OutputError:
            raise
        except Exception:
            _check_same(task, before)  # what is being written looks damaged
            raise

    def _colorize(self, task: Task, before: _Status) -> Iterator[Result]:
        from cinn_colorize.batch.existing import State, There
        from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tile

        plan, path = self.plan, task.input.path
        name, clock = printable_name(path), _Clock()
        photo = plan.open(path if task.content is None else task.content, name)
        photo.mode &= mode_like(*plan.method.paths)
        if task.input.found and photo.recipe:
            raise LeftOutError
        photo = photo.framed(plan.request.frame)
        plan.check(photo, task.outputs[0])
        colorizer = self.colorizer
        there, how = There(task, plan, colorizer, photo), (plan.number, plan.temperature, plan.seed)
        if plan.picks:  # which samples are kept is not known before they are drawn
            samples = plan.method.samples(colorizer, photo, *how)
            todo, parts = there.todo([sample.seed for sample in samples]), iter([samples])
        else:
            samples, todo = [], there.todo(plan.seeds)
            parts = plan.method.parts(colorizer, photo, *how, todo.composed)
        densities: dict[int | None, float | None] = {sample.seed: sample.log_prob for sample in samples}
        found: list[tuple[Path, int | None]] = [(task.output(seed, plan), seed) for seed in todo.right]
        found += [(task.sheet, None)] if task.sheet and todo.sheet is State.RIGHT else []
        for output, seed in found:
            if output in task.wanted:  # a manifest lacks its line
                temperature = None if seed is None else plan.temperature
                yield Result(
                    path, output, *before[:2], clock.ms(), seed, temperature, densities.get(seed), found=True
                )
        if not todo.anything:
            return
        check_names(todo.outputs(task, plan))
        photo.log_notes(pages_chosen=plan.pages is not None)
        on_sheet, others = [], set()
        at_once = max(1, _COMPOSED_AT_ONCE // (photo.together * photo.picture_bytes))
        for part in parts:
            composed = [sample for sample in part if sample.seed in todo.composed]
            for i in range(0, len(composed), at_once):
                for folder in {output.parent for output in task.wanted}:
                    make_folder(folder, plan.folder)
                colorizations = colorizer.compose(photo, composed[i : i + at_once], plan.rendering)
                _check_same(task, before)
                for made, state in self._saved(task, photo, colorizations, todo.missing, there):
                    if state is State.OTHER:
                        others.add(made.seed)
                        continue
                    if made.seed in todo.missing:
                        output, s = task.output(made.seed, plan), made.sample
                        result = Result(
                            path, output, *before[:2], clock.ms(), s.seed, s.temperature, s.log_prob
                        )
                        yield replace(result, found=state is State.RIGHT)
                    if todo.sheet is State.MISSING:
                        on_sheet.append(tile(made))
        todo = todo.without(others)
        if task.sheet and on_sheet:
            first = plan.method.first_tiles(colorizer, photo, plan.temperature, plan.seed, plan.rendering)
            sheet = contact_sheet([*first, *on_sheet])
            save_sheet(sheet, task.sheet, there.sheet_recipe(todo), mode=photo.mode)
            yield Result(path, task.sheet, *before[:2], clock.ms())

    def _saved(
        self,
        task: Task,
        photo: Photo,
        colorizations: list[Colorization],
        missing: Collection[int],
        there: There,
    ) -> Iterator[tuple[Colorization, State]]:
        """Save those that are missing at the same time, and yield all in turn when they are saved.

        Each comes with the state that its file had before; another process may have written it meanwhile.
        """
        from cinn_colorize.batch.existing import State

        with _threads() as pool:
            saved = {
                made.seed: pool.submit(
                    made.save,
                    task.output(made.seed, self.plan),
                    **vars(self.plan.encoding),
                    more=self._other_pages(photo, made.seed),
                    overwrite=self.plan.existing is Existing.OVERWRITE,
                )
                for made in colorizations
                if made.seed in missing
            }
            for made in colorizations:
                state = State.MISSING if made.seed in saved else State.RIGHT
                if made.seed in saved:
                    try:  # if kept, the error would keep itself and the file alive
                        saved.pop(made.seed).result()
                    except ExistsError:
                        state = there.appeared(made.seed)
                yield made, state

    def _other_pages(self, photo: Photo, seed: int) -> list[Colorization]:
        """Colorize the pages that go into a file with the first one, with the same seed."""
        plan = self.plan
        return [
            plan.method.draw(self.colorizer, plan.page(photo, number), plan.temperature, seed, plan.rendering)
            for number in range(photo.page + 1, photo.page + photo.together)
        ]


@contextlib.contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of the threads of a photo; if one of them fails, pending work is cancelled."""
    from cinn_colorize.imaging.bands import threads

    pool = ThreadPoolExecutor(threads())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Status(NamedTuple):
    """Values that change when a file does."""

    size: int
    mtime: float | None
    number: int = 0

    @classmethod
    def of(cls, task: Task) -> _Status:
        if task.content is not None:
            return cls(len(task.content), None)
        from cinn_colorize.imaging.vips import raising_photo_errors

        with raising_photo_errors(printable_name(task.input.path)):
            status = task.input.path.stat()
        return cls(status.st_size, status.st_mtime, status.st_ino)


def _check_same(task: Task, before: _Status) -> None:
    """Check that a photo is the file that it was.

    Raises:
        PhotoError: it has changed.
    """
    if _Status.of(task) != before:
        name = printable_name(task.input.path)
        raise PhotoError(f"{name}: changed while being read; run again when it is complete")


class _Clock:
    def __init__(self) -> None:
        self._last = time.perf_counter()

    def ms(self) -> int:
        """Return the milliseconds since the last call."""
        last, self._last = self._last, time.perf_counter()
        return round(1000 * (self._last - last))


def check_names(outputs: Iterable[Path]) -> None:
    """Refuse names that no file can have before anything is drawn for them.

    Raises:
        PhotoError: one is too long.
    """
    from cinn_colorize.imaging.picture import cannot_write

    for output in filter(is_too_long, outputs):
        raise cannot_write(printable_name(output), os.strerror(errno.ENAMETOOLONG))


def make_folder(folder: Path, whole: Path, *, rehearsed: bool = False) -> None:
    """Create the folder of an output, and check that files can be created in it.

    Args:
        folder: that folder.
        whole: folder of the batch, in or below which most outputs are.
        rehearsed: whether to create nothing, and check the folder that it would be created in.

    Raises:
        OutputError: nothing can be written in the whole folder.
        PhotoError: nothing can be written in this one.
    """
    name = printable_name(folder)
    try:
        if rehearsed:
            folder = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        folder.mkdir(parents=True, exist_ok=True)
        number = 0 if _is_writable(folder) else errno.EROFS if _is_read_only(folder) else errno.EACCES
    except (FileExistsError, NotADirectoryError) as error:
        raise PhotoError(
            f"{name}: cannot be created, a file is in its place; choose another folder"
        ) from error
    except OSError as error:
        number = error.errno or errno.EACCES
    if number:
        kind = OutputError if number in FULL or not _is_writable(whole) else PhotoError
        raise kind(f"{name}: cannot be written to ({os.strerror(number)}); choose another folder")


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
