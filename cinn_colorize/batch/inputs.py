"""The photos that a command line means: files, folders, patterns, lists, and the share of one machine."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cinn_colorize.errors import MissingPhotoError, PhotoError
from cinn_colorize.files.formats import FORMATS, SUFFIXES, own_suffix
from cinn_colorize.files.messages import counted, missing, printable, printable_name

# os.path.isdir is used where a name may be too long, for which Path.is_dir raises.

_LINKED, _PIPE = "/", "/|"  # kinds that no suffix names
_MAGIC = frozenset("*?[")
_VAGUE = (FORMATS["bmp"][0], FORMATS["pnm"][0])  # formats that begin as many a text does


@dataclass(frozen=True)
class Input:
    """A photo and where its results go.

    Attributes:
        path: path of the photo.
        below: folder of the results, relative to the output folder.
        found: whether it was found in a folder or by a pattern, not named; pictures made by this program are
            then skipped.
    """

    path: Path
    below: Path = Path()
    found: bool = False


def find_inputs(
    arguments: Sequence[Path],
    listed: Iterable[Path] = (),
    *,
    recursive: bool = False,
    output: Path,
    others: list[Path] | None = None,
) -> list[Input | PhotoError]:
    """Return the photos that are meant, each once, in a fixed order; an argument without photos is an error.

    Args:
        arguments: files, whose results go into the output folder itself; folders; patterns with ``*``, ``?``,
            ``[...]`` and ``**``, unless a file has that very name.
        listed: files or folders from a list; the results go into folders of the same names.
        recursive: include all that is below a folder; the results go into the same tree. With several
            folders, each tree goes into a folder of its name.
        output: the output folder, which is skipped where it lies below a folder of photos.
        others: takes the other files of these folders, whose names are not those of photos, pipes and
            devices, and links to folders.
    """
    others = [] if others is None else others
    found: list[Input | PhotoError] = []
    named = [(argument, _is_pattern(argument)) for argument in arguments]
    matched = [_matches(argument) if pattern else [argument] for argument, pattern in named]
    several = recursive and sum(map(os.path.isdir, itertools.chain(*matched))) > 1
    for (argument, pattern), paths in zip(named, matched, strict=True):
        if not paths:
            found.append(PhotoError(missing(argument, "no file matches this pattern")))
        for path in paths:
            below = Path(path.resolve().name) if several and os.path.isdir(path) else Path()  # noqa: PTH112
            found += _expand(path, below, recursive, pattern, output, others)
    for path in listed:
        below = _relative(path if os.path.isdir(path) else path.parent)  # noqa: PTH112
        found += _expand(path, below, recursive, False, output, others)
    once: dict[object, Input | PhotoError] = {}
    for item in found:
        key = (item.path, item.below) if isinstance(item, Input) else item
        before = once.get(key)
        if not isinstance(before, Input) or before.found:  # one that is also named counts as named
            once[key] = item
    return list(once.values())


def read_list(content: bytes, name: str, *, null: bool) -> list[Path]:
    """Return the names in a list, one per line, or with ``null`` each ended by a zero byte.

    Raises:
        PhotoError: a list of lines contains zero bytes.
    """
    if null:
        names = content.split(b"\0")
    elif b"\0" in content:
        raise PhotoError(f"{name}: contains zero bytes, as find -print0 writes them; add --null")
    else:
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        names = [line.removesuffix(b"\r") for line in lines]
    return [Path(os.fsdecode(name)) for name in names if name]


def shard(inputs: Iterable[Input | PhotoError], index: int, count: int) -> list[Input | PhotoError]:
    """Return the share of machine ``index`` (from 1) of ``count``.

    A photo's share follows from a hash of where its results go, whatever else is in the list: machines that
    see the folder at different times, or under other names, neither do a photo twice nor share a result.
    """
    return [item for item in inputs if _hash(item) % count == index - 1]


def _hash(item: Input | PhotoError) -> int:
    key = str(item) if isinstance(item, PhotoError) else str(item.below / item.path.stem)
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=8).digest(), "big")


def _is_pattern(argument: Path) -> bool:
    """Return whether it is a pattern; a file may be called a[2].tif."""
    return bool(_MAGIC & set(str(argument))) and not os.path.lexists(argument)


def _matches(pattern: Path) -> list[Path]:
    """Expand a pattern as a shell does: sorted, without hidden names; ``**`` follows no links to folders."""
    start = Path(pattern.anchor)
    hidden = any(part.startswith(".") for part in pattern.parts if part != "..")
    try:
        matches = sorted(start.glob(str(pattern.relative_to(start))))
    except (OSError, ValueError):
        return []
    return [m for m in matches if hidden or not any(p.startswith(".") for p in m.parts if p != "..")]


def is_photo(path: Path) -> bool:
    """Return whether a file in a folder is meant as a photo, by its suffix or, without one, its content."""
    suffix = own_suffix(path).lower()
    return suffix in SUFFIXES and (bool(path.suffix) or suffix not in _VAGUE)


def counts_by_suffix(paths: Iterable[Path]) -> str:
    """Count files by suffix, most frequent first: ``3 .pdf, 1 without suffix, 1 linked folder``."""
    counts = Counter(_kind(path) for path in paths)
    linked, pipes = counts.pop(_LINKED, 0), counts.pop(_PIPE, 0)
    kinds = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    said = [f"{counts[suffix]} {printable(suffix) or 'without suffix'}" for suffix in kinds]
    if linked:
        said.append(counted(linked, "linked folder"))
    if pipes:
        said.append(counted(pipes, "pipe or device", "pipes or devices"))
    return ", ".join(said)


def _kind(path: Path) -> str:
    if is_linked_folder(path):
        return _LINKED
    return _PIPE if is_pipe(path) else path.suffix.lower()


def is_pipe(path: Path) -> bool:
    """Return whether a path that is no folder is a pipe or a device."""
    return os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113


def is_linked_folder(path: Path) -> bool:
    """Return whether a path is a link to a folder, which is not searched."""
    return path.is_symlink() and os.path.isdir(path)  # noqa: PTH112


def _absent(path: Path) -> PhotoError | None:
    """Return the error for a path that is not there, or whose folder may not be entered; else None."""
    try:
        path.lstat()
    except PermissionError as error:
        return PhotoError(f"{printable_name(path)}: cannot be read: {error.strerror}")
    except (OSError, ValueError):  # too long a name, or a zero byte in it, among others
        return MissingPhotoError(missing(path))
    return None


def _expand(
    path: Path, below: Path, recursive: bool, found: bool, output: Path, others: list[Path]
) -> Iterator[Input | PhotoError]:
    name = printable_name(path)
    if problem := _absent(path):
        yield problem
    elif not os.path.isdir(path):  # noqa: PTH112
        yield Input(path, below, found)
    else:
        empty, before = True, len(others)
        for item in _walk(path, below, recursive, output, others):
            empty = False
            yield item
        if empty:
            hint = "" if recursive else "; --recursive also searches its subfolders"
            there = f", but {counts_by_suffix(others[before:])}" if others[before:] else ""
            yield PhotoError(f"{name}: no photos in this folder{there}{hint}")


def _walk(
    folder: Path, below: Path, recursive: bool, output: Path, others: list[Path]
) -> Iterator[Input | PhotoError]:
    """Yield photos of a folder by name, then those of its subfolders; none hidden, none behind links."""
    waiting = [(folder, below)]
    while waiting:
        folder, below = waiting.pop()
        folders = []
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield PhotoError(f"{printable_name(folder)}: cannot be listed ({error.strerror})")
            continue
        for entry in inside:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif recursive and entry.is_symlink() and is_linked_folder(folder / entry.name):
                if not _is_same(output, folder / entry.name):
                    others.append(folder / entry.name)
            elif _may_be_photo(entry):
                path = folder / entry.name
                if is_photo(path):
                    yield Input(path, below, found=True)
                else:
                    others.append(path)
            elif not entry.is_dir():  # a pipe or a device
                others.append(folder / entry.name)
        if recursive:
            waiting += [
                (folder / name, below / name)
                for name in reversed(folders)
                if not _is_same(output, folder / name)
            ]


def _is_same(output: Path, folder: Path) -> bool:
    try:
        return output.samefile(folder)
    except OSError:  # the output folder does not exist yet
        return False


def _may_be_photo(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a file; broken links count, since someone expects these photos."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry))  # noqa: PTH110
    except OSError:
        return True


def _relative(folder: Path) -> Path:
    """Return a folder's path without root and dots, to be placed below another folder."""
    path = Path(os.path.normpath(folder))
    return Path(*(part for part in path.parts if part not in (path.anchor, "..", ".")))
