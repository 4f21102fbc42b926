"""Processes that each own a photo from its file to its pictures.

On a CPU each of them also has the network, with one thread: reading, drawing and writing overlap, and the
bytes of a picture do not depend on the number of processes. With a GPU one more process holds the network;
the others read and write, and request samples from it. A process that is killed takes one photo with it.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cinn_colorize.batch.colorizing import Job
from cinn_colorize.batch.plan import Event, Failure, Finished, Plan, Task
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import CinnError, WorkerError, printable_name
from cinn_colorize.files.processes import Child, end_with_parent
from cinn_colorize.files.signals import ENDING

if TYPE_CHECKING:
    from cinn_colorize.batch.model_server import ModelClient, ModelServer

log = logging.getLogger(__name__)


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # another system, or no quota
        return cores


class Device(NamedTuple):
    """A worker would compute on this type of device; it waits for a network to share, or None."""

    type: str


@dataclass(frozen=True)
class Ready:
    """A worker has a network, and waits for tasks."""


class Sender(logging.Handler):
    """Sends what is logged, and other messages, one at a time: pictures are saved in several threads."""

    def __init__(self, send: Callable[[Any], object]) -> None:
        super().__init__()
        self._send, self._turn = send, threading.Lock()

    def take_log(self, level: int) -> None:
        """Send what the package logs from a level on."""
        package_log = logging.getLogger("cinn_colorize")
        package_log.addHandler(self)
        package_log.setLevel(level)

    def send(self, message: Device | Ready | CinnError | logging.LogRecord | Event) -> None:
        with self._turn:
            self._send(message)

    def emit(self, record: logging.LogRecord) -> None:
        self.send(record)


class WorkerPool:
    """The processes of a batch, each with one photo at a time; they start when there is something to do."""

    def __init__(self, spec: ModelSpec, plan: Plan, number: int) -> None:
        threads = max(1, usable_cores() // number)
        level = logging.getLogger("cinn_colorize").level
        self._arguments, self._number = (spec, plan, threads, level), number
        self._workers: list[_Worker] = []
        self._server: ModelServer | None = None

    def run(self, items: Iterator[Task | Event]) -> Generator[Event, None, None]:
        """Do the tasks as processes become free, and pass on the events among them."""
        try:
            for item in items:
                if not isinstance(item, Task):
                    yield item
                    continue
                while not (free := next((w for w in self._workers if w.ready and not w.task), None)):
                    while len(self._workers) < self._number:
                        self._workers.append(_Worker(_work, *self._arguments))
                    yield from self._received()
                free.begin(item)
            while any(worker.task for worker in self._workers):
                yield from self._received()
        finally:
            for worker in self._workers:
                worker.end()
            if self._server:
                self._server.end()

    def _received(self) -> Iterator[Event]:
        readable = connection.wait([worker.pipe for worker in self._workers])
        for worker in [worker for worker in self._workers if worker.pipe in readable]:
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._lost(worker)
                continue
            match message:
                case Device():
                    worker.send(self._network(message.type))
                case Ready():
                    worker.ready = True
                case CinnError():  # for which no worker can begin
                    raise message
                case logging.LogRecord():
                    log.handle(message)
                case _:
                    if isinstance(message, Failure | Finished):
                        worker.task = None
                    yield message

    def _lost(self, worker: "_Worker") -> Iterator[Event]:
        self._workers.remove(worker)
        worker.end()
        code = worker.process.exitcode or 0
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit code {code})"
        if -code in ENDING:
            time.sleep(0.2)  # if the whole batch was told to end, let the signal reach this process too
        hint = "if memory ran out, use fewer --workers"
        if self._server and not self._server.lives:
            problem = "the process that holds the network is gone; run the same command again to continue"
            raise WorkerError(problem)
        if worker.task:
            path = worker.task.input.path
            yield Failure(path, f"{printable_name(path)}: the process that worked on it {how}; {hint}")
        elif not worker.ready:
            self._number = len(self._workers)
            if not self._number:
                raise WorkerError(f"the worker process {how}; {hint}")
            log.warning(f"a worker process {how}; {self._number} remain")

    def _network(self, device: str) -> "ModelClient | None":
        """Return the network for workers that cannot hold one each."""
        if device == "cpu":
            return None
        from cinn_colorize.batch.model_server import ModelServer

        self._server = self._server or ModelServer(self._arguments[0])
        return self._server.network


class _Worker(Child):
    """A process, and the photo that it works on."""

    task: Task | None = None
    ready = False

    def begin(self, task: Task) -> None:
        self.task = task
        self.send(task)

    def end(self) -> None:
        self.kill(self.task.unlisted if self.task else ())
        self.pipe.close()


def _work(parent: Connection, spec: ModelSpec, plan: Plan, threads: int, level: int) -> None:
    end_with_parent()
    to_parent = Sender(parent.send)
    to_parent.take_log(level)
    try:
        to_parent.send(Device(prepare(spec, threads)))
        network: ModelClient | None = parent.recv()
        job = Job(network or spec, plan)
        job.load()
    except CinnError as error:
        to_parent.send(error)
        return
    to_parent.send(Ready())
    with contextlib.suppress(EOFError):
        while True:
            for event in job.events(parent.recv()):
                to_parent.send(event)


def prepare(spec: ModelSpec, threads: int) -> str:
    """Set the number of threads of this process, and return the type of the device it would compute on."""
    from cinn_colorize.imaging import bands

    bands.use_threads(threads)
    if spec.graphs:
        return "cpu"
    import torch

    from cinn_colorize.engines.pytorch import choose_device

    torch.set_num_threads(threads)
    return choose_device(spec.device).type
