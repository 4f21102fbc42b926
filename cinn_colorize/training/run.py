"""A training run: its model, its folder and the files that it writes, logs among them."""

import contextlib
import csv
import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import cv2
import torch
from filelock import FileLock, Timeout
from torch import nn

from cinn_colorize.errors import DataError, WorkerError, os_errors_as, printable_name
from cinn_colorize.files.atomic import check_output, remove_leftovers, replacing
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.imaging.photo import recipe_at
from cinn_colorize.models import load_model
from cinn_colorize.training.loop import Evaluation, Progress, RunOptions, train
from cinn_colorize.training.state import KEPT, checkpoints
from cinn_colorize.training.task import Model, Task, TrainingConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)

LOGS_BYTES = 100_000_000  # space for weights, logs and sheets


def run_training(task: Task[Any], run: Path, config: TrainingConfig, options: RunOptions) -> Path | None:
    """Train a model and write its weights into the folder of the run; return their path, or None if stopped.

    The folder receives checkpoints, ``progress.csv``, ``evaluation.csv``, a ``tensorboard`` folder if that
    package is installed, ``samples_*.jpg``, and ``MODEL.safetensors``, the averaged weights, after every
    evaluation and at the end. CinnError if data, checkpoint or weights cannot be used, or the run diverged.
    """
    model = _initial_model(task, config.seed, options.start)
    for module in model.modules():
        if isinstance(module, Sequence):
            module.save_memory = options.save_memory
    recorder = _Recorder(task, run, config, options)
    lock = FileLock(run / ".lock")
    try:
        options.processes.once(partial(_prepare_folder, run, model, options.resume))
        options.processes.once(recorder.check)
        options.processes.once(partial(_hold, lock, run))
        recorded = replace(options, report=recorder.report)
        train(model, task, config, run, recorded, begin=recorder.logs.open, evaluate=recorder.evaluate)
    except (RuntimeError, ConnectionError, EOFError) as error:
        # Torch notices by a signal, or by what it can no longer receive.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        ended = "a process that decodes photos has ended, perhaps for want of memory"
        raise WorkerError(f"{ended}; continue with --resume, with fewer --workers") from error
    finally:
        lock.release()
    return recorder.weights if recorder.finished else None


def _hold(lock: FileLock, run: Path) -> None:
    """Keep other runs out of a folder, where its file system has locks, and remove what killed ones left."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        busy = "another process trains there; wait for it, or choose another --run"
        raise DataError(f"{printable_name(run)}: {busy}") from None
    except (NotImplementedError, OSError) as error:
        log.warning("%s: cannot be locked (%s); let no other run use it", printable_name(run), error)
    remove_leftovers(run)


class _Recorder(Generic[Model]):
    """Write the reports of a run into its folder, then call the callbacks of its options."""

    def __init__(self, task: Task[Model], run: Path, config: TrainingConfig, options: RunOptions) -> None:
        self.task, self.run, self.config, self.options = task, run, config, options
        self.weights, self.logs = run / f"{task.model}.safetensors", Logs(run)
        self.finished = False

    def check(self) -> None:
        """Refuse to replace files that are not of this run, or that the call reads."""
        begun = bool(checkpoints(self.run))
        for path in (self.weights, *self.logs.paths):
            check_output(path, "another --run")
            if path.exists() and not begun:
                _refuse(path, "not of a run that can be continued")
        for path in self.run.glob("samples_*.jpg"):
            if not recipe_at(path):
                _refuse(path, "not a sheet that train wrote")

    def report(self, progress: Progress) -> None:
        values = asdict(progress)
        self.logs.write("progress", values | values.pop("figures"))
        self.options.report(progress)

    def evaluate(self, model: Model, seen: int) -> None:
        self.finished = seen >= self.config.photos
        if self.logs.has("evaluation", seen) and self.weights.exists():  # a finished run is resumed
            return
        training = asdict(self.config) | {"seen": seen, "distinct_photos": self.task.distinct}
        with os_errors_as(DataError, self.weights, "cannot be written"):
            self.task.save(model, self.weights, training)
        if not (figures := self.task.measure(model)):
            return
        path = self.run / f"samples_{seen:08d}.jpg"
        sheet = path if self.task.draw(model, self.options.device, path) else None
        if sheet:
            self.logs.picture(sheet, seen)
        self.logs.write("evaluation", {"seen": seen, **figures})  # last: it says that all this is there
        self.options.report_evaluation(Evaluation(seen, figures, sheet))


def _refuse(path: Path, problem: str) -> None:
    raise DataError(f"{printable_name(path)}: {problem}; move it, or choose another --run")


def _initial_model(task: Task[Any], seed: int, start: Path | None) -> nn.Module:
    if start is not None:
        return load_model(task.model, start).model.requires_grad_(True)
    torch.manual_seed(seed)
    model: nn.Module = task.initial_model()
    return model


def _prepare_folder(run: Path, model: nn.Module, resume: bool) -> None:
    """Create the folder, and check that it has space for the checkpoints."""
    name = printable_name(run)
    if checkpoints(run) and not resume:
        raise DataError(f"{name}: already holds a run; add --resume to continue it, or choose another --run")
    with os_errors_as(DataError, run, "cannot be created or used"):
        run.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(run).free + sum(path.stat().st_size for path in checkpoints(run))
    # Model, average and two moments of the optimiser; while one is written, there is one more than are kept.
    checkpoint = 4 * sum(tensor.nbytes for tensor in model.state_dict().values())
    needed = (KEPT + 1) * checkpoint + LOGS_BYTES
    if free < needed:
        missing = f"{free / 1e9:.1f} GB are free there, {needed / 1e9:.1f} GB are needed for checkpoints"
        raise DataError(f"{name}: {missing}")


class Logs:
    """The logs of a run, by name; every row has a column ``seen``, the number of photos so far."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.board: SummaryWriter | None = None
        self.headers: dict[str, list[str]] = {}

    @property
    def paths(self) -> list[Path]:
        return [self._path(name) for name in ("progress", "evaluation")]

    def open(self, seen: int) -> None:
        """Continue after so many photos; drop rows that a killed run wrote after its last checkpoint."""
        for path in filter(Path.exists, self.paths):
            with os_errors_as(DataError, path, "cannot be written"):
                self.headers[path.stem], rows = _read(path)
                _write(path, self.headers[path.stem], [row for row in rows if int(row["seen"]) <= seen])
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(self.run / "tensorboard"), purge_step=seen + 1)

    def has(self, name: str, seen: int) -> bool:
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
