"""Strips: one latent code at several temperatures (paper 4.2, Fig. 14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from cinn_colorize.latents.levels import PerLevel, by_level, format_levels
from cinn_colorize.methods.base import Files, Method
from cinn_colorize.options import Rendering

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.contact_sheet import Chart
    from cinn_colorize.samples import Sample

_TILE = 320  # pixels on the longer side of a sample


@dataclass(frozen=True)
class Strip(Method):
    """One latent code at several temperatures.

    Attributes:
        temperatures: temperatures from left to right.
        scaled: levels that have these temperatures; None for all.
    """

    temperatures: tuple[float, ...]
    scaled: tuple[int, ...] | None = None

    name: ClassVar[str] = "temperatures"
    keys: ClassVar[tuple[str, ...]] = ("temperatures", "scaled")

    @classmethod
    def from_recipe(cls, entries: Mapping[str, str], files: Files, levels: Iterable[int]) -> Self:
        """See :meth:`Method.from_recipe`."""
        temperatures, scaled = entries["temperatures"].split(","), entries["scaled"]
        return cls(
            tuple(map(float, temperatures)),
            None if scaled == "all" else tuple(map(int, scaled.split(","))),
        )

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """Draw a sample for each temperature.

        Args:
            colorizer: colorizer that draws.
            photo: photo to colorize.
            temperature: temperature of the levels that are not scaled.
            seed: seed of the code.

        Raises:
            ValueError: a temperature is out of range, or a level is unknown.
        """
        conditioned = colorizer.condition(photo)
        levels = list(conditioned.latent_shapes)
        rest = by_level(temperature, levels, "temperature")
        if unknown := set(self.scaled or ()) - set(levels):
            raise ValueError(f"there is no level {min(unknown)}; levels are {', '.join(map(str, levels))}")
        return [
            conditioned.sample(1, t if self.scaled is None else rest | dict.fromkeys(self.scaled, t), seed)[0]
            for t in self.temperatures
        ]

    def draw(
        self,
        colorizer: BaseColorizer,
        photo: Photo,
        temperature: PerLevel,
        seed: int,
        rendering: Rendering,
    ) -> Chart:
        """Draw the samples in a labelled row; the arguments are those of :meth:`samples`."""
        from cinn_colorize.methods.contact_sheet import Chart, contact_sheet

        small = photo.small(_TILE)
        pictures = colorizer.compose(small, self.samples(colorizer, photo, temperature, seed), rendering)
        labels = [f"T = {t:g}" for t in self.temperatures]
        tiles = [(p.picture.thumbnail(_TILE), label) for p, label in zip(pictures, labels, strict=True)]
        drawn = {
            "method": self.name,
            "temperatures": ",".join(map(repr, self.temperatures)),
            "scaled": "all" if self.scaled is None else ",".join(map(str, self.scaled)),
            "seed": str(seed),
            "temperature": format_levels(temperature),
        }
        recipe = colorizer.recipe(drawn, rendering, photo)
        return Chart(contact_sheet(tiles, columns=len(tiles)), recipe)
