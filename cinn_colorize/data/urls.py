"""Files at URLs, by fsspec: ``https://``, ``s3://``, ``gs://`` and whatever else it knows."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

import fsspec
from filelock import FileLock

from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name, replacing

log = logging.getLogger(__name__)

T = TypeVar("T")
_BLOCK = 2**18  # bytes fetched together: most photos take one request
_PAUSES = (1, 2, 4, 8, 16)  # seconds before another try
_END = 22  # bytes at the end of a zip that are read first
# What another try would not mend.
_FINAL = (
    FileNotFoundError,
    PermissionError,
    ImportError,
    ValueError,
    LookupError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


class Url(str):
    """Where something lies that is no local file."""

    @classmethod
    def or_path(cls, text: str) -> Url | Path:
        """What a person gave: ``s3://bucket/photos`` is a URL, ``photos`` a path."""
        return cls(text) if "://" in text else Path(text)

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.split("?")[0]).name


def is_folder(url: Url) -> bool:
    """Whether it means a folder, by its looks: no zip, no ``*``, no query."""
    return not (url.name.endswith(".zip") or "*" in url or "?" in url)


def find(url: Url, pattern: str) -> list[Url]:
    """The files that a URL means: those that match it, if it has a ``*``; one file; or a folder's.

    Args:
        url: of a file, a folder, or a pattern.
        pattern: of the files of a folder.

    Raises:
        DataError: it cannot be reached, or nothing is there.
    """
    system, path = _system(url)
    if "*" not in url and not is_folder(url):
        return [url]
    asked = f"{path.rstrip('/')}/{pattern}" if is_folder(url) else path
    found = retry(url, lambda: sorted(system.glob(asked)))
    if not found:
        raise DataError(f"{printable_name(url)}: nothing there that is called {PurePosixPath(asked).name}")
    return [Url(system.unstrip_protocol(each)) for each in found]


def open_file(url: Url) -> IO[bytes]:
    """A file to read at any place.

    Raises:
        DataError: it cannot be reached, or its server does not serve parts of files.
    """
    system, path = _system(url)

    def opened() -> IO[bytes]:
        file: IO[bytes] = system.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
        try:
            file.seek(-_END, os.SEEK_END)
            file.read(_END)
        except ValueError as error:
            raise DataError(
                f"{printable_name(url)}: its server does not serve parts of files; add --cache FOLDER"
            ) from error
        return file

    return retry(url, opened)


def retry(name: str, function: Callable[[], T]) -> T:
    """Call what reads from afar, again and again for half a minute if the network fails.

    Args:
        name: of what is read, for messages.
        function: that reads it.

    Raises:
        DataError: it went on failing, or what it read is damaged.
    """
    for pause in (*_PAUSES, None):
        try:
            return function()
        except DataError:
            raise
        except Exception as error:  # each file system has its own
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if pause is None or isinstance(error, _FINAL):
                raise DataError(f"{printable_name(name)}: cannot be read ({reason})") from error
            log.info("%s: %s; trying again", name, reason)
            time.sleep(pause)
    raise AssertionError


def cached(url: Url, folder: Path) -> Path:
    """A copy of a file in a folder, fetched if it is not there yet or of another size.

    Processes that want the same file at once wait for the one that fetches it.

    Raises:
        DataError: it cannot be fetched, or has no room there.
    """
    target = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{url.name}"
    system, path = _system(url)
    size: int | None = retry(url, lambda: system.size(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.exists() and size in (None, target.stat().st_size):
                return target
            free = shutil.disk_usage(folder).free
            if size and free < size:
                raise DataError(
                    f"{printable_name(folder)}: {free / 1e9:.1f} GB are free there, {size / 1e9:.1f} GB are "
                    f"needed for {printable_name(url)}"
                )
            log.info("fetching %s to %s", url, printable_name(folder))
            retry(url, lambda: _fetch(system, path, target))
    except OSError as error:
        raise DataError(f"{printable_name(folder)}: cannot be written ({error.strerror})") from error
    return target


def _fetch(system: Any, path: str, target: Path) -> None:
    with replacing(target) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        system.get_file(path, file)


def _system(url: Url) -> tuple[Any, str]:
    try:
        system, path = fsspec.url_to_fs(url)
    except ImportError as error:
        raise DataError(
            f"{printable_name(url)}: needs a package more; pip install 'cinn-colorize[remote]' ({error})"
        ) from error
    except ValueError as error:
        raise DataError(f"{printable_name(url)}: {error}") from error
    return system, path
