"""Films as arrays, for programs with a decoder of their own."""

from collections.abc import Iterable, Iterator
from tempfile import TemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import FilmError
from cinn_colorize.film.drawing import Drawer, shot_colours
from cinn_colorize.film.motion import SIZE, Frame, lightness_of
from cinn_colorize.film.planes import Coding, lightness_bytes
from cinn_colorize.film.render import Renderer
from cinn_colorize.film.shots import find_shots
from cinn_colorize.film.waiting import Stored
from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.light import shown
from cinn_colorize.imaging.options import Box, Rendering
from cinn_colorize.latents.levels import SomeLevels

_CODING = Coding(5, is_full=True)


def colorize_film(
    frames: Iterable[NDArray[np.uint8]],
    colorizer: BaseColorizer,
    *,
    seed: int = 0,
    temperature: SomeLevels | None = None,
    saturation: float = 1.0,
    white_balance: float = 0.0,
) -> Iterator[NDArray[np.uint8]]:
    """Colorize the frames of a film.

    >>> gray = (np.full((90, 120), 100 + t, np.uint8) for t in range(3))
    >>> [frame.shape for frame in colorize_film(gray, colorizer, seed=3)]
    [(90, 120, 3), (90, 120, 3), (90, 120, 3)]

    Frames, (H, W, 3) sRGB, uint8, with their L*, come out when the shot that they belong to has gone in;
    until then they lie in a temporary file. A FilmError if one has another type or size than the first.

    Args:
        frames: (H, W) gray or (H, W, 3) sRGB, uint8, all of one size; colour frames are treated as gray.
        colorizer: draws the key frames.
        seed: seed of the colours, the same for all shots.
        temperature: see :meth:`BaseColorizer.colorize`.
        saturation: factor on the chroma, 0 to 2.
        white_balance: share of the light's tint that is removed, 0 to 1; estimated once per shot.
    """
    drawer = Drawer(colorizer, [seed], temperature)
    rendering = Rendering(saturation=saturation, white_balance=white_balance)
    with TemporaryFile() as file:
        grays = Stored(file, np.uint8)
        for shot in find_shots(map(_seen, _taken(frames, grays))):
            numbers = range(shot.start, shot.end)
            colours = shot_colours((_seen(grays[t]) for t in numbers), drawer.draw, 0, {})
            height, width = grays[shot.start].shape
            renderer = Renderer(_CODING, (height, width), Box(0, 0, width, height), (1, 1))
            light = None
            if white_balance:
                (light,) = drawer.lights(_seen(grays[numbers[len(numbers) // 2]]))
            for t, (ab,) in zip(numbers, colours, strict=True):
                L = _seen(gray := grays[t])
                ab = shown(lightness_of(L), ab, rendering, light)
                y, cb, cr = renderer.render(gray, L, ab)
                yield np.asarray(cv2.cvtColor(np.dstack([y, cr, cb]), cv2.COLOR_YCrCb2RGB), np.uint8)
                del grays[t]


def _seen(gray: Pixels) -> Frame:
    """Return what network and motion see of a gray frame."""
    L = cv2.LUT(gray, lightness_bytes(_CODING))
    return np.asarray(cv2.resize(L, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def _taken(frames: Iterable[NDArray[np.uint8]], grays: Stored) -> Iterator[Pixels]:
    """Take frames, keep the grays that have their L* until their shot ends, and yield these."""
    size: tuple[int, ...] = ()
    for t, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.shape not in ((shape := frame.shape[:2]), (*shape, 3)):
            raise FilmError(f"frame {t} must be (H, W) or (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
        if t and shape != size:
            raise FilmError(f"frame {t} has the size {shape}, unlike the first one, {size}")
        size, gray = shape, frame
        if frame.ndim == 3:
            gray = color.compose_gray(color.pixels_to_luminance(frame), 8)[..., 0]
        grays[t] = gray
        yield gray
