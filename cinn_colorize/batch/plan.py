"""What is to be made of every photo, the files of one photo, and what a batch tells of them."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cinn_colorize.batch.inputs import Input
from cinn_colorize.errors import CinnError, OutputError, PhotoError, printable_name
from cinn_colorize.files.atomic import leaves_folder
from cinn_colorize.files.formats import format_of_name, own_suffix, written_suffix
from cinn_colorize.imaging.options import MAX_PIXELS, Encoding, Pages, Rank, picked
from cinn_colorize.latents.levels import PerLevel, format_levels
from cinn_colorize.request import Request, shared_entries

if TYPE_CHECKING:
    from cinn_colorize.engines.choice import ModelSpec
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.base import SampleMethod

log = logging.getLogger(__name__)


class Existing(StrEnum):
    """What to do about an output that exists and was made in another way, or not by this program."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    SKIP = "skip"


# Not there (or to be replaced), as wanted, or made in another way and left alone.
State = Enum("State", ["MISSING", "RIGHT", "OTHER"])


@dataclass(frozen=True, kw_only=True)
class SamplesPlan:
    """Samples of photos or films, and where they go."""

    method: SampleMethod
    folder: Path  # of the results
    pattern: str  # file name of a result, with {stem}, {seed}, {ext} and the keys of names
    existing: Existing = Existing.REFUSE
    names: Mapping[str, str | int] = field(default_factory=dict)  # empty where a call cannot choose names

    @property
    def drawn(self) -> dict[str, str]:
        """What recipes say of how all samples are drawn, beside their seeds."""
        return {**self.method.entries, "temperature": format_levels(self.method.temperature)}

    def shared(self, network: ModelSpec) -> dict[str, str]:
        """Return what recipes of all samples say of network, drawing and rendering, beside their seeds."""
        made_by = network.model, network.sha256, network.precision, network.guidance or 0.0
        return shared_entries(*made_by, self.drawn, self.method.rendering)

    @property
    def seeds(self) -> range:
        """Seeds of the samples that are drawn of each."""
        return range(self.method.seed, self.method.seed + self.method.number)

    @property
    def picks(self) -> bool:
        return self.method.kept < self.method.number

    @property
    def picked(self) -> str:
        """What recipes say of the samples that are kept; empty if all are."""
        order = "likeliest" if self.method.order == Rank.log_prob else "typical"
        return picked(self.method.kept, self.seeds, order).get("picked", "")

    @property
    def repeats(self) -> bool:
        return self.method.number > 1 and not self.picks and not self.method.is_random

    def outputs(self, source: Path, stem: str, suffix: str, below: Path = Path()) -> dict[int, Path]:
        """Return the paths of the samples of a photo or film by their seeds, in or below the folder."""
        outputs = {}
        for seed in self.seeds:
            name = self.pattern.format(stem=stem, seed=seed, ext=suffix, **self.names)
            if leaves_folder(name) and not Path(self.pattern).is_absolute():
                problem = f"its result {printable_name(name)} would lie outside {printable_name(self.folder)}"
                raise PhotoError(f"{printable_name(source)}: {problem}; choose another --output")
            outputs[seed] = self.folder / below / name
        return outputs

    def keeps(self, output: Path) -> bool:
        """Return whether a file is there that is not replaced unasked."""
        return self.existing is not Existing.OVERWRITE and os.path.lexists(output)

    def leave(self, source: str, output: Path, different: Mapping[str, str]) -> None:
        """Say that a result of a source is left alone; unless such are skipped, this is a PhotoError.

        ``different`` says how it was made; it is empty if the file has no recipe.
        """
        name, how = printable_name(output), " and ".join(different.values())
        if self.existing is Existing.SKIP:
            reason = f"it was made {how}" if how else "it has no recipe"
            log.warning(f"{name}: left as it is; {reason}")
            return
        problem = "exists; add --overwrite or --skip-existing, or choose another --output-dir"
        if different:
            advice = "add --overwrite, or choose another --output-dir"
            if keys := [key for key in self.names if key in different]:
                advice = f"add --overwrite, choose another --output-dir, or put {{{keys[0]}}} into --output"
            problem = f"exists, made {how}; {advice}"
        raise PhotoError(f"{source}: {name} {problem}")


@dataclass(frozen=True, kw_only=True)
class Plan(SamplesPlan):
    """A request, and where its results go."""

    request: Request
    format: str  # auto keeps the photo's own where it can be written, else PNG
    encoding: Encoding
    sheet: str = ""  # file name of a labelled contact sheet, with {stem}; empty for none
    max_pixels: int = MAX_PIXELS

    @property
    def pages(self) -> Pages | None:
        """Pages of TIFFs that are colorized, into TIFFs of as many; None for the first alone."""
        pages = getattr(self.request, "pages", None)
        return None if pages is None else Pages.parse(pages)

    def settings(self, network: ModelSpec) -> dict[str, str]:
        """Return what makes all results, beside photo and seed; frame and pages are as asked for."""
        asked = {"frame": str(self.request.frame), "pages": str(self.pages or ""), "picked": self.picked}
        return {
            **self.shared(network),
            **{name: text for name, text in asked.items() if text},
            **self.encoding.entries(),
        }

    def open(self, source: Path | bytes, name: str) -> Photo:
        """Open a photo, or the first page of it that is wanted; lacking one is a PhotoError."""
        from cinn_colorize.imaging.photo import open_photo

        pages = self.pages or Pages(1, 1)
        photo = open_photo(source, max_pixels=self.max_pixels, name=name, page=pages.first)
        try:
            photo.together = len(pages.of(photo.pages if photo.has_pages else 1))
        except ValueError as error:
            raise PhotoError(f"{name}: {error}") from None
        return photo

    def check(self, photo: Photo, output: Path) -> None:
        """Refuse a photo of :meth:`open` whose pictures, such as ``output``, do not fit into their format."""
        from cinn_colorize.imaging.picture import check_sides

        format = format_of_name(output)
        if photo.together > 1 and format != "tiff":
            advice = "add --format tiff, or choose one with --pages"
            raise PhotoError(f"{photo.name}: {photo.together} pages need a TIFF; {advice}")
        check_sides(photo.name, format, photo.height, photo.width)

    def framed(self, photo: Photo, *, is_sought: bool = True) -> Photo:
        """Return a photo with its frame; to seek one takes all its pixels."""
        frame = self.request.frame
        return photo.framed(frame) if is_sought or frame != "auto" else photo

    def page(self, photo: Photo, number: int, *, is_sought: bool = True) -> Photo:
        """Open another page of a photo of :meth:`open`, by its number in the file, with its frame."""
        from cinn_colorize.imaging.photo import open_photo

        assert photo.source is not None
        name = f"{photo.name}, page {number}"
        page = open_photo(photo.source, max_pixels=self.max_pixels, name=name, page=number)
        return self.framed(page, is_sought=is_sought)

    def suffix(self, photo: Path) -> str:
        """Return the suffix of a photo's samples, unless the pattern has another."""
        return written_suffix(own_suffix(photo) if self.format == "auto" else f".{self.format}")


@dataclass(frozen=True)
class Task:
    """A photo and the files to make of it."""

    input: Input
    outputs: Mapping[int, Path]  # of all samples, by their seeds
    sheet: Path | None = None  # the contact sheet, if one is wanted
    listed: Collection[Path] = ()  # those of them that are there, and done as the manifest says
    content: bytes | None = None  # of a photo that can be read only once, such as a pipe

    @property
    def unlisted(self) -> list[Path]:
        """The others, of which only the files tell whether they are done."""
        files = [*dict.fromkeys(self.outputs.values()), *([self.sheet] if self.sheet else [])]
        return [file for file in files if file not in self.listed]

    def is_done(self, plan: Plan) -> bool:
        """Return whether the manifest lists all of them, or as many samples as a method keeps."""
        names = {*self.outputs.values()}  # a single sample that is kept needs no seed in its name
        has_samples = len(names.intersection(self.listed)) >= min(plan.method.kept, len(names))
        return has_samples and (not self.sheet or self.sheet in self.listed)


@dataclass(frozen=True)
class Result:
    """One file: a sample, or (without a seed) a contact sheet."""

    input: Path
    output: Path
    size: int  # of the photo's file in bytes
    mtime: float | None  # of the photo's file in seconds; None for a pipe
    ms: int = 0  # milliseconds since the previous result, or since the photo was opened
    seed: int | None = None
    temperature: PerLevel | None = None
    log_prob: float | None = None
    existed: bool = False  # made in the same way, and was left alone


@dataclass(frozen=True)
class Failure:
    """A photo with a result that could not be made."""

    input: Path | None  # None if an argument names no photo
    message: str  # one line that names the photo
    ends: bool = False  # whether the photos after it would fail in the same way
    trace: str = ""

    @classmethod
    def of(cls, path: Path, error: Exception) -> Self:
        """Return the failure of a photo by an error that is being handled."""
        unexpected = f"{printable_name(path)}: {error!r}; --debug shows where"
        message = str(error) if isinstance(error, CinnError) else unexpected
        return cls(path, message, isinstance(error, OutputError), traceback.format_exc())


@dataclass(frozen=True)
class Finished:
    """The end of a photo."""

    input: Path
    written: int = 0  # number of files; 0 if all existed, or the photo was left out
    left_out: bool = False  # because this program made it


Event = Result | Failure | Finished
