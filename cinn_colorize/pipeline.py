"""Many photos: which files go in, what comes out of each and how it is named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.errors import PhotoError
from cinn_colorize.photo import SUFFIXES, open_photo

if TYPE_CHECKING:
    from cinn_colorize.colorizer import Colorizer


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
    """

    number: int
    temperature: float
    seed: int
    upsampling: str
    folder: Path
    pattern: str
    format: str
    quality: int
    existing: Existing
    sheet: bool

    def outputs(self, photo: Path) -> list[Path]:
        """Paths of the samples of a photo, in the order of their seeds."""
        suffix = photo.suffix if self.format == "auto" else f".{self.format}"
        if suffix.lower() not in SUFFIXES:
            suffix = ".png"
        names = (
            self.pattern.format(stem=photo.stem, seed=self.seed + k, ext=suffix) for k in range(self.number)
        )
        return [self.folder / name for name in names]

    def sheet_path(self, photo: Path) -> Path:
        """Path of a photo's contact sheet."""
        return self.folder / f"{photo.stem}_sheet.jpg"


@dataclass(frozen=True)
class Result:
    """One file written: a sample, or (without a seed) a contact sheet."""

    input: Path
    output: Path
    seed: int | None = None
    temperature: float | None = None
    log_prob: float | None = None


def expand(paths: Iterable[Path]) -> Iterator[Path | PhotoError]:
    """Files as they are, folders as the photos in them (sorted, not below); errors in their place."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        except OSError as error:
            yield PhotoError(f"{path}: cannot be listed ({error.strerror})")
            continue
        if inside:
            yield from inside
        else:
            yield PhotoError(f"{path}: no photos in this folder ({', '.join(sorted(SUFFIXES))})")


def colorize_file(colorizer: Colorizer, path: Path, plan: Plan) -> list[Result]:
    """Draw and write all samples of one photo, and its sheet.

    Returns:
        what was written; empty when it was there already and is to be skipped.

    Raises:
        PhotoError: the photo cannot be read, or a result cannot be written or is there already.
    """
    outputs = plan.outputs(path)
    wanted = [*outputs, plan.sheet_path(path)] if plan.sheet else outputs
    there = [output for output in wanted if os.path.lexists(output)]
    if len(there) == len(wanted) and plan.existing is Existing.SKIP:
        return []
    if there and plan.existing is Existing.REFUSE:
        raise PhotoError(
            f"{path}: {there[0]} exists; add --overwrite or --skip-existing, or choose another name"
        )

    photo = open_photo(path)
    samples = colorizer.condition(photo).sample(plan.number, plan.temperature, plan.seed)
    colorizations = colorizer.compose(photo, samples, upsampling=plan.upsampling)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{plan.folder}: cannot be made ({error.strerror})") from error
    results = []
    for colorization, output in zip(colorizations, outputs, strict=True):
        if output not in there or plan.existing is Existing.OVERWRITE:
            colorization.save(output, quality=plan.quality)
            sample = colorization.sample
            results.append(Result(path, output, sample.seed, sample.temperature, sample.log_prob))
    if plan.sheet:
        from cinn_colorize.sheet import contact_sheet, save_sheet, tiles

        save_sheet(contact_sheet(tiles(photo, colorizations)), plan.sheet_path(path))
        results.append(Result(path, plan.sheet_path(path)))
    return results
