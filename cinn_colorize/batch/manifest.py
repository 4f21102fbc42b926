"""A file with one JSON object a line for each result, from which an interrupted batch goes on.

It is only ever added to. A line is written at once and lies on the disk before the next photo is counted;
one that a crash cut off is passed over.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cinn_colorize.errors import DataError
from cinn_colorize.files import printable_name

# What makes a result another one; the rest of a line is for people.
_DECISIVE = ("size", "mtime", "seed", "seeds", "temperature", "model", "settings")
_START = b'{"input": '  # of each line


class Manifest:
    """Which results are done, and the file that says so."""

    def __init__(self, path: Path) -> None:
        """Read what is there, and open the file to add to it.

        Raises:
            DataError: it can't be read or written, or is something else.
        """
        self._name = printable_name(path)
        self._done: dict[str, bytes] = {}  # by output, a digest of what is decisive
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags, 0o666)
            with os.fdopen(self._descriptor, "rb", closefd=False) as file:
                self._read(file)
        except OSError as error:
            raise self._error(error) from None

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            DataError: it can't be written.
        """
        content = json.dumps(line).encode() + b"\n"
        try:
            if os.write(self._descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._error(error) from None

    def says(self, line: Mapping[str, Any]) -> bool:
        """Whether a line's output was made before, of the same photo in the same way."""
        return self._done.get(line["output"]) == _digest(line)

    def _read(self, lines: Iterable[bytes]) -> None:
        content, known = b"", False
        for content in lines:
            try:
                line = json.loads(content)
                known |= "input" in line
                if "output" in line:
                    self._done[line["output"]] = _digest(line)
            except (ValueError, TypeError):
                continue  # cut off
        if not known and content[: len(_START)] != _START[: len(content)]:
            raise DataError(f"{self._name}: is no manifest of cinn-colorize; choose another name")
        if content and not content.endswith(b"\n"):
            os.write(self._descriptor, b"\n")

    def _error(self, error: OSError) -> DataError:
        return DataError(f"{self._name}: cannot be read or written ({error.strerror})")


def _digest(line: Mapping[str, Any]) -> bytes:
    decisive = json.dumps([line.get(key) for key in _DECISIVE], sort_keys=True)
    return hashlib.blake2b(decisive.encode(), digest_size=12).digest()
