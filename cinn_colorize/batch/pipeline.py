"""A photo's way from its file to its results, and their names."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cinn_colorize.batch.inputs import Input
from cinn_colorize.errors import CinnError, DiskFullError, PhotoError
from cinn_colorize.files import OUTPUT_SUFFIXES, leaves_folder, mode_like, printable_name
from cinn_colorize.options import Encoding, Rendering

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.latents.levels import PerLevel
    from cinn_colorize.methods.base import SampleMethod
    from cinn_colorize.samples import Sample

log = logging.getLogger(__name__)

_COMPOSED_AT_ONCE = 2**28  # bytes of pictures made in one pass through a photo


class Existing(StrEnum):
    """What to do about an output that exists and was made in another way, or not by this program."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    SKIP = "skip"


@dataclass(frozen=True)
class Plan:
    """What to draw for every photo and where to write it.

    Attributes:
        method: how samples are drawn.
        number: samples per photo, with seeds counting up from ``seed``.
        rendering: how samples become pictures.
        frame: what surrounds the pictures of scans, see :meth:`Photo.framed`.
        pattern: file name of a picture, with {stem}, {seed}, {ext} and the keys of ``names``.
        format: format of the pictures; ``auto`` keeps the photo's own where it can be written, else PNG.
        encoding: how the pictures are written.
        sheet: also write a labelled contact sheet.
        max_pixels: larger photos are refused.
        sheet_pattern: file name of the contact sheet, with {stem}.
        names: what else may be part of a file name; empty where the call cannot choose names.
    """

    method: SampleMethod
    number: int
    temperature: PerLevel
    seed: int
    rendering: Rendering
    folder: Path
    pattern: str
    format: str
    encoding: Encoding
    existing: Existing
    sheet: bool
    max_pixels: int
    frame: str = "auto"
    sheet_pattern: str = "{stem}_sheet.jpg"
    names: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Seeds of the samples of a photo."""
        return range(self.seed, self.seed + self.number)

    @property
    def picks(self) -> bool:
        """Whether only some of the samples drawn are kept."""
        return self.method.kept(self.number) < self.number

    def outputs(self, photo: Input, stem: str) -> list[Path]:
        """Return the paths of a photo's samples, in the order of their seeds.

        Raises:
            PhotoError: one lies outside the folder, though the pattern is not absolute.
        """
        suffix = self.suffix(photo.path)
        names = [self.pattern.format(stem=stem, seed=seed, ext=suffix, **self.names) for seed in self.seeds]
        for name in names:
            if leaves_folder(name) and not Path(self.pattern).is_absolute():
                raise PhotoError(
                    f"{printable_name(photo.path)}: its result {printable_name(name)} would lie outside "
                    f"{printable_name(self.folder)}; choose another --output"
                )
        return [self.folder / photo.below / name for name in names]

    def sheet_path(self, photo: Input, stem: str) -> Path:
        """Return the path of a photo's contact sheet."""
        return self.folder / photo.below / self.sheet_pattern.format(stem=stem)

    def suffix(self, photo: Path) -> str:
        """Return the suffix of a photo's samples, unless the pattern has another."""
        suffix = photo.suffix if self.format == "auto" else f".{self.format}"
        return suffix if suffix.lower() in OUTPUT_SUFFIXES else ".png"


@dataclass(frozen=True)
class Task:
    """A photo and the files to write for it.

    Attributes:
        outputs: paths of all samples, in the order of their seeds.
        sheet: path of the contact sheet, if one is to be written.
        wanted: the paths of those that no manifest lists.
        existing: those of them that exist and are not to be replaced unasked.
        content: content of a photo that can be read only once, such as a pipe.
    """

    input: Input
    outputs: list[Path]
    sheet: Path | None
    wanted: list[Path]
    existing: list[Path] = field(default_factory=list)
    content: bytes | None = None

    def output(self, seed: int, plan: Plan) -> Path:
        """Return the path of a sample."""
        return self.outputs[seed - plan.seed]


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


class Job:
    """Photos colorized one after the other by one plan.

    Args:
        colorizer: draws the samples.
        plan: what to draw, and where to write it.
    """

    def __init__(self, colorizer: BaseColorizer, plan: Plan) -> None:
        self.colorizer, self.plan = colorizer, plan

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
            if ends := isinstance(error, DiskFullError):
                message += "; free some space, then run the same command again"
            yield Failure(path, message, expected, ends, traceback.format_exc())
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
        from cinn_colorize.batch.there import State, There
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tile

        plan, colorizer, path = self.plan, self.colorizer, task.input.path
        name, before, clock = printable_name(path), _Status.of(task), _Clock()
        photo = open_photo(
            path if task.content is None else task.content, max_pixels=plan.max_pixels, name=name
        )
        photo.mode &= mode_like(*plan.method.paths)
        if task.input.found and photo.recipe:
            raise LeftOutError
        photo = photo.framed(plan.frame)
        there = There(task, plan, colorizer, photo)
        # Which samples are picked is not known before they are drawn.
        todo = None if plan.picks else there.todo(plan.seeds)
        samples: list[Sample] = []
        if not todo or todo.anything:
            samples = plan.method.samples(colorizer, photo, plan.number, plan.temperature, plan.seed)
            todo = todo or there.todo([sample.seed for sample in samples])
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
        if photo.pages > 1:
            log.info(f"{name} has {photo.pages} pages or frames; the first is used")
        if photo.is_color:
            log.info("%s is in colour; only its luminance is used", name)
        samples = [sample for sample in samples if sample.seed in todo.composed]
        for folder in {output.parent for output in task.wanted}:
            _make_folder(folder)
        on_sheet = []
        at_once = max(1, _COMPOSED_AT_ONCE // photo.picture_bytes)
        for start in range(0, len(samples), at_once):
            part = slice(start, start + at_once)
            colorizations = colorizer.compose(photo, samples[part], plan.rendering)
            if _Status.of(task) != before:
                raise PhotoError(f"{name}: changed while being read; run again when it is complete")
            with _threads() as pool:
                saved = {
                    made.seed: pool.submit(made.save, task.output(made.seed, plan), **vars(plan.encoding))
                    for made in colorizations
                    if made.seed in todo.missing
                }
                for made in colorizations:
                    if made.seed in saved:
                        saved.pop(
                            made.seed
                        ).result()  # if kept, its error would keep itself and the file alive
                        output, s = task.output(made.seed, plan), made.sample
                        yield Result(path, output, *before[:2], clock.ms(), s.seed, s.temperature, s.log_prob)
                    if todo.sheet is State.MISSING:
                        on_sheet.append(tile(made))
        if task.sheet and todo.sheet is State.MISSING:
            first = plan.method.first_tiles(colorizer, photo, plan.temperature, plan.seed)
            sheet = contact_sheet([*first, *on_sheet])
            save_sheet(sheet, task.sheet, there.sheet_recipe(todo), mode=photo.mode)
            yield Result(path, task.sheet, *before[:2], clock.ms())


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


class _Clock:
    def __init__(self) -> None:
        self._last = time.perf_counter()

    def ms(self) -> int:
        """Return the milliseconds since the last call."""
        last, self._last = self._last, time.perf_counter()
        return round(1000 * (self._last - last))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{printable_name(folder)}: cannot be created ({error.strerror})") from error
