"""Files at URLs such as https:// and s3://, through fsspec, which is imported where a URL is read."""

import hashlib
import logging
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from cinn_colorize.errors import DataError, os_errors_as, printable_name
from cinn_colorize.files.atomic import FULL, remove_leftovers, writing

log = logging.getLogger(__name__)

T = TypeVar("T")
_BLOCK = 2**18  # bytes per request: one is enough for most photos
_PAUSES = (1, 2, 4, 8, 16)  # seconds before another try
_PATIENCE = 30  # seconds without a byte
_END = 22  # bytes at the end of a zip that are read first
# Errors that a retry would not fix.
_OF_ZIPS = (EOFError, zipfile.BadZipFile, zlib.error)
_FINAL = (FileNotFoundError, PermissionError, ImportError, ValueError, LookupError, RuntimeError, *_OF_ZIPS)
_REFUSED = (401, 403, 404, 410)  # answers of HTTP that stay the same
_URL = re.compile(r"(\w+://)(?:[^/\s]*@)?([^\s?'\"]*)(\?[^\s'\"]*)?")  # with user and query, in a text


class Url(str):
    """The location of something that is not a local file."""

    @classmethod
    def or_path(cls, text: str) -> "Url | Path":
        """Parse a URL or a path: ``s3://bucket/photos`` is a URL, ``photos`` a path."""
        return cls(text) if "://" in text else Path(text)

    @property
    def name(self) -> str:
        return PurePosixPath(self.split("?")[0]).name

    @property
    def shown(self) -> str:
        """It in messages and in what is kept of a run: without user and query, which may hold secrets."""
        scheme, _, rest = self.partition("://")
        place, asked, _ = rest.partition("?")
        host, slash, path = place.partition("/")
        bare = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
        return printable_name(f"{bare}?..." if asked else bare)


def shown(place: Url | Path) -> str:
    """Return a URL or a path for messages."""
    return place.shown if isinstance(place, Url) else printable_name(place)


def _without_secrets(text: str) -> str:
    return _URL.sub(lambda url: url[1] + url[2] + ("?..." if url[3] else ""), text)


def is_folder(url: Url) -> bool:
    """Return whether a URL has the form of a folder: no zip, no ``*``, no query."""
    return not (url.name.endswith(".zip") or "*" in url or "?" in url)


def find(url: Url, pattern: str) -> list[Url]:
    """Return the files that a URL means, itself or those of its ``*`` or folder; DataError out of reach."""
    system, path = _system(url)
    if "*" not in url and not is_folder(url):
        return [url]
    whole = url.rstrip("/")
    prefix = whole.removesuffix(path) if whole.endswith(path) else None  # of a store that has no hosts
    if not is_folder(url):
        asked, named = path, ""
    elif "*" in pattern:
        asked, named = f"{path.rstrip('/')}/{pattern}", ""
    else:  # of one file, fsspec would say that it is not there if the network fails
        asked, named = f"{path.rstrip('/')}/*{PurePosixPath(pattern).suffix}", pattern
    found = retry(url.shown, lambda: sorted(system.glob(asked)))
    urls = [Url(system.unstrip_protocol(each) if prefix is None else prefix + each) for each in found]
    return [each for each in urls if not named or each.name == named]


def open_file(url: Url) -> IO[bytes]:
    """Open a file to read at any position; DataError if its server does not allow it."""
    system, path = _system(url)

    def opened() -> IO[bytes]:
        file: IO[bytes] = system.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
        try:
            file.seek(-_END, os.SEEK_END)
            file.read(_END)
        except ValueError as error:
            problem = "its server does not support range requests; add --cache FOLDER"
            raise DataError(f"{url.shown}: {problem}") from error
        return file

    return retry(url.shown, opened)


def retry(name: str, function: Callable[[], T]) -> T:
    """Call a function that reads ``name`` remotely, and retry for half a minute if the network fails.

    DataError if it kept failing, or what it read is damaged; OSError if the disk is full.
    """
    for pause in (*_PAUSES, None):
        try:
            return function()
        except DataError:
            raise
        except Exception as error:  # each file system has its own
            reason = " ".join(_without_secrets(str(error.__cause__ or error)).split())[:200]
            reason = reason or type(error).__name__
            if getattr(error, "errno", None) in FULL:
                raise
            if pause is None or _is_final(error):
                raise DataError(f"{name}: cannot be read ({reason})") from error
            log.info("%s: %s; retrying", name, reason)
            time.sleep(pause)
    raise AssertionError


def _is_final(error: Exception) -> bool:
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and type(cause).__module__.startswith("aiohttp"):
        return getattr(cause, "status", None) in _REFUSED  # fsspec says "not found" whatever HTTP answers
    return isinstance(error, _FINAL) or getattr(error, "status", None) in _REFUSED


def cached(url: Url, folder: Path) -> Path:
    """Return a copy of a file in a folder, fetched if it is missing or of another size.

    Processes that want the same file at once wait for the one that fetches it. DataError if it cannot be
    fetched, or there is no space for it.
    """
    from filelock import FileLock

    target = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{url.name}"
    system, path = _system(url)
    size: int | None = retry(url.shown, lambda: system.size(path))
    with os_errors_as(DataError, folder, "cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.exists() and size in (None, target.stat().st_size):
                return target
            remove_leftovers(folder)  # of fetches that were killed
            if size and size > (free := shutil.disk_usage(folder).free):
                missing = f"{free / 1e9:.1f} GB are free there, {size / 1e9:.1f} GB are needed"
                raise DataError(f"{printable_name(folder)}: {missing} for {url.shown}")
            log.info("fetching %s to %s", url.shown, printable_name(folder))
            retry(url.shown, lambda: _fetch(system, path, target))
    return target


def _fetch(system: Any, path: str, target: Path) -> None:
    # As a stream, for servers without range requests; and not by get_file, which mostly takes a path.
    stream = {"block_size": 0} if "http" in system.protocol else {}
    with writing(target) as file, system.open(path, "rb", **stream) as remote:
        shutil.copyfileobj(remote, file, 2**20)


def _system(url: Url) -> tuple[Any, str]:
    options: dict[str, Any] = {}
    try:
        if url.startswith(("http://", "https://")):
            import aiohttp  # by default, it gives a file five minutes, however large

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
            options["client_kwargs"] = {"timeout": timeout}
        import fsspec

        system, path = fsspec.url_to_fs(url, **options)
    except ImportError as error:
        install = f"pip install 'cinn-colorize[remote]' ({error})"
        raise DataError(f"{url.shown}: requires another package; {install}") from error
    except ValueError as error:
        raise DataError(f"{url.shown}: {_without_secrets(str(error))}") from error
    return system, path
