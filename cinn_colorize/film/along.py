"""Colours of a shot along its motion: drawn in key frames, brought to all others, and averaged.

Key frames j have drawn colours x. With w, the places that two key frames both show, and with what the motion
between them brings::

    n[j] = x[j] + w * brought(n[j - 1])        d[j] = 1 + w * brought(d[j - 1])

forwards, and the same backwards as n' and d'. The colours of a key frame are (n + n' - x) / (d + d' - 1),
the mean of all drawn colours that can be followed to it; those of a frame between two key frames are n / d
of what both bring to it. So colours live as long as they can be followed, and because flows from frame to
frame are joined first, they are interpolated only once from key frame to key frame.

All samples of a shot share the motion. What is computed forwards lies in a temporary file until the end of
the shot is known, so that shots of any length take the same memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import cv2
import numpy as np

from cinn_colorize.film.motion import GRID, Frame, flow, followed, joined, motion, reduced
from cinn_colorize.imaging.color import Floats

Draw = Callable[[Sequence[int]], Floats]

MOST = 8  # frames from key frame to key frame
_NEW = 0.3  # share of places that a key frame does not show, beyond which there is another one
_FAINT = 1e-3  # weight of the colours around places that no key frame shows


def colours_along_motion(L: Iterable[Frame], draw: Draw, folder: Path | None = None) -> Iterator[Floats]:
    """Yield the colours of each frame of a shot, ab (N, 2, 128, 128) of N samples.

    Args:
        L: L of the frames, (256, 256) each, L* x 2.55, as a stream or an array.
        draw: returns ab (K, N, 2, s, s) of the key frames whose numbers it is given, as the network draws
            them; asked once for each, in order, as soon as the frame has been taken from ``L``.
        folder: where the temporary file lies; by default, where the system keeps such.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile(dir=folder)) for _ in range(5)]
        drawn, forward, ahead, between, backward = map(_Arrays, files)
        lengths: list[int] = []  # numbers of frames between key frames
        for stretch in _stretches(L):
            x = _weighted(draw([stretch.key])[0])
            carried = _carried(forward[-1], stretch.back) if lengths else 0
            drawn.append(x)
            forward.append(x + carried)
            ahead.append(stretch.ahead)
            for both in stretch.between:
                between.append(both)
            lengths.append(len(stretch.between))
        for j in range(len(lengths) - 1, -1, -1):
            carried = _carried(backward[-1], ahead[j + 1]) if j + 1 < len(lengths) else 0
            backward.append(drawn[j] + carried)
        done = 0
        for j, length in enumerate(lengths):
            before, after = forward[j - 1], backward[-1 - j]
            for k in range(done, done + length):
                both = between[k]
                yield _mean(_carried(before, both[..., :3]) + _carried(after, both[..., 3:]))
            yield _mean(forward[j] + after - drawn[j])
            done += length


class _Stretch(NamedTuple):
    """A key frame, and what motion brings to and from the one before it."""

    key: int  # its number
    back: Floats  # motion from it to the key frame before
    ahead: Floats  # motion from the key frame before to it
    between: list[Floats]  # of each frame between them, the motion to both, (128, 128, 6)


def _stretches(L: Iterable[Frame]) -> Iterator[_Stretch]:
    """Cut a shot at its key frames: the first, the last, and where the one before shows too little."""
    still = np.zeros((GRID, GRID, 3), np.float32)
    way: _Way | None = None
    for t, frame in enumerate(L):
        if way is None:
            yield _Stretch(t, still, still, [])
            way = _Way(frame)
            continue
        way.go(frame)
        if len(way.frames) > MOST or way.back[-1][..., 2].mean() < 1 - _NEW:
            yield _Stretch(t, *way.end())
            way = _Way(frame)
    if way and len(way.frames) > 1:
        yield _Stretch(t, *way.end())


class _Way:
    """The way from a key frame to the next one, frame by frame."""

    def __init__(self, key: Frame) -> None:
        still = np.zeros((GRID, GRID, 2), np.float32)
        self.frames = [key]
        self.small = [reduced(key)]
        self.steps: list[tuple[Floats, Floats]] = []  # flows from each frame to the next, and from that back
        self.to_key, self.from_key = still, still
        self.back: list[Floats] = []  # motion of each further frame to the key frame

    def go(self, frame: Frame) -> None:
        """Take the next frame."""
        ahead, back = flow(self.frames[-1], frame), flow(frame, self.frames[-1])
        self.steps.append((ahead, back))
        self.from_key, self.to_key = joined(self.from_key, ahead), joined(back, self.to_key)
        self.frames.append(frame)
        self.small.append(reduced(frame))
        self.back.append(motion(self.small[-1], self.small[0], self.to_key, self.from_key))

    def end(self) -> tuple[Floats, Floats, list[Floats]]:
        """Let the last frame be the next key frame."""
        ahead = flow(self.frames[0], self.frames[-1], self.from_key)
        back = flow(self.frames[-1], self.frames[0], self.to_key)
        between = []
        to_end = from_end = np.zeros_like(ahead)
        for k in range(len(self.steps) - 1, 0, -1):
            to_next, to_this = self.steps[k]
            to_end, from_end = joined(to_next, to_end), joined(from_end, to_this)
            to_both = [self.back[k - 1], motion(self.small[k], self.small[-1], to_end, from_end)]
            between.append(np.concatenate(to_both, -1))
        first, last = self.small[0], self.small[-1]
        return motion(last, first, back, ahead), motion(first, last, ahead, back), between[::-1]


def _weighted(ab: Floats) -> Floats:
    """Return ab (N, 2, s, s) and its weight, 1, as (N, 128, 128, 3)."""
    one = np.ones((GRID, GRID), np.float32)
    return np.stack(
        [np.dstack([*(cv2.resize(plane, (GRID, GRID)) for plane in planes), one]) for planes in ab]
    )


def _carried(total: Floats, motion: Floats) -> Floats:
    """Bring the weighted sums (N, 128, 128, 3) of another frame to this one."""
    return np.stack([followed(of_sample, motion) for of_sample in total])


def _mean(total: Floats) -> Floats:
    """Return ab (N, 2, 128, 128) of a weighted sum; places without weight take colours from around them."""
    filled = total.copy()
    for sample in filled:
        for size in (9, 33, 129):
            sample += np.float32(_FAINT) * cv2.blur(sample, (size, size), borderType=cv2.BORDER_REFLECT)
    mean = filled[..., :2] / np.maximum(filled[..., 2:], np.float32(1e-9))
    return np.ascontiguousarray(mean.transpose(0, 3, 1, 2))


class _Arrays:
    """Arrays of one shape in a file, in single precision."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._shape, self._length = file, (0,), 0

    def append(self, array: Floats) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(array.astype(np.float32).tobytes())
        self._shape, self._length = array.shape, self._length + 1

    def __getitem__(self, k: int) -> Floats:
        size = math.prod(self._shape)
        self._file.seek(4 * size * (k % self._length))
        return np.frombuffer(self._file.read(4 * size), np.float32).reshape(self._shape)
