"""Names and folders of results: no two photos share a name, and files can be created there."""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from cinn_colorize.batch.inputs import Input, is_photo
from cinn_colorize.batch.plan import Plan
from cinn_colorize.errors import OutputError, PhotoError
from cinn_colorize.files.atomic import FULL, is_too_long
from cinn_colorize.files.formats import OUTPUT_SUFFIXES
from cinn_colorize.files.messages import printable_name

_BLIND_TO_CASE = sys.platform in ("darwin", "win32")  # their file systems, mostly


class ResultNames:
    """The names of a batch's results: a photo's are the same whatever else is colorized with it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._owners: dict[str, Input] = {}  # the photo that each name belongs to
        self._stems: dict[Path, dict[str, list[Path]]] = {}  # by folder

    def of(self, photo: Input) -> tuple[list[Path], Path | None]:
        """Return the paths of a photo's samples, in the order of their seeds, and of its contact sheet."""
        plan = self._plan
        outputs = plan.outputs(photo, self._stem(photo.path, plan.pattern))
        sheet = None
        if plan.sheet:
            sheet = plan.folder / photo.below / plan.sheet.format(stem=self._stem(photo.path, plan.sheet))
        for output in [*outputs, sheet] if sheet else outputs:
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
    from cinn_colorize.imaging.photo import has_recipe  # heavy, and seldom asked

    return has_recipe(path, max_pixels)


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
