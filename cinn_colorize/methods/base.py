"""Base classes of the methods to draw. Imports no torch: what only hands out photos has them too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from cinn_colorize.errors import CinnError, PhotoError, os_errors_as, printable_name
from cinn_colorize.files.atomic import mode_like, sha256
from cinn_colorize.imaging.options import Rendering
from cinn_colorize.latents.levels import PerLevel, format_levels, is_zero

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.conditioned import Conditioned
    from cinn_colorize.methods.contact_sheet import Chart, Tile
    from cinn_colorize.methods.samples import Colorization, Sample
    from cinn_colorize.models import PhotoModelInfo

Entries = Mapping[str, str]  # of a recipe
Files = Mapping[str, Path]  # by the SHA-256 in a recipe
_SAME_ASPECT = 1.02  # rounding to whole pixels may change the aspect of a reduced picture by this


class PhotoColorizer(Protocol):
    """What methods need of :class:`cinn_colorize.colorizer.BaseColorizer`, which stands above them."""

    info: PhotoModelInfo
    sha256: str
    precision: str
    guidance: float

    def condition(self, photo: Photo) -> Conditioned:
        """Compute what all samples of a photo share."""

    def compose(self, photo: Photo, samples: Sequence[Sample], rendering: Rendering) -> list[Colorization]:
        """Bring samples of a photo to its full size."""

    def recipe(self, drawn: Mapping[str, str], rendering: Rendering, photo: Photo) -> dict[str, str]:
        """Complete what says how a sample was drawn."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Way to draw a picture of a photo, with its parameters."""

    seed: int = 0  # of the noise, of the first sample if there are several
    temperature: PerLevel = 1.0  # of the noise
    rendering: Rendering = Rendering()

    name: ClassVar[str]  # in recipes
    keys: ClassVar[Mapping[str, str]] = {}  # entries that only its recipes have, and what messages call them
    absent: ClassVar[Mapping[str, str]] = {}  # values of the keys that recipes may lack, as earlier ones do
    files: ClassVar[Mapping[str, str]] = {}  # keys with SHA-256s of files beside the photo, and their names
    encodes: ClassVar[bool] = False  # whether it requires f, from colours to codes, which some engines lack

    @classmethod
    @abstractmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        """Read the parameters that only this method has from a recipe, whose entries include all ``keys``.

        ``levels`` are those of the model's latent code; the files that the recipe names may have up to
        ``max_pixels``. A KeyError if a file is missing, a ValueError if an entry cannot be read.
        """

    @property
    @abstractmethod
    def entries(self) -> dict[str, str]:
        """What recipes say of the method; raises if a file that it requires cannot be read."""

    @property
    def drawn(self) -> dict[str, str]:
        """What recipes say of how a picture is drawn, but for the model."""
        return {**self.entries, "seed": str(self.seed), "temperature": format_levels(self.temperature)}

    @abstractmethod
    def draw(self, colorizer: PhotoColorizer, photo: Photo) -> Colorization | Chart:
        """Draw the picture that a recipe describes."""


@dataclass(frozen=True, kw_only=True)
class SampleMethod(Method):
    """Method to draw samples of a photo, each of which becomes a picture of the photo's size."""

    number: int = 1  # of samples drawn, of which fewer may be kept; their seeds count up

    @property
    def settings(self) -> Mapping[str, Any]:
        """Parameters that only this method has, ready for JSON, under the keys of recipes."""
        return {}

    @property
    def order(self) -> str:
        """By what the samples are sorted."""
        return "seed"

    @property
    def entries(self) -> dict[str, str]:
        entries = {key: str(self.settings[key]) for key in self.keys}
        absent = self.absent.items()
        return {"method": self.name, **{key: v for key, v in entries.items() if (key, v) not in absent}}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files that the method reads beside the photo."""
        return ()

    @property
    def mode(self) -> int:
        """Permission bits of pictures, which nobody may read who may not read these files."""
        return mode_like(*self.paths)

    def open_files(self) -> None:  # most methods have none
        """Refuse files that cannot be used, before anything is drawn; PhotoError if one cannot."""

    @property
    def is_random(self) -> bool:
        """Whether samples of other seeds are others."""
        return not is_zero(self.temperature)

    @property
    def kept(self) -> int:
        return self.number

    def check(self, colorizer: PhotoColorizer, photo: Photo) -> None:
        """Refuse a photo that does not go with the method's parameters; PhotoError if it does not."""

    @abstractmethod
    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        """Draw the samples of a photo; PhotoError if a file that the method requires cannot be used."""

    def parts(
        self, colorizer: PhotoColorizer, photo: Photo, wanted: Collection[int]
    ) -> Iterator[list[Sample]]:
        """Yield the samples of :meth:`samples` in parts, each as soon as it is drawn, if that can be.

        Those whose seeds are not ``wanted`` may be left out. Raises what :meth:`samples` does.
        """
        yield self.samples(colorizer, photo)

    @abstractmethod
    def first_tiles(self, colorizer: PhotoColorizer, photo: Photo) -> list[Tile]:
        """Return what the contact sheet shows before the samples."""

    def draw(self, colorizer: PhotoColorizer, photo: Photo) -> Colorization:
        """Draw the only sample at the photo's size."""
        (colorization,) = colorizer.compose(photo, self.samples(colorizer, photo), self.rendering)
        return colorization


def check_file(path: Path, error: type[CinnError] = PhotoError) -> None:
    """Raise ``error`` for a pipe, which can be read only once, or a device, which may be endless."""
    if path.exists() and not path.is_file():
        raise error(f"{printable_name(path)}: cannot be read (not a file)")


def sha256_of(path: Path, error: type[CinnError] = PhotoError) -> str:
    """Return the SHA-256 of a file that a method requires; raise ``error`` if it cannot be read."""
    check_file(path, error)
    with os_errors_as(error, path, "cannot be read"):
        return sha256(path)


def check_shape(name: str, size: tuple[int, int], photo: Photo, what: str) -> None:
    """Raise a PhotoError unless a picture that shows ``what`` has the shape of the photo under it."""
    width, height = size
    stretch = width / height * photo.height / photo.width
    if not 1 / _SAME_ASPECT <= stretch <= _SAME_ASPECT:
        raise PhotoError(
            f"{name}: has {width}x{height} pixels and does not fit the photo's "
            f"{photo.width}x{photo.height}; paint the {what} over the photo"
        )
