"""A photo's way from its file to its results, and their names."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cinn_colorize.batch.inputs import Input, own_suffix
from cinn_colorize.errors import CinnError, DiskFullError, PhotoError
from cinn_colorize.files import OUTPUT_SUFFIXES, format_of_name, leaves_folder, mode_like, printable_name
from cinn_colorize.options import Encoding, Pages, Rendering

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer, Colorization
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.levels import PerLevel
    from cinn_colorize.methods.base import SampleMethod

log = logging.getLogger(__name__)

_COMPOSED_AT_ONCE = 2**28  # bytes of pictures made in one pass through a photo


class Existing(StrEnum):
    """What to do about an output that already exists."""

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
        pattern: file name of a picture, with {stem}, {seed} and {ext}.
        format: format of the pictures; ``auto`` keeps the photo's own where it can be written, else PNG.
        encoding: how the pictures are written.
        sheet: also write a labelled contact sheet.
        max_pixels: larger photos are refused.
        sheet_pattern: file name of the contact sheet, with {stem}.
        pages: pages of TIFFs that are colorized, into TIFFs of as many; None for the first alone.
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
    pages: Pages | None = None

    def open(self, source: Path | bytes, name: str) -> Photo:
        """Open a photo, or the first page of it that is wanted.

        Raises:
            PhotoError: it cannot be read, or lacks a page that is wanted.
        """
        from cinn_colorize.imaging.photo import open_photo

        pages = self.pages or Pages(1, 1)
        photo = open_photo(source, max_pixels=self.max_pixels, name=name, page=pages.first)
        has_pages = format_of_name(f"a{photo.suffix}") == "tiff"
        try:
            photo.together = len(pages.of(photo.pages if has_pages else 1))
        except ValueError as error:
            raise PhotoError(f"{name}: {error}") from None
        return photo

    def outputs(self, photo: Input, stem: str) -> list[Path]:
        """Return the paths of a photo's samples, in the order of their seeds.

        Raises:
            PhotoError: one lies outside the folder, though the pattern is not absolute.
        """
        suffix = self.suffix(photo.path)
        names = [self.pattern.format(stem=stem, seed=self.seed + k, ext=suffix) for k in range(self.number)]
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
        suffix = own_suffix(photo) if self.format == "auto" else f".{self.format}"
        return suffix if suffix.lower() in OUTPUT_SUFFIXES else ".png"


@dataclass(frozen=True)
class Task:
    """A photo and the files to write for it.

    Attributes:
        outputs: paths of all samples, in the order of their seeds.
        sheet: path of the contact sheet, if one is to be written.
        wanted: the paths to write.
        unverified: those of them that exist, which is fine if they were made in the same way.
        content: content of a photo that can be read only once, such as a pipe.
    """

    input: Input
    outputs: list[Path]
    sheet: Path | None
    wanted: list[Path]
    unverified: list[Path] = field(default_factory=list)
    content: bytes | None = None


@dataclass(frozen=True)
class Result:
    """One file written: a sample, or (without a seed) a contact sheet.

    Attributes:
        size: size of the photo's file in bytes.
        mtime: modification time of the photo's file in seconds; None for a pipe.
        ms: milliseconds since the previous result, or since the photo was opened.
    """

    input: Path
    output: Path
    size: int
    mtime: float | None
    ms: int
    seed: int | None = None
    temperature: PerLevel | None = None
    log_prob: float | None = None


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
                written += 1
                yield result
        except LeftOutError:
            yield Finished(path, own=True)
        except Exception as error:  # whatever it is, the batch continues
            expected = isinstance(error, CinnError)
            message = str(error) if expected else f"{printable_name(path)}: {error!r}; --debug shows where"
            if ends := isinstance(error, DiskFullError):
                message += "; free some space, then continue with --skip-existing"
            yield Failure(path, message, expected, ends, traceback.format_exc())
        else:
            yield Finished(path, written)

    def colorize(self, task: Task) -> Iterator[Result]:
        """Draw and write the wanted samples of a photo, and its sheet.

        Yields:
            each result as soon as it is written.

        Raises:
            PhotoError: the photo cannot be read, or a result cannot be written or already exists.
            LeftOutError: the photo is a picture made by this program.
        """
        from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tile

        plan, colorizer, path, wanted = self.plan, self.colorizer, task.input.path, task.wanted
        name, before, clock = printable_name(path), _Status.of(task), _Clock()
        photo = plan.open(path if task.content is None else task.content, name)
        photo.mode &= mode_like(*plan.method.paths)
        if task.input.found and photo.recipe:
            raise LeftOutError
        photo = photo.framed(plan.frame)
        if photo.together > 1 and format_of_name(task.outputs[0]) != "tiff":
            raise PhotoError(
                f"{name}: {photo.together} pages need a TIFF; leave out --format, or choose one with --pages"
            )
        if photo.pages > 1 and not plan.pages:
            hint = "; --pages all takes all" if format_of_name(f"a{photo.suffix}") == "tiff" else ""
            log.info(f"{name} has {photo.pages} pages or frames; the first is used{hint}")
        if photo.is_bilevel:
            log.info("%s is black and white without grays (1 bit); scan it in grays for better colours", name)
        if photo.is_color:
            log.info("%s is in colour; only its luminance is used", name)
        on_sheet = []
        at_once = max(1, _COMPOSED_AT_ONCE // (photo.together * photo.picture_bytes))
        drawn = plan.method.parts(colorizer, photo, plan.number, plan.temperature, plan.seed)
        for samples in (part[i : i + at_once] for part in drawn for i in range(0, len(part), at_once)):
            for folder in {output.parent for output in wanted}:
                _make_folder(folder)
            colorizations = colorizer.compose(photo, samples, plan.rendering)
            if _Status.of(task) != before:
                raise PhotoError(f"{name}: changed while being read; run again when it is complete")
            outputs = [task.outputs[colorization.seed - plan.seed] for colorization in colorizations]
            more = {
                output: self._other_pages(photo, colorization.seed)
                for colorization, output in zip(colorizations, outputs, strict=True)
                if output in wanted
            }
            with _threads() as pool:
                saved = {
                    output: pool.submit(self._save, colorization, output, task, more.pop(output))
                    for colorization, output in zip(colorizations, outputs, strict=True)
                    if output in wanted
                }
                for colorization, output in zip(colorizations, outputs, strict=True):
                    if output in saved:
                        saved.pop(output).result()  # if kept, its error would keep itself and the file alive
                        s = colorization.sample
                        yield Result(path, output, *before[:2], clock.ms(), s.seed, s.temperature, s.log_prob)
                    if task.sheet in wanted:
                        on_sheet.append(tile(colorization))
        if task.sheet and task.sheet in wanted:
            if task.sheet in task.unverified and not _is_sheet(task.sheet):
                raise exists(path, task.sheet)
            first = plan.method.first_tiles(colorizer, photo, plan.temperature, plan.seed)
            save_sheet(contact_sheet([*first, *on_sheet]), task.sheet, mode=photo.mode)
            yield Result(path, task.sheet, *before[:2], clock.ms())

    def _other_pages(self, photo: Photo, seed: int) -> list[Colorization]:
        """Colorize the pages that go into a file with the first one, with the same seed."""
        from cinn_colorize.imaging.photo import open_photo

        plan, made = self.plan, []
        for number in range(photo.page + 1, photo.page + photo.together):
            assert photo.source is not None
            page = open_photo(photo.source, max_pixels=plan.max_pixels, name=photo.name, page=number)
            page = page.framed(plan.frame)
            made.append(plan.method.draw(self.colorizer, page, plan.temperature, seed, plan.rendering))
        return made

    def _save(
        self, colorization: Colorization, output: Path, task: Task, more: Sequence[Colorization]
    ) -> None:
        plan = self.plan
        if output in task.unverified:
            if colorization.is_saved(output, **vars(plan.encoding)):
                return
            raise exists(task.input.path, output)
        colorization.save(output, **vars(plan.encoding), more=more)


@contextlib.contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of the threads of a photo; if one of them fails, pending work is cancelled."""
    from cinn_colorize.imaging.bands import threads

    pool = ThreadPoolExecutor(threads())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def exists(photo: Path, output: Path) -> PhotoError:
    """Return the error for a result that already exists."""
    return PhotoError(
        f"{printable_name(photo)}: {printable_name(output)} exists; add --overwrite or --skip-existing, "
        "or choose another --output-dir"
    )


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


def _is_sheet(path: Path) -> bool:
    from cinn_colorize.imaging.photo import read_recipe

    try:
        return "sheet" in read_recipe(path)
    except PhotoError:
        return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{printable_name(folder)}: cannot be created ({error.strerror})") from error
