"""Errors whose cause the user can remove."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path


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
