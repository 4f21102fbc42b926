"""Mix: two samples of a photo joined by a mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex

from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging.options import MAX_PIXELS, parse_seed, whole_number
from cinn_colorize.latents.levels import SomeLevels, parse_temperature
from cinn_colorize.methods.base import (
    Entries,
    Files,
    PhotoColorizer,
    SampleMethod,
    check_file,
    check_shape,
    sha256_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.methods.conditioned import Conditioned
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample
else:  # for whoever reads annotations at run time
    Conditioned = Sample = Any

# The finest level whose code is that of both samples' colours, joined by the mask and encoded. Finer levels
# keep the code of one sample or the other, and follow the photo where the mask's border does not.
FINEST_JOINED = 8


@dataclass(frozen=True, eq=False)
class Mask:
    """Part of a photo; made by :meth:`BaseColorizer.mask`."""

    share: NDArray[np.float32] = field(repr=False)  # of the inside, (64, 64) in [0, 1], stretched as L is
    sha256: str  # of the mask's file


def read_mask(image: Photo, size: int) -> Mask:
    """Read a mask, stretched to ``size`` pixels on each side; see :meth:`BaseColorizer.mask`."""
    import numpy as np

    share = np.clip(image.luminance(size, size) / 100, 0, 1).astype(np.float32)
    if share.max() < 0.5 or share.min() > 0.5:
        everything = "black" if share.max() < 0.5 else "white"
        raise PhotoError(
            f"{image.name}: is {everything} all over; paint the part inside white and the rest black"
        )
    return Mask(share, image.sha256)


def mix(
    conditioned: Conditioned,
    seeds: Iterable[SupportsIndex],
    mask: Mask,
    temperature: SomeLevels | None = None,
) -> Sample:
    """Join two samples: one inside a mask, the other outside.

    The colours of both, joined by the mask, are encoded, which gives the coarse levels; finer levels are
    those of either sample, so that the photo's edges decide where the border between them lies. Errors are
    those of :meth:`Conditioned.sample`; an EngineError if the engine cannot encode.

    Args:
        conditioned: the photo.
        seeds: seeds of the samples inside and outside.
        mask: see :meth:`BaseColorizer.mask`.
        temperature: temperature of both; see :meth:`Conditioned.sample`.
    """
    import torch

    from cinn_colorize.latents.latent import pooled
    from cinn_colorize.latents.noise import same_noise

    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be two integers, one inside and one outside, not {seeds!r:.80}")
    both = [whole_number(seed, "seed", 0) for seed in seeds]
    if len(both) != 2:
        raise ValueError(f"a mix has two seeds, one inside and one outside, not {len(both)}")
    if not isinstance(mask, Mask):
        raise TypeError(f"the mask must be made by Colorizer.mask(), not {type(mask).__name__}")
    whole = conditioned.whole
    temperature = parse_temperature(temperature, whole.latent_shapes, conditioned.temperature)
    inside, outside = (whole.sample(1, temperature, seed)[0] for seed in both)
    joined = whole.encode(mask.share * inside.ab + (1 - mask.share) * outside.ab)
    share = pooled(torch.as_tensor(mask.share), whole.latent_shapes)
    # The sum is standard normal only if both parts are independent.
    latent = outside.latent if same_noise(*both) else outside.latent.mixed(inside.latent, share)
    latent = latent.replace((r for r in whole.latent_shapes if r <= FINEST_JOINED), joined)
    recipe = {"method": Mix.name, "outside_seed": str(both[1]), "mask": mask.sha256}
    (sample,) = whole.samples_of(latent, both[:1], temperature, recipe)
    return sample


@dataclass(frozen=True)
class Mix(SampleMethod):
    """Two samples of a photo joined by a mask, one inside, the other outside."""

    mask: Path  # of a picture that is white inside and black outside
    outside_seed: int
    max_pixels: int = MAX_PIXELS  # of the mask

    name: ClassVar[str] = "mix"
    keys: ClassVar[Mapping[str, str]] = {"outside_seed": "seed outside", "mask": "mask"}
    files: ClassVar[Mapping[str, str]] = {"mask": "mask"}
    encodes: ClassVar[bool] = True

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        return cls(files[entries["mask"]], parse_seed(entries["outside_seed"]), max_pixels)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"outside_seed": self.outside_seed, "mask": sha256_of(self.mask)}

    @cached_property
    def opened(self) -> Photo:
        """The mask's file, opened; PhotoError if the mask cannot be read."""
        from cinn_colorize.imaging.photo import open_photo

        check_file(self.mask)
        return open_photo(self.mask, max_pixels=self.max_pixels)

    def open_files(self) -> None:
        _ = self.opened

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.mask,)

    def check(self, colorizer: PhotoColorizer, photo: Photo) -> None:
        self._mask_of(colorizer, photo)

    def _mask_of(self, colorizer: PhotoColorizer, photo: Photo) -> Mask:
        """Read the mask; PhotoError if it has another shape than the photo, or is all black or white."""
        mask = self.opened
        check_shape(mask.name, (mask.width, mask.height), photo, "mask")
        return read_mask(mask.framed_as(photo), colorizer.info.chroma_size)

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        mask = self._mask_of(colorizer, photo)
        return [mix(colorizer.condition(photo), (self.seed, self.outside_seed), mask, self.temperature)]

    def first_tiles(self, colorizer: PhotoColorizer, photo: Photo) -> list[Tile]:
        from cinn_colorize.methods.contact_sheet import TILE, gray_tile

        whole, small = colorizer.condition(photo).whole, photo.small(TILE)
        samples = [whole.sample(1, self.temperature, s)[0] for s in (self.seed, self.outside_seed)]
        labels = f"inside: seed {self.seed}", f"outside: seed {self.outside_seed}"
        composed = colorizer.compose(small, samples, self.rendering)
        pictures = [made.picture.thumbnail(TILE) for made in composed]
        mask, _ = gray_tile(self.opened)
        return [(mask.resize((small.width, small.height)), "mask"), *zip(pictures, labels, strict=True)]
