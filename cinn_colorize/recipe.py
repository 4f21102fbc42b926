"""The recipe in a picture's file, and the same picture made again from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path

from cinn_colorize import __version__
from cinn_colorize.colorizer import PRECISIONS, Colorizer
from cinn_colorize.errors import PhotoError, WeightsError
from cinn_colorize.files import FORMATS, format_of_name, printable_name
from cinn_colorize.models.registry import MODELS
from cinn_colorize.photo import MAX_PIXELS, open_photo, read_recipe
from cinn_colorize.upsampling import METHODS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a picture was made.

    Attributes:
        version: of this package.
        model: a name of the registry.
        weights: SHA-256 of the weights file.
        seed: of the sample.
        temperature: of the sample.
        precision: of the networks.
        upsampling: a method of :mod:`cinn_colorize.upsampling`.
        original: SHA-256 of the photo's file; empty if the photo was no file.
        format: of the picture's file.
        quality: of the picture's file.
        strip: whether the photo's metadata were left out.
    """

    version: str
    model: str
    weights: str
    seed: int
    temperature: float
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
        missing = [field.name for field in fields(cls) if field.name not in found]
        if missing:
            raise PhotoError(
                f"{name}: its recipe (version {found.get('version')}) lacks {', '.join(missing)}"
            )
        texts = {field.name: found[field.name] for field in fields(cls) if field.type == "str"}
        try:
            recipe = cls(
                **texts,
                seed=int(found["seed"]),
                temperature=float(found["temperature"]),
                quality=int(found["quality"]),
                strip=found["strip"] == "true",
            )
        except ValueError as error:
            raise PhotoError(f"{name}: its recipe is damaged ({error})") from None
        known = {"model": MODELS, "precision": PRECISIONS, "upsampling": METHODS, "format": FORMATS}
        for key, choices in known.items():
            if found[key] not in choices:
                raise PhotoError(
                    f"{name}: its recipe says {key} {found[key]!r}, which this version does not know"
                )
        return recipe


def recreate(
    recipe: Recipe,
    colorizer: Colorizer,
    original: Path,
    output: Path,
    *,
    force: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Make a picture again: with the same version, weights and kind of machine byte for byte the same.

    Args:
        recipe: of the picture.
        colorizer: with the recipe's model, weights and precision.
        original: the photo that the picture was made of.
        output: the file to write, in the recipe's format; one that exists is replaced.
        force: take the photo although it has changed.
        max_pixels: see :func:`open_photo`.

    Raises:
        WeightsError: the weights are others.
        PhotoError: the photo is another or can't be read, or the file can't be written.
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
    if format_of_name(output) != recipe.format:
        suffix = FORMATS[recipe.format][0]
        raise PhotoError(f"{printable_name(output)}: must end in {suffix}, as the picture has that format")
    if recipe.version != __version__:
        log.warning(
            f"the picture was made by version {recipe.version}, this is {__version__}: the new one may differ"
        )
    samples = colorizer.condition(photo).sample(1, recipe.temperature, recipe.seed)
    (colorization,) = colorizer.compose(photo, samples, upsampling=recipe.upsampling)
    colorization.save(output, quality=recipe.quality, strip=recipe.strip)
