"""What is drawn of a photo, and what stands before the results on its contact sheet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cinn_colorize.errors import PhotoError
from cinn_colorize.latents.levels import PerLevel

if TYPE_CHECKING:  # the process that only hands out photos needs no network
    from cinn_colorize.colorizer import BaseColorizer, Reference, Sample
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.hints import Hint

_SAME_ASPECT = 1.02  # what rounding to whole pixels may do to a mask that was made smaller


class Drawing(Protocol):
    """Draws samples of photos, one way or another."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What makes its samples other ones, for JSON."""

    def kept(self, number: int) -> int:
        """How many samples of a photo are kept if ``number`` are drawn."""

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """Draw samples with the seeds ``seed``, ``seed`` + 1, ..."""

    def before(self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
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

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`Drawing`; the order is no other sample."""
        return {"pick": self.pick} if self.pick else {}

    def kept(self, number: int) -> int:
        """See :class:`Drawing`."""
        return self.pick or number

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :class:`Drawing`."""
        from cinn_colorize.samples import likeliest

        samples = colorizer.condition(photo).sample(number, temperature, seed)
        return likeliest(samples, self.pick) if self.ranked or self.pick else samples

    def before(self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The photo as it is."""
        from cinn_colorize.methods.contact_sheet import original_tile

        return [original_tile(photo)]


@dataclass
class Transfer:
    """Photos in the colours of another.

    Attributes:
        photo: path of the reference. It is encoded when it is needed first, in the process that needs it.
        max_pixels: the reference is refused if it has more.
        noise: see :meth:`ConditionedPhoto.transfer`.
    """

    photo: Path
    max_pixels: int
    noise: PerLevel | None
    _reference: tuple[Reference, Tile] | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`Drawing`."""
        return {"reference": str(self.photo), "noise": self.noise}

    def kept(self, number: int) -> int:
        """All."""
        return number

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :class:`Drawing`.

        Raises:
            PhotoError: the reference can't be read, or is gray.
        """
        reference, _ = self._encoded(colorizer)
        return colorizer.condition(photo).transfer(reference, number, self.noise, temperature, seed)

    def before(self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The reference and the photo in gray, as in Fig. 15 of the paper."""
        from cinn_colorize.methods.contact_sheet import gray_tile

        return [self._encoded(colorizer)[1], gray_tile(photo)]

    def _encoded(self, colorizer: BaseColorizer) -> tuple[Reference, Tile]:
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.contact_sheet import TILE

        if self._reference is None:
            opened = open_photo(self.photo, max_pixels=self.max_pixels)
            self._reference = colorizer.reference(opened), (opened.thumbnail(TILE), "reference")
        return self._reference


@dataclass(frozen=True)
class Mix:
    """Two samples of a photo joined by a mask: the one seed inside, the other outside.

    Attributes:
        mask: white where the first sample is.
        outside_seed: of the other sample.
    """

    mask: Photo
    outside_seed: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`Drawing`."""
        return {"mask": self.mask.sha256, "outside": self.outside_seed}

    def kept(self, number: int) -> int:
        """All."""
        return number

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """One sample; see :meth:`ConditionedPhoto.mix`.

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

    def before(self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The mask and the two samples."""
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.contact_sheet import TILE, gray_tile

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
        progress: see :func:`cinn_colorize.methods.hints.draw`.
    """

    points: tuple[Hint, ...]
    strokes: Path | None
    progress: Callable[[int, int], None] | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`Drawing`."""
        try:
            strokes = self.strokes and hashlib.sha256(self.strokes.read_bytes()).hexdigest()
        except OSError:
            strokes = None  # an error where they are read
        return {"hints": [str(point) for point in self.points], "strokes": strokes}

    def kept(self, number: int) -> int:
        """All."""
        return number

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :class:`Drawing`.

        Raises:
            PhotoError: a hint lies outside of the photo, or the strokes can't be used.
        """
        from cinn_colorize.methods.hints import Hints, draw

        hints = Hints.of(photo, self.points, self.strokes)
        return draw(colorizer.condition(photo), hints, number, temperature, seed, self.progress)

    def before(self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int) -> list[Tile]:
        """The photo in gray with the hints on it."""
        from cinn_colorize.methods.contact_sheet import hints_tile

        points = [((p.x + 0.5) / photo.width, (p.y + 0.5) / photo.height, p.rgb) for p in self.points]
        return [hints_tile(photo, points, self.strokes)]
