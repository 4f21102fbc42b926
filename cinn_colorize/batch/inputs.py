"""The photos that a command line means: files, folders, patterns, lists, and the share of one machine."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cinn_colorize.errors import MissingPhotoError, PhotoError, counted, missing, printable, printable_name
from cinn_colorize.files.formats import FORMATS, SUFFIXES, own_suffix

# os.path.isdir is used where a name may be too long, for which Path.is_dir raises.

_MAGIC = frozenset("*?[")
_VAGUE = (FORMATS["bmp"][0], FORMATS["pnm"][0])  # formats that begin as many a text does


@dataclass(frozen=True)
class Input:
    """A photo and where its results go."""

    path: Path
    below: Path = Path()  # folder of the results, relative to the output folder
    named: bool = True  # not found in a folder or by a pattern, where pictures of this program are skipped


def find_inputs(
    arguments: Sequence[Path],
    listed: Iterable[Path] = (),
    *,
    recursive: bool = False,
    output: Path,
    not_taken: list[Path] | None = None,
    takes: Callable[[Path], bool] | None = None,
) -> list[Input | PhotoError]:
    """Return the photos that are meant, each once, in a fixed order; an argument without photos is an error.

    Args:
        arguments: files, whose results go into the output folder itself; folders; patterns with ``*``, ``?``,
            ``[...]`` and ``**``, unless a file has that very name.
        listed: files or folders from a list; the results go into folders of the same names.
        recursive: include all below a folder; the results go into the same tree, or one for each of several.
        output: the output folder, which is skipped where it lies below a folder of photos.
        not_taken: receives what else these folders hold, and links to folders that are not followed.
        takes: tells which files of folders are meant; None for photos.
    """
    search = _Search(recursive, output, [] if not_taken is None else not_taken, takes or is_photo)
    items: list[Input | PhotoError] = []
    matches = [(argument, search.meant(_matches(argument))) for argument in arguments]
    paths = [path for argument, matched in matches for path in matched or [argument]]
    several = recursive and sum(os.path.isdir(path) and not search.is_output(path) for path in paths) > 1  # noqa: PTH112
    for argument, matched in matches:
        if matched == []:
            items.append(PhotoError(missing(argument, "no file matches this pattern")))
        for path in [argument] if matched is None else matched:
            below = Path(path.resolve().name) if several and os.path.isdir(path) else Path()  # noqa: PTH112
            items += search.photos(path, below, named=matched is None)
    for path in listed:
        below = _relative(path if os.path.isdir(path) else path.parent)  # noqa: PTH112
        items += search.photos(path, below, named=True)
    distinct: dict[object, Input | PhotoError] = {}
    for item in items:
        key = (item.path, item.below) if isinstance(item, Input) else item
        known = distinct.get(key)
        if not isinstance(known, Input) or not known.named:  # one that is also named counts as named
            distinct[key] = item
    return list(distinct.values())


def checked(inputs: list[Input | PhotoError]) -> list[Input | PhotoError]:
    """Return the inputs; an error that is the only one is raised, before a mistyped name waits for torch."""
    if len(inputs) == 1 and isinstance(inputs[0], Exception):
        raise inputs[0]
    return inputs


def read_list(content: bytes, name: str, *, null: bool) -> list[Path]:
    """Return the names in a list, one per line, or with ``null`` each ended by a zero byte."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, which Windows PowerShell writes
        content = content.decode("utf-16", "replace").encode()
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


def _matches(pattern: Path) -> list[Path] | None:
    """Expand a pattern as a shell does: sorted, without hidden names; ``**`` follows no links to folders.

    None for the name of a file, which may be a[2].tif.
    """
    if not _MAGIC & set(str(pattern)) or os.path.lexists(pattern):
        return None
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


def counts_by_suffix(paths: Sequence[Path]) -> str:
    """Count files by suffix, most frequent first: ``3 .pdf, 1 without suffix, 1 linked folder``."""
    suffixes = Counter(path.suffix.lower() for path in paths if not is_special(path))
    folders = sum(map(is_linked_folder, paths))
    pipes = len(paths) - suffixes.total() - folders
    by_number = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{number} {printable(suffix) or 'without suffix'}" for suffix, number in by_number]
    parts += [counted(folders, "linked folder")] if folders else []
    parts += [counted(pipes, "pipe or device", "pipes or devices")] if pipes else []
    return ", ".join(parts)


def is_special(path: Path) -> bool:
    """Return whether a path is that of a pipe, a device or a folder."""
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


@dataclass(frozen=True)
class _Search:
    """How folders are searched; see :func:`find_inputs`."""

    recursive: bool
    output: Path
    not_taken: list[Path]
    takes: Callable[[Path], bool]

    def photos(self, path: Path, below: Path, *, named: bool) -> Iterator[Input | PhotoError]:
        """Yield a file, or the photos of a folder, or what is wrong with them."""
        if problem := _absent(path):
            yield problem
        elif not os.path.isdir(path):  # noqa: PTH112
            yield Input(path, below, named)
        else:
            number, is_empty = len(self.not_taken), True
            for item in self._walk(path, below):
                is_empty = False
                yield item
            if is_empty:
                hint = "" if self.recursive else "; --recursive also searches its subfolders"
                files = counts_by_suffix(self.not_taken[number:])
                but = f", but {files}" if files else ""
                yield PhotoError(f"{printable_name(path)}: no photos in this folder{but}{hint}")

    def meant(self, matches: list[Path] | None) -> list[Path] | None:
        """Return the matches of a pattern without the output folder and links to folders; None for None."""
        self.not_taken.extend(m for m in matches or [] if is_linked_folder(m) and not self.is_output(m))
        return matches and [m for m in matches if not (is_linked_folder(m) or self.is_output(m))]

    def _walk(self, folder: Path, below: Path) -> Iterator[Input | PhotoError]:
        """Yield photos of a folder by name, then those of its subfolders; none hidden, none behind links."""
        waiting = [(folder, below)]
        while waiting:
            folder, below = waiting.pop()
            try:
                with os.scandir(folder) as entries:
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
            except OSError as error:
                yield PhotoError(f"{printable_name(folder)}: cannot be listed ({error.strerror})")
                continue
            subfolders = []
            for entry in sorted(visible, key=lambda entry: entry.name):
                path = folder / entry.name
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append((path, below / entry.name))
                elif _may_be_photo(entry) and self.takes(path):
                    yield Input(path, below, named=False)
                elif not os.path.isdir(path) or (self.recursive and not self.is_output(path)):  # noqa: PTH112
                    self.not_taken.append(path)
            if self.recursive:
                waiting += [place for place in reversed(subfolders) if not self.is_output(place[0])]

    def is_output(self, folder: Path) -> bool:
        try:
            return self.output.samefile(folder)
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
