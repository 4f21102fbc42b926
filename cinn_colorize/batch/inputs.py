"""Which photos a command line means: files, folders, patterns, lists, and the share of one machine."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from cinn_colorize.errors import PhotoError
from cinn_colorize.files import SUFFIXES, printable_name

# os.path.isdir is used where a name may be too long, for which Path.is_dir raises.

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Input:
    """A photo and where its results go.

    Attributes:
        path: of the photo.
        below: folder of the results, below the output folder.
        found: in a folder or by a pattern, not named; pictures made by this program are then left out.
    """

    path: Path
    below: Path = Path()
    found: bool = False


def find_inputs(
    arguments: Sequence[Path], listed: Iterable[Path] = (), *, recursive: bool = False, output: Path
) -> list[Input | PhotoError]:
    """The photos that are meant, each once, in a fixed order; errors stand in the place of what has none.

    Args:
        arguments: files, whose results go into the output folder itself; folders; patterns with ``*``, ``?``,
            ``[...]`` and ``**``, where no file has that very name.
        listed: files or folders of a list; the results go into folders of the same names.
        recursive: folders with all that is below them; the results go into the same tree. If there are
            several folders, each tree is in a folder of its name.
        output: the output folder, which is left out where it lies below a folder of photos.
    """
    found: list[Input | PhotoError] = []
    named = [(argument, _is_pattern(argument)) for argument in arguments]
    matched = [_matches(argument) if pattern else [argument] for argument, pattern in named]
    several = recursive and sum(map(os.path.isdir, itertools.chain(*matched))) > 1
    for (argument, pattern), paths in zip(named, matched, strict=True):
        if not paths:
            found.append(PhotoError(f"{printable_name(argument)}: no file has a name like that"))
        for path in paths:
            below = Path(path.resolve().name) if several and os.path.isdir(path) else Path()  # noqa: PTH112
            found += _expand(path, below, recursive, pattern, output)
    for path in listed:
        below = _relative(path if os.path.isdir(path) else path.parent)  # noqa: PTH112
        found += _expand(path, below, recursive, False, output)
    return list(
        {(item.path, item.below) if isinstance(item, Input) else item: item for item in found}.values()
    )


def read_list(content: bytes, name: str, *, null: bool) -> list[Path]:
    """Names in a list, one a line, or with ``null`` each ended by a zero byte.

    Raises:
        PhotoError: there are zero bytes in a list of lines.
    """
    if null:
        names = content.split(b"\0")
    elif b"\0" in content:
        raise PhotoError(f"{name}: has zero bytes, as find -print0 writes them; add --null")
    else:
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        names = [line.removesuffix(b"\r") for line in lines]
    return [Path(os.fsdecode(name)) for name in names if name]


def shard(inputs: Iterable[Input | PhotoError], index: int, count: int) -> list[Input | PhotoError]:
    """The share of machine ``index`` (from 1) of ``count``.

    A photo's share follows from a hash of where its results go, whatever else is in the list: machines that
    see the folder at different times, or under other names, neither do a photo twice nor write to one name.
    """
    return [item for item in inputs if _hash(item) % count == index - 1]


def _hash(item: Input | PhotoError) -> int:
    key = str(item) if isinstance(item, PhotoError) else str(item.below / item.path.stem)
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=8).digest(), "big")


def _is_pattern(argument: Path) -> bool:
    """A file may be called a[2].tif."""
    return bool(_MAGIC & set(str(argument))) and not os.path.lexists(argument)


def _matches(pattern: Path) -> list[Path]:
    """As a shell has it: sorted, without hidden names. Links to folders are not followed by ``**``."""
    start = Path(pattern.anchor)
    hidden = any(part.startswith(".") for part in pattern.parts if part != "..")
    try:
        matches = sorted(start.glob(str(pattern.relative_to(start))))
    except (OSError, ValueError):
        return []
    return [m for m in matches if hidden or not any(p.startswith(".") for p in m.parts if p != "..")]


def _expand(
    path: Path, below: Path, recursive: bool, found: bool, output: Path
) -> Iterator[Input | PhotoError]:
    name = printable_name(path)
    if not os.path.lexists(path):
        yield PhotoError(f"{name}: no such file or folder")
    elif not os.path.isdir(path):  # noqa: PTH112
        yield Input(path, below, found)
    else:
        empty = True
        for item in _walk(path, below, recursive, output):
            empty = False
            yield item
        if empty:
            hint = "" if recursive else "; --recursive looks below it too"
            yield PhotoError(f"{name}: no photos in this folder ({', '.join(sorted(SUFFIXES))}){hint}")


def _walk(folder: Path, below: Path, recursive: bool, output: Path) -> Iterator[Input | PhotoError]:
    """Photos of a folder by name, then those of its folders; no hidden ones, and no links to folders."""
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
            elif PurePath(entry.name).suffix.lower() in SUFFIXES and _may_be_photo(entry):
                yield Input(folder / entry.name, below, found=True)
        if recursive:
            waiting += [
                (folder / name, below / name)
                for name in reversed(folders)
                if not _is_same(output, folder / name)
            ]


def _is_same(output: Path, folder: Path) -> bool:
    try:
        return output.samefile(folder)
    except OSError:  # there is no output folder yet
        return False


def _may_be_photo(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file; links that lead nowhere count, for they are photos that someone misses."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry))  # noqa: PTH110
    except OSError:
        return True


def _relative(folder: Path) -> Path:
    """A folder's name without root and dots, to stand below another."""
    path = Path(os.path.normpath(folder))
    return Path(*(part for part in path.parts if part not in (path.anchor, "..", ".")))
