"""Variations: new samples that resemble the one of a chosen seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cinn_colorize.latents.levels import PerLevel, format_levels, parse_noise
from cinn_colorize.methods.base import Files
from cinn_colorize.methods.sample import Sampling
from cinn_colorize.options import Rendering, parse_seed

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.conditioned import ConditionedPhoto
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.samples import Sample


@dataclass(frozen=True)
class Variation(Sampling):
    """Samples that resemble the one of a chosen seed.

    Attributes:
        like: the seed.
        fresh: share of fresh noise, see :meth:`ConditionedPhoto.vary`.
    """

    like: int = field(kw_only=True)
    fresh: PerLevel = field(kw_only=True)

    name: ClassVar[str] = "variation"
    keys: ClassVar[tuple[str, ...]] = ("like", "fresh")

    @classmethod
    def from_recipe(
        cls, entries: Mapping[str, str], files: Files, levels: Iterable[int], max_pixels: int
    ) -> Self:
        """See :meth:`Method.from_recipe`; ranking does not change a sample."""
        return cls(like=parse_seed(entries["like"]), fresh=parse_noise(entries["fresh"], levels, 1.0))

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :attr:`SampleMethod.settings`."""
        return {**super().settings, "like": self.like, "fresh": format_levels(self.fresh)}

    def first_tiles(
        self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int, rendering: Rendering
    ) -> list[Tile]:
        """Return the photo as it is, and the chosen sample."""
        from cinn_colorize.methods.contact_sheet import TILE

        samples = colorizer.condition(photo).sample(1, temperature, self.like)
        (made,) = colorizer.compose(photo.small(TILE), samples, rendering)
        chosen = made.picture.thumbnail(TILE), f"like seed {self.like}"
        return [*super().first_tiles(colorizer, photo, temperature, seed, rendering), chosen]

    def _drawing(self, conditioned: ConditionedPhoto) -> Callable[..., list[Sample]]:
        return partial(conditioned.vary, self.like, fresh=self.fresh)
