"""Contact sheets of films: a row for each shot, with a gray frame and its samples."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.film.drawing import conditioned
from cinn_colorize.film.motion import lightness_of
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.story import Part
from cinn_colorize.imaging import color
from cinn_colorize.imaging.picture import fitted
from cinn_colorize.imaging.upsampling import Upsampler
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.contact_sheet import Tile

_SIZE = 240  # pixels on the longer side of a tile


def row(film: FilmReader, part: Part, method: SampleMethod, colorizer: BaseColorizer) -> list[Tile]:
    """Return the tiles of a shot: its middle frame in gray, with the time it begins, and samples of it."""
    seen = part.middle(film)
    height, width = film.box.size
    width = round(width * (film.facts.aspect or 1))
    size = fitted(*((width, height) if film.facts.turns % 2 else (height, width)), _SIZE)
    L = lightness_of(cv2.resize(seen, size[::-1], interpolation=cv2.INTER_AREA))
    second = (part.times[0] - film.facts.start) * film.facts.time_base
    colours = [(np.zeros((2, *size), np.float32), f"{second // 60:02d}:{float(second % 60):04.1f}")]
    for sample in conditioned(colorizer, seen).sample(method.number, method.temperature, method.seed):
        wide = Upsampler(np.float32(method.rendering.saturation) * sample.ab, lightness_of(seen), size).rows(
            0, size[0], L
        )
        colours.append((wide, f"seed {sample.seed}"))
    return [(Image.fromarray(color.compose(L, ab, depth=8)), label) for ab, label in colours]
