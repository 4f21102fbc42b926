"""Colours of shots, drawn by the network and averaged along motion."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import cv2
import numpy as np

from cinn_colorize.colorizer import BaseColorizer, ConditionedPhoto, NetworkInput
from cinn_colorize.film.along import colours_along_motion
from cinn_colorize.film.motion import Frame, lightness_of
from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.light import light_of
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.levels import SomeLevels
from cinn_colorize.methods import things
from cinn_colorize.methods.conditioned import drawn_alike
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint

Draw = Callable[[Sequence[Frame]], Floats]  # ab (K, N, 2, s, s) of key frames

WINDOW = 480  # frames of a shot whose colours are averaged together
LAP = 48  # frames in which the colours of a window go over into those of the next one


@dataclass(frozen=True)
class Drawer:
    """Draws frames with some seeds."""

    colorizer: BaseColorizer
    seeds: Sequence[int]
    temperature: SomeLevels | None

    def draw(self, frames: Sequence[Frame]) -> Floats:
        """Return ab (K, N, 2, s, s) of frames."""
        return drawn_alike([conditioned(self.colorizer, one) for one in frames], self.seeds, self.temperature)

    def lights(self, frame: Frame) -> list[Floats]:
        """Return the colour of the light that each sample of a frame assumes, see :mod:`.imaging.light`."""
        return [light_of(lightness_of(frame), ab) for ab in self.draw([frame])[0]]

    def hinted(self, frame: Frame, hints: Sequence[Hint], saturation: float) -> Floats:
        """Return ab (N, 2, s, s) of a frame in which things have the colours of hints at its pixels."""
        photo = open_photo(color.compose_gray(lightness_of(frame), 8))
        wanted = HintMap.of(photo, hints, saturation=saturation)
        found = things.find(things.drawn(conditioned(self.colorizer, frame)), wanted)
        return np.stack(things.recolor([*self.draw([frame])[0]], found, wanted))


def conditioned(colorizer: BaseColorizer, frame: Frame) -> ConditionedPhoto:
    """Let the network see a frame."""
    size = colorizer.info.luminance_size
    L = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    return colorizer.condition(NetworkInput(lightness_of(L)))


def shot_colours(L: Iterable[Frame], draw: Draw, prior: int, given: Mapping[int, Floats]) -> Iterator[Floats]:
    """Yield the colours of each frame of a shot, ab (N, 2, 128, 128).

    A long shot is averaged in windows, so that its end need not be known; where two of them overlap, the
    colours of one go over into those of the other. ``prior`` is the number of frames in ``L`` that lie
    before those wanted: ``LAP`` where the shot is taken up at the begin of a later window, else 0. ``given``
    are colours of frames, ab (N, 2, s, s) by their number in ``L``, that those of their window follow.
    """
    stream = iter(L)
    taken = [*islice(stream, prior)]  # all frames of a window
    fading: list[Floats] = []  # the last of their colours

    def noted(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            taken.append(frame)
            yield frame

    def drawn(numbers: Sequence[int]) -> Floats:
        ab = draw([taken[t] for t in numbers])
        return np.stack([given.get(start + t, own) for t, own in zip(numbers, ab, strict=True)])

    end = prior  # number of frames taken
    while (first := next(stream, None)) is not None:
        del taken[:-LAP]
        lap = len(taken)
        start = end - lap
        window = chain([*taken], noted(chain([first], islice(stream, WINDOW - 1))))
        held = deque[Floats]()
        for k, ab in enumerate(colours_along_motion(window, drawn, {t - start for t in given})):
            if k < len(fading):
                held.append(fading[k] + np.float32((k + 1) / (lap + 1)) * (ab - fading[k]))
            elif k >= lap:
                held.append(ab)
            if len(held) > LAP:
                yield held.popleft()
        fading, end = [*held], start + len(taken)
    yield from fading
