"""Errors whose cause the user can remove, and words for their messages: names of files, numbers of things."""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)//?")


class CinnError(Exception):
    """Base of these errors: its message is one line that names the file and says what to do."""


class PhotoError(CinnError):
    """A photo cannot be read, or a picture cannot be written."""


class MissingPhotoError(PhotoError, FileNotFoundError):
    """The file of a photo, a mask, a reference or hints does not exist."""


class ExistsError(PhotoError, FileExistsError):
    """A result is there already, and is not to be replaced."""


class OutputError(PhotoError):
    """A picture cannot be written, nor the next one: the disk is full, or their folder cannot be used."""


class OriginalError(CinnError):
    """An output would replace a file that the call reads."""


class FilmError(CinnError):
    """A film cannot be read or written."""


class WeightsError(CinnError):
    """Weights cannot be found or used."""


class LatentError(CinnError):
    """Latent codes cannot be read or written, or belong to something else."""


class DataError(CinnError):
    """A data set or a checkpoint cannot be used."""


class DivergedError(CinnError):
    """A training run has diverged: its numbers are no longer finite."""


class WorkerError(CinnError):
    """A process that a batch requires has ended."""


class EngineError(CinnError):
    """The engine that computes the network does not support a request."""


def printable(text: str) -> str:
    """Return text with escapes for all that a terminal would not print but obey, line ends among it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number of things in words."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def printable_name(path: str | os.PathLike[str]) -> str:
    """Return a path as printable text of one line, whatever bytes it has."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def missing(path: str | os.PathLike[str], problem: str = "no such file or folder") -> str:
    """Return the message for a photo that does not exist: the problem, or that it is a URL or stdin."""
    name = printable_name(path)
    if name == "-":
        return "-: no file has this name, and stdin is not read here; name it /dev/stdin"
    if url := _URL.match(name):  # of whose slashes a path has one
        return f"{url[1]}//{name[url.end() :]}: URLs are not read; download the photo and give its file"
    return f"{name}: {problem}"


@contextlib.contextmanager
def os_errors_as(kind: type[CinnError], path: str | os.PathLike[str], problem: str) -> Iterator[None]:
    """Turn an OSError into an error of this kind: the file's name, the problem, and the system's reason."""
    try:
        yield
    except OSError as error:
        raise kind(f"{printable_name(path)}: {problem} ({error.strerror or error})") from error


def ending_in_a_line(main: Callable[[], None]) -> Callable[[], None]:
    """Let a script end with one line, and exit code 1, where it meets an error that the user can remove."""

    @functools.wraps(main)
    def ended() -> None:
        try:
            main()
        except CinnError as error:
            message = str(error)
        except FileNotFoundError as error:
            message = f"{error.filename}: no such file or folder" if error.filename else str(error)
        else:
            return
        sys.exit(f"{Path(sys.argv[0]).name}: {message}")

    return ended
