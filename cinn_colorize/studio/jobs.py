"""The work of the studio, job after job, in a process that can be ended.

A photo may keep its decoder busy for hours. Where others wait for such a job, a process of their own does
theirs after a moment; the slow job goes on beside it until its time is over.
"""

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cinn_colorize.errors import CinnError, WorkerError
from cinn_colorize.files.processes import Child, end_with_parent
from cinn_colorize.studio.library import Item, Shelf

if TYPE_CHECKING:
    from cinn_colorize.studio.studio import Studio

Load = Callable[[Shelf], "Studio"]

_PATIENCE = 10  # seconds that others wait for a job
_LIMIT = 180  # seconds that a job may take
_MOST_SLOW = 2  # jobs for which others do not wait


class Job(NamedTuple):
    """A method of the studio to call, with the files that it may use."""

    method: str
    items: dict[str, Item]
    arguments: tuple[object, ...]


class Jobs:
    """Jobs in the order in which they are asked for; ``load`` makes the studio in each process that works."""

    def __init__(self, load: Load, folder: Path) -> None:
        self._load, self._folder = load, folder
        self._waiting: queue.SimpleQueue[tuple[Future[Any], Callable[[], Job], Callable[[Any], Any]]]
        self._waiting = queue.SimpleQueue()
        self._slow = threading.Semaphore(_MOST_SLOW)
        self._processes: set[_Process] = set()
        self._lock, self._has_ended = threading.Lock(), False
        self.loaded: Future[None] = Future()
        self._begin()

    def do(self, job: Callable[[], Job], then: Callable[[Any], Any] = lambda answer: answer) -> Future[Any]:
        """Do the job that ``job`` returns in its turn, unless cancelled; ``then`` converts its answer."""
        future: Future[Any] = Future()
        self._waiting.put((future, job, then))
        return future

    def end(self) -> None:
        """End all that works; jobs that are not done fail."""
        with self._lock:
            self._has_ended = True
            for process in self._processes:
                process.end()

    def _begin(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        """Do jobs in one process, until one is slow."""
        is_slow, process = False, self._loaded_first()
        while not is_slow:
            future, job, then = self._waiting.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                process = process if process and process.lives else self._started()
                process.begin(job())
                end = time.monotonic() + _LIMIT
                is_slow = self._is_slow(process, end)
                answer = then(process.answer(end))
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(answer)
        if process:
            process.end()
        self._slow.release()

    def _loaded_first(self) -> "_Process | None":
        """Start a process before there is anything to do, and say when the first one has the studio."""
        try:
            process = self._started()
        except BaseException as error:
            if not self.loaded.done():
                self.loaded.set_exception(error)
            return None
        if not self.loaded.done():
            self.loaded.set_result(None)
        return process

    def _started(self) -> "_Process":
        with self._lock:
            if self._has_ended:
                raise WorkerError("the studio has ended")
            process = _Process(_serve, self._load, self._folder)
            self._processes = {other for other in self._processes if other.lives} | {process}
        process.answer()
        return process

    def _is_slow(self, process: "_Process", end: float) -> bool:
        """Wait until there is an answer, or until others do not wait for it any longer."""
        patient = time.monotonic() + _PATIENCE
        while not process.pipe.poll(1) and time.monotonic() < end:
            if (
                time.monotonic() > patient
                and not self._waiting.empty()
                and self._slow.acquire(blocking=False)
            ):
                self._begin()
                return True
        return False


class _Process(Child):
    """A process that has the studio, and the job that it does."""

    job: Job | None = None

    @property
    def lives(self) -> bool:
        return self.process.is_alive()

    def begin(self, job: Job) -> None:
        self.job = job
        self.send(job)

    def answer(self, end: float | None = None) -> Any:
        """Return what the job returns, or raise what it raises; by ``end``, this process gives it up."""
        if end and not self.pipe.poll(max(0, end - time.monotonic())):
            self.end()
            raise WorkerError(f"this took more than {_LIMIT} s and was given up")
        try:
            answer, error = self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            hint = "if memory ran out, choose a smaller photo"
            raise WorkerError(f"the process that worked on this has ended; {hint}") from None
        if error is not None:
            raise error
        return answer

    def end(self) -> None:
        items = self.job.items.values() if self.job else ()
        self.kill(item.path for item in items)


def _serve(pipe: Connection, load: Load, folder: Path) -> None:
    """Load the studio, and do jobs; answer each with what it returns and its error."""
    end_with_parent()
    shelf = Shelf(folder)
    try:
        studio = load(shelf)
    except CinnError as error:
        pipe.send((None, error))
        return
    pipe.send((None, None))
    with contextlib.suppress(EOFError):  # the studio has ended
        while True:
            method, shelf.items, arguments = pipe.recv()
            try:
                pipe.send((attrgetter(method)(studio)(*arguments), None))
            except Exception as error:
                error.add_note(traceback.format_exc())  # of which nothing travels otherwise
                pipe.send((None, error))
