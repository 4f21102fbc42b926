"""Steps of the work on films, which processes take with a network each."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property
from typing import Any

import cv2

from cinn_colorize.batch.workers import Sender, prepare, usable_cores
from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.errors import WorkerError
from cinn_colorize.files.processes import CONTEXT, end_with_parent
from cinn_colorize.files.signals import blocked_in_children

log = logging.getLogger(__name__)


class Steps:
    """Processes that take steps; they start when there is one."""

    def __init__(self, spec: ModelSpec, workers: int) -> None:
        self._spec, self._workers = spec, workers
        self._count = CONTEXT.Value("d", 0.0)
        self._pool: ProcessPoolExecutor | None = None

    @property
    def done(self) -> float:
        """Number of frames done."""
        return float(self._count.value)

    def add(self, frames: float) -> None:
        """Count frames as done."""
        _add(self._count, frames)

    def begin(self, step: Callable[..., Any], *arguments: Any, own: Sequence[str] = ()) -> Future[Any]:
        """Let a process take a step as soon as one is free; ``own`` names what it adds, see _Process."""
        if not self._pool:
            threads = max(1, usable_cores() // self._workers)
            given = self._spec, threads, self._count, logging.getLogger("cinn_colorize").level
            self._pool = ProcessPoolExecutor(self._workers, CONTEXT, _start, given)
        with blocked_in_children(signal.SIGINT):
            return self._pool.submit(_do, step, arguments, own)

    def result_of(self, future: Future[Any]) -> Any:
        """Return the result of a step, when it is taken, and repeat what it logged."""
        try:
            value, records = future.result()
        except BrokenProcessPool:
            self._pool = None
            raise WorkerError(
                "a process was killed; if memory ran out, use fewer --workers; the same command continues"
            ) from None
        for record in records:
            log.handle(record)
        return value

    def end(self) -> None:
        """End the processes, whatever they do."""
        for process in multiprocessing.active_children():
            process.kill()


class _Process:
    """What a process that takes steps has of its own."""

    def __init__(self, spec: ModelSpec, count: Any, level: int) -> None:
        self._spec, self._count = spec, count
        self.logged: list[Any] = []
        Sender(self.logged.append).take_log(level)

    @cached_property
    def colorizer(self) -> BaseColorizer:
        return BaseColorizer(*self._spec.load())

    def count(self, frames: float) -> None:
        _add(self._count, frames)


def _add(count: Any, frames: float) -> None:
    with count:
        count.value += frames


_process: _Process


def _start(spec: ModelSpec, threads: int, *rest: Any) -> None:
    global _process
    end_with_parent()
    prepare(spec, threads)
    cv2.setNumThreads(1)  # the motion that it finds depends on their number
    _process = _Process(spec, *rest)


def _do(
    step: Callable[..., Any], arguments: Iterable[Any], own: Iterable[str]
) -> tuple[Any, list[logging.LogRecord]]:
    """Take a step; return its result, and what it logged."""
    _process.logged.clear()
    result = step(*arguments, **{name: getattr(_process, name) for name in own})
    return result, [*_process.logged]
