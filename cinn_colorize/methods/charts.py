"""Pictures that show many samples side by side and are made again by a recipe of their own.

A strip shows one latent code at several temperatures (paper Fig. 14), a grid raw samples of a model: drawn,
loaded, between others, or with one level of their code drawn anew.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import PIL.Image

from cinn_colorize import weights
from cinn_colorize.colorizer import Colorizer, Sample
from cinn_colorize.errors import LatentError
from cinn_colorize.files import format_of_name, printable_name
from cinn_colorize.imaging.photo import Photo, open_photo
from cinn_colorize.imaging.upsampling import GUIDE_SCALE, Upsampler
from cinn_colorize.latents.latent import Latent, Shapes
from cinn_colorize.latents.levels import PerLevel, by_level, format_levels
from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet

log = logging.getLogger(__name__)

_STRIP_TILE, _GRID_TILE = 320, 160  # pixels of the longer side of a sample


@dataclass(frozen=True)
class Chart:
    """A picture of many samples.

    Attributes:
        image: to look at.
        recipe: what was drawn and how; :meth:`save` adds how it was written.
    """

    image: PIL.Image.Image
    recipe: Mapping[str, str]

    def save(self, path: str | os.PathLike[str], *, quality: int = 92, strip: bool = False) -> None:
        """Write it with its recipe; it has no other metadata, so ``strip`` changes nothing.

        Raises:
            PhotoError: it cannot be written.
        """
        written = {"format": format_of_name(path), "quality": str(quality), "strip": str(strip).lower()}
        save_sheet(self.image, Path(path), {**self.recipe, **written}, quality)


@dataclass(frozen=True)
class Strip:
    """One latent code at several temperatures.

    Attributes:
        temperatures: from left to right.
        scaled: levels that have them; None for all.
        rest: temperature of the other levels.
        seed: of the code.
        upsampling: see :mod:`cinn_colorize.imaging.upsampling`.
    """

    temperatures: tuple[float, ...]
    scaled: tuple[int, ...] | None
    rest: PerLevel
    seed: int
    upsampling: str

    def samples(self, colorizer: Colorizer, photo: Photo) -> list[Sample]:
        """A sample for each temperature.

        Raises:
            ValueError: a temperature is out of its range, or a level unknown.
        """
        conditioned = colorizer.condition(photo)
        levels = list(conditioned.latent_shapes)
        rest = by_level(self.rest, levels, "temperature")
        scaled = levels if self.scaled is None else self.scaled
        if unknown := set(scaled) - set(levels):
            raise ValueError(f"there is no level {min(unknown)}; levels are {', '.join(map(str, levels))}")
        return [
            conditioned.sample(1, t if self.scaled is None else rest | dict.fromkeys(scaled, t), self.seed)[0]
            for t in self.temperatures
        ]

    def draw(self, colorizer: Colorizer, photo: Photo) -> Chart:
        """All in a row, labelled."""
        small = open_photo(photo.thumbnail(_STRIP_TILE))
        samples = self.samples(colorizer, photo)
        pictures = colorizer.compose(small, samples, upsampling=self.upsampling)
        labels = [f"T = {t:g}" for t in self.temperatures]
        tiles = [(p.picture.thumbnail(_STRIP_TILE), label) for p, label in zip(pictures, labels, strict=True)]
        drawn = {
            "method": "strip",
            "temperatures": ",".join(map(repr, self.temperatures)),
            "scaled": "all" if self.scaled is None else ",".join(map(str, self.scaled)),
            "seed": str(self.seed),
            "temperature": format_levels(self.rest),
        }
        recipe = colorizer.recipe(drawn, self.upsampling) | {"original": photo.sha256}
        return Chart(contact_sheet(tiles, columns=len(tiles)), recipe)


class Subject(Protocol):
    """What raw samples are drawn of, and how they look: all that differs from model to model.

    Attributes:
        latent_shapes: (C, r, r) of each level of its codes.
        sha256: of the file that the model is conditioned on.
    """

    latent_shapes: Shapes
    sha256: str

    def pictures(self, latent: Latent) -> Iterator[PIL.Image.Image]:
        """What the model makes of each code."""


class PhotoSubject:
    """A photo: the model's ab, stretched to the photo's shape without regard to its edges, under its L."""

    def __init__(self, colorizer: Colorizer, photo: Photo) -> None:
        self._conditioned = colorizer.condition(photo)
        self._small = open_photo(photo.thumbnail(_GRID_TILE))
        self.latent_shapes, self.sha256 = self._conditioned.latent_shapes, photo.sha256

    def pictures(self, latent: Latent) -> Iterator[PIL.Image.Image]:
        """See :class:`Subject`."""
        size = self._small.height, self._small.width
        for ab in self._conditioned.decode(latent):
            guide = self._small.luminance(GUIDE_SCALE * ab.shape[1], GUIDE_SCALE * ab.shape[2])
            (picture,) = self._small.compose([Upsampler(ab, guide, size, "bicubic")])
            yield picture.thumbnail(_GRID_TILE)


@dataclass(frozen=True)
class Grid:
    """Raw samples, and where their codes come from.

    Attributes:
        number: of samples; between two codes the steps with both ends, between four those of each side. None
            for all codes of a file.
        seed: of the first code drawn; the others count up from it.
        temperature: of the codes drawn.
        load: a file of codes to show.
        between: two ends of an interpolation or four corners, row by row: seeds, or files whose first code is
            meant.
        vary: the level that is drawn anew for each sample but the first.
    """

    number: int | None
    seed: int
    temperature: PerLevel
    load: Path | None = None
    between: tuple[int | Path, ...] = ()
    vary: int | None = None

    def codes(self, colorizer: Colorizer, shapes: Shapes) -> tuple[Latent, list[str]]:
        """The codes, and a label for each.

        Raises:
            LatentError: a file cannot be used.
            ValueError: an argument is out of its range.
        """

        def load(path: Path) -> Latent:
            codes, made_with = Latent.load(path, colorizer.info.name, shapes)
            if made_with != colorizer.sha256:
                log.warning(f"{printable_name(path)}: codes of other weights, which mean other colours here")
            return codes

        def draw(first: int, number: int = 1) -> Latent:
            return Latent.draw(shapes, range(first, first + number), self.temperature)

        if self.between:
            ends = [load(end)[:1] if isinstance(end, Path) else draw(end) for end in self.between]
            return self._between(ends)
        if self.load:
            codes = load(self.load)[: self.number]
            labels = [f"code {k + 1}" for k in range(len(codes))]
        else:
            assert self.number is not None, "codes that are drawn have a number"
            codes = draw(self.seed, self.number)
            labels = [f"seed {self.seed + k}" for k in range(self.number)]
        if self.vary is None:
            return codes, labels
        assert self.number is not None, "variations have a number"
        if self.vary not in shapes:
            raise ValueError(f"there is no level {self.vary}; levels are {', '.join(map(str, shapes))}")
        # The seeds after that of a code drawn; of one loaded, all from the first.
        first = self.seed + (self.load is None)
        others = draw(first, self.number - 1)
        varied = codes[:1].expand(self.number - 1).replace([self.vary], others)
        labels = [labels[0], *(f"level {self.vary}: seed {first + k}" for k in range(self.number - 1))]
        return Latent.join([codes[:1], varied]), labels

    def _between(self, ends: list[Latent]) -> tuple[Latent, list[str]]:
        assert self.number is not None, "steps have a number"
        steps = [k / (self.number - 1) for k in range(self.number)]
        names = [end.stem if isinstance(end, Path) else f"seed {end}" for end in self.between]
        if len(ends) == 2:
            labels = [names[0], *(f"{t:.2f}" for t in steps[1:-1]), names[1]]
            return Latent.join([ends[0].interpolated(ends[1], t) for t in steps]), labels
        rows = [[ends[i].interpolated(ends[i + 2], t) for t in steps] for i in (0, 1)]
        codes = [left.interpolated(right, t) for left, right in zip(*rows, strict=True) for t in steps]
        labels = [f"{row:.2f}, {column:.2f}" for row in steps for column in steps]
        for place, name in zip((0, self.number - 1, -self.number, -1), names, strict=True):
            labels[place] = name
        return Latent.join(codes), labels

    def draw(self, colorizer: Colorizer, subject: Subject) -> tuple[Chart, Latent]:
        """The grid, labelled, and the codes in it."""
        codes, labels = self.codes(colorizer, subject.latent_shapes)
        tiles = list(zip(subject.pictures(codes), labels, strict=True))
        columns = self.number if self.between else None
        drawn = {
            "method": "grid",
            "number": "" if self.number is None else str(self.number),
            "load": sha256_of(self.load) if self.load else "",
            "between": ",".join(sha256_of(e) if isinstance(e, Path) else str(e) for e in self.between),
            "vary": "" if self.vary is None else str(self.vary),
            "seed": str(self.seed),
            "temperature": format_levels(self.temperature),
        }
        recipe = colorizer.recipe(drawn, "bicubic") | {"original": subject.sha256}
        return Chart(contact_sheet(tiles, columns), recipe), codes


def sha256_of(path: Path) -> str:
    """SHA-256 of a file of codes.

    Raises:
        LatentError: it can't be read.
    """
    try:
        return weights.sha256(path)
    except OSError as error:
        raise LatentError(f"{printable_name(path)}: cannot be read ({error.strerror})") from error
