"""What a batch tells of its photos: each result, and the end of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cinn_colorize.batch.plan import Task
from cinn_colorize.errors import PhotoError
from cinn_colorize.files.messages import printable_name

if TYPE_CHECKING:
    from cinn_colorize.latents.levels import PerLevel


@dataclass(frozen=True)
class Result:
    """One file: a sample, or (without a seed) a contact sheet.

    Attributes:
        size: size of the photo's file in bytes.
        mtime: modification time of the photo's file in seconds; None for a pipe.
        ms: milliseconds since the previous result, or since the photo was opened.
        existed: whether the file existed, made in the same way, and was left alone.
    """

    input: Path
    output: Path
    size: int
    mtime: float | None
    ms: int
    seed: int | None = None
    temperature: PerLevel | None = None
    log_prob: float | None = None
    existed: bool = False


@dataclass(frozen=True)
class Failure:
    """A photo with a result that could not be made.

    Attributes:
        input: the photo; None if an argument names none.
        message: one line that names the photo.
        ends: whether the photos after it would fail in the same way.
        trace: the traceback.
    """

    input: Path | None
    message: str
    ends: bool = False
    trace: str = ""


@dataclass(frozen=True)
class Finished:
    """The end of a photo.

    Attributes:
        written: number of files written; 0 if all existed, or the photo was skipped.
        left_out: whether it was skipped because this program made it.
    """

    input: Path
    written: int = 0
    left_out: bool = False


Event = Result | Failure | Finished


class Status(NamedTuple):
    """Values that change when a photo's file does."""

    size: int
    mtime: float | None
    number: int = 0

    @classmethod
    def of(cls, task: Task) -> Status:
        """Return those of a task's photo; one that is not there is a PhotoError."""
        if task.content is not None:
            return cls(len(task.content), None)
        from cinn_colorize.imaging.vips import raising_photo_errors

        with raising_photo_errors(printable_name(task.input.path)):
            status = task.input.path.stat()
        return cls(status.st_size, status.st_mtime, status.st_ino)

    def check(self, task: Task) -> None:
        """Refuse a photo that no longer has this status, as a PhotoError."""
        if Status.of(task) != self:
            name = printable_name(task.input.path)
            raise PhotoError(f"{name}: changed while being read; run again when it is complete")
