"""Opening of files and pipes, atomic writing, temporary files; no output replaces a file that a call reads.

Files are told apart by what the file system says, not only by their paths: a hard link, a symbolic link or,
where the disk is blind to case, another spelling leads to the same file.
"""

import contextlib
import errno
import hashlib
import io
import os
import queue
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from cinn_colorize.errors import CinnError, OriginalError, OutputError, printable_name

PUBLIC = 0o666  # permission bits of a file that whoever the umask allows may read
_PATIENCE = 10  # seconds, for something to write into a pipe
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part")
_NEW = 60  # seconds, in which a temporary folder may not be locked yet
_SET_TMPDIR = "set TMPDIR to another folder"
# Of a disk that is full, for the program or for this user.
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)}
# Of a file system without hard links, or with limits to them.
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_IS_WINDOWS = sys.platform == "win32"


def leaves_folder(name: str) -> bool:
    """Return whether a path that is meant to lie below a folder may lead out of it."""
    return Path(name).is_absolute() or ".." in Path(name).parts


def open_input(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file to read; a named pipe that nothing writes into is an OSError after some seconds."""
    if _IS_WINDOWS or not stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116
        return Path(path).open("rb")
    # Opening waits for a writer, and no other way tells a slow one from none.
    opened: queue.SimpleQueue[io.BufferedReader | OSError] = queue.SimpleQueue()

    def wait() -> None:
        try:
            opened.put(Path(path).open("rb"))  # noqa: SIM115
        except OSError as error:
            opened.put(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        found = opened.get(timeout=_PATIENCE)
    except queue.Empty:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # a writer, which ends the thread
        raise OSError(errno.ETIMEDOUT, "nothing writes into this pipe") from None
    if isinstance(found, OSError):
        raise found
    return found


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Originals:
    """Files to protect, as of :func:`protecting`; looked at when an output first takes a file's place."""

    def __init__(self, paths: Iterable[Path], unless: Callable[[Path], bool] | None) -> None:
        self._paths, self.unless = paths, unless

    @cached_property
    def marks(self) -> dict[Hashable, Path]:
        parents: dict[str, str] = {}
        return {mark: path for path in self._paths for mark in _marks(path, parents)}


_protected: list[_Originals] = []


@contextlib.contextmanager
def protecting(paths: Iterable[Path], unless: Callable[[Path], bool] | None = None) -> Iterator[None]:
    """Protect files from outputs of this process in this context, but for those that ``unless`` allows."""
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
    """Yield what tells a file, and the one behind a link, from others; ``parents`` keeps paths of folders."""
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


def check_output(path: str | os.PathLike[str], otherwise: str = "another name or folder") -> None:
    """Raise an OriginalError for an output that would replace a file that the call reads."""
    if original_at(Path(path)):
        raise OriginalError(f"{printable_name(path)}: is one of the files given; choose {otherwise}")


def is_too_long(path: Path) -> bool:
    """Return whether no file can have this path, going by the nearest folder that is there."""
    folder = next((place for place in path.parents if os.path.isdir(place)), Path())  # noqa: PTH112
    for name in (path, folder / path.name):
        try:
            os.lstat(name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return True
    return False


def mode_like(*paths: Path) -> int:
    """Return the bits of a file made from regular others: only who may read them all may read it."""
    mode = PUBLIC
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            for others in (0o60, 0o06) if stat.S_ISREG(status.st_mode) else ():
                if not status.st_mode & others & 0o44:
                    mode &= ~others
    return mode


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: int = PUBLIC, *, overwrite: bool = True) -> Iterator[int]:
    """Yield a descriptor to write to; the file appears at ``path`` if all goes well, else nothing is left.

    The content is on the disk before the file gets its name, so that not even a power cut leaves half of it.
    The umask takes some of the permission bits ``mode``. A file that is there, and is not to be replaced, is
    a FileExistsError; one that the call reads, an OriginalError.
    """
    path = Path(path)
    check_output(path)
    part, descriptor = temporary(path.parent, mode)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
            if not _IS_WINDOWS:  # while the lock is held, or another process may take it for a leftover
                _put(part, path, overwrite)
        finally:
            os.close(descriptor)
        if _IS_WINDOWS:  # where an open file cannot be renamed
            _put(part, path, overwrite)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _put(part: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        part.replace(path)
    elif _IS_WINDOWS:
        part.rename(path)  # which replaces none there
    else:
        try:
            os.link(part, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path)) from None
            part.replace(path)
        else:
            part.unlink()


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], mode: int = PUBLIC) -> Iterator[BinaryIO]:
    """Yield a file to write to, which appears at ``path`` if all goes well; see :func:`replacing`."""
    with replacing(path, mode) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        yield file


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; those in use stay."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        if original_at(folder / name):
            continue
        with contextlib.suppress(OSError):  # in use, gone by now, or not ours to remove
            with _locked(folder / name, os.O_RDWR):
                if not _IS_WINDOWS:
                    (folder / name).unlink()
            if _IS_WINDOWS:  # where an open file cannot be removed
                (folder / name).unlink()


class TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """A folder for temporary files, which is removed with them: if the process is killed, by a later one."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        try:
            super().__init__(prefix="cinn-colorize-", suffix=".part")
        except OSError as error:
            raise CinnError(f"no temporary folder can be made ({error.strerror}); {_SET_TMPDIR}") from error
        if not _IS_WINDOWS:
            with contextlib.suppress(OSError):  # a file system without locks
                self._held.enter_context(_locked(Path(self.name)))
            _remove_folders(Path(self.name).parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, OutputError):  # which names a file that nobody knows
            folder, problem = printable_name(Path(self.name).parent), "no space for temporary files"
            raise OutputError(f"{folder}: {problem}; free some, or {_SET_TMPDIR}") from error

    def cleanup(self) -> None:
        super().cleanup()
        self._held.close()


def _remove_folders(folder: Path) -> None:
    """Remove the temporary folders that killed processes of this user left; those in use stay."""
    for path in folder.glob("cinn-colorize-????????.part"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if is_own and time.time() - status.st_mtime > _NEW:
                with _locked(path):
                    shutil.rmtree(path)


@contextlib.contextmanager
def _locked(path: Path, flags: int = os.O_RDONLY) -> Iterator[None]:
    descriptor = os.open(path, flags)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def temporary(folder: Path, mode: int = PUBLIC) -> tuple[Path, int]:
    """Create a locked file in a folder, which :func:`remove_leftovers` leaves alone until it is closed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f".{secrets.token_hex(8)}.part"
        descriptor = os.open(path, flags, mode)
        try:
            _lock(descriptor)
        except BlockingIOError:  # another process is about to remove it
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks
            return path, descriptor
        if _IS_WINDOWS or os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a file until it is closed or the process ends; a BlockingIOError if another process has it."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
