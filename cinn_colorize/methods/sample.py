"""Samples of the model: the plain method to draw."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cinn_colorize.imaging.options import Rank, Rendering
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.methods.base import Files, SampleMethod

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.base import PhotoColorizer
    from cinn_colorize.methods.conditioned import Conditioned
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample

_PART = 8  # samples that are drawn before they are written; the most that go through a network at a time


@dataclass(frozen=True)
class Sampling(SampleMethod):
    """Samples of the model.

    Attributes:
        rank: which samples come first, the most typical or the likeliest; None for the order of their seeds.
        pick: number of samples to keep, typical ones that differ or, if so ranked, the likeliest; None for
            all.
    """

    rank: Rank | None = None
    pick: int | None = None

    name: ClassVar[str] = "sample"

    @classmethod
    def from_recipe(
        cls, entries: Mapping[str, str], files: Files, levels: Iterable[int], max_pixels: int
    ) -> Self:
        """See :meth:`Method.from_recipe`; ranking does not change a sample."""
        return cls()

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :attr:`SampleMethod.settings`."""
        return {"pick": self.pick, "rank": self.rank or Rank.typical} if self.pick else {}

    @property
    def order(self) -> str:
        """See :attr:`SampleMethod.order`."""
        return self.rank or (Rank.typical if self.pick else super().order)

    def kept(self, number: int) -> int:
        """See :meth:`SampleMethod.kept`."""
        return self.pick or number

    def samples(
        self, colorizer: PhotoColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :meth:`SampleMethod.samples`."""
        from cinn_colorize.methods.samples import likeliest, picked

        conditioned = colorizer.condition(photo)
        if self.rank is Rank.log_prob:
            drawn = self._drawing(conditioned)(number, temperature=temperature, seed=seed)
            note = picked(self.kept(number), range(seed, seed + number), "likeliest")
            return [
                replace(sample, method={**sample.method, **note}) for sample in likeliest(drawn, self.pick)
            ]
        pick = (self.pick or number) if self.rank or self.pick else None
        return self._drawing(conditioned)(number, temperature=temperature, seed=seed, pick=pick)

    def parts(
        self,
        colorizer: PhotoColorizer,
        photo: Photo,
        number: int,
        temperature: PerLevel,
        seed: int,
        wanted: Collection[int],
    ) -> Iterator[list[Sample]]:
        """See :meth:`SampleMethod.parts`; samples that are ranked have to wait for the last."""
        if self.rank or self.pick:
            yield from super().parts(colorizer, photo, number, temperature, seed, wanted)
            return
        conditioned = colorizer.condition(photo)
        for start in range(seed, seed + number, _PART):
            part = [k for k in range(start, min(start + _PART, seed + number)) if k in wanted]
            if part:
                size = part[-1] - part[0] + 1
                yield self._drawing(conditioned)(size, temperature=temperature, seed=part[0])

    def first_tiles(
        self, colorizer: PhotoColorizer, photo: Photo, temperature: PerLevel, seed: int, rendering: Rendering
    ) -> list[Tile]:
        """Return the photo as it is."""
        from cinn_colorize.methods.contact_sheet import original_tile

        return [original_tile(photo)]

    def _drawing(self, conditioned: Conditioned) -> Callable[..., list[Sample]]:
        """Return the photo's method that draws, of a number, a temperature, a seed and what to pick."""
        return conditioned.sample
