"""A film from its file to colorized ones, in steps that processes can share.

A survey reads all frames and finds the shots. In each shot, key frames are drawn with N seeds at once, and
their colours follow the motion to all frames; then the frames are read once more, rendered and encoded N
times. The segments lie in folders until they are joined, so that a call that was stopped can be continued.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import FilmError
from cinn_colorize.film.drawing import LAP, WINDOW, Drawer, conditioned, shot_colours
from cinn_colorize.film.motion import Frame, lightness_of
from cinn_colorize.film.reading import DecodedFrame, FilmReader
from cinn_colorize.film.render import SIZE, Renderer
from cinn_colorize.film.shots import Shot, find_shots
from cinn_colorize.film.waiting import prefetched
from cinn_colorize.film.writing import FilmWriter
from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.light import shown
from cinn_colorize.imaging.picture import fitted
from cinn_colorize.imaging.upsampling import Upsampler
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.contact_sheet import Tile
from cinn_colorize.methods.hints import Hint
from cinn_colorize.methods.samples import medoids

log = logging.getLogger(__name__)
Count = Callable[[float], object]  # is told of how many frames all work is done

SURVEYED, DRAWN, RENDERED = 0.1, 0.5, 0.4  # shares of the work on a frame, about
_TYPICAL = 16  # shots, the longest ones, whose frames decide on the typical seed


@dataclass(frozen=True)
class Part:
    """A shot, or what a call colorizes of it."""

    shot: Shot
    times: Sequence[int]  # time stamps of its frames
    end: int | None  # time stamp that it ends before; None for the end of the film

    @property
    def segments(self) -> list[tuple[int, int | None]]:
        """First time stamp of each segment, and that which it ends before."""
        starts = self.times[::WINDOW]
        return list(zip(starts, [*starts[1:], self.end], strict=True))

    def middle(self, film: FilmReader) -> DecodedFrame:
        """Return the frame in the middle."""
        return next(film.frames(self.times[len(self.times) // 2], self.end))


def survey(
    film: FilmReader,
    start: float | None = None,
    end: float | None = None,
    shots: Sequence[Shot] = (),
    count: Count = abs,
) -> list[Part]:
    """Find the shots of a film, or of what lies between two times in seconds, if they are not known."""
    times, numbers = film.times, film.between(start, end)
    first, last = numbers[0], numbers[-1] + 1
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
            if shot.hints and shot.frame not in numbers:
                told = f"the hints on frame {shot.frame} lie outside --from and --to, and have no effect"
                log.warning(f"{film.name}: {told}")
            stop = min(last, shot.end)
            parts.append(Part(shot, inside, times[stop] if stop < len(times) else None))
    return parts


def _seen(
    film: FilmReader, start: int, end: int | None, stamps: list[int], count: Count, share: float = SURVEYED
) -> Iterator[Frame]:
    for frame in film.frames(start, end):
        stamps.append(frame.pts)
        count(share)
        yield frame.L


def hints_at(film: FilmReader, hints: Sequence[Hint]) -> list[Hint]:
    """Bring hints from pixels of frames as they are seen to those of their L; a FilmError beside these."""
    box, (height, width) = film.picture, film.picture.size
    for hint in hints:
        if not (box.left <= hint.x < box.right and box.top <= hint.y < box.bottom):
            raise FilmError(f"{film.name}: the hint {hint} lies outside its picture, {box}")
    return [
        replace(hint, x=(hint.x - box.left) * SIZE // width, y=(hint.y - box.top) * SIZE // height)
        for hint in hints
    ]


def typical(
    film: FilmReader, parts: Sequence[Part], method: SampleMethod, colorizer: BaseColorizer
) -> list[int]:
    """Return which seeds of a method are kept: those that are typical of all the shots of a film together."""
    longest = sorted(parts, key=lambda part: (part.shot.gray, -len(part.times)))[:_TYPICAL]
    seen = (conditioned(colorizer, part.middle(film).L) for part in longest)
    drawn = [one.coarse(method.number, method.temperature, method.seed) for one in seen]
    return [method.seed + i for i in medoids(np.concatenate(drawn, axis=-1), method.kept)]


def colorize_part(
    film: FilmReader,
    part: Part,
    writers: Mapping[int, FilmWriter],
    seeds: Sequence[int],
    method: SampleMethod,
    colorizer: BaseColorizer,
    count: Count,
) -> None:
    """Colorize a shot, as far as it is not done, with writers by the versions of the film.

    Version k has the k-th of the ``seeds``, unless the shot has a seed: then k is added to that.
    """
    segments, facts, done = part.segments, film.facts, 0
    while done < len(segments) and all(one.has(*segments[done]) for one in writers.values()):
        done += 1
    count((DRAWN + RENDERED) * min(done * WINDOW, len(part.times)))
    if done == len(segments):
        return
    cell = next(iter(writers.values())).target.cell
    renderer = Renderer(facts.coding, facts.size, film.box, cell, facts.turns)
    own = part.shot.seed
    seeds = [seeds[k] if own is None else own + k for k in writers]
    temperature = method.temperature if part.shot.temperature is None else part.shot.temperature
    drawer, given = Drawer(colorizer, seeds, temperature), dict[int, Floats]()
    if part.shot.hints and (at := film.times[part.shot.frame or 0]) in part.times:
        hints = hints_at(film, part.shot.hints), method.rendering.saturation
        given[part.times.index(at)] = drawer.hinted(next(film.frames(at)).L, *hints)
    colours = _colours(film, part, done, drawer, given, count)
    light: Sequence[Floats | None] = [None] * len(seeds)
    if method.rendering.white_balance and not part.shot.gray:
        light = drawer.lights(part.middle(film).L)

    def planes(frame: DecodedFrame, ab: Floats | None, i: int) -> Any:
        if ab is not None:
            ab = shown(lightness_of(frame.L), ab[i], method.rendering, light[i])
        return renderer.render(frame.luma, frame.L, ab)

    def rendered(segment: tuple[int, int | None]) -> Iterator[tuple[int, dict[int, Any]]]:
        pts, ab = -1, None
        for frame in film.frames(*segment):
            while pts < frame.pts:  # in a damaged film, one reading may find more frames than another
                pts, ab = next(colours, (frame.pts, ab))
            yield frame.pts, {k: planes(frame, ab, i) for i, k in enumerate(writers)}

    for segment in segments[done:]:
        with ExitStack() as stack:
            writes = {k: stack.enter_context(one.segment(*segment)) for k, one in writers.items()}
            for pts, of_writers in prefetched(rendered(segment), 4):
                for k, write in writes.items():
                    write(pts, of_writers[k])
                count(RENDERED)


def _colours(
    film: FilmReader, part: Part, done: int, drawer: Drawer, given: Mapping[int, Floats], count: Count
) -> Iterator[tuple[int, Floats | None]]:
    """Yield time stamps and ab (N, 2, 128, 128) of the frames of a shot, without its first segments."""
    before = LAP if done else 0
    first, stamps = done * WINDOW - before, list[int]()
    L = _seen(film, part.times[first], part.end, stamps, count, DRAWN)
    if part.shot.gray:
        for _ in L:
            yield stamps[-1], None
        return
    given = {number - first: ab for number, ab in given.items()}
    for k, ab in enumerate(shot_colours(L, drawer.draw, before, given), before):
        yield stamps[k], ab


def still(film: FilmReader, part: Part, longest: int) -> tuple[DecodedFrame, Floats]:
    """Return the middle frame of a shot, and the L* (H, W) that it shows, a side at most ``longest``."""
    frame, (height, width) = part.middle(film), film.box.size
    width = round(width * (film.facts.aspect or 1))
    size = fitted(*((width, height) if film.facts.turns % 2 else (height, width)), longest)
    return frame, lightness_of(film.seen(frame.luma, *size))


def sheet_row(
    film: FilmReader, part: Part, method: SampleMethod, colorizer: BaseColorizer, longest: int = 240
) -> list[Tile]:
    """Return the tiles of a shot: its :func:`still`, with the time it begins, and samples of it."""
    (frame, L), second = still(film, part, longest), (part.times[0] - film.facts.start) * film.facts.time_base
    colours = [(np.zeros((2, *L.shape), np.float32), f"{second // 60:02d}:{float(second % 60):04.1f}")]
    for sample in conditioned(colorizer, frame.L).sample(method.number, method.temperature, method.seed):
        ab = shown(seen := lightness_of(frame.L), sample.ab, method.rendering)
        colours.append((Upsampler(ab, seen, L.shape).rows(0, len(L), L), f"seed {sample.seed}"))
    return [(Image.fromarray(color.compose(L, ab, depth=8)), label) for ab, label in colours]
