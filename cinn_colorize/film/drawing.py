"""Colours of shots, drawn by the network and averaged along motion; the seed that is typical of a film."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

import cv2
import numpy as np

from cinn_colorize.colorizer import BaseColorizer, ConditionedPhoto, NetworkInput
from cinn_colorize.film.along import colours_along_motion
from cinn_colorize.film.motion import Frame, lightness_of
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.light import light_of
from cinn_colorize.latents.levels import SomeLevels
from cinn_colorize.methods.conditioned import drawn_alike
from cinn_colorize.methods.samples import medoids

Draw = Callable[[Sequence[Frame]], Floats]  # ab (K, N, 2, s, s) of key frames

WINDOW = 480  # frames of a shot whose colours are averaged together
LAP = 48  # frames in which the colours of a window go over into those of the next one


def drawing(colorizer: BaseColorizer, seeds: Sequence[int], temperature: SomeLevels | None) -> Draw:
    """Return what draws key frames: their samples of these seeds."""

    def draw(frames: Sequence[Frame]) -> Floats:
        return drawn_alike([conditioned(colorizer, frame) for frame in frames], seeds, temperature)

    return draw


def conditioned(colorizer: BaseColorizer, frame: Frame) -> ConditionedPhoto:
    """Let the network see a frame."""
    size = colorizer.info.luminance_size
    L = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    return colorizer.condition(NetworkInput(lightness_of(L)))


def lights(
    colorizer: BaseColorizer, frame: Frame, seeds: Sequence[int], temperature: SomeLevels | None
) -> list[Floats]:
    """Return the colour of the light that each sample of a frame assumes, see :mod:`.imaging.light`."""
    (drawn,) = drawing(colorizer, seeds, temperature)([frame])
    return [light_of(lightness_of(frame), ab) for ab in drawn]


def typical_seeds(
    colorizer: BaseColorizer, frames: Sequence[Frame], seeds: range, temperature: SomeLevels | None, k: int
) -> list[int]:
    """Return k seeds whose colours are typical of all and differ, in these frames together."""
    seen = (conditioned(colorizer, frame) for frame in frames)
    drawn = [one.coarse(len(seeds), temperature, seeds[0]) for one in seen]
    return [seeds[i] for i in medoids(np.concatenate(drawn, axis=-1), k)]


def shot_colours(L: Iterable[Frame], draw: Draw, before: int = 0) -> Iterator[Floats]:
    """Yield the colours of each frame of a shot, ab (N, 2, 128, 128).

    A long shot is averaged in windows, so that its end need not be known; where two of them overlap, the
    colours of one go over into those of the other. ``before`` is the number of frames in ``L`` that lie
    before those wanted: ``LAP`` where the shot is taken up at the begin of a later window, else 0.
    """
    stream = iter(L)
    recent = deque(islice(stream, before), LAP)  # the last frames taken
    fading: list[Floats] = []  # their colours in the window before
    taken: list[Frame] = []  # all of the window

    def noted(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            recent.append(frame)
            taken.append(frame)
            yield frame

    def drawn(numbers: Sequence[int]) -> Floats:
        return draw([taken[t] for t in numbers])

    while (first := next(stream, None)) is not None:
        lap = len(recent)
        taken.clear()
        window = noted(chain([*recent], [first], islice(stream, WINDOW - 1)))
        held = deque[Floats]()
        for k, ab in enumerate(colours_along_motion(window, drawn)):
            if k < len(fading):
                held.append(fading[k] + np.float32((k + 1) / (lap + 1)) * (ab - fading[k]))
            elif k >= lap:
                held.append(ab)
            if len(held) > LAP:
                yield held.popleft()
        fading = [*held]
    yield from fading
