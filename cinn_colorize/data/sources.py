"""Photos in zips, LMDBs and folders, at URLs too: listed in a fixed order, read, and decoded to sRGB."""

import importlib
import io
import logging
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
from numpy.typing import NDArray

from cinn_colorize.data.urls import Url, cached, find, is_folder, open_file, retry, shown
from cinn_colorize.errors import DataError, printable_name
from cinn_colorize.files.limits import check_bytes, check_pixels, read_file

if TYPE_CHECKING:
    import lmdb

log = logging.getLogger(__name__)
T = TypeVar("T")

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
_LMDB_FILE = "data.mdb"
SHARDS = "photos-*-[0-9]*.zip"  # photos-train-0.zip; not photos-dev.zip, which is for evaluation

_MAX_PIXELS = 100_000_000  # of a photo, of which several processes have one at a time
_PART = 2**20  # bytes of an entry that are unpacked at once, whatever size the zip says

# What zipfile raises for damaged, encrypted and oddly compressed entries.
_OF_ZIPS = (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, SyntaxError, ValueError, zlib.error)
_UNREADABLE = (OSError, *_OF_ZIPS)


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

    ``root`` is a folder or a zip of photos, a folder of zip shards that match ``pattern``, or the URL of a
    zip, of such a folder, or of zips that match its ``*``. Shards at URLs are kept in the folder ``cache``;
    without one, photos are read one by one. Hidden files are skipped. A DataError if there are no photos, or
    a shard is not a zip; ``damaged`` receives such errors where other shards can be opened.
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
    """The photos of an LMDB in LSUN's layout, in the order of their keys; DataError if it cannot be read."""

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
def open_lmdb(path: Path) -> "lmdb.Environment":
    """Open an LMDB once per process, as it requires; DataError if it is cut off, which is fatal to read."""
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
    except _UNREADABLE as error:
        raise DataError(f"{printable_name(shard)}: not a readable zip ({error})") from error


def _files_below(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root):
        below = PurePath(folder).relative_to(root)
        yield from ((below / file).as_posix() for file in files)


def _photo_names(names: Iterable[str]) -> list[str]:
    paths = ((name, PurePath(name)) for name in names)
    return sorted(n for n, path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def readable(photos: Iterable[Source], read: Callable[[Source], T]) -> Iterator[tuple[int, T]]:
    """Read photos; yield those that can be read with their places, log the others; DataError if all fail."""
    error, found = None, False
    for k, source in enumerate(photos):
        try:
            content = read(source)
        except DataError as problem:
            error = error or problem
            log.warning("left out: %s", problem)
        else:
            found = True
            yield k, content
    if error and not found:
        raise error


class Reader:
    """Reads sources; keeps zips open, one handle per process."""

    def __init__(self) -> None:
        self._archives: dict[Path | Url, zipfile.ZipFile] = {}

    def __call__(self, source: Source) -> NDArray[Any]:
        """Decode to sRGB, (H, W, 3) uint8, upright; DataError if it cannot be read or decoded."""
        data = self.file(source)
        try:
            profile = _profile_of(data)
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except (cv2.error, *_UNREADABLE) as error:
            raise _unreadable(source, error) from error
        if image is None:
            raise DataError(f"{source}: cannot be decoded")
        return _in_srgb(image, profile)

    def file(self, source: Source) -> bytes:
        """Return the bytes of the image file; DataError if it cannot be read."""
        try:
            if isinstance(source.path, Url):
                return self._read_remote(source)
            if source.entry is None:
                return read_file(source.path, _MAX_PIXELS)
            if source.path.is_dir():
                with open_lmdb(source.path).begin() as transaction:
                    if (value := transaction.get(os.fsencode(source.entry))) is not None:
                        return bytes(value)
                raise KeyError("no such key")
            return self._entry(source.path, source.entry)
        except _UNREADABLE as error:
            raise _unreadable(source, error) from error

    def _read_remote(self, source: Source) -> bytes:
        def entry() -> bytes:
            try:
                return self._entry(source.path, source.entry or "")
            except Exception:
                self._archives.pop(source.path, None)  # its connection may be broken
                raise

        return retry(str(source), entry)

    def _entry(self, path: Path | Url, name: str) -> bytes:
        archive = self._archives[path] = self._archives.get(path) or open_zip(path)
        entry = archive.getinfo(name)
        check_bytes(entry.file_size, _MAX_PIXELS)  # zipfile gives no more than that
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Of the others, zipfile unpacks all that it is given at once: a kilobyte can become gigabytes.
            raise ValueError("neither stored nor deflated; make the zip again with another program")
        content = io.BytesIO()
        with archive.open(name) as file:
            while part := file.read(_PART):
                content.write(part)
        return content.getvalue()

    def __getstate__(self) -> dict[str, object]:
        return {"_archives": {}}  # handles are not shared between processes


class ColorReader(Reader):
    """Reads photos to learn from or to measure with, which have colours."""

    def __call__(self, source: Source) -> NDArray[Any]:
        """Decode as :class:`Reader` does; a gray photo is a DataError, too."""
        image = super().__call__(source)
        # Some pixels tell in nearly all photos, so that the others need not be compared.
        if all((part == part[..., :1]).all() for part in (image[::16, ::16], image)):
            raise DataError(f"{source}: a gray photo, whose colours nobody knows")
        return image


def _profile_of(data: bytes) -> bytes:
    """Return the ICC profile of a file, or nothing; one of _UNREADABLE if it is no photo, or too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about sizes and metadata
        try:
            with PIL.Image.open(io.BytesIO(data)) as image:
                check_pixels(*image.size, _MAX_PIXELS)
                return image.info.get("icc_profile") or b""
        except PIL.UnidentifiedImageError:
            raise ValueError("not a photo in a known format") from None
        except PIL.Image.DecompressionBombError:  # Pillow's own limit is higher
            raise ValueError(f"more than {_MAX_PIXELS / 1e6:g} million pixels") from None


def _in_srgb(pixels: NDArray[Any], profile: bytes) -> NDArray[Any]:
    """Convert pixels (H, W, 3) from an RGB profile to sRGB; others, and damaged ones, are ignored."""
    if profile[16:20] != b"RGB ":
        return pixels
    try:
        given = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = PIL.ImageCms.createProfile("sRGB")
        return np.array(PIL.ImageCms.profileToProfile(PIL.Image.fromarray(pixels), given, srgb))
    except (PIL.ImageCms.PyCMSError, OSError):
        return pixels


def _unreadable(source: Source, error: Exception) -> DataError:
    return DataError(f"{source}: cannot be read ({' '.join(str(error).split())})")
