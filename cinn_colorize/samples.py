"""Colourings of a photo, and what all that draw them have in common. Light: imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cinn_colorize import __version__
from cinn_colorize.errors import PhotoError
from cinn_colorize.files import format_of_name
from cinn_colorize.imaging.photo import Photo, open_photo, read_recipe
from cinn_colorize.imaging.picture import Picture
from cinn_colorize.imaging.upsampling import GUIDE_SCALE, Upsampler
from cinn_colorize.latents.levels import PerLevel, format_levels
from cinn_colorize.latents.windows import Windows
from cinn_colorize.models.registry import PhotoModelInfo

if TYPE_CHECKING:
    import PIL.Image

    from cinn_colorize.latents.latent import Latent

Floats = NDArray[np.float32]
PhotoLike: TypeAlias = "str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[np.generic] | Photo"

_DIMENSIONS = 2 * 64 * 64


@dataclass(frozen=True)
class Sample:
    """One colouring at the model's size.

    Attributes:
        ab: (2, 64, 64) float32, as it leaves the flow: neither limited nor brought into a gamut. That of a
            photo longer than 2:1 is longer, blended from windows.
        latent: its code, one sample.
        log_prob: log density of x = ab / 15 given L, in nats, under the model at temperature 1; of a photo
            longer than 2:1 the mean over its windows, each before they are blended.
        seed: of its noise.
        temperature: of its noise, of all levels or by level.
        method: what else the recipe says of how it was drawn.
    """

    ab: Floats
    latent: Latent
    log_prob: float
    seed: int
    temperature: PerLevel
    method: Mapping[str, str] = field(default_factory=lambda: {"method": "sample"})

    @property
    def recipe(self) -> dict[str, str]:
        """How it was drawn, but for the model."""
        return {**self.method, "seed": str(self.seed), "temperature": format_levels(self.temperature)}

    @property
    def log_prob_per_dimension(self) -> float:
        """``log_prob`` over the dimensions of what the model draws at once."""
        return self.log_prob / _DIMENSIONS


@dataclass(frozen=True)
class Colorization:
    """One colouring of a photo at the photo's full size.

    Attributes:
        picture: pixels, metadata and :meth:`Picture.save`.
        sample: what the model drew.
        recipe: what was drawn and how; :meth:`save` adds how it was written and puts it into the file.
    """

    picture: Picture
    sample: Sample
    recipe: Mapping[str, str]

    @property
    def rgb(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(H, W, 3), uint8, or uint16 for 16-bit photos, in the photo's RGB profile (sRGB if it has none)."""
        return self.picture.rgb

    @property
    def ab(self) -> Floats:
        """The sample's ab, (2, 64, 64), longer for photos longer than 2:1."""
        return self.sample.ab

    @property
    def latent(self) -> Latent:
        """The sample's latent code."""
        return self.sample.latent

    @property
    def log_prob(self) -> float:
        """The sample's log density, in nats."""
        return self.sample.log_prob

    @property
    def seed(self) -> int:
        """The sample's seed."""
        return self.sample.seed

    def save(
        self, path: str | os.PathLike[str], *, format: str = "auto", quality: int = 95, strip: bool = False
    ) -> None:
        """Write the picture with the photo's metadata and this recipe; see :meth:`Picture.save`.

        Raises:
            PhotoError: it cannot be written.
        """
        format = format_of_name(path) if format == "auto" else format
        recipe = self._recipe_in_file(format, quality, strip)
        self.picture.save(path, format=format, quality=quality, recipe=recipe, strip=strip)

    def is_saved(self, path: str | os.PathLike[str], *, quality: int = 95, strip: bool = False) -> bool:
        """Whether :meth:`save` has made the file that is there, by the recipe in it."""
        try:
            return read_recipe(path) == self._recipe_in_file(format_of_name(path), quality, strip)
        except PhotoError:
            return False

    def _recipe_in_file(self, format: str, quality: int, strip: bool) -> dict[str, str]:
        return {**self.recipe, "format": format, "quality": str(quality), "strip": str(strip).lower()}


class NetworkInput(NamedTuple):
    """What the network sees of a photo.

    Attributes:
        square: L* (256, 256), the photo squeezed to that square.
        windows: how they lie in it.
        panorama: L* that covers a photo longer than 2:1, 256 x 256 in each window; None for others.
    """

    square: Floats
    windows: Windows
    panorama: Floats | None


class BaseColorizer:
    """What brings samples of a model to the size of their photos, wherever they come from.

    Attributes:
        info: of the model.
        sha256: of its weights file.
        precision: of its networks.
    """

    info: PhotoModelInfo
    sha256: str
    precision: str

    def temperature(self, asked: PerLevel | None) -> PerLevel:
        """What is asked for, or the model's own."""
        return self.info.temperature if asked is None else asked

    def compose(
        self, photo: Photo, samples: Sequence[Sample], *, upsampling: str = "jbu"
    ) -> list[Colorization]:
        """Bring samples of a photo to its full size, in one pass over its rows."""
        upsamplers = []
        for sample in samples:
            height, width = sample.ab.shape[1:]
            guide = photo.luminance(GUIDE_SCALE * height, GUIDE_SCALE * width)
            upsamplers.append(Upsampler(sample.ab, guide, (photo.height, photo.width), upsampling))
        pictures = photo.compose(upsamplers)
        return [
            Colorization(picture, sample, self.recipe(sample.recipe, upsampling) | {"original": photo.sha256})
            for picture, sample in zip(pictures, samples, strict=True)
        ]

    def reduce(self, photo: PhotoLike) -> NetworkInput:
        """What the network sees of a photo.

        Raises:
            PhotoError: the photo cannot be read.
        """
        size, photo = self.info.luminance_size, as_photo(photo)
        windows = Windows.of(photo.height, photo.width)
        panorama = photo.luminance(*windows.size(size)) if windows.count > 1 else None
        return NetworkInput(photo.luminance(size, size), windows, panorama)

    def recipe(self, drawn: Mapping[str, str], upsampling: str) -> dict[str, str]:
        """What makes the same picture again, but for the files: of :attr:`Sample.recipe` the rest."""
        return {
            "version": __version__,
            "model": self.info.name,
            "weights": self.sha256,
            **drawn,
            "precision": self.precision,
            "upsampling": upsampling,
        }


def likeliest(samples: Iterable[Sample], k: int | None = None) -> list[Sample]:
    """Samples ordered by their log density, the likeliest first, and the first k of them if k is given."""
    return sorted(samples, key=lambda sample: -sample.log_prob)[:k]


def seeds_from(first: int, n: int) -> range:
    """The seeds of n samples.

    Raises:
        ValueError: there is no such seed or number.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, not {n}")
    if first < 0:
        raise ValueError(f"seed must be 0 or more, not {first}")
    return range(first, first + n)


def as_photo(photo: PhotoLike) -> Photo:
    """Open what is no photo yet.

    Raises:
        PhotoError: it cannot be read.
    """
    return photo if isinstance(photo, Photo) else open_photo(photo)
