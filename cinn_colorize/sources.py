"""Photos to train on and to measure on: zips and folders, in a fixed order, decoded to sRGB."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
SHARDS = "photos-*-[0-9]*.zip"  # photos-train-0.zip; not photos-dev.zip, which is measured on

# What zipfile raises for damaged, encrypted and oddly compressed entries.
_UNREADABLE = (OSError, zipfile.BadZipFile, KeyError, EOFError, RuntimeError, zlib.error, cv2.error)


class Source(NamedTuple):
    """One photo: a file, or an entry of a zip."""

    path: Path
    entry: str | None = None

    def __str__(self) -> str:
        return printable_name(self.path if self.entry is None else f"{self.path}:{self.entry}")


def find_photos(root: Path, pattern: str | None = SHARDS) -> list[Source]:
    """List photos, in a fixed order: shards by name, photos by their name inside the shard or folder.

    Hidden files are left out, as are those that macOS puts beside photos.

    Args:
        root: a zip; a folder with zip shards that match ``pattern``; or any folder of photos.
        pattern: of the shards; None to look for photos only.

    Raises:
        DataError: there is nothing, or a shard is no zip.
    """
    expected = "a folder of photos or a zip" + (f", or a folder of shards {pattern}" if pattern else "")
    name = printable_name(root)
    if not root.exists():
        raise DataError(f"{name}: not there; expected {expected}")
    shards = [root] if root.is_file() else sorted(root.glob(pattern)) if pattern else []
    photos = [Source(shard, entry) for shard in shards for entry in _photo_names(_entries(shard))]
    if not shards:
        files = (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        photos = [Source(root / file) for file in _photo_names(files)]
    if not photos:
        raise DataError(f"{name}: no photos in it ({', '.join(sorted(SUFFIXES))}); expected {expected}")
    return photos


def _entries(shard: Path) -> list[str]:
    try:
        with zipfile.ZipFile(shard) as archive:
            return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{printable_name(shard)}: not a readable zip ({error})") from error


def _photo_names(names: Iterable[str]) -> list[str]:
    paths = ((name, PurePath(name)) for name in names)
    return sorted(n for n, path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


class Reader:
    """Reads sources; keeps the zips open, one handle a process."""

    def __init__(self) -> None:
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def __call__(self, source: Source) -> NDArray[Any]:
        """Decode to sRGB, (H, W, 3) uint8, upright.

        Raises:
            DataError: it cannot be read or decoded.
        """
        try:
            if source.entry is None:
                data = source.path.read_bytes()
            else:
                if source.path not in self._archives:
                    self._archives[source.path] = zipfile.ZipFile(source.path)
                data = self._archives[source.path].read(source.entry)
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{source}: cannot be read ({reason})") from error
        if image is None:
            raise DataError(f"{source}: cannot be decoded")
        return image

    def __getstate__(self) -> dict[str, object]:
        return {"_archives": {}}  # handles are not shared between processes
