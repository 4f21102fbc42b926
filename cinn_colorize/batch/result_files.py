"""Results of photos: their names, which no two photos share, their folders, and which of them are done.

A result is done if the manifest lists it, or else if its recipe is the one wanted. Light: what reads recipes
is imported when there are results to compare.
"""

import errno
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.inputs import Input, is_photo
from cinn_colorize.batch.plan import Plan, State, Task
from cinn_colorize.errors import OutputError, PhotoError, printable_name
from cinn_colorize.files.atomic import FULL, is_too_long
from cinn_colorize.files.formats import OUTPUT_SUFFIXES, format_of_name

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo

_BLIND_TO_CASE = sys.platform in ("darwin", "win32")  # their file systems, mostly


class ResultNames:
    """The names of a batch's results: a photo's are the same whatever else is colorized with it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._owners: dict[str, Input] = {}  # the photo that each name belongs to
        self._stems: dict[Path, dict[str, list[Path]]] = {}  # by folder

    def of(self, photo: Input) -> tuple[dict[int, Path], Path | None]:
        """Return the paths of a photo's samples, by their seeds, and of its contact sheet."""
        plan = self._plan
        stem = self._stem(photo.path, plan.pattern)
        outputs = plan.outputs(photo.path, stem, plan.suffix(photo.path), photo.below)
        sheet = None
        if plan.sheet:
            sheet = plan.folder / photo.below / plan.sheet.format(stem=self._stem(photo.path, plan.sheet))
        for output in [*outputs.values(), *([sheet] if sheet else [])]:
            owner = self._owners.setdefault(_as_one(output), photo)
            if owner is not photo:
                name, other = printable_name(photo.path), printable_name(owner.path)
                advice = "give the folders with --recursive, or colorize it in a call with another -o"
                problem = f"its results would have the same names as those of {other}"
                raise PhotoError(f"{name}: {problem}; {advice}")
        return outputs, sheet

    def _stem(self, photo: Path, pattern: str) -> str:
        """Return a photo's name without its suffix, or with it if another one's in its folder would clash."""
        if photo.parent not in self._stems:
            self._stems[photo.parent] = _shared_stems(photo.parent)
        suffix = self._plan.suffix
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
        return may_be and is_made_here(path, self._plan.max_pixels)


def is_made_here(path: Path, max_pixels: int) -> bool:
    """Return whether this program made a picture of at most so many pixels."""
    from cinn_colorize.imaging.photo import recipe_at  # heavy, and seldom asked

    return bool(recipe_at(path, max_pixels))


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


def _as_one(path: Path) -> str:
    """Return the same text for all paths that may be the same file, going by the system alone."""
    text = os.fspath(path)
    return unicodedata.normalize("NFC", text).casefold() if _BLIND_TO_CASE else text


def check_names(outputs: Iterable[Path]) -> None:
    """Refuse names that are too long for a file before anything is drawn for them."""
    from cinn_colorize.imaging.picture import cannot_write

    for output in filter(is_too_long, outputs):
        raise cannot_write(printable_name(output), os.strerror(errno.ENAMETOOLONG))


def make_folder(folder: Path, whole: Path, *, dry_run: bool = False) -> None:
    """Create the folder of an output, and check that files can be created in it; else, raise a PhotoError.

    It is an OutputError if nothing can be written in the ``whole`` folder of the batch either. A dry run
    creates nothing, and checks the folder that it would be created in.
    """
    name = printable_name(folder)
    try:
        if dry_run:
            folder = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        folder.mkdir(parents=True, exist_ok=True)
        number = 0 if _is_writable(folder) else errno.EROFS if _is_read_only(folder) else errno.EACCES
    except (FileExistsError, NotADirectoryError) as error:
        problem = "cannot be created, a file is in its place; choose another folder"
        raise PhotoError(f"{name}: {problem}") from error
    except OSError as error:
        number = error.errno or errno.EACCES
    if number:
        kind = OutputError if number in FULL or not _is_writable(whole) else PhotoError
        raise kind(f"{name}: cannot be written to ({os.strerror(number)}); choose another folder")


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


@dataclass(frozen=True)
class ResultStates:
    """The states of a photo's pictures, by seed, and of its contact sheet, if one is wanted."""

    pictures: Mapping[int, State]
    sheet: State | None = None

    @property
    def missing(self) -> frozenset[int]:
        """Seeds of the pictures to write."""
        return frozenset(seed for seed, state in self.pictures.items() if state is State.MISSING)

    @property
    def right(self) -> list[int]:
        """Seeds of the pictures that are as wanted."""
        return [seed for seed, state in self.pictures.items() if state is State.RIGHT]

    @property
    def composed(self) -> frozenset[int]:
        """Seeds of the samples that are required at full size."""
        return self.missing.union(self.right if self.sheet is State.MISSING else ())

    def outputs(self, task: Task) -> list[Path]:
        """Return the paths of what is to be written, the sheet last."""
        sheet = [task.sheet] if task.sheet and self.sheet is State.MISSING else []
        return [*(task.outputs[seed] for seed in sorted(self.missing)), *sheet]


class ExistingResults:
    """What exists of the results of a photo, which is opened and has its frame."""

    def __init__(self, task: Task, plan: Plan, colorizer: "BaseColorizer", photo: "Photo") -> None:
        self._task, self._plan, self._colorizer, self._photo = task, plan, colorizer, photo
        self._recipes: dict[int, dict[str, str]] = {}  # by how many pages after the photo
        from cinn_colorize.imaging.photo import recipe_at

        self._found = cache(partial(recipe_at, max_pixels=plan.max_pixels))

    def states(self, seeds: Iterable[int]) -> ResultStates:
        """Return the states of the pictures of the samples that are kept, and of the sheet."""
        states = ResultStates({seed: self._picture(seed) for seed in seeds})
        shown = self._task.sheet and (states.missing or states.right)
        return replace(states, sheet=self._sheet(states)) if shown else states

    def appeared(self, seed: int) -> State:
        """Return the state of a picture that another process has written meanwhile; see :meth:`states`."""
        self._found.cache_clear()
        return self._compared(seed)

    def picked(self) -> list[int]:
        """Return the seeds of the pictures that were picked from the samples that the plan would draw."""
        return [seed for seed in self._plan.seeds if self._is_picked(seed)]

    def _is_picked(self, seed: int) -> bool:
        output = self._task.outputs[seed]
        if output in self._task.listed:
            return True
        if not self._plan.keeps(output) or self._differences(seed) is not None:
            return False
        return self._found(output, page=1).get("picked") == self._plan.picked

    def sheet_recipe(self, seeds: Iterable[int]) -> dict[str, str]:
        """Return what the file of a contact sheet of these samples says of it."""
        shown = " ".join(map(str, sorted(seeds)))
        return {**self._shared(), "sheet": "true", "order": self._plan.method.order, "seeds": shown}

    def _picture(self, seed: int) -> State:
        output = self._task.outputs[seed]
        if output in self._task.listed:
            return State.RIGHT
        return self._compared(seed) if self._plan.keeps(output) else State.MISSING

    def _compared(self, seed: int) -> State:
        different = self._differences(seed)
        if different is None:
            return State.RIGHT
        self._leave(self._task.outputs[seed], different)
        return State.OTHER

    def _differences(self, seed: int) -> dict[str, str] | None:
        """Say how a picture differs from that wanted: None if it does not, empty if a page has no recipe."""
        from cinn_colorize.methods.recipe import differences
        from cinn_colorize.methods.samples import in_file

        output = self._task.outputs[seed]
        for page in range(self._photo.together):
            recipe = self._found(output, page=page + 1)
            wanted = {**self._shared(page), "seed": str(seed)}
            different = differences(recipe, in_file(wanted, format_of_name(output), self._plan.encoding))
            if not recipe or different:
                return different if recipe else {}
        return None

    def _sheet(self, states: ResultStates) -> State:
        """Return the state of the sheet; one that shows other or older samples of the photo is missing."""
        from cinn_colorize.imaging.photo import recipe_at
        from cinn_colorize.methods.recipe import differences

        sheet = self._task.sheet
        assert sheet
        listed = sheet in self._task.listed
        if not (listed or self._plan.keeps(sheet)):
            return State.MISSING
        recipe = recipe_at(sheet)
        wanted = {"original": self._photo.sha256}
        different = differences({key: recipe.get(key, "") for key in wanted}, wanted)
        if "sheet" not in recipe or different:
            self._leave(sheet, different if "sheet" in recipe else {})
            return State.OTHER
        same = not states.missing and (listed or not differences(recipe, self.sheet_recipe(states.right)))
        return State.RIGHT if same else State.MISSING

    def _shared(self, page: int = 0) -> dict[str, str]:
        """Return what the recipes of all samples of the photo, or of a page after it, say."""
        if page not in self._recipes:
            plan, photo = self._plan, self._photo
            if page:
                photo = plan.page(photo, photo.page + page)
            self._recipes[page] = self._colorizer.recipe(plan.drawn, plan.request.rendering, photo)
        return self._recipes[page]

    def _leave(self, output: Path, different: Mapping[str, str]) -> None:
        """See :meth:`SamplesPlan.leave`; what no sample can be made of is told first."""
        self._plan.method.check(self._colorizer, self._photo)
        self._plan.leave(printable_name(self._task.input.path), output, different)
