"""Where photos for training and evaluation lie: folders, LMDBs, and zips, which may be at URLs.

They come in a fixed order; :mod:`cinn_colorize.data.readers` reads them.
"""

from __future__ import annotations

import importlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cinn_colorize.data.urls import Url, cached, find, is_folder, open_file, retry, shown
from cinn_colorize.errors import DataError
from cinn_colorize.files.messages import printable_name

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
_LMDB_FILE = "data.mdb"
SHARDS = "photos-*-[0-9]*.zip"  # photos-train-0.zip; not photos-dev.zip, which is for evaluation

# What zipfile raises for damaged, encrypted and oddly compressed entries.
_OF_ZIPS = (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, SyntaxError, ValueError, zlib.error)
UNREADABLE = (OSError, *_OF_ZIPS)

if TYPE_CHECKING:
    import lmdb


class Source(NamedTuple):
    """One photo: a file, or an entry of a zip or an LMDB."""

    path: Path | Url
    entry: str | None = None

    def __str__(self) -> str:
        entry = "" if self.entry is None else f":{printable_name(self.entry)}"
        return shown(self.path) + entry

    def name_in(self, root: Path) -> str:
        """Return the photo's name in the zip or folder where :func:`find_photos` found it."""
        return self.entry or Path(str(self.path)).relative_to(root).as_posix()


def find_photos(
    root: Path | Url,
    pattern: str | None = SHARDS,
    *,
    cache: Path | None = None,
    damaged: list[str] | None = None,
) -> list[Source]:
    """List photos in a fixed order: shards by name, photos by their name inside the shard or folder.

    Hidden files are skipped, including those that macOS puts beside photos.

    Args:
        root: a zip; a folder with zip shards that match ``pattern``; any folder of photos; or the URL of a
            zip, of a folder with such shards, or of zips that match its ``*``.
        pattern: pattern of the shards' names; None to look for photos only.
        cache: folder in which shards at URLs are kept; None to read remotely, photo by photo.
        damaged: receives the error of each shard that cannot be opened, if others can.

    Raises:
        DataError: there are no photos, or a shard is not a zip.
    """
    if isinstance(root, Url):
        pattern = pattern or "*.zip"
        shards = [cached(url, cache) if cache else url for url in find(root, pattern)]
        if not shards:
            expected = pattern if is_folder(root) else root.name
            raise DataError(f"{root.shown}: no file there matches {expected}")
        if photos := _in_shards(shards, damaged):
            return photos
        raise DataError(f"{root.shown}: no photos there ({', '.join(sorted(SUFFIXES))})")
    expected = "a folder of photos or a zip" + (f", or a folder of shards {pattern}" if pattern else "")
    name = printable_name(root)
    if not root.exists():
        raise DataError(f"{name}: does not exist; expected {expected}")
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        raise DataError(f"{name}: a single photo; expected {expected}")
    shards = [root] if root.is_file() else sorted(root.glob(pattern)) if pattern else []
    files = [] if shards else _photo_names(_files_below(root))
    photos = _in_shards(shards, damaged) if shards else [Source(root / file) for file in files]
    if not photos:
        raise DataError(f"{name}: no photos in it ({', '.join(sorted(SUFFIXES))}); expected {expected}")
    return photos


def evenly_spaced(photos: Sequence[Source], number: int) -> list[Source]:
    """Select so many photos, or all if there are fewer, evenly spaced."""
    number = min(number, len(photos))
    return [photos[k * len(photos) // number] for k in range(number)]


def _in_shards(shards: Sequence[Path | Url], damaged: list[str] | None) -> list[Source]:
    photos, errors = [], []
    for shard in shards:
        try:
            photos += [Source(shard, entry) for entry in _photo_names(_entries(shard))]
        except DataError as error:
            errors.append(error)
    if errors and (damaged is None or not photos):
        raise errors[0]
    if damaged is not None:
        damaged += map(str, errors)
    return photos


class _NamedPhotos(Sequence[Source]):
    """Photos of one place, kept as names in bytes: ImageNet and LSUN have millions."""

    def __init__(self, names: Iterable[bytes]) -> None:
        self.names = np.array(list(names), dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._source(os.fsdecode(self.names[index]))

    def _source(self, name: str) -> Source:
        raise NotImplementedError


class FolderPhotos(_NamedPhotos):
    """The photos of a folder and its subfolders, as :func:`find_photos` lists them; DataError if none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(os.fsencode(name) for name in _photo_names(_files_below(path)))
        if not len(self):
            raise DataError(f"{printable_name(path)}: no photos in it ({', '.join(sorted(SUFFIXES))})")

    def _source(self, name: str) -> Source:
        return Source(self.path / name)


class LmdbPhotos(_NamedPhotos):
    """The photos of an LMDB in LSUN's layout: a key and the bytes of an image file each, in the keys' order.

    DataError if it is damaged or empty, or the package lmdb is missing.
    """

    def __init__(self, path: Path) -> None:
        lmdb = _lmdb(path)
        self.path = path
        try:
            with open_lmdb(path).begin() as transaction:
                super().__init__(transaction.cursor().iternext(values=False))
        except lmdb.Error as error:
            raise DataError(f"{printable_name(path)}: not a readable LMDB ({error})") from error
        if not len(self):
            raise DataError(f"{printable_name(path)}: an LMDB without photos")

    def _source(self, name: str) -> Source:
        return Source(self.path, name)


def is_lmdb(path: Path) -> bool:
    """Return whether a folder is an LMDB."""
    return (path / _LMDB_FILE).is_file()


def _lmdb(path: Path) -> ModuleType:
    try:
        return importlib.import_module("lmdb")
    except ImportError as error:
        install = "reading LSUN requires lmdb; pip install 'cinn-colorize[train]'"
        raise DataError(f"{printable_name(path)}: {install}") from error


@cache
def open_lmdb(path: Path) -> lmdb.Environment:
    """Open an LMDB once per process, as LMDB requires; it is never closed.

    DataError if its file ends before its last page, where reading would kill the process.
    """
    lmdb = _lmdb(path)
    # Without locks, so that the data may be read-only.
    opened = lmdb.open(str(path), readonly=True, lock=False, readahead=False, meminit=False)
    has, needs = (path / _LMDB_FILE).stat().st_size, (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    if has < needs:
        file = printable_name(path / _LMDB_FILE)
        raise DataError(f"{file}: is cut off, at {has} of {needs} bytes; copy it again")
    return opened


def open_zip(shard: Path | Url) -> zipfile.ZipFile:
    """Open a zip, a local or a remote one."""
    return zipfile.ZipFile(open_file(shard) if isinstance(shard, Url) else shard)


def _entries(shard: Path | Url) -> list[str]:
    def names() -> list[str]:
        with open_zip(shard) as archive:
            return [entry.filename for entry in archive.infolist() if not entry.is_dir()]

    if isinstance(shard, Url):
        return retry(shard.shown, names)
    try:
        return names()
    except UNREADABLE as error:
        raise DataError(f"{printable_name(shard)}: not a readable zip ({error})") from error


def _files_below(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root):
        below = PurePath(folder).relative_to(root)
        yield from ((below / file).as_posix() for file in files)


def _photo_names(names: Iterable[str]) -> list[str]:
    paths = ((name, PurePath(name)) for name in names)
    return sorted(n for n, path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
