"""What all ways to draw have in common.

A way to draw is a class with all of it in one place: its parameters, how it draws, what it writes into a
recipe and reads back, what its contact sheet shows first. :mod:`cinn_colorize.methods.registry` lists them.
Light: imports no torch, since the process that only hands out photos has its parameters too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cinn_colorize import weights
from cinn_colorize.errors import PhotoError
from cinn_colorize.files import printable_name
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.options import Rendering

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.contact_sheet import Chart, Tile
    from cinn_colorize.samples import Colorization, Sample

Files = Mapping[str, Path]  # by the SHA-256 that a recipe has
_SAME_ASPECT = 1.02  # what rounding to whole pixels may do to a picture that was made smaller


class Method(ABC):
    """A way to draw one picture of a photo.

    Attributes:
        name: in recipes.
        keys: entries of its own in a recipe.
        files: those of them that are SHA-256s of files beside the photo, and what messages call these.
    """

    name: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[Mapping[str, str]] = {}

    @classmethod
    @abstractmethod
    def from_recipe(cls, entries: Mapping[str, str], files: Files, levels: Iterable[int]) -> Self:
        """Read the parameters back.

        Args:
            entries: of a recipe, with all of ``keys``.
            files: those that the recipe names.
            levels: of the model's latent code.

        Raises:
            KeyError: a file is missing.
            ValueError: an entry cannot be read.
        """

    @abstractmethod
    def draw(
        self,
        colorizer: BaseColorizer,
        photo: Photo,
        temperature: PerLevel,
        seed: int,
        rendering: Rendering,
    ) -> Colorization | Chart:
        """Draw the picture of a recipe."""


class SampleMethod(Method):
    """A way to draw samples of a photo, each of which becomes a picture of the photo's size."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What makes its samples others than those of other parameters, for JSON; keys are the recipe's."""
        return {}

    def kept(self, number: int) -> int:
        """How many samples of a photo are kept if ``number`` are drawn."""
        return number

    @abstractmethod
    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """Draw samples with the seeds ``seed``, ``seed`` + 1, ...

        Raises:
            PhotoError: a file that the method needs cannot be used.
        """

    @abstractmethod
    def first_tiles(
        self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int
    ) -> list[Tile]:
        """What the contact sheet shows before the samples."""

    def draw(
        self,
        colorizer: BaseColorizer,
        photo: Photo,
        temperature: PerLevel,
        seed: int,
        rendering: Rendering,
    ) -> Colorization:
        """Draw the sample of a recipe at the photo's size."""
        samples = self.samples(colorizer, photo, 1, temperature, seed)
        (colorization,) = colorizer.compose(photo, samples, rendering)
        return colorization


def sha256_of(path: Path, error: type[Exception] = PhotoError) -> str:
    """SHA-256 of a file that a method needs.

    Raises:
        Exception: ``error``, if it cannot be read.
    """
    try:
        return weights.sha256(path)
    except OSError as problem:
        raise error(f"{printable_name(path)}: cannot be read ({problem.strerror})") from problem


def check_shape(name: str, size: tuple[int, int], photo: Photo, what: str) -> None:
    """Refuse a picture that was not painted over a photo.

    Args:
        name: of the picture, for the message.
        size: its width and height.
        photo: that it is laid over.
        what: is painted.

    Raises:
        PhotoError: it has another shape than the photo.
    """
    width, height = size
    stretch = width / height * photo.height / photo.width
    if not 1 / _SAME_ASPECT <= stretch <= _SAME_ASPECT:
        raise PhotoError(
            f"{name}: has {width}x{height} pixels and does not fit the photo's "
            f"{photo.width}x{photo.height}; paint the {what} over the photo"
        )
