"""Many photos: which files go in, what comes out of each and how it is named."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.errors import PhotoError
from cinn_colorize.files import OUTPUT_SUFFIXES, SUFFIXES, printable_name
from cinn_colorize.photo import open_photo

if TYPE_CHECKING:
    from cinn_colorize.colorizer import Colorizer
    from cinn_colorize.drawing import Drawing
    from cinn_colorize.levels import PerLevel

log = logging.getLogger(__name__)

_COMPOSED_AT_ONCE = 2**28  # bytes of pictures made in one pass through a photo


class Existing(StrEnum):
    """What happens to an output that is there already."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    SKIP = "skip"


@dataclass(frozen=True)
class Plan:
    """What is drawn of every photo and where it goes.

    Attributes:
        number: samples of each photo, seeds counting up from ``seed``.
        pattern: file name with {stem}, {seed} and {ext}.
        format: ``auto`` keeps the photo's own where it can be written, else PNG.
        sheet: write a labelled contact sheet too.
        strip: leave out all metadata but the profile and the recipe.
        max_pixels: photos with more are refused.
        sheet_pattern: file name of the contact sheet with {stem}.
    """

    number: int
    temperature: PerLevel
    seed: int
    upsampling: str
    folder: Path
    pattern: str
    format: str
    quality: int
    existing: Existing
    sheet: bool
    strip: bool
    max_pixels: int
    sheet_pattern: str = "{stem}_sheet.jpg"

    def outputs(self, photo: Path) -> list[Path]:
        """Paths of the samples of a photo, in the order of their seeds."""
        suffix = photo.suffix if self.format == "auto" else f".{self.format}"
        if suffix.lower() not in OUTPUT_SUFFIXES:
            suffix = ".png"
        names = (
            self.pattern.format(stem=photo.stem, seed=self.seed + k, ext=suffix) for k in range(self.number)
        )
        return [self.folder / name for name in names]

    def sheet_path(self, photo: Path) -> Path:
        """Path of a photo's contact sheet."""
        return self.folder / self.sheet_pattern.format(stem=photo.stem)


@dataclass(frozen=True)
class Result:
    """One file written: a sample, or (without a seed) a contact sheet."""

    input: Path
    output: Path
    seed: int | None = None
    temperature: PerLevel | None = None
    log_prob: float | None = None


def expand(paths: Iterable[Path]) -> Iterator[Path | PhotoError]:
    """Files as they are, folders as the photos in them (sorted, not below); errors in their place."""
    for path in paths:
        name = printable_name(path)
        if not os.path.lexists(path):
            yield PhotoError(f"{name}: no such file or folder")
        elif not os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
            yield path
        else:
            try:
                inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            except OSError as error:
                yield PhotoError(f"{name}: cannot be listed ({error.strerror})")
                continue
            yield from inside
            if not inside:
                yield PhotoError(f"{name}: no photos in this folder ({', '.join(sorted(SUFFIXES))})")


class Job:
    """Photos colorized one after the other by one plan.

    Args:
        colorizer: draws the samples.
        plan: what is drawn, and where it goes.
        drawing: in which way it is drawn.
    """

    def __init__(self, colorizer: Colorizer, plan: Plan, drawing: Drawing) -> None:
        self.colorizer, self.plan, self.drawing = colorizer, plan, drawing
        self._taken: dict[Path, Path] = {}  # outputs, and the photo each belongs to

    def colorize(self, path: Path) -> Iterator[Result]:
        """Draw and write all samples of a photo, and its sheet.

        Yields:
            what was written, as soon as it is; nothing that was there already and is to be skipped.

        Raises:
            PhotoError: the photo cannot be read, or a result cannot be written or is there already.
        """
        plan, colorizer, drawing = self.plan, self.colorizer, self.drawing
        outputs, sheet = plan.outputs(path), plan.sheet_path(path)
        wanted = self._missing(path, [*outputs, sheet] if plan.sheet else outputs)
        if not wanted:
            return
        from cinn_colorize.sheet import contact_sheet, save_sheet, tile

        photo = open_photo(path, max_pixels=plan.max_pixels)
        if photo.pages > 1:
            log.info(f"{printable_name(path)} has {photo.pages} pages or frames; the first is used")
        if photo.is_color:
            log.info("%s is in colour; of such photos only the luminance is used", printable_name(path))
        samples = drawing.samples(colorizer, photo, plan.number, plan.temperature, plan.seed)
        on_sheet = []
        at_once = max(1, _COMPOSED_AT_ONCE // photo.picture_bytes)
        for start in range(0, len(samples), at_once):
            part = slice(start, start + at_once)
            colorizations = colorizer.compose(photo, samples[part], upsampling=plan.upsampling)
            for colorization in colorizations:
                output = outputs[colorization.seed - plan.seed]
                if output in wanted:
                    _make_folder(output.parent)
                    colorization.save(output, quality=plan.quality, strip=plan.strip)
                    sample = colorization.sample
                    yield Result(path, output, sample.seed, sample.temperature, sample.log_prob)
                if sheet in wanted:
                    on_sheet.append(tile(colorization))
        if sheet in wanted:
            before = drawing.before(colorizer, photo, plan.temperature, plan.seed)
            save_sheet(contact_sheet([*before, *on_sheet]), sheet)
            yield Result(path, sheet)

    def _missing(self, path: Path, outputs: list[Path]) -> list[Path]:
        """Those of a photo's outputs that are to be written."""
        name = printable_name(path)
        for output in outputs:
            other = self._taken.setdefault(output, path)
            if other != path:
                raise PhotoError(
                    f"{name}: its result {printable_name(output)} is that of {printable_name(other)} too; "
                    "choose another --output or --output-dir for one of them"
                )
        there = [output for output in outputs if os.path.lexists(output)]
        if any(output.exists() and output.samefile(path) for output in there):
            raise PhotoError(f"{name}: its result would replace the photo; choose another --output-dir")
        if there and self.plan.existing is Existing.REFUSE:
            raise PhotoError(
                f"{name}: {printable_name(there[0])} exists; add --overwrite or --skip-existing, "
                "or choose another --output-dir"
            )
        return [o for o in outputs if o not in there] if self.plan.existing is Existing.SKIP else outputs


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{printable_name(folder)}: cannot be made ({error.strerror})") from error
