"""What is drawn of a photo, and what stands before the results on its contact sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cinn_colorize.colorizer import Colorizer, Reference, Sample, likeliest
from cinn_colorize.errors import PhotoError
from cinn_colorize.hints import Hint, Hints, draw
from cinn_colorize.levels import PerLevel
from cinn_colorize.photo import Photo, open_photo
from cinn_colorize.sheet import TILE, Tile, gray_tile, hints_tile, original_tile

_SAME_ASPECT = 1.02  # what rounding to whole pixels may do to a mask that was made smaller


class Drawing(Protocol):
    """Draws samples of photos, one way or another."""

    def samples(
        self, colorizer: Colorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """Draw samples with the seeds ``seed``, ``seed`` + 1, ..."""

    def before(self, colorizer: Colorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """What the sheet shows before the samples."""


@dataclass(frozen=True)
class Sampling:
    """Samples of the model.

    Attributes:
        ranked: the likeliest first, not in the order of their seeds.
        pick: so many of the likeliest only.
    """

    ranked: bool = False
    pick: int | None = None

    def samples(
        self, colorizer: Colorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :class:`Drawing`."""
        samples = colorizer.condition(photo).sample(number, temperature, seed)
        return likeliest(samples, self.pick) if self.ranked or self.pick else samples

    def before(self, colorizer: Colorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The photo as it is."""
        return [original_tile(photo)]


@dataclass(frozen=True)
class Transfer:
    """Photos in the colours of another.

    Attributes:
        reference: its code.
        tile: it as it is.
        noise: see :meth:`Conditioned.transfer`.
    """

    reference: Reference
    tile: Tile
    noise: PerLevel | None

    @classmethod
    def of(cls, colorizer: Colorizer, reference: Photo, noise: PerLevel | None) -> Transfer:
        """The colours of a photo.

        Raises:
            PhotoError: it can't be read, or is gray.
        """
        return cls(colorizer.reference(reference), (reference.thumbnail(TILE), "reference"), noise)

    def samples(
        self, colorizer: Colorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :class:`Drawing`."""
        return colorizer.condition(photo).transfer(self.reference, number, self.noise, temperature, seed)

    def before(self, colorizer: Colorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The reference and the photo in gray, as in Fig. 15 of the paper."""
        return [self.tile, gray_tile(photo)]


@dataclass(frozen=True)
class Mix:
    """Two samples of a photo joined by a mask: the one seed inside, the other outside.

    Attributes:
        mask: white where the first sample is.
        outside_seed: of the other sample.
    """

    mask: Photo
    outside_seed: int

    def samples(
        self, colorizer: Colorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """One sample; see :meth:`Conditioned.mix`.

        Raises:
            PhotoError: the mask has another shape than the photo, can't be read or has nothing in it.
        """
        stretch = self.mask.width / self.mask.height * photo.height / photo.width
        if not 1 / _SAME_ASPECT <= stretch <= _SAME_ASPECT:
            sizes = [f"{image.width}x{image.height}" for image in (self.mask, photo)]
            raise PhotoError(
                f"{self.mask.name}: has {sizes[0]} pixels and does not fit the photo's "
                f"{sizes[1]}; paint the mask over the photo"
            )
        mask = colorizer.mask(self.mask)
        return [colorizer.condition(photo).mix((seed, self.outside_seed), mask, temperature)]

    def before(self, colorizer: Colorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The mask and the two samples."""
        whole, small = colorizer.condition(photo).whole, open_photo(photo.thumbnail(TILE))
        samples = [whole.sample(1, temperature, s)[0] for s in (seed, self.outside_seed)]
        labels = f"inside: seed {seed}", f"outside: seed {self.outside_seed}"
        pictures = [made.picture.thumbnail(TILE) for made in colorizer.compose(small, samples)]
        mask, _ = gray_tile(self.mask)
        return [(mask.resize((small.width, small.height)), "mask"), *zip(pictures, labels, strict=True)]


@dataclass(frozen=True)
class Hinted:
    """Samples that follow hints.

    Attributes:
        points: single pixels.
        strokes: a picture that is transparent where there is no hint.
        progress: see :func:`cinn_colorize.hints.draw`.
    """

    points: tuple[Hint, ...]
    strokes: Path | None
    progress: Callable[[int, int], None] | None = None

    def samples(
        self, colorizer: Colorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :class:`Drawing`.

        Raises:
            PhotoError: a hint lies outside of the photo, or the strokes can't be used.
        """
        hints = Hints.of(photo, self.points, self.strokes)
        return draw(colorizer.condition(photo), hints, number, temperature, seed, self.progress)

    def before(self, colorizer: Colorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The photo in gray with the hints on it."""
        points = [((p.x + 0.5) / photo.width, (p.y + 0.5) / photo.height, p.rgb) for p in self.points]
        return [hints_tile(photo, points, self.strokes)]
