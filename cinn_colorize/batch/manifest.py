"""A log with one JSON object per line for each result, from which an interrupted batch continues.

It is append-only. Each line is on the disk before the next photo is counted; a line that a crash cut off is
skipped. What a line says of how a result was made, its recipe says too, but for what depends on the photo's
content: the manifest knows the photo by its size and time, without opening it.
"""

import errno
import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cinn_colorize.batch.plan import Event, Failure, Result
from cinn_colorize.errors import DataError, counted, printable_name
from cinn_colorize.files.atomic import check_output

log = logging.getLogger(__name__)

# The keys that identify a result; the rest of a line is for people.
_IDENTITY = ("size", "mtime", "seed", "seeds", "order", "settings")
_START = b'{"input": '  # of each line


class Manifest:
    """The results that are done, and the file that records them, which is read if it exists.

    Results are made with ``settings``, see :meth:`.Plan.settings`; ``seeds`` are the first and the last of a
    photo's samples, and ``order`` that on its sheet. A file that cannot be used is a DataError.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, str], seeds: tuple[int, int], order: str = "seed"
    ) -> None:
        check_output(path)
        self.path, self._name, self._settings = path, printable_name(path), settings
        self._sheet = {"seeds": [*seeds], **({"order": order} if order != "seed" else {})}
        self._done: dict[str, bytes] = {}  # by output, a digest of its identity
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags, 0o666)
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise OSError(errno.EINVAL, "a pipe or a device, which keeps nothing")
            with os.fdopen(self._descriptor, "rb", closefd=False) as file:
                self._read(file)
        except OSError as error:
            raise self._error(error) from None

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def add(self, event: Event) -> None:
        """Append a line for a result, or for a photo that failed; one that cannot be is a DataError."""
        if not (line := self._line(event)):
            return
        content = json.dumps(line).encode() + b"\n"
        try:
            if os.write(self._descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._error(error) from None

    def lists(self, result: Result) -> bool:
        """Return whether it listed a result, from the same photo and made in the same way, when opened."""
        return self._done.get(os.fspath(result.output)) == _digest(self._line(result))

    def listed(self, photo: Path, outputs: Mapping[int, Path], sheet: Path | None) -> set[Path]:
        """Return which files of a photo, as it is now, it lists and are there."""
        size, mtime = _size_and_time(photo)
        if size is None:
            return set()
        files: list[tuple[int | None, Path]] = [*outputs.items(), *([(None, sheet)] if sheet else [])]
        results = (Result(photo, file, size, mtime, seed=seed) for seed, file in files)
        return {result.output for result in results if self.lists(result) and os.path.lexists(result.output)}

    def _line(self, event: Event) -> dict[str, Any]:
        if isinstance(event, Failure) and event.input:
            size, mtime = _size_and_time(event.input)
            return {"input": os.fspath(event.input), "size": size, "mtime": mtime, "error": event.message}
        if not isinstance(event, Result):
            return {}
        return {
            "input": os.fspath(event.input),
            "size": event.size,
            "mtime": event.mtime,
            "output": os.fspath(event.output),
            **(self._sheet if event.seed is None else {"seed": event.seed}),
            "log_prob": event.log_prob,
            "ms": event.ms,
            "settings": self._settings,
        }

    def _read(self, lines: Iterable[bytes]) -> None:
        content, known, passed_over = b"", False, 0
        for content in lines:
            try:
                line = json.loads(content)
                if not isinstance(line, dict):
                    raise ValueError("no object")
                known |= "input" in line
                if "output" in line:
                    self._done[line["output"]] = _digest(line)
            except (ValueError, TypeError, RecursionError):
                passed_over += bool(content.strip())  # cut off, or not a line of this program
        if not known and content[: len(_START)] != _START[: len(content)]:
            raise DataError(f"{self._name}: is not a manifest of cinn-colorize; choose another name")
        if passed_over:
            log.warning(f"{self._name}: skipped {counted(passed_over, 'line')} that cannot be read")
        if content and not content.endswith(b"\n"):
            os.write(self._descriptor, b"\n")

    def _error(self, error: OSError) -> DataError:
        return DataError(f"{self._name}: cannot be read or written ({error.strerror})")


def _digest(line: Mapping[str, Any]) -> bytes:
    identity = json.dumps([line.get(key) for key in _IDENTITY], sort_keys=True)
    return hashlib.blake2b(identity.encode(), digest_size=12).digest()


def _size_and_time(photo: Path) -> tuple[int | None, float | None]:
    try:
        status = photo.stat()
    except OSError:
        return None, None
    return status.st_size, status.st_mtime
