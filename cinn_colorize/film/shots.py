"""Shots of a film: where they begin and end, and the table that says how each is colorized.

Frames of a shot that are near each other show mostly the same places, frames before and after a cut hardly
any. Up to three strange frames between frames that do are no cut. In a dissolve or a fade no frame differs
much from the next one, so that places can be followed through it, but what they lead to has nothing in common
with what they came from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from cinn_colorize.errors import CinnError, printable_name
from cinn_colorize.files.atomic import PUBLIC, writing
from cinn_colorize.files.limits import read_table
from cinn_colorize.film.motion import STRICT, Frame, brought, flow, joined, motion, reduced, shared
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.options import parse_seed
from cinn_colorize.latents.levels import parse_temperature
from cinn_colorize.methods.hints import Hint

_SIZE = 64  # side of the frames that are compared
_NEAR = 4  # frames apart, so that a cut may be blurred over three frames
_LITTLE = 0.3  # share of places in common: in wild motion so many frames apart 0.5, across cuts up to 0.24
_STEP = 0.4  # the same of neighbours at a cut; in wild motion 0.5
_SHORTEST = 6  # shot, in frames; what is shorter is the blur of a cut
_STRANGE = 3  # frames that are no cut where the shot goes on after them
_EVERY = 8  # frames, the places of one are followed on
_DISSOLVES = 16, 24, 32, 40  # frames that they are followed
_LATE = 6  # frames from the middle of a dissolve to where it tells, or so
_FOLLOWED = 0.3  # smallest share of places that tell
_RELATED = 0.3  # correlation of L at places and where they lead; in wild motion 0.29 and more
_AGREE = 2  # frames whose places tell


@dataclass(frozen=True)
class Shot:
    """A shot, and how it is colorized; what is None is as in the rest of the film."""

    start: int  # number of its first frame, from 0
    end: int  # number of the first frame after it
    seed: int | None = None
    temperature: str | None = None  # as --temperature takes it
    frame: int | None = None  # number of the frame with the hints
    hints: tuple[Hint, ...] = ()
    gray: bool = False  # whether it stays gray


def find_shots(L: Iterable[Frame]) -> Iterator[Shot]:
    """Cut a film, L* x 2.55 of its frames, (256, 256) each, into shots; each is told some frames later."""
    start = 0
    for found in _cuts(L):
        if found - start >= _SHORTEST:
            yield Shot(start, found)
            start = found
    if found > start:
        yield Shot(start, found)


def _cuts(L: Iterable[Frame]) -> Iterator[int]:
    recent: dict[int, Frame] = {}
    traces: list[_Trace] = []
    t = count = 0  # t is the first frame that is not compared with later ones
    for count, frame in enumerate(L, 1):
        small = cv2.resize(frame, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        recent[count - 1] = np.asarray(small, np.uint8)
        if count > 1:
            traces = _further(traces, recent[count - 2], recent[count - 1])
        if count % _EVERY == 1:
            traces.append(_Trace(count - 1, recent[count - 1]))
        if sum(trace.shows_dissolve() for trace in traces) >= _AGREE:
            traces = []
            yield count - 1 - _LATE
        if count - 1 - t > _NEAR + _STRANGE:
            recent.pop(t - 1, None)
            is_cut, t = _next(recent, t, count - 1)
            if is_cut:
                traces = [trace for trace in traces if trace.start >= t]
                yield t
    while t < count - 1:
        is_cut, t = _next(recent, t, count - 1)
        if is_cut:
            yield t
    yield count


class _Trace:
    """The places of a frame, followed to later ones."""

    def __init__(self, start: int, frame: Frame) -> None:
        self.start, self.length, self.first = start, 0, reduced(frame)
        self.last, self.back = self.first, np.zeros((*self.first.shape, 2), np.float32)
        self.share = np.ones_like(self.first)  # how surely each place has been followed

    def go(self, last: Floats, back: Floats) -> None:
        self.length += 1
        self.last, self.back = last, joined(back[..., :2], self.back)
        self.share = back[..., 2] * brought(self.share, back[..., :2])

    def shows_dissolve(self) -> bool:
        """Return whether places have been followed to what has nothing in common with them."""
        if self.length not in _DISSOLVES or self.share.mean() < _FOLLOWED:
            return False
        weights = self.share / self.share.sum()
        one, other = self.last, brought(self.first, self.back)
        one, other = one - (weights * one).sum(), other - (weights * other).sum()
        spread = (weights * one**2).sum() * (weights * other**2).sum()
        return bool((weights * one * other).sum() < _RELATED * spread**0.5)


def _further(traces: list[_Trace], before: Frame, frame: Frame) -> list[_Trace]:
    last = reduced(frame)
    back = motion(last, reduced(before), flow(frame, before), flow(before, frame), STRICT)
    for trace in traces:
        trace.go(last, back)
    return [trace for trace in traces if trace.length < max(_DISSOLVES)]


def _next(recent: dict[int, Frame], t: int, last: int) -> tuple[bool, int]:
    """Return whether a shot begins soon after frame t, and where; else the next frame that is not strange."""

    def common(s: int, before: int = t) -> float:
        return shared(recent[before], recent[s])

    near = min(t + _NEAR, last)
    if common(near) > _LITTLE:
        return False, t + 1
    for s in range(near + 1, min(near + _STRANGE, last) + 1):
        if common(s) > _LITTLE:
            return False, s
    steps = {s: common(s, s - 1) for s in range(t + 1, near + 1)}
    start = min(steps, key=steps.__getitem__)
    return (True, start) if steps[start] < _STEP else (False, t + 1)


_COLUMNS = [field.name for field in fields(Shot)]


def table_of(shots: Iterable[Shot]) -> bytes:
    """Return a table of shots, a line each, with tabs between its columns; what is None stays empty."""
    lines = ["\t".join(_COLUMNS)]
    for shot in shots:
        hints, gray = " ".join(map(str, shot.hints)), "gray" if shot.gray else None
        values = [shot.start, shot.end, shot.seed, shot.temperature, shot.frame, hints, gray]
        lines.append("\t".join("" if value is None else str(value) for value in values))
    return ("\n".join(lines) + "\n").encode()


def write_shots(path: Path, shots: Iterable[Shot], mode: int = PUBLIC) -> None:
    """Write a table of shots."""
    with writing(path, mode) as file:
        file.write(table_of(shots))


def read_shots(path: Path, levels: Sequence[int]) -> list[Shot]:
    """Read a table of shots, with columns in any order; temperatures may name the ``levels`` of the model."""
    try:
        text = read_table(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise CinnError(f"{printable_name(path)}: cannot be read as a table of shots: {error}") from None
    rows = [line.split("\t") for line in text.splitlines()]
    names = [name.strip() for name in rows[0]] if rows else []
    if not {"start", "end"} <= set(names) <= set(_COLUMNS) or len(set(names)) < len(names):
        problem = f"the first line must name its columns: {', '.join(_COLUMNS)}"
        raise CinnError(f"{printable_name(path)}: {problem}")
    shots: list[Shot] = []
    errors, end = [], 0
    for number, row in enumerate(rows[1:], 2):
        if not any(map(str.strip, row)):
            continue
        try:
            if len(row) > len(names):
                raise ValueError(f"has {len(row)} columns, the first line {len(names)}")
            values = {name: value.strip() for name, value in zip(names, row, strict=False)}
            shots.append(shot_of(values, levels, end))
            end = shots[-1].end
        except ValueError as error:
            errors.append(f"line {number}: {error}")
    if errors or not shots:
        raise CinnError(f"{printable_name(path)}: {'; '.join(errors) or 'no shots'}")
    return shots


def shot_of(row: Mapping[str, str], levels: Sequence[int], after: int | None = None) -> Shot:
    """Read a line of a table of shots, by its columns, which follows frame ``after``; else a ValueError."""
    start, end = (_frame(name, row.get(name, "")) for name in ("start", "end"))
    if start >= end:
        raise ValueError(f"the shot ends with frame {end}, before it starts with {start}")
    if after not in (None, start):
        raise ValueError(f"the shot starts with frame {start}, but the one before it ends with {after}")
    seed, temperature = row.get("seed"), row.get("temperature") or None
    parse_temperature(temperature, levels, 1.0)
    hints = tuple(map(Hint.parse, row.get("hints", "").split()))
    frame = _frame("frame", row["frame"]) if row.get("frame") else None
    if hints and (frame is None or not start <= frame < end):
        problem = f"hints require the number of their frame, {start} to {end - 1}, in the column frame"
        raise ValueError(problem)
    gray = row.get("gray", "")
    if gray not in ("", "gray"):
        raise ValueError(f"{gray!r:.80} in the column gray; write gray, or nothing")
    return Shot(start, end, parse_seed(seed) if seed else None, temperature, frame, hints, bool(gray))


def _frame(name: str, text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise ValueError(f"{name} {text!r:.80} is not the number of a frame")
    return int(text)
