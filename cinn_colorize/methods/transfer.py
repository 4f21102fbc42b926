"""Transfer: give a photo the colours of another (paper 4.2, Fig. 15)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex

from cinn_colorize.errors import PhotoError
from cinn_colorize.latents.levels import (
    PerLevel,
    SomeLevels,
    by_level,
    format_levels,
    is_zero,
    parse_noise,
    parse_temperature,
    transfer_noise,
)
from cinn_colorize.methods.base import Files, SampleMethod, sha256_of
from cinn_colorize.options import MAX_PIXELS, Rendering

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.conditioned import ConditionedPhoto
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.latent import Latent
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.samples import Sample

TEMPERATURE = 0.5  # default, of the noise mixed with a reference's code


@dataclass(frozen=True, eq=False)
class Reference:
    """Colours of a photo as a latent code; made by :meth:`BaseColorizer.reference`."""

    latent: Latent = field(repr=False)
    sha256: str  # of the photo's file


def check_reference(photo: Photo) -> None:
    """Refuse a photo that has no colours to transfer.

    Raises:
        PhotoError: it is gray, or cannot be read.
    """
    if not photo.is_color:
        raise PhotoError(f"{photo.name}: gray, with no colours to transfer; give a colour photo")


def transfer(
    conditioned: ConditionedPhoto,
    reference: Reference,
    n: SupportsIndex,
    noise: SomeLevels | None,
    temperature: SomeLevels,
    seed: SupportsIndex,
) -> list[Sample]:
    """See :meth:`ConditionedPhoto.transfer`."""
    from cinn_colorize.latents.latent import Latent
    from cinn_colorize.samples import seeds_from

    if not isinstance(reference, Reference):
        kind = type(reference).__name__
        raise TypeError(f"the reference must be made by Colorizer.reference(), not {kind}")
    whole, seeds = conditioned.whole, seeds_from(seed, n)
    levels = list(whole.latent_shapes)
    share = by_level(parse_noise(noise, levels, transfer_noise(levels)), levels)
    temperature = parse_temperature(temperature, levels, TEMPERATURE)
    drawn = Latent.draw(whole.latent_shapes, seeds, temperature)
    latent = reference.latent.expand(len(seeds)).mixed(drawn, share)
    recipe = {"method": Transfer.name, "noise": format_levels(share), "reference": reference.sha256}
    return whole.samples_of(latent, seeds, temperature, recipe)


@dataclass(frozen=True)
class Transfer(SampleMethod):
    """Photos in the colours of another.

    Attributes:
        photo: path of the reference, which is encoded when it is first needed, in the process that needs it.
        noise: see :meth:`ConditionedPhoto.transfer`; not None where recipes are compared.
        max_pixels: largest reference accepted, in pixels.
    """

    photo: Path
    noise: PerLevel | None = None
    max_pixels: int = MAX_PIXELS
    _encoded: dict[tuple[str, float, str], Reference] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    name: ClassVar[str] = "transfer"
    keys: ClassVar[tuple[str, ...]] = ("noise", "reference")
    files: ClassVar[Mapping[str, str]] = {"reference": "reference"}
    encodes: ClassVar[bool] = True

    @classmethod
    def from_recipe(
        cls, entries: Mapping[str, str], files: Files, levels: Iterable[int], max_pixels: int
    ) -> Self:
        """See :meth:`Method.from_recipe`."""
        return cls(files[entries["reference"]], parse_noise(entries["noise"], levels, 1.0), max_pixels)

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :attr:`SampleMethod.settings`."""
        noise = None if self.noise is None else format_levels(self.noise)
        return {"noise": noise, "reference": sha256_of(self.photo)}

    @property
    def paths(self) -> tuple[Path, ...]:
        """See :attr:`SampleMethod.paths`."""
        return (self.photo,)

    def is_random(self, temperature: PerLevel) -> bool:
        """See :meth:`SampleMethod.is_random`."""
        return super().is_random(temperature) and (self.noise is None or not is_zero(self.noise))

    def samples(
        self, colorizer: BaseColorizer, photo: Photo, number: int, temperature: PerLevel, seed: int
    ) -> list[Sample]:
        """See :meth:`SampleMethod.samples`.

        Raises:
            PhotoError: the reference cannot be read, or is gray.
        """
        network = colorizer.sha256, colorizer.guidance, colorizer.precision
        if network not in self._encoded:
            self._encoded[network] = colorizer.reference(self._opened)
        reference = self._encoded[network]
        return colorizer.condition(photo).transfer(reference, number, self.noise, temperature, seed)

    def first_tiles(
        self, colorizer: BaseColorizer, photo: Photo, temperature: PerLevel, seed: int, rendering: Rendering
    ) -> list[Tile]:
        """Return the reference and the photo in gray, as in Fig. 15 of the paper."""
        from cinn_colorize.methods.contact_sheet import TILE, gray_tile

        return [(self._opened.thumbnail(TILE), "reference"), gray_tile(photo)]

    @cached_property
    def _opened(self) -> Photo:
        from cinn_colorize.imaging.photo import open_photo

        return open_photo(self.photo, max_pixels=self.max_pixels)
