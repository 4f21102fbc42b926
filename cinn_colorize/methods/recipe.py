"""The recipe in a picture's file, and the same picture made again from it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cinn_colorize import __version__, weights
from cinn_colorize.colorizer import PRECISIONS, Colorization, Colorizer, ConditionedPhoto, Sample
from cinn_colorize.errors import PhotoError, WeightsError
from cinn_colorize.files import FORMATS, format_of_name, printable_name
from cinn_colorize.imaging.photo import MAX_PIXELS, Photo, open_photo, read_recipe
from cinn_colorize.imaging.upsampling import METHODS as UPSAMPLINGS
from cinn_colorize.latents.levels import PerLevel, parse_levels
from cinn_colorize.methods.charts import Chart, Grid, PhotoSubject, Strip
from cinn_colorize.methods.hints import Hint, Hints, draw
from cinn_colorize.models.registry import MODELS

log = logging.getLogger(__name__)

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Recipe:
    """How a picture was made.

    Attributes:
        version: of this package.
        model: a name of the registry.
        weights: SHA-256 of the weights file.
        method: a key of ``METHODS``.
        seed: of the sample.
        temperature: of the sample.
        details: what else the method takes.
        precision: of the networks.
        upsampling: a method of :mod:`cinn_colorize.imaging.upsampling`.
        original: SHA-256 of the photo's file; empty if the photo was no file.
        format: of the picture's file.
        quality: of the picture's file.
        strip: whether the photo's metadata were left out.
    """

    version: str
    model: str
    weights: str
    method: str
    seed: int
    temperature: PerLevel
    details: Mapping[str, str]
    precision: str
    upsampling: str
    original: str
    format: str
    quality: int
    strip: bool

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """The recipe of a picture.

        Raises:
            PhotoError: it can't be read, or it has no recipe that is complete.
        """
        found, name = read_recipe(path), printable_name(path)
        if not found:
            raise PhotoError(f"{name}: has no recipe; only pictures by cinn-colorize have, until edited")

        def require(names: Sequence[str]) -> None:
            if missing := [entry for entry in names if entry not in found]:
                raise PhotoError(
                    f"{name}: its recipe (version {found.get('version')}) lacks {', '.join(missing)}"
                )

        require([entry for entry in cls.__dataclass_fields__ if entry != "details"])
        known: dict[str, Mapping[str, object] | Sequence[str]] = {
            "model": MODELS,
            "method": METHODS,
            "precision": PRECISIONS,
            "upsampling": UPSAMPLINGS,
            "format": FORMATS,
        }
        for key, choices in known.items():
            if found[key] not in choices:
                raise PhotoError(
                    f"{name}: its recipe says {key} {found[key]!r}, which this version does not know"
                )
        require(METHODS[found["method"]].details)
        try:
            return cls(
                version=found["version"],
                model=found["model"],
                weights=found["weights"],
                method=found["method"],
                seed=int(found["seed"]),
                temperature=parse_levels(found["temperature"], MODELS[found["model"]].levels, 1.0),
                details={key: found[key] for key in METHODS[found["method"]].details},
                precision=found["precision"],
                upsampling=found["upsampling"],
                original=found["original"],
                format=found["format"],
                quality=int(found["quality"]),
                strip=found["strip"] == "true",
            )
        except ValueError as error:
            raise PhotoError(f"{name}: its recipe is damaged ({error})") from None

    @property
    def others(self) -> dict[str, str]:
        """What other files were used beside the photo, by their SHA-256: a reference, a mask, codes."""
        kinds = {
            "reference": "reference",
            "mask": "mask",
            "strokes": "picture of hints",
            "load": "file of codes",
            "between": "file of codes",
        }
        return {
            digest: kind
            for key, kind in kinds.items()
            for digest in _DIGEST.findall(self.details.get(key, ""))
        }


Files = Mapping[str, Path]  # by the SHA-256 that the recipe has


class Method(NamedTuple):
    """A way in which pictures are made.

    Attributes:
        details: entries of the recipe beyond those that all methods have.
        make: a sample under the photo's condition, to be brought to full size, or a whole chart.
    """

    details: tuple[str, ...]
    make: Callable[[Recipe, Colorizer, Photo, Files], Colorization | Chart]


def _sampled(
    draw: Callable[[Recipe, Colorizer, ConditionedPhoto, Files], Sample],
) -> Callable[[Recipe, Colorizer, Photo, Files], Colorization]:
    def make(recipe: Recipe, colorizer: Colorizer, photo: Photo, files: Files) -> Colorization:
        sample = draw(recipe, colorizer, colorizer.condition(photo), files)
        (colorization,) = colorizer.compose(photo, [sample], upsampling=recipe.upsampling)
        return colorization

    return make


def _sample(recipe: Recipe, colorizer: Colorizer, conditioned: ConditionedPhoto, files: Files) -> Sample:
    return conditioned.sample(1, recipe.temperature, recipe.seed)[0]


def _transfer(recipe: Recipe, colorizer: Colorizer, conditioned: ConditionedPhoto, files: Files) -> Sample:
    noise = parse_levels(recipe.details["noise"], MODELS[recipe.model].levels, 1.0)
    reference = colorizer.reference(open_photo(files[recipe.details["reference"]]))
    return conditioned.transfer(reference, 1, noise, recipe.temperature, recipe.seed)[0]


def _mix(recipe: Recipe, colorizer: Colorizer, conditioned: ConditionedPhoto, files: Files) -> Sample:
    mask = colorizer.mask(open_photo(files[recipe.details["mask"]]))
    return conditioned.mix((recipe.seed, int(recipe.details["outside_seed"])), mask, recipe.temperature)


def _hinted(recipe: Recipe, colorizer: Colorizer, photo: Photo, files: Files) -> Colorization:
    points, strokes = recipe.details["hints"].split(), recipe.details["strokes"]
    hints = Hints.of(photo, [Hint.parse(point) for point in points], files[strokes] if strokes else None)
    samples = draw(colorizer.condition(photo), hints, 1, recipe.temperature, recipe.seed)
    (colorization,) = colorizer.compose(photo, samples, upsampling=recipe.upsampling)
    return colorization


def _strip(recipe: Recipe, colorizer: Colorizer, photo: Photo, files: Files) -> Chart:
    temperatures, scaled = recipe.details["temperatures"].split(","), recipe.details["scaled"]
    strip = Strip(
        temperatures=tuple(map(float, temperatures)),
        scaled=None if scaled == "all" else tuple(map(int, scaled.split(","))),
        rest=recipe.temperature,
        seed=recipe.seed,
        upsampling=recipe.upsampling,
    )
    return strip.draw(colorizer, photo)


def _grid(recipe: Recipe, colorizer: Colorizer, photo: Photo, files: Files) -> Chart:
    details = recipe.details
    ends = details["between"].split(",") if details["between"] else []
    grid = Grid(
        number=int(details["number"]) if details["number"] else None,
        seed=recipe.seed,
        temperature=recipe.temperature,
        load=files[details["load"]] if details["load"] else None,
        between=tuple(files[end] if end in files else int(end) for end in ends),
        vary=int(details["vary"]) if details["vary"] else None,
    )
    return grid.draw(colorizer, PhotoSubject(colorizer, photo))[0]


METHODS = {
    "sample": Method((), _sampled(_sample)),
    "transfer": Method(("noise", "reference"), _sampled(_transfer)),
    "mix": Method(("outside_seed", "mask"), _sampled(_mix)),
    "hints": Method(("hints", "strokes"), _hinted),
    "strip": Method(("temperatures", "scaled"), _strip),
    "grid": Method(("number", "load", "between", "vary"), _grid),
}


def recreate(
    recipe: Recipe,
    colorizer: Colorizer,
    original: Path,
    output: Path,
    *,
    others: Sequence[Path] = (),
    force: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Make a picture again: with the same version, weights and kind of machine byte for byte the same.

    Args:
        recipe: of the picture.
        colorizer: with the recipe's model, weights and precision.
        original: the photo that the picture was made of.
        output: the file to write, in the recipe's format; one that exists is replaced.
        others: the reference, mask, hints or codes that were used, in any order.
        force: take files although they have changed, ``others`` in the order of the recipe.
        max_pixels: see :func:`open_photo`.

    Raises:
        WeightsError: the weights are others.
        LatentError: a file of codes does not fit.
        PhotoError: a file is missing, another or can't be read, or the new one can't be written.
    """
    if colorizer.sha256 != recipe.weights:
        raise WeightsError(
            f"the picture was made with weights {recipe.weights[:12]}..., not {colorizer.sha256[:12]}...; "
            "give --weights the file with that SHA-256"
        )
    photo = open_photo(original, max_pixels=max_pixels)
    if photo.sha256 != recipe.original and not force:
        raise PhotoError(
            f"{printable_name(original)}: is not the file that the picture was made of (SHA-256 "
            f"{photo.sha256[:12]}..., not {recipe.original[:12]}...); give that one, or add --force"
        )
    files = _find(recipe, [original, *others], others, force)
    if format_of_name(output) != recipe.format:
        suffix = FORMATS[recipe.format][0]
        raise PhotoError(f"{printable_name(output)}: must end in {suffix}, as the picture has that format")
    if recipe.version != __version__:
        log.warning(
            f"the picture was made by version {recipe.version}, this is {__version__}: the new one may differ"
        )
    try:
        made = METHODS[recipe.method].make(recipe, colorizer, photo, files)
    except (KeyError, ValueError) as error:  # an entry that is no number, or a file that had no SHA-256
        raise PhotoError(f"the recipe of the picture is damaged ({error})") from error
    made.save(output, quality=recipe.quality, strip=recipe.strip)


def _find(recipe: Recipe, given: Sequence[Path], others: Sequence[Path], force: bool) -> Files:
    """The files that a recipe needs beside the photo, which may itself be one of them."""
    wanted = recipe.others
    if not wanted:
        return {}
    digests = {}
    for path in given:
        try:
            digests[weights.sha256(path)] = path
        except OSError as error:
            raise PhotoError(f"{printable_name(path)}: cannot be read ({error.strerror})") from None
    files = {digest: digests[digest] for digest in wanted if digest in digests}
    if missing := [digest for digest in wanted if digest not in files]:
        if force and len(others) >= len(wanted):
            return dict(zip(wanted, others, strict=False))
        names = " and ".join(f"the {wanted[digest]} with SHA-256 {digest[:12]}..." for digest in missing)
        raise PhotoError(f"the picture needs {names}; give it after ORIGINAL")
    return files
