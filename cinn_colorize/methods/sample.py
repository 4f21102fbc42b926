"""Samples of the model, and variations: samples that resemble the one of a chosen seed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex

from cinn_colorize.imaging.options import Rank, check_seeds, parse_seed, picked, seeds_from, whole_number
from cinn_colorize.latents.levels import (
    PerLevel,
    SomeLevels,
    by_level,
    format_levels,
    parse_noise,
    parse_temperature,
    transfer_noise,
)
from cinn_colorize.methods.base import Entries, Files, PhotoColorizer, SampleMethod

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.noise import LatentLevels, Shapes
    from cinn_colorize.methods.conditioned import Conditioned
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample
else:  # for whoever reads annotations at run time
    Conditioned = Sample = Any

_PART = 8  # samples that are drawn before they are written; the most that go through a network at a time


@dataclass(frozen=True)
class Sampling(SampleMethod):
    """Samples of the model."""

    rank: Rank | None = None  # which come first; None for the order of their seeds
    pick: int | None = None  # how many to keep, typical ones that differ or, if so ranked, the likeliest

    name: ClassVar[str] = "sample"

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        """See :meth:`Method.from_recipe`; ranking does not change a sample."""
        return cls()

    @property
    def order(self) -> str:
        return self.rank or (Rank.typical if self.pick else super().order)

    @property
    def kept(self) -> int:
        return self.pick or self.number

    def samples(self, colorizer: PhotoColorizer, photo: "Photo") -> list[Sample]:
        from cinn_colorize.methods.samples import likeliest

        draw = self._drawing(colorizer.condition(photo))
        if self.rank is Rank.log_prob:
            note = picked(self.kept, range(self.seed, self.seed + self.number), "likeliest")
            first = likeliest(draw(self.number, seed=self.seed), self.pick)
            return [replace(sample, method={**sample.method, **note}) for sample in first]
        return draw(self.number, seed=self.seed, pick=self.kept if self.rank or self.pick else None)

    def parts(
        self, colorizer: PhotoColorizer, photo: "Photo", wanted: Collection[int]
    ) -> Iterator[list[Sample]]:
        """See :meth:`SampleMethod.parts`; samples that are ranked have to wait for the last."""
        if self.rank or self.pick:
            yield from super().parts(colorizer, photo, wanted)
            return
        draw, end = self._drawing(colorizer.condition(photo)), self.seed + self.number
        for start in range(self.seed, end, _PART):
            if part := [k for k in range(start, min(start + _PART, end)) if k in wanted]:
                yield draw(part[-1] - part[0] + 1, seed=part[0])

    def first_tiles(self, colorizer: PhotoColorizer, photo: "Photo") -> "list[Tile]":
        from cinn_colorize.methods.contact_sheet import original_tile

        return [original_tile(photo)]

    def _drawing(self, conditioned: Conditioned) -> Callable[..., list[Sample]]:
        return partial(conditioned.sample, temperature=self.temperature)


@dataclass(frozen=True)
class Variation(Sampling):
    """Samples that resemble the one of a chosen seed."""

    like: int = field(kw_only=True)
    fresh: PerLevel = field(kw_only=True)  # share of fresh noise, see :func:`vary`

    name: ClassVar[str] = "variation"
    keys: ClassVar[Mapping[str, str]] = {"like": "colours like seed", "fresh": "fresh noise"}

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        """See :meth:`Method.from_recipe`; ranking does not change a sample."""
        return cls(like=parse_seed(entries["like"]), fresh=parse_noise(entries["fresh"], levels, 1.0))

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "like": self.like, "fresh": format_levels(self.fresh)}

    def first_tiles(self, colorizer: PhotoColorizer, photo: "Photo") -> "list[Tile]":
        from cinn_colorize.methods.contact_sheet import TILE

        samples = colorizer.condition(photo).sample(1, self.temperature, self.like)
        (made,) = colorizer.compose(photo.small(TILE), samples, self.rendering)
        chosen = made.picture.thumbnail(TILE), f"like seed {self.like}"
        return [*super().first_tiles(colorizer, photo), chosen]

    def _drawing(self, conditioned: Conditioned) -> Callable[..., list[Sample]]:
        return partial(vary, conditioned, self.like, fresh=self.fresh, temperature=self.temperature)


def vary(
    conditioned: Conditioned,
    like: SupportsIndex,
    n: SupportsIndex = 1,
    fresh: SomeLevels | None = None,
    temperature: SomeLevels | None = None,
    seed: SupportsIndex | None = None,
    *,
    pick: SupportsIndex | None = None,
) -> list[Sample]:
    """Draw n colorizations that resemble the one of the seed ``like``, and differ by their fresh noise.

    ``fresh`` is the share s in [0, 1] of that noise in z = sqrt(1 - s) z_like + sqrt(s) noise, given like a
    temperature; by default, and for levels that are not named, :func:`transfer_noise`: a little in the coarse
    colours, while details are drawn anew. ``seed`` is that of the first noise, by default the one after
    ``like``, which gives the sample itself. The temperature is that of both noises; it, the rest and errors
    are as in :meth:`Conditioned.sample`.
    """
    from cinn_colorize.latents.noise import draw_like

    like = whole_number(like, "like", 0)
    check_seeds(like, 1)
    seeds, shapes = seeds_from(like + 1 if seed is None else seed, n), conditioned.latent_shapes
    temperature = parse_temperature(temperature, shapes, conditioned.temperature)
    share = by_level(parse_noise(fresh, shapes, transfer_noise(shapes)), shapes)
    recipe = {"method": Variation.name, "like": str(like), "fresh": format_levels(share)}

    def noise(shapes: "Shapes", seeds: Sequence[int]) -> "LatentLevels":
        return draw_like(shapes, like, seeds, share, temperature)

    return conditioned.draw(noise, seeds, temperature, recipe, pick)
