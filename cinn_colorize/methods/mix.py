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
from cinn_colorize.methods.base import Entries, Files, PhotoColorizer, SampleMethod, check_file, check_shape
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
    origin: str  # in recipes: SHA-256 of the file, or "x,y", a pixel of the thing inside


def read_mask(image: Photo, size: int) -> Mask:
    """Read a mask, stretched to ``size`` pixels on each side; see :meth:`BaseColorizer.mask`."""
    import numpy as np

    share = np.clip(image.luminance(size, size) / 100, 0, 1).astype(np.float32)
    if share.max() < 0.5 or share.min() > 0.5:
        problem = f"is {'black' if share.max() < 0.5 else 'white'} all over"
        raise PhotoError(f"{image.name}: {problem}; paint the part inside white and the rest black")
    return Mask(share, image.sha256)


def mix(
    conditioned: Conditioned,
    seeds: Iterable[SupportsIndex],
    mask: Mask,
    temperature: SomeLevels | None = None,
) -> Sample:
    """Join two samples: one inside a mask, the other outside.

    The colours of both, joined by the mask, are encoded, which gives the coarse levels; finer levels are
    those of either sample, so that the photo's edges decide where the border between them lies. The mask is
    of :meth:`BaseColorizer.mask`, the temperature that of both; it and errors are as in
    :meth:`Conditioned.sample`, and an EngineError if the engine cannot encode.
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
    recipe = {"method": Mix.name, "outside_seed": str(both[1]), "mask": mask.origin}
    return _joined(whole, samples, mask, recipe)


def _joined(whole: Conditioned, both: Sequence[Sample], mask: Mask, recipe: Mapping[str, str]) -> Sample:
    import torch

    from cinn_colorize.latents.latent import Latent, pooled
    from cinn_colorize.latents.noise import same_noise
    from cinn_colorize.methods.ensemble import recolored

    inside, outside = both
    ab = mask.share * inside.ab + (1 - mask.share) * outside.ab
    if "," in mask.origin:  # the border of a thing follows the photo already
        return recolored([inside], [ab], recipe)[0]
    joined, share = whole.encode(ab), pooled(torch.as_tensor(mask.share), whole.latent_shapes)
    one, other = (whole.encode(sample.ab) if sample.levels is None else sample.latent for sample in both)
    latent = other.mixed(one, share)
    if same_noise(inside.seed, outside.seed):  # then that sum is not standard normal
        latent = Latent({r: z + share[r] * (one.levels[r] - z) for r, z in other.levels.items()})
    latent = latent.replace((r for r in whole.latent_shapes if r <= FINEST_JOINED), joined)
    return whole.samples_of(latent, [inside.seed], inside.temperature, recipe)[0]


@dataclass(frozen=True)
class Mix(SampleMethod):
    """Two samples of a photo joined by a mask, one inside, the other outside."""

    mask: Path | str  # a picture, white inside and black outside, or "x,y", a pixel of the thing inside
    outside_seed: int
    max_pixels: int = MAX_PIXELS  # of the mask
    of: tuple[SampleMethod, ...] = ()  # what draws both, if it is more than their seeds
    results: tuple[Path | int, ...] = ()  # files of the parts, or seeds
    _drawn: dict[Photo, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        mask = mask if isinstance(mask, str) else files[str(mask)]
        return cls(mask, parse_seed(entries["outside_seed"]), max_pixels, parts)

    @property
    def settings(self) -> Mapping[str, Any]:
        mask = self.mask if isinstance(self.mask, str) else self.opened.sha256
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
        files = (path for path in (self.mask, *self.results) if isinstance(path, Path))
        return (*files, *(path for part in self.of for path in part.paths))

    def check(self, colorizer: PhotoColorizer, photo: Photo) -> None:
        self._mask_of(colorizer, photo)

    def _mask_of(self, colorizer: PhotoColorizer, photo: Photo) -> Mask:
        """Read the mask; PhotoError if it or a result does not fit the photo, or it is all black or white."""
        for result in (path for path in self.results if isinstance(path, Path)):
            _check_result(result, colorizer.recipe({}, self.rendering, photo), self.max_pixels)
        size = colorizer.info.chroma_size
        if isinstance(self.mask, str):
            from cinn_colorize.methods import things

            hint = Hint.parse(f"{self.mask},gray")
            return Mask(things.at(hint, photo, colorizer.condition(photo), size), self.mask)
        mask = self.opened
        check_shape(mask.name, (mask.width, mask.height), photo, "mask")
        return read_mask(mask.framed_as(photo), size)

    def _both(self, colorizer: PhotoColorizer, photo: Photo) -> tuple[Mask, list[Sample]]:
        if photo not in self._drawn:
            mask, whole = self._mask_of(colorizer, photo), colorizer.condition(photo).whole
            both = [_as_shown(part, colorizer, photo) for part in self.of]
            seeds = self.seed, self.outside_seed
            self._drawn[photo] = mask, both or [whole.sample(1, self.temperature, k)[0] for k in seeds]
        found: tuple[Mask, list[Sample]] = self._drawn[photo]
        return found

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        mask, both = self._both(colorizer, photo)
        return [_joined(colorizer.condition(photo).whole, both, mask, self.entries)]

    def first_tiles(self, colorizer: PhotoColorizer, photo: Photo) -> list[Tile]:
        from cinn_colorize.methods.contact_sheet import TILE, gray_tile
        from cinn_colorize.methods.things import outlined

        (mask, both), small = self._both(colorizer, photo), photo.small(TILE)
        parts = self.results or (self.seed, self.outside_seed)
        names = [part.name if isinstance(part, Path) else f"seed {part}" for part in parts]
        composed = colorizer.compose(small, both, self.rendering)
        pictures = [made.picture.thumbnail(TILE) for made in composed]
        labels = f"inside: {names[0]}", f"outside: {names[1]}"
        if isinstance(self.mask, Path):
            shown = gray_tile(self.opened)[0].resize((small.width, small.height))
        else:
            shown = outlined(gray_tile(photo)[0], photo, mask.share[None])
        return [(shown, "mask"), *zip(pictures, labels, strict=True)]


def mask_of(text: str) -> Path | str:
    """Return the mask that text names: a pixel ``x,y`` of a thing, or the path of a picture."""
    return text if re.fullmatch(r"\d{1,9},\d{1,9}", text, re.ASCII) else Path(text)


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

    found, advice = read_recipe(path, max_pixels=max_pixels), "give mix the photo and options of its results"
    for key in ("original", "page", "pages", "frame", "model", "weights", "precision", "guidance"):
        if (one := found.get(key, "none")) != (other := wanted.get(key, "none")):
            how = _OTHER.get(key) or f"with {key} {one}, not {other}"
            raise PhotoError(f"{printable_name(path)}: was made {how}; {advice}")


def _as_shown(part: SampleMethod, colorizer: PhotoColorizer, photo: Photo) -> Sample:
    """Draw a part with the colours that its own picture shows, squeezed to the square of the whole photo."""
    import cv2
    import numpy as np

    from cinn_colorize.imaging.light import shown

    (sample,) = part.samples(colorizer, photo)
    ab = shown(photo.luminance(*sample.ab.shape[1:]), sample.ab, part.rendering)
    size = colorizer.info.chroma_size, colorizer.info.chroma_size
    ab = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in ab])
    return sample if np.array_equal(ab, sample.ab) else replace(sample, ab=ab, levels=None)
