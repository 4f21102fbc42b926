"""The logs of a run: CSV files, and TensorBoard's if that package is installed."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from cinn_colorize.errors import DataError
from cinn_colorize.files.atomic import replacing
from cinn_colorize.files.messages import printable_name

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)

NAMES = ("progress", "evaluation")


class Logs:
    """The logs of a run, by name; every row has a column ``seen``, the number of photos so far."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.board: SummaryWriter | None = None
        self.headers: dict[str, list[str]] = {}

    @property
    def paths(self) -> list[Path]:
        """The CSV files."""
        return [self._path(name) for name in NAMES]

    def open(self, seen: int) -> None:
        """Continue after so many photos; drop rows that a killed run wrote after its last checkpoint.

        Raises:
            DataError: a log cannot be read or written.
        """
        for path in filter(Path.exists, self.paths):
            try:
                self.headers[path.stem], rows = _read(path)
                _write(path, self.headers[path.stem], [row for row in rows if int(row["seen"]) <= seen])
            except OSError as error:
                raise DataError(f"{printable_name(path)}: cannot be written ({error.strerror})") from error
        self.board = self._open_board(seen)

    def _open_board(self, seen: int) -> SummaryWriter | None:
        if not importlib.util.find_spec("tensorboard"):
            return None
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.run / "tensorboard"), purge_step=seen + 1)

    def has(self, name: str, seen: int) -> bool:
        """Return whether a log has a row of so many photos."""
        path = self._path(name)
        return path.exists() and any(int(row["seen"]) == seen for row in _read(path)[1])

    def write(self, name: str, values: Mapping[str, float]) -> None:
        """Append a row. A full disk does not end the run."""
        path = self._path(name)
        try:
            header = self.headers.get(name, [])
            if not set(values) <= set(header):
                header = self.headers[name] = list(dict.fromkeys([*header, *values]))
                _write(path, header, _read(path)[1] if path.exists() else [])
            with path.open("a", newline="") as file:
                csv.DictWriter(file, header, restval="").writerow(values)
        except OSError as error:
            shown = printable_name(path)
            log.warning("%s: cannot be written (%s); the run continues", shown, error.strerror)
        with self._showing() as board:
            if board:
                for column, value in values.items():
                    board.add_scalar(f"{name}/{column}", value, int(values["seen"]))

    def picture(self, path: Path, seen: int) -> None:
        """Add a sheet of samples to TensorBoard."""
        with self._showing() as board:
            if board:
                pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
                board.add_image("samples", pixels, seen, dataformats="HWC")

    @contextlib.contextmanager
    def _showing(self) -> Iterator[Any]:
        """Yield TensorBoard, if it is there; once its disk is full, it takes no more."""
        try:
            yield self.board
            if self.board:
                self.board.flush()
        except OSError as error:
            shown = printable_name(self.run / "tensorboard")
            log.warning("%s: cannot be written (%s); it shows no more of this run", shown, error.strerror)
            self.board = None

    def _path(self, name: str) -> Path:
        return self.run / f"{name}.csv"


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the header and the complete rows: a kill may have cut off the last one."""
    with path.open(newline="", errors="replace") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if None not in row.values() and row.get("seen", "").isdecimal()]
    return list(reader.fieldnames or []), rows


def _write(path: Path, header: list[str], rows: list[dict[str, str]]) -> None:
    with replacing(path) as descriptor, os.fdopen(descriptor, "w", newline="", closefd=False) as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
