"""Samples of the model: the plain method to draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.methods.base import Files, SampleMethod

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.samples import Sample

_PART = 8  # samples that are drawn before they are written; the most that go through a network at a time


@dataclass(frozen=True)
class Sampling(SampleMethod):
    """Samples of the model.

    Attributes:
        ranked: whether the likeliest come first, instead of in the order of their seeds.
        pick: number of the likeliest samples to keep; None for all.
    """

    ranked: bool = False
    pick: int | None = None

    name: ClassVar[str] = "sample"

    @classmethod
    def from_recipe(cls, entries: Mapping[str, str], files: Files, levels: Iterable[int]) -> Self:
        """See :meth:`Method.from_recipe`; ranking does not change a sample."""
        return cls()

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :attr:`SampleMethod.settings`."""
        return {"pick": self.pick} if self.pick else {}

    def kept(self, number: int) -> int:
        """See :meth:`SampleMethod.kept`."""
        return self.pick or number

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :meth:`SampleMethod.samples`."""
        from cinn_colorize.samples import likeliest

        samples = colorizer.condition(photo).sample(number, temperature, seed)
        return likeliest(samples, self.pick) if self.ranked or self.pick else samples

    def parts(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> Iterator[list[Sample]]:
        """See :meth:`SampleMethod.parts`; samples that are ranked have to wait for the last."""
        if self.ranked or self.pick:
            yield self.samples(colorizer, photo, number, temperature, seed)
            return
        conditioned = colorizer.condition(photo)
        for start in range(0, number, _PART):
            yield conditioned.sample(min(_PART, number - start), temperature, seed + start)

    def first_tiles(
        self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int
    ) -> list[Tile]:
        """Return the photo as it is."""
        from cinn_colorize.methods.contact_sheet import original_tile

        return [original_tile(photo)]
