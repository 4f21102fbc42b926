"""Work on a photo in bands of rows, several at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from cinn_colorize.imaging import color, vips
from cinn_colorize.imaging.color import Floats, Pixels, RGBSpace

T = TypeVar("T")

_WHITE = np.array([100, 0, 0], np.float32).reshape(3, 1, 1)  # Lab
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


@dataclass(frozen=True, eq=False)
class Bands:
    """The pixels of a photo, read in bands of rows, and what they mean."""

    read: Callable[[], vips.Image]  # opens the photo
    name: str  # of the photo in messages
    space: RGBSpace  # of its code values
    is_gray: bool  # one channel of colour, not three
    has_alpha: bool  # in the last channel

    def each(self, task: Callable[[int, Pixels], T]) -> Iterator[T]:
        """Run ``task(y0, pixels)`` on the bands in threads and yield the results in order.

        ``pixels`` are (h, W, channels). Only a few bands are in memory at a time.

        Raises:
            PhotoError: the file is damaged.
        """
        pending: deque[Future[T]] = deque()
        with vips.raising_photo_errors(self.name), ThreadPoolExecutor(_threads) as pool:
            for y0, pixels in vips.bands(self.read()):
                pending.append(pool.submit(task, y0, pixels))
                if len(pending) > 2 * _threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def luminance(self, pixels: Pixels) -> Floats:
        """Convert pixels (h, w, channels) to L* (h, w), whatever their alpha."""
        return color.pixels_to_luminance(self._without_alpha(pixels), self.space)

    def lab_on_white(self, pixels: Pixels) -> Floats:
        """Convert pixels (h, w, channels) to Lab (3, h, w), of gray ones only L* (1, h, w)."""
        if self.is_gray:
            planes = self.luminance(pixels)[None]
        else:
            planes = color.pixels_to_lab(self._without_alpha(pixels), self.space)
        if self.has_alpha:
            alpha = pixels[..., -1] / np.float32(np.iinfo(pixels.dtype).max)
            white = _WHITE[: len(planes)]
            planes = white + alpha * (planes - white)
        return planes

    def _without_alpha(self, pixels: Pixels) -> Pixels:
        return pixels[..., 0] if self.is_gray else pixels[..., :3]
