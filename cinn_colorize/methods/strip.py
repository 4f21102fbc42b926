"""Strips: one latent code at several temperatures (paper 4.2, Fig. 14)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from cinn_colorize.latents.levels import MAX_TEMPERATURE, by_level, check_level
from cinn_colorize.methods.base import Entries, Files, Method, PhotoColorizer

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.contact_sheet import Chart
    from cinn_colorize.methods.samples import Sample

_TILE = 320  # pixels on the longer side of a sample
_MOST = 64  # temperatures; more come from a mistyped step


def parse_temperatures(text: str) -> tuple[float, ...]:
    """Parse the temperatures of a strip: a list, or a range that includes its end.

    A ValueError if it is neither, has too many numbers or one twice, or a number is out of range.
    """
    try:
        if ":" in text:
            start, stop, step = map(float, text.split(":"))
            count = math.floor((stop - start) / step + 1e-9) + 1
            values = tuple(round(start + k * step, 9) for k in range(min(count, _MOST + 1)))
        else:
            values = tuple(map(float, text.split(",", _MOST)))
    except (ValueError, ZeroDivisionError, OverflowError):
        values = ()
    if not values or len(values) > _MOST or not all(0 <= value <= MAX_TEMPERATURE for value in values):
        raise ValueError(
            f"{text!r:.80} is not a list such as 0,0.5,1 or a range such as 0:1.2:0.3 of up to {_MOST} "
            f"numbers from 0 to {MAX_TEMPERATURE:g}"
        )
    if len({f"{abs(value):g}" for value in values}) < len(values):  # as files and labels show them
        raise ValueError(f"{text!r:.80} has the same number twice, to six digits")
    return values


def parse_scaled(text: str, levels: Iterable[int]) -> tuple[int, ...]:
    """Parse the levels that a strip scales; ValueError if one is no number, or the model does not have it."""
    levels = list(levels)
    parts = text.split(",", len(levels))
    for part in parts:
        if not re.fullmatch(r"[0-9]{1,4}", part):
            raise ValueError(f"{part!r:.80} is not a level")
    return tuple(check_level(int(part), levels) for part in parts)


@dataclass(frozen=True)
class Strip(Method):
    """One latent code at several temperatures."""

    temperatures: tuple[float, ...]  # from left to right
    scaled: tuple[int, ...] | None = None  # levels that have these, None for all; others have `temperature`

    name: ClassVar[str] = "temperatures"
    keys: ClassVar[Mapping[str, str]] = {"temperatures": "temperatures", "scaled": "scaled levels"}

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        scaled = entries["scaled"]
        return cls(
            parse_temperatures(entries["temperatures"]),
            None if scaled == "all" else parse_scaled(scaled, levels),
        )

    @property
    def entries(self) -> dict[str, str]:
        return {
            "method": self.name,
            "temperatures": ",".join(map(repr, self.temperatures)),
            "scaled": "all" if self.scaled is None else ",".join(map(str, self.scaled)),
        }

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        """Draw a sample for each temperature; a ValueError if one is out of range, or a level is unknown."""
        conditioned = colorizer.condition(photo)
        levels = list(conditioned.latent_shapes)
        rest = by_level(self.temperature, levels, "temperature", MAX_TEMPERATURE)
        for level in self.scaled or ():
            check_level(level, levels)
        of_levels = [
            t if self.scaled is None else rest | dict.fromkeys(self.scaled, t) for t in self.temperatures
        ]
        return [conditioned.sample(1, t, self.seed)[0] for t in of_levels]

    def draw(self, colorizer: PhotoColorizer, photo: Photo) -> Chart:
        """Draw the samples in a labelled row."""
        from cinn_colorize.methods.contact_sheet import Chart, contact_sheet

        pictures = colorizer.compose(photo.small(_TILE), self.samples(colorizer, photo), self.rendering)
        labels = [f"T = {t:g}" for t in self.temperatures]
        tiles = [(p.picture.thumbnail(_TILE), label) for p, label in zip(pictures, labels, strict=True)]
        recipe = colorizer.recipe(self.drawn, self.rendering, photo)
        return Chart(contact_sheet(tiles, columns=len(tiles)), recipe, mode=photo.mode)
