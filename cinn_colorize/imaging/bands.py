"""Work on a photo in bands of rows, several at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

from cinn_colorize.imaging import vips
from cinn_colorize.imaging.color import Pixels

T = TypeVar("T")

_threads = min(8, os.cpu_count() or 1)


def threads() -> int:
    """Return how many threads of this process work on a photo."""
    return _threads


def use_threads(number: int) -> None:
    """Set how many threads of this process work on a photo; pictures do not depend on it."""
    global _threads
    _threads = number
    cv2.setNumThreads(number)
    vips.use_threads(number)


def each_band(image: vips.Image, task: Callable[[int, Pixels], T]) -> Iterator[T]:
    """Run ``task(y0, pixels)`` on the bands in threads and yield the results in order.

    ``pixels`` are (h, W, bands). Only a few bands are in memory at a time.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(_threads) as pool:
        for y0, pixels in vips.bands(image):
            pending.append(pool.submit(task, y0, pixels))
            if len(pending) > 2 * _threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
