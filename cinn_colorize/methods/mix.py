"""Mix: two samples of a photo joined by a mask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex
from urllib.parse import parse_qsl, quote, urlencode

from cinn_colorize.errors import PhotoError, printable_name
from cinn_colorize.imaging.options import MAX_PIXELS, Rendering, parse_seed, whole_number
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
from cinn_colorize.methods.hints import Hint, Hinted
from cinn_colorize.methods.sample import Sampling, Variation
from cinn_colorize.methods.transfer import Transfer

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.noise import Floats
    from cinn_colorize.methods.conditioned import Conditioned
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample
else:  # for whoever reads annotations at run time
    Conditioned = Sample = Any

# The finest level whose code is that of both samples' colours, joined by the mask and encoded. Finer levels
# keep the code of one sample or the other, and follow the photo where the mask's border does not.
FINEST_JOINED = 8
_OTHER = {"original": "from another photo", "weights": "with other weights"}


@dataclass(frozen=True, eq=False)
class Mask:
    """Part of a photo; made by :meth:`BaseColorizer.mask`."""

    share: Floats = field(repr=False)  # of the inside, (64, 64) in [0, 1], stretched as L is
    source: str  # SHA-256 of the mask's file, or the pixel of a thing


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
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be two integers, one inside and one outside, not {seeds!r:.80}")
    both = [whole_number(seed, "seed", 0) for seed in seeds]
    if len(both) != 2:
        raise ValueError(f"a mix has two seeds, one inside and one outside, not {len(both)}")
    if not isinstance(mask, Mask):
        raise TypeError(f"the mask must be made by Colorizer.mask(), not {type(mask).__name__}")
    whole = conditioned.whole
    temperature = parse_temperature(temperature, whole.latent_shapes, conditioned.temperature)
    samples = [whole.sample(1, temperature, seed)[0] for seed in both]
    recipe = {"method": Mix.name, "outside_seed": str(both[1]), "mask": mask.source}
    return _joined(whole, samples, mask, recipe)


def _side_by_side(both: Sequence[Sample], mask: Mask) -> Floats:
    inside, outside = both
    return mask.share * inside.ab + (1 - mask.share) * outside.ab


def _joined(whole: Conditioned, both: Sequence[Sample], mask: Mask, recipe: Mapping[str, str]) -> Sample:
    import torch

    from cinn_colorize.latents.latent import Latent, pooled
    from cinn_colorize.latents.noise import same_noise

    inside, outside = both
    joined = whole.encode(_side_by_side(both, mask))
    share = pooled(torch.as_tensor(mask.share), whole.latent_shapes)
    one, latent = (whole.encode(s.ab) if s.levels is None else s.latent for s in (inside, outside))
    if same_noise(inside.seed, outside.seed):  # then the sum below would not be standard normal
        latent = Latent({r: z + share[r] * (one.levels[r] - z) for r, z in latent.levels.items()})
    else:
        latent = latent.mixed(one, share)
    latent = latent.replace((r for r in whole.latent_shapes if r <= FINEST_JOINED), joined)
    (sample,) = whole.samples_of(latent, [inside.seed], inside.temperature, recipe)
    return sample


@dataclass(frozen=True)
class Mix(SampleMethod):
    """Two samples of a photo joined by a mask, one inside, the other outside."""

    mask: Path | Hint  # a picture that is white inside and black outside, or a pixel of the thing inside
    outside_seed: int
    max_pixels: int = MAX_PIXELS  # of the mask
    of: tuple[SampleMethod, ...] = ()  # what draws both, if it is more than their seeds
    results: tuple[Path, ...] = ()  # files of the parts
    _drawn: dict[Photo, tuple[Mask, list[Sample]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    name: ClassVar[str] = "mix"
    keys: ClassVar[Mapping[str, str]] = {"outside_seed": "seed outside", "mask": "mask", "of": "parts"}
    absent: ClassVar[Mapping[str, str]] = {"of": ""}
    files: ClassVar[Mapping[str, str]] = {"mask": "mask", "of": "file of a part"}
    encodes: ClassVar[bool] = True

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        mask, levels = mask_of(entries["mask"]), list(levels)
        of = [dict(parse_qsl(text, keep_blank_values=True)) for text in entries["of"].split()]
        if len(of) not in (0, 2):
            raise ValueError(f"a mix has two parts, not {len(of)}")
        parts = tuple(part_of(part, files, levels, max_pixels) for part in of)
        where = mask if isinstance(mask, Hint) else files[entries["mask"]]
        return cls(where, parse_seed(entries["outside_seed"]), max_pixels, parts)

    @property
    def settings(self) -> Mapping[str, Any]:
        mask = sha256_of(self.mask) if isinstance(self.mask, Path) else _pixel(self.mask)
        drawn = ({**part.drawn, **part.rendering.entries()} for part in self.of)
        of = " ".join(urlencode(entries, quote_via=quote) for entries in drawn)
        return {"outside_seed": self.outside_seed, "mask": mask, "of": of}

    @cached_property
    def opened(self) -> Photo:
        """The mask's file, opened; PhotoError if the mask cannot be read."""
        from cinn_colorize.imaging.photo import open_photo

        assert isinstance(self.mask, Path)
        check_file(self.mask)
        return open_photo(self.mask, max_pixels=self.max_pixels)

    def open_files(self) -> None:
        if isinstance(self.mask, Path):
            _ = self.opened

    @property
    def paths(self) -> tuple[Path, ...]:
        masks = [self.mask] if isinstance(self.mask, Path) else []
        return (*masks, *self.results, *(path for part in self.of for path in part.paths))

    def check(self, colorizer: PhotoColorizer, photo: Photo) -> None:
        self._mask_of(colorizer, photo)

    def _mask_of(self, colorizer: PhotoColorizer, photo: Photo) -> Mask:
        """Read the mask; PhotoError if it or a result does not fit the photo, or it is all black or white."""
        wanted = colorizer.recipe({}, self.rendering, photo)
        for result in self.results:
            _check_result(result, wanted, self.max_pixels)
        if isinstance(self.mask, Hint):
            from cinn_colorize.methods import things

            share = things.at(self.mask, photo, colorizer.condition(photo))
            return Mask(_squeezed(share, colorizer.info.chroma_size), _pixel(self.mask))
        mask = self.opened
        check_shape(mask.name, (mask.width, mask.height), photo, "mask")
        return read_mask(mask.framed_as(photo), colorizer.info.chroma_size)

    def _both(self, colorizer: PhotoColorizer, photo: Photo) -> tuple[Mask, list[Sample]]:
        if photo not in self._drawn:
            mask, whole = self._mask_of(colorizer, photo), colorizer.condition(photo).whole
            seeds = () if self.of else (self.seed, self.outside_seed)
            drawn = [whole.sample(1, self.temperature, seed)[0] for seed in seeds]
            self._drawn[photo] = mask, drawn or [_as_shown(part, colorizer, photo) for part in self.of]
        return self._drawn[photo]

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        from cinn_colorize.methods.ensemble import recolored

        mask, both = self._both(colorizer, photo)
        if isinstance(self.mask, Hint):  # the border of a thing follows the photo already
            return recolored(both[:1], [_side_by_side(both, mask)], self.entries)
        return [_joined(colorizer.condition(photo).whole, both, mask, self.entries)]

    def first_tiles(self, colorizer: PhotoColorizer, photo: Photo) -> list[Tile]:
        from cinn_colorize.methods.contact_sheet import TILE, gray_tile
        from cinn_colorize.methods.things import outlined

        (mask, both), small = self._both(colorizer, photo), photo.small(TILE)
        names = [path.name for path in self.results] or [f"seed {sample.seed}" for sample in both]
        composed = colorizer.compose(small, both, self.rendering)
        pictures = [made.picture.thumbnail(TILE) for made in composed]
        labels = f"inside: {names[0]}", f"outside: {names[1]}"
        if isinstance(self.mask, Path):
            shown = gray_tile(self.opened)[0].resize((small.width, small.height))
        else:
            shown = outlined(gray_tile(photo)[0], photo, mask.share[None])
        return [(shown, "mask"), *zip(pictures, labels, strict=True)]


def mask_of(text: str) -> Path | Hint:
    """Return the mask that text names: a pixel ``x,y`` of a thing, or the path of a picture."""
    return Hint.parse(f"{text},gray") if re.fullmatch(r"\d{1,9},\d{1,9}", text, re.ASCII) else Path(text)


def _pixel(hint: Hint) -> str:
    return f"{hint.x},{hint.y}"


def part_of(entries: Entries, files: Files, levels: Sequence[int], max_pixels: int) -> SampleMethod:
    """Return what draws a part from what recipes say of it; a KeyError or ValueError if that is damaged."""
    kinds: list[type[SampleMethod]] = [Sampling, Variation, Transfer, Hinted, Mix]
    kind = {kind.name: kind for kind in kinds}[entries["method"]]
    return replace(
        kind.from_recipe({**kind.absent, **entries}, files, levels, max_pixels),
        seed=parse_seed(entries["seed"]),
        temperature=parse_temperature(entries["temperature"], levels, 1.0),
        rendering=Rendering.from_entries(entries),
    )


def _check_result(path: Path, wanted: Entries, max_pixels: int) -> None:
    """Refuse a result of another photo, frame or network than recipes of the mix will name."""
    from cinn_colorize.imaging.photo import read_recipe

    found = read_recipe(path, max_pixels=max_pixels)
    for key in ("original", "page", "pages", "frame", "model", "weights", "precision", "guidance"):
        one, other = found.get(key, "none"), wanted.get(key, "none")
        if one != other:
            how = _OTHER.get(key) or f"with {key} {one}, not {other}"
            advice = "give mix the photo and the options of its results"
            raise PhotoError(f"{printable_name(path)}: was made {how}; {advice}")


def _as_shown(part: SampleMethod, colorizer: PhotoColorizer, photo: Photo) -> Sample:
    """Draw a part with the colours that its own picture shows, squeezed to the square of the whole photo."""
    import numpy as np

    from cinn_colorize.imaging.light import shown

    (sample,) = part.samples(colorizer, photo)
    ab = shown(photo.luminance(*sample.ab.shape[1:]), sample.ab, part.rendering)
    ab = np.stack([_squeezed(plane, colorizer.info.chroma_size) for plane in ab])
    return sample if np.array_equal(ab, sample.ab) else replace(sample, ab=ab, levels=None)


def _squeezed(plane: Floats, size: int) -> Floats:
    import cv2
    import numpy as np

    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA), np.float32)
