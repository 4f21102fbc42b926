"""The files that a call reads, none of which its outputs may replace.

Files are told apart by what the file system says, not only by their paths: a hard link, a symbolic link or,
where the disk is blind to case, another spelling leads to the same file. Whatever writes a file asks
:func:`original_at` first; see :mod:`cinn_colorize.files.atomic`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cached_property
from pathlib import Path


class _Originals:
    """Files to protect, as of :func:`protecting`; looked at when an output first takes a file's place."""

    def __init__(self, paths: Iterable[Path], unless: Callable[[Path], bool] | None) -> None:
        self._paths, self.unless = paths, unless

    @cached_property
    def marks(self) -> dict[Hashable, Path]:
        """The files by each of their marks."""
        parents: dict[str, str] = {}
        return {mark: path for path in self._paths for mark in _marks(path, parents)}


_protected: list[_Originals] = []


@contextlib.contextmanager
def protecting(paths: Iterable[Path], unless: Callable[[Path], bool] | None = None) -> Iterator[None]:
    """Protect files of this process from its own outputs for the duration of the context.

    Args:
        paths: paths of the files; those that do not exist are passed over.
        unless: called with an output that would replace one of them; returns whether it may.
    """
    originals = _Originals(paths, unless)
    _protected.append(originals)
    try:
        yield
    finally:
        _protected.remove(originals)


def original_at(output: Path) -> Path | None:
    """Return the protected file that an output would replace, or None."""
    if not _protected or not os.path.lexists(output):
        return None
    marks = list(_marks(output, {}))
    for originals in _protected:
        for mark in marks:
            if mark in originals.marks and not (originals.unless and originals.unless(output)):
                return originals.marks[mark]
    return None


def _marks(path: Path, parents: dict[str, str]) -> Iterator[Hashable]:
    """Yield what tells a file, and the file behind a link, from others; nothing for a missing one.

    Real paths of folders are kept in ``parents``.
    """
    try:
        link, target = os.lstat(path), os.stat(path) if os.path.exists(path) else None  # noqa: PTH110, PTH116
    except OSError:
        return
    folder = os.path.dirname(path)  # noqa: PTH120
    if folder not in parents:
        parents[folder] = os.path.realpath(folder)
    # The path counts too: another program may replace the file at any time.
    yield os.path.normcase(os.path.join(parents[folder], path.name))  # noqa: PTH118
    yield link.st_dev, link.st_ino
    if target and (target.st_dev, target.st_ino) != (link.st_dev, link.st_ino):
        yield target.st_dev, target.st_ino
        yield os.path.normcase(os.path.realpath(path))
