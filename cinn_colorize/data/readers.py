"""Reads photos for training and evaluation, and decodes them to sRGB."""

from __future__ import annotations

import io
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
from numpy.typing import NDArray

from cinn_colorize.data.sources import UNREADABLE, Source, open_lmdb, open_zip
from cinn_colorize.data.urls import Url, retry
from cinn_colorize.errors import DataError
from cinn_colorize.files.limits import check_bytes, check_pixels, read_file

log = logging.getLogger(__name__)
T = TypeVar("T")

_MAX_PIXELS = 100_000_000  # of a photo, of which several processes have one at a time
_PART = 2**20  # bytes of an entry that are unpacked at once, whatever size the zip says


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
        except (cv2.error, *UNREADABLE) as error:
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
        except UNREADABLE as error:
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
    """Return the ICC profile of a file, or nothing; one of UNREADABLE if it is no photo, or too large."""
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
