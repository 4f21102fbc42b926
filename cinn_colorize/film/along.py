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

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from tempfile import TemporaryFile
from typing import NamedTuple

import cv2
import numpy as np

from cinn_colorize.film.motion import GRID, STRICT, Frame, flow, followed, joined, motion, reduced
from cinn_colorize.film.waiting import Stored, prefetched
from cinn_colorize.imaging.color import Floats

Draw = Callable[[Sequence[int]], Floats]

_TOGETHER = 8  # key frames that are drawn at once
MOST = 8  # frames from key frame to key frame
_NEW = 0.4  # share of places that a key frame does not show, beyond which there is another one
_STRANGE, _LITTLE = 3, 0.3  # frames of an interruption, share of places that it leaves in common
_NOWHERE = np.full((GRID, GRID, 2), 2 * GRID, np.float32)  # flow out of the frame
_ASIDE = np.tile(np.array([0, 0, 1], np.float32), (GRID, GRID, 2))  # strange frames take what is around them
_GIVEN = 100  # weight of an anchor
_FAINT = 1e-3  # weight of the colours around places that no key frame shows


def colours_along_motion(L: Iterable[Frame], draw: Draw, anchors: Collection[int] = ()) -> Iterator[Floats]:
    """Yield the colours of each frame of a shot, ab (N, 2, 128, 128) of N samples.

    Args:
        L: L of the frames, (256, 256) each, L* x 2.55, as a stream or an array.
        draw: returns ab (K, N, 2, s, s) of the key frames whose numbers it is given, as the network draws
            them; asked once for each, in order, after it was taken from ``L``.
        anchors: numbers of frames that are key frames, and count a hundred times as much as others.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile()) for _ in range(5)]
        drawn, forward, backward = (Stored(file, np.float32) for file in files[:3])
        ahead, between = (Stored(file, np.float16) for file in files[3:])
        lengths: list[int] = []  # numbers of frames between key frames
        stretches = prefetched(_stretches(L, anchors), _TOGETHER)
        while some := [*islice(stretches, _TOGETHER)]:
            for stretch, ab in zip(some, draw([stretch.key for stretch in some]), strict=True):
                j, first = len(lengths), sum(lengths)
                drawn[j] = x = _weighted(ab) * np.float32(_GIVEN if stretch.key in anchors else 1)
                forward[j] = x + (_carried(forward[j - 1], stretch.back) if j else 0)
                ahead[j] = stretch.ahead
                for k, both in enumerate(stretch.between, first):
                    between[k] = both
                lengths.append(len(stretch.between))
        last = len(lengths) - 1
        for j in range(last, -1, -1):
            backward[j] = drawn[j] + (_carried(backward[j + 1], ahead[j + 1]) if j < last else 0)
        done = 0
        for j, length in enumerate(lengths):
            before, after = forward[max(j - 1, 0)], backward[j]
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


def _stretches(L: Iterable[Frame], anchors: Collection[int]) -> Iterator[_Stretch]:
    """Cut a shot at its key frames: first, last, anchors, and where the one before shows too little."""
    t, way = -1, None
    for step in _steps(L):
        t += 1 + step.strange
        if way is None:
            still = np.zeros((GRID, GRID, 3), np.float32)
            yield _Stretch(t, still, still, [])
            way = _Way(step.L)
            continue
        way.go(step)
        if t in anchors or len(way.steps) >= MOST or way.back[-1][..., 2].mean() < 1 - _NEW:
            yield _Stretch(t, *way.end())
            way = _Way(step.L)
    if way and way.steps:
        yield _Stretch(t, *way.end())


class _Step(NamedTuple):
    """A frame, and how an earlier one leads to it."""

    L: Floats  # at the places of flows
    ahead: Floats  # flow from the earlier frame
    back: Floats  # flow to the earlier frame
    strange: int  # frames between them that show something else


def _steps(L: Iterable[Frame]) -> Iterator[_Step]:
    """Go from frame to frame, over interruptions of up to three frames; nothing leads over a cut."""
    held: list[Frame] = []  # the last frame, and those after it that may be strange
    for frame in L:
        held.append(frame)
        step = _step(held[0], frame, max(len(held) - 2, 0))
        both = motion(step.L, reduced(held[0]), step.back, step.ahead, STRICT)
        if both[..., 2].mean() > _LITTLE:
            yield step
            held = [frame]
        elif len(held) > 1 + _STRANGE:
            yield from _over_cut(held[1:])
            held = [frame]
    yield from _over_cut(held[1:])


def _step(earlier: Frame, frame: Frame, strange: int = 0) -> _Step:
    return _Step(reduced(frame), flow(earlier, frame), flow(frame, earlier), strange)


def _over_cut(frames: Sequence[Frame]) -> Iterator[_Step]:
    for frame in frames[:1]:
        yield _Step(reduced(frame), _NOWHERE, _NOWHERE, 0)
    yield from map(_step, frames, frames[1:])


class _Way:
    """The way from a key frame to the next one, frame by frame."""

    def __init__(self, key: Floats) -> None:
        self.key = key
        self.steps: list[_Step] = []
        self.to_key = self.from_key = np.zeros((GRID, GRID, 2), np.float32)
        self.back: list[Floats] = []  # motion of each further frame to the key frame

    def go(self, step: _Step) -> None:
        self.from_key, self.to_key = joined(self.from_key, step.ahead), joined(step.back, self.to_key)
        self.steps.append(step)
        self.back.append(motion(step.L, self.key, self.to_key, self.from_key))

    def end(self) -> tuple[Floats, Floats, list[Floats]]:
        """Let the last frame be the next key frame."""
        last, between = self.steps[-1], []
        to_end = from_end = np.zeros((GRID, GRID, 2), np.float32)
        for k in range(len(self.steps) - 1, -1, -1):
            between += self.steps[k].strange * [_ASIDE]
            if k:
                to_end, from_end = joined(self.steps[k].ahead, to_end), joined(from_end, self.steps[k].back)
                to_both = [self.back[k - 1], motion(self.steps[k - 1].L, last.L, to_end, from_end)]
                between.append(np.concatenate(to_both, -1))
        return self.back[-1], motion(self.key, last.L, self.from_key, self.to_key), between[::-1]


def _weighted(ab: Floats) -> Floats:
    """Return ab (N, 2, s, s) and its weight, 1, as (N, 128, 128, 3)."""
    one = np.ones((GRID, GRID), np.float32)
    return np.stack([np.dstack([*(cv2.resize(p, (GRID, GRID)) for p in planes), one]) for planes in ab])


def _carried(total: Floats, motion: Floats) -> Floats:
    """Bring the weighted sums (N, 128, 128, 3) of another frame to this one."""
    flows = np.asarray(motion, np.float32)  # files keep some in half precision
    return np.stack([followed(of_sample, flows) for of_sample in total])


def _mean(total: Floats) -> Floats:
    """Return ab (N, 2, 128, 128) of a weighted sum; places without weight take colours from around them."""
    filled = total.copy()
    for sample in filled:
        for size in (9, 33, 129):
            sample += np.float32(_FAINT) * cv2.blur(sample, (size, size), borderType=cv2.BORDER_REFLECT)
    mean = filled[..., :2] / np.maximum(filled[..., 2:], np.float32(1e-9))
    return np.ascontiguousarray(mean.transpose(0, 3, 1, 2))
