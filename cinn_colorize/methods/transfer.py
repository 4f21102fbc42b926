"""Transfer: give a photo the colours of another (paper 4.2, Fig. 15)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex

from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging.options import MAX_PIXELS, seeds_from
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
from cinn_colorize.methods.base import Entries, Files, PhotoColorizer, SampleMethod, sha256_of

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.latent import Latent
    from cinn_colorize.methods.conditioned import Conditioned
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample
else:  # for whoever reads annotations at run time
    Conditioned = Sample = Any

TEMPERATURE = 0.5  # default, of the noise mixed with a reference's code


@dataclass(frozen=True, eq=False)
class Reference:
    """Colours of a photo as a latent code; made by :meth:`BaseColorizer.reference`."""

    latent: Latent = field(repr=False)
    sha256: str  # of the photo's file


def encode_reference(colorizer: PhotoColorizer, photo: Photo) -> Reference:
    """Encode the colours of a photo; see :meth:`BaseColorizer.reference`."""
    check_reference(photo)
    size, whole = colorizer.info.chroma_size, colorizer.condition(photo).whole
    return Reference(whole.encode(photo.lab(size, size)[1:]), photo.sha256)


def check_reference(photo: Photo) -> None:
    """Refuse a photo that has no colours to transfer; PhotoError if it is gray, or cannot be read."""
    if not photo.is_color:
        raise PhotoError(f"{photo.name}: gray, with no colours to transfer; give a colour photo")


def transfer(
    conditioned: Conditioned,
    reference: Reference,
    n: SupportsIndex = 1,
    noise: SomeLevels | None = None,
    temperature: SomeLevels = TEMPERATURE,
    seed: SupportsIndex = 0,
) -> list[Sample]:
    """Give the photo the colours of another (paper Fig. 15): decode its code, mixed with noise.

    ``noise`` is the share s in [0, 1] of the noise in z = sqrt(1 - s) z_reference + sqrt(s) noise, given like
    a temperature; by default, and for levels that are not named, :func:`transfer_noise`. The n variants
    differ by their noise; its temperature, 0.5 where none is given, its seeds and errors are as in
    :meth:`Conditioned.sample`. The reference is of :meth:`BaseColorizer.reference`.
    """
    from cinn_colorize.latents.latent import Latent

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
    """Photos in the colours of another."""

    photo: Path  # the reference, encoded when it is first needed, in the process that needs it
    noise: PerLevel | None = None  # see :func:`transfer`; not None where recipes are compared
    max_pixels: int = MAX_PIXELS  # of the reference
    # The reference by network, which copies of the method share.
    _encoded: dict[tuple[str, float, str], Reference] = field(
        default_factory=dict, kw_only=True, repr=False, compare=False
    )

    name: ClassVar[str] = "transfer"
    keys: ClassVar[Mapping[str, str]] = {"noise": "strength", "reference": "reference"}
    files: ClassVar[Mapping[str, str]] = {"reference": "reference"}
    encodes: ClassVar[bool] = True

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        return cls(files[entries["reference"]], parse_noise(entries["noise"], levels, 1.0), max_pixels)

    @property
    def settings(self) -> Mapping[str, Any]:
        noise = None if self.noise is None else format_levels(self.noise)
        return {"noise": noise, "reference": sha256_of(self.photo)}

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.photo,)

    @property
    def is_random(self) -> bool:
        return super().is_random and (self.noise is None or not is_zero(self.noise))

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        """See :meth:`SampleMethod.samples`; PhotoError if the reference cannot be read, or is gray."""
        network = colorizer.sha256, colorizer.guidance, colorizer.precision
        if network not in self._encoded:
            self._encoded[network] = encode_reference(colorizer, self._opened)
        conditioned, reference = colorizer.condition(photo), self._encoded[network]
        return transfer(conditioned, reference, self.number, self.noise, self.temperature, self.seed)

    def first_tiles(self, colorizer: PhotoColorizer, photo: Photo) -> list[Tile]:
        from cinn_colorize.methods.contact_sheet import TILE, gray_tile

        return [(self._opened.thumbnail(TILE), "reference"), gray_tile(photo)]

    @cached_property
    def _opened(self) -> Photo:
        from cinn_colorize.imaging.photo import open_photo

        return open_photo(self.photo, max_pixels=self.max_pixels)
