"""Samples of a photo, and the pictures made from them. Light: does not import torch itself."""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from cinn_colorize.errors import LatentError, PhotoError
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.imaging.options import Encoding, whole_number
from cinn_colorize.imaging.picture import Picture
from cinn_colorize.latents.levels import PerLevel, format_levels
from cinn_colorize.latents.noise import Floats, LatentLevels

if TYPE_CHECKING:
    from cinn_colorize.latents.latent import Latent

_DIMENSIONS = 2 * 64 * 64
_COARSE = 16  # shorter side of ab that is compared, in pixels; `natural` draws all colours of that size first
_NO_COLOR = 1e4  # a hundred times the a or b of any colour
_SHOWN = 1600  # longer side of a picture in a notebook, in pixels


@dataclass(frozen=True, eq=False)
class Sample:
    """One colorization at the model's size.

    Attributes:
        ab: chroma (2, 64, 64) float32 as it leaves the flow, neither clipped nor mapped into a gamut; longer,
            and blended from windows, for a photo longer than 2:1.
        levels: latent code that was decoded, (1, C, r, r) float32 by level; None if the colours were changed.
        log_prob: log density of x = ab / 15 given L, in nats, under the model at temperature 1, guided as it
            was when it drew the sample; for a photo longer than 2:1, the mean over its windows, without the
            coarse colours that belong to the whole photo. None if the colours were changed.
        seed: seed of the noise.
        temperature: temperature of the noise, for all levels or by level.
        method: other entries of the recipe that say how the sample was drawn.
    """

    ab: Floats = field(repr=False)
    levels: LatentLevels | None = field(repr=False)
    log_prob: float | None
    seed: int
    temperature: PerLevel
    method: Mapping[str, str] = field(default_factory=lambda: {"method": "sample"})

    @property
    def latent(self) -> "Latent":
        """The latent code as tensors, which imports torch; LatentError for a sample that follows hints."""
        from cinn_colorize.latents.latent import Latent

        if self.levels is None:
            raise LatentError("a sample that follows hints has no latent code; encode its ab")
        return Latent.from_arrays(self.levels)

    @property
    def recipe(self) -> dict[str, str]:
        """How the sample was drawn, except for the model."""
        return {**self.method, "seed": str(self.seed), "temperature": format_levels(self.temperature)}

    @property
    def log_prob_per_dimension(self) -> float | None:
        """``log_prob`` divided by the number of dimensions that the model draws at once."""
        return None if self.log_prob is None else self.log_prob / _DIMENSIONS


@dataclass(frozen=True, eq=False, repr=False)
class Colorization:
    """One colorization of a photo at the photo's full size; a notebook shows it.

    >>> (made,) = colorizer.colorize("photo.jpg", seed=3)
    >>> made
    <Colorization of 400 x 225 pixels, seed 3, model natural>
    >>> made.image.size
    (400, 225)
    >>> made.save("photo_003.jpg")

    """

    picture: Picture
    sample: Sample
    recipe: Mapping[str, str]  # what was drawn and how; :meth:`save` adds how it was written

    def __repr__(self) -> str:
        height, width = self.rgb.shape[:2]
        model = self.recipe["model"]
        return f"<Colorization of {width} x {height} pixels, seed {self.seed}, model {model}>"

    def _repr_png_(self) -> bytes:
        """Return what notebooks show: the picture as PNG, its longer side at most 1600 pixels."""
        file = io.BytesIO()
        self.picture.image(_SHOWN).save(file, "PNG")
        return file.getvalue()

    @property
    def image(self) -> PIL.Image.Image:
        """The picture as a new PIL image, 8-bit RGB or, of a photo with alpha, RGBA, with its profile."""
        return self.picture.image()

    @property
    def rgb(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Pixels (H, W, 3), uint8, or uint16 for 16-bit photos, in the photo's RGB profile or else sRGB."""
        return self.picture.rgb

    @property
    def ab(self) -> Floats:
        """The sample's ab, (2, 64, 64), longer for photos longer than 2:1."""
        return self.sample.ab

    @property
    def latent(self) -> "Latent":
        """The sample's latent code; see :attr:`Sample.latent`."""
        return self.sample.latent

    @property
    def log_prob(self) -> float | None:
        """The sample's log density, in nats."""
        return self.sample.log_prob

    @property
    def seed(self) -> int:
        """The sample's seed."""
        return self.sample.seed

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "auto",
        quality: int = 95,
        strip: bool = False,
        more: "Sequence[Colorization]" = (),
        overwrite: bool = True,
    ) -> None:
        """Write the picture with the photo's metadata and the recipe.

        ``more`` are other pages of a TIFF. The other arguments and the errors are those of
        :meth:`Picture.save`.
        """
        written = format_of_name(path) if format == "auto" else format
        encoding = Encoding(quality, strip)
        recipe = in_file(self.recipe, written, encoding)
        pages = [(page.picture, in_file(page.recipe, written, encoding)) for page in more]
        self.picture.save(
            path, format=format, quality=quality, recipe=recipe, strip=strip, more=pages, overwrite=overwrite
        )


def check_colors(name: str, ab: Floats) -> None:
    """Raise a PhotoError, of a sample's name, unless ab are colours, which damaged weights do not draw."""
    if not (np.abs(ab) < _NO_COLOR).all():  # NaN neither
        raise PhotoError(f"{name}: has no finite colours; choose other weights, or a lower temperature")


def in_file(recipe: Mapping[str, str], format: str, encoding: Encoding) -> dict[str, str]:
    """Complete a recipe by how the picture's file is written."""
    return {**recipe, "format": format, **encoding.entries()}


def likeliest(samples: Iterable[Sample], k: SupportsIndex | None = None) -> list[Sample]:
    """Sort samples of a photo by log density, the likeliest first, and return all or the first k.

    A TypeError if k is no integer, a ValueError if it is below 1, or a sample follows hints: it has none.
    """
    k, samples = None if k is None else whole_number(k, "k", 1), list(samples)
    if any(sample.log_prob is None for sample in samples):
        raise ValueError("samples that follow hints have no density")
    return sorted(samples, key=lambda sample: sample.log_prob or 0, reverse=True)[:k]


def typical(samples: Sequence[Sample], k: SupportsIndex | None = None) -> list[Sample]:
    """Sort samples of a photo by their mean distance to the others, the most typical first; return all or k.

    The k samples are typical and different: each is the medoid of a group, chosen so that the distances of
    all samples to the nearest of the k add up to the least (k-medoids; Kaufman and Rousseeuw, *Finding Groups
    in Data*, 1990, ch. 2, PAM). The distance of two samples is the mean distance of their ab, averaged over
    squares of 4x4 pixels. Of equals, the first counts. TypeError if k is no integer, ValueError if below 1.
    """
    k = len(samples) if k is None else whole_number(k, "k", 1)
    return [samples[i] for i in medoids(np.stack([sample.ab for sample in samples]), k)] if samples else []


def medoids(ab: Floats, k: int) -> list[int]:
    """Return which k of N samples are typical and different, see :func:`typical`, the most typical first.

    ``ab`` is (N, 2, h, w) at 16 px or more. Samples with values that are not finite come last.
    """
    finite = np.isfinite(ab).all((1, 2, 3))
    sound, exploded = np.flatnonzero(finite), np.flatnonzero(~finite)
    apart = _distances(_coarse(ab[sound]))
    chosen = range(len(sound)) if k >= len(sound) else _medoids(apart, k)
    ordered = sorted(chosen, key=lambda i: (apart[i].sum(), i))
    return [*map(int, sound[ordered]), *map(int, exploded[: k - len(ordered)])]


def _coarse(ab: Floats) -> Floats:
    """Reduce ab (N, 2, h, w) to 16 px on the shorter side, by means over squares."""
    side = max(1, min(ab.shape[2:]) // _COARSE)
    height, width = (size // side for size in ab.shape[2:])
    squares = ab[..., : height * side, : width * side].reshape(len(ab), 2, height, side, width, side)
    return np.asarray(squares.mean((3, 5)))


def _distances(ab: Floats) -> NDArray[np.float64]:
    apart = np.zeros((len(ab), len(ab)))
    for i in range(len(ab) - 1):
        a, b = (ab[i + 1 :] - ab[i]).swapaxes(0, 1)
        apart[i, i + 1 :] = np.hypot(a, b).mean((1, 2), dtype=np.float64)
    return apart + apart.T


def _medoids(apart: NDArray[np.float64], k: int) -> list[int]:
    """Return k of N > k points for which the distances of all to the nearest of them add up to a minimum."""
    chosen = [int(apart.sum(0).argmin())]
    while len(chosen) < k:
        chosen.append(_best(apart, chosen)[0])
    cost = apart[chosen].min(0).sum()
    while True:
        swaps = [_best(apart, [*chosen[:i], *chosen[i + 1 :]]) for i in range(k)] if k > 1 else []
        i = min(range(len(swaps)), key=lambda i: swaps[i][1], default=None)
        if i is None or swaps[i][1] >= cost * (1 - 1e-9):  # no better by more than rounding
            return chosen
        chosen[i], cost = swaps[i]


def _best(apart: NDArray[np.float64], chosen: list[int]) -> tuple[int, float]:
    """Return the point that is best added to those chosen, and what the distances then add up to."""
    costs = np.minimum(apart, apart[chosen].min(0)).sum(1)
    costs[chosen] = np.inf
    return int(costs.argmin()), float(costs.min())
