"""A film from its file to colorized ones, in steps that processes can share.

A survey reads all frames and finds the shots. In each shot, key frames are drawn with N seeds at once, and
their colours follow the motion to all frames; then the frames are read once more, rendered and encoded N
times. The segments lie in folders until they are joined, so that a call that was stopped can be continued.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import FilmError
from cinn_colorize.film.drawing import LAP, WINDOW, drawing, shot_colours, typical_seed
from cinn_colorize.film.motion import Frame
from cinn_colorize.film.prefetch import prefetched
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.render import Renderer
from cinn_colorize.film.shots import Shot, find_shots
from cinn_colorize.film.writing import FilmWriter
from cinn_colorize.imaging.color import Floats
from cinn_colorize.methods.base import SampleMethod

Count = Callable[[float], object]  # is told of how many frames all work is done

SURVEYED, DRAWN, RENDERED = 0.1, 0.5, 0.4  # shares of the work on a frame, about
_TYPICAL = 16  # shots, the longest ones, whose frames decide on the typical seed


@dataclass(frozen=True)
class Part:
    """A shot, or what a call colorizes of it.

    Attributes:
        shot: the shot.
        times: time stamps of its frames.
        end: time stamp that it ends before; None for the end of the film.
    """

    shot: Shot
    times: Sequence[int]
    end: int | None

    @property
    def segments(self) -> list[tuple[int, int | None]]:
        """First time stamp of each segment, and that which it ends before."""
        starts = self.times[::WINDOW]
        return list(zip(starts, [*starts[1:], self.end], strict=True))

    def middle(self, film: FilmReader) -> Frame:
        """Return L of the frame in the middle, (256, 256) uint8, L* x 2.55."""
        at = self.times[len(self.times) // 2]
        return next(film.frames(at, self.end)).L


def survey(
    film: FilmReader,
    start: float | None = None,
    end: float | None = None,
    shots: Sequence[Shot] = (),
    count: Count = abs,
) -> list[Part]:
    """Find the shots of a film, or of what lies between two times in seconds.

    Args:
        film: the film.
        start: time of the first frame; None for the begin.
        end: time that the last frame is before; None for the end.
        shots: the shots of the film, if they are known.
        count: told what is done.

    Raises:
        FilmError: the film cannot be read, or has no frames there.
    """
    times, base = film.times, film.facts.time_base
    first = bisect_left(times, film.facts.start + (start or 0) / base)
    last = len(times) if end is None else bisect_left(times, film.facts.start + end / base)
    if first >= last:
        raise FilmError(f"{film.name}: has no frames there; it lasts {film.facts.seconds:.1f} seconds")
    if shots:
        count(SURVEYED * (last - first))
    else:
        stamps: list[int] = []
        stop = times[last] if last < len(times) else None
        found = list(find_shots(_seen(film, times[first], stop, stamps, count)))
        # Of a damaged film, not all frames of the file are found.
        starts = [first, *(bisect_left(times, stamps[shot.start]) for shot in found[1:])]
        shots = [Shot(*ends) for ends in zip(starts, [*starts[1:], last], strict=True)]
    parts = []
    for shot in shots:
        inside = times[max(first, shot.start) : min(last, shot.end)]
        if inside:
            stop = min(last, shot.end)
            parts.append(Part(shot, inside, times[stop] if stop < len(times) else None))
    return parts


def _seen(
    film: FilmReader, start: int, end: int | None, stamps: list[int], count: Count, share: float = SURVEYED
) -> Iterator[Frame]:
    """Yield L of frames, and note their time stamps."""
    for frame in film.frames(start, end):
        stamps.append(frame.pts)
        count(share)
        yield frame.L


def typical(film: FilmReader, parts: Sequence[Part], method: SampleMethod, colorizer: BaseColorizer) -> int:
    """Return which seed of a method is typical of all the shots of a film together."""
    longest = sorted(parts, key=lambda part: (part.shot.gray, -len(part.times)))[:_TYPICAL]
    seeds = range(method.seed, method.seed + method.number)
    return typical_seed(colorizer, [part.middle(film) for part in longest], seeds, method.temperature)


def colorize_part(
    film: FilmReader,
    part: Part,
    writers: Mapping[int, FilmWriter],
    seed: int,
    method: SampleMethod,
    colorizer: BaseColorizer,
    count: Count = abs,
) -> None:
    """Colorize a shot, as far as it is not done.

    Args:
        film: the film.
        part: the shot.
        writers: what writes each version of the film, by how many seeds it lies after the first.
        seed: the first seed, unless the shot has another.
        method: how the colours are drawn.
        colorizer: draws them.
        count: told what is done.

    Raises:
        FilmError: the film cannot be read.
        PhotoError: a segment cannot be written.
    """
    segments, facts, done = part.segments, film.facts, 0
    while done < len(segments) and all(one.has(*segments[done]) for one in writers.values()):
        done += 1
    count((DRAWN + RENDERED) * min(done * WINDOW, len(part.times)))
    if done == len(segments):
        return
    cell, least = next(iter(writers.values())).target.cell, min(writers)
    renderer = Renderer(facts.coding, facts.size, film.box, cell, facts.turns)
    first = least + (seed if part.shot.seed is None else part.shot.seed)
    seeds = range(first, first + max(writers) - least + 1)
    colours = _colours(film, part, done, seeds, method, colorizer, count)

    def rendered(segment: tuple[int, int | None]) -> Iterator[tuple[int, dict[int, Any]]]:
        pts, ab = -1, None
        for frame in film.frames(*segment):
            while pts < frame.pts:  # in a damaged film, one reading may find more frames than another
                pts, ab = next(colours, (frame.pts, ab))
            own = {k: None if ab is None else ab[k - least] for k in writers}
            yield frame.pts, {k: renderer.render(frame.luma, frame.L, own[k]) for k in writers}

    for segment in segments[done:]:
        with ExitStack() as stack:
            writes = {k: stack.enter_context(one.segment(*segment)) for k, one in writers.items()}
            for pts, planes in prefetched(rendered(segment), 4):
                for k, write in writes.items():
                    write(pts, planes[k])
                count(RENDERED)


def _colours(
    film: FilmReader,
    part: Part,
    done: int,
    seeds: range,
    method: SampleMethod,
    colorizer: BaseColorizer,
    count: Count,
) -> Iterator[tuple[int, Floats | None]]:
    """Yield time stamps and ab (N, 2, 128, 128) of the frames of a shot, without its first segments."""
    shot, before = part.shot, LAP if done else 0
    start, stamps = part.times[done * WINDOW - before], list[int]()
    L = _seen(film, start, part.end, stamps, count, DRAWN)
    if shot.gray:
        for _ in L:
            yield stamps[-1], None
        return
    temperature = method.temperature if shot.temperature is None else shot.temperature
    draw = drawing(colorizer, seeds, temperature)
    saturation = np.float32(method.rendering.saturation)
    for k, ab in enumerate(shot_colours(L, draw, before), before):
        yield stamps[k], saturation * ab
