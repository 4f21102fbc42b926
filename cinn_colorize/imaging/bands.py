"""A photo in bands of rows, several at a time, and small copies of it: the means of areas."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging import color, vips
from cinn_colorize.imaging.color import Floats, Pixels, RGBSpace
from cinn_colorize.imaging.options import Box

T = TypeVar("T")

log = logging.getLogger(__name__)

NETWORK_SIZE = 256  # side of most copies, in pixels
_PLAIN = 0.01  # range of L* of rows of one luminance
_MOST_MISSING = 0.5  # share of a photo, at the end of its file
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


@dataclass(eq=False)
class Bands:
    """The pixels of a photo, read in bands of rows, and small copies, each of which costs a pass."""

    read: Callable[[], vips.Image]  # opens the photo
    name: str  # of the photo in messages
    space: RGBSpace  # of its code values
    is_gray: bool  # one channel of colour, not three
    has_alpha: bool  # in the last channel
    jpeg: Path | bytes | None = None  # file that may lack its end
    _is_told: bool = False  # that it does
    _copies: dict[tuple[Box, int, int], Floats] = field(default_factory=dict)

    def each(self, task: Callable[[int, Pixels], T]) -> Iterator[T]:
        """Run ``task(y0, pixels)`` on the bands in threads and yield the results in order.

        ``pixels`` are (h, W, channels). Few bands are in memory at a time. A PhotoError if it is damaged.
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

    def reduced(self, box: Box, *sizes: tuple[int, int]) -> list[Floats]:
        """Return a part at each height and width, as Lab (3, h, w).

        What is read is kept. Sizes that divide the network's are means of that one, which is needed anyway. A
        PhotoError if the file is damaged, or most of it missing.
        """
        side, known = NETWORK_SIZE, self._copies
        is_small, channels = min(box.size) < side, 1 if self.is_gray else 3
        read = [(h, w) if is_small or side % h or side % w else (side, side) for h, w in sizes]
        new = [_Reduction(box.size, size, channels) for size in set(read) if (box, *size) not in known]

        def narrow(y0: int, pixels: Pixels) -> tuple[int, list[Floats]]:
            top, bottom = max(y0, box.top), min(y0 + len(pixels), box.bottom)
            if top >= bottom:
                return 0, []
            planes = self.lab_on_white(pixels[top - y0 : bottom - y0, box.left : box.right])
            return top - box.top, [reduction.narrow(planes) for reduction in new]

        for y0, narrowed in self.each(narrow) if new else ():
            for reduction, lines in zip(new, narrowed, strict=False):  # none from the frame
                reduction.add(y0, lines)
        known.update({(box, *reduction.size): reduction.result() for reduction in new})
        copies = [_lab(known[box, *size], *wanted) for size, wanted in zip(read, sizes, strict=True)]
        self._check_end(copies[0][0])
        return copies

    def _check_end(self, L: Floats) -> None:
        share = _plain_share(L)
        if share and self._ends_early:
            if share > _MOST_MISSING:
                problem = f"damaged, {share:.0%} of its pixels are missing; get the photo again"
                raise PhotoError(f"{self.name}: cannot be read: {problem}")
            if not self._is_told:
                log.warning("%s: the last %.0f%% of its pixels are missing", self.name, 100 * share)
                self._is_told = True

    @cached_property
    def _ends_early(self) -> bool:
        with vips.raising_photo_errors(self.name):
            return self.jpeg is not None and vips.ends_early(self.jpeg)

    def _without_alpha(self, pixels: Pixels) -> Pixels:
        return pixels[..., 0] if self.is_gray else pixels[..., :3]


def _lab(planes: Floats, height: int, width: int) -> Floats:
    """Average blocks of L* or Lab (C, H, W), whose sides are multiples of the height and the width."""
    blocks = planes.reshape(len(planes), height, planes.shape[1] // height, width, -1)
    lab = np.zeros((3, height, width), np.float32)
    lab[: len(planes)] = blocks.mean(axis=(2, 4))
    return lab


def _plain_share(L: Floats) -> float:
    """Return the share of rows at the end, or of rows or columns at another side, of one luminance."""
    sides = [np.rot90(L, turns) for turns in range(4)]
    plain = [np.abs(side - side[-1, -1]).max(axis=1)[::-1] < _PLAIN for side in sides]
    return max(float(np.logical_and.accumulate(rows).mean()) for rows in plain)


class _Reduction:
    """Planes of a photo at another size: means of the area that each pixel covers; enlarged if larger."""

    def __init__(self, size: tuple[int, int], reduced: tuple[int, int], channels: int) -> None:
        """Begin with no rows of a photo of a height and width, to be reduced to others."""
        self._height, self.size = size[0], reduced
        self._total = np.zeros((channels, min(size[0], reduced[0]), min(size[1], reduced[1])), np.float32)

    def narrow(self, planes: Floats) -> Floats:
        """Return a band of rows (C, h, W) at the width of the result; threads may share this."""
        columns = self._total.shape[2]
        lines = planes.reshape(-1, planes.shape[2])
        narrowed = cv2.resize(lines, (columns, len(lines)), interpolation=cv2.INTER_AREA)
        return narrowed.reshape(len(planes), -1, columns).astype(np.float32, copy=False)

    def add(self, y0: int, narrowed: Floats) -> None:
        """Add a narrowed band, whose first row is ``y0``."""
        number, rows = narrowed.shape[1], self._total.shape[1]
        stop = y0 + number
        first, last = y0 * rows // self._height, -(-stop * rows // self._height)
        edges = np.arange(first, last + 1) * (self._height / rows)
        # The sums of all rows above an edge: no product of matrices, for which numpy's library may start
        # threads of its own, which then wait at the cost of a core.
        above = np.zeros((len(narrowed), number + 1, narrowed.shape[2]))
        for row in range(number):  # np.cumsum is slow along any axis but the last
            np.add(above[:, row], narrowed[:, row], out=above[:, row + 1])
        place = np.clip(edges - y0, 0, number)
        whole = np.minimum(place.astype(np.intp), number - 1)
        part = (place - whole)[:, None]
        at_edges = above[:, whole] + part * narrowed[:, whole]
        self._total[:, first:last] += np.diff(at_edges, axis=1) * (rows / self._height)

    def result(self) -> Floats:
        """Return the planes (C, height, width), when all bands were added."""
        if self._total.shape[1:] == self.size:
            return self._total
        planes = [cv2.resize(plane, self.size[::-1]) for plane in self._total]
        return np.stack(planes).astype(np.float32)
