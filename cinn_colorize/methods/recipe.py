"""Recipes in the files of pictures, and pictures made again from them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize import __version__
from cinn_colorize.errors import PhotoError, WeightsError
from cinn_colorize.files.atomic import mode_like
from cinn_colorize.files.formats import FORMATS, READ_ONLY, format_of_name
from cinn_colorize.files.messages import printable_name
from cinn_colorize.imaging.options import (
    MAX_PIXELS,
    Box,
    Encoding,
    Precision,
    Rendering,
    parse_number,
    parse_seed,
)
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.latents.levels import PerLevel, parse_temperature
from cinn_colorize.methods.base import Files, Method, sha256_of
from cinn_colorize.methods.catalogue import METHODS, OLD_NAMES
from cinn_colorize.methods.contact_sheet import Chart
from cinn_colorize.models.registry import MAX_GUIDANCE, MODELS

if TYPE_CHECKING:
    from cinn_colorize.methods.base import PhotoColorizer

log = logging.getLogger(__name__)

_DIGEST = re.compile("[0-9a-f]{64}")
_LONGEST = 2**20  # characters of an entry
_KEYS = ("version", "model", "weights", "method", "seed", "temperature", "precision", "original", "format")


@dataclass(frozen=True)
class Recipe:
    """How a picture was made.

    Attributes:
        version: version of this package.
        model: name of the model in the registry.
        weights: SHA-256 of the weights file.
        method: method that drew the picture.
        entries: entries that belong to the method.
        seed: seed of the sample.
        temperature: temperature of the sample.
        precision: precision of the networks.
        guidance: guidance of the networks.
        rendering: how the sample became a picture.
        original: SHA-256 of the photo's file; empty if the photo was not a file.
        frame: where the picture lies inside the photo's frame; None if the recipe knows none.
        page: page of the photo's file.
        more: recipes of the other pages of the picture's file.
        format: format of the picture's file.
        encoding: encoding of the picture's file.
    """

    version: str
    model: str
    weights: str
    method: type[Method]
    entries: Mapping[str, str]
    seed: int
    temperature: PerLevel
    precision: str
    guidance: float
    rendering: Rendering
    original: str
    frame: Box | None
    page: int
    more: tuple[Recipe, ...]
    format: str
    encoding: Encoding

    @classmethod
    def read(cls, path: Path, page: int = 1, *, max_pixels: int = MAX_PIXELS) -> Recipe:
        """Read the recipe of a picture, with those of the pages after it.

        Args:
            path: path of the picture.
            page: page of a TIFF, from 1.
            max_pixels: see :func:`open_photo`.

        Raises:
            PhotoError: the picture cannot be read, or has no recipe that this version can follow.
        """
        found, name = read_recipe(path, page, max_pixels=max_pixels), printable_name(path)
        if not found:
            raise PhotoError(
                f"{name}: has no recipe; choose a picture that cinn-colorize wrote and nothing has edited"
            )
        if "sheet" in found:
            raise PhotoError(f"{name}: is a contact sheet or a grid of digits; choose a picture of one photo")
        found["method"] = OLD_NAMES.get(found.get("method", ""), found.get("method", ""))
        known: Mapping[str, Sequence[str]] = {
            "model": list(MODELS),
            "method": list(METHODS),
            "precision": list(Precision),
            "format": [format for format in FORMATS if format not in READ_ONLY],
        }
        try:
            if long := [key for key, value in found.items() if len(value) > _LONGEST]:
                raise ValueError(f"{long[0]:.80} has more than {_LONGEST} characters")
            _require(found, _KEYS)
            for key, choices in known.items():
                if found[key] not in choices:
                    raise ValueError(f"{key} {found[key]!r:.80} is not one of {', '.join(choices)}")
            method = METHODS[found["method"]]
            _require(found, method.keys)
            return cls(
                version=found["version"],
                model=found["model"],
                weights=found["weights"],
                method=method,
                entries={key: found[key] for key in method.keys},
                seed=parse_seed(found["seed"]),
                temperature=parse_temperature(found["temperature"], MODELS[found["model"]].levels, 1.0),
                precision=found["precision"],
                guidance=parse_number("guidance", found.get("guidance", "0"), MAX_GUIDANCE),
                rendering=Rendering.from_entries(found),
                original=found["original"],
                frame=Box.parse(found["frame"]) if "frame" in found else None,
                page=_number(found.get("page", "1")),
                more=tuple(
                    cls.read(path, other, max_pixels=max_pixels)
                    for other in range(2, _pages(found, page) + 1)
                ),
                format=found["format"],
                encoding=Encoding.from_entries(found),
            )
        except ValueError as error:
            version = found.get("version", "of another program")[:80]
            raise PhotoError(f"{name}: its recipe (version {version}) cannot be followed: {error}") from None

    @property
    def others(self) -> dict[str, str]:
        """Kinds of the files used beside the photo (a reference, a mask, codes), by their SHA-256."""
        return {
            digest: kind
            for key, kind in self.method.files.items()
            for digest in _DIGEST.findall(self.entries[key])
        }


def recreate(
    recipe: Recipe,
    colorizer: PhotoColorizer,
    original: Path,
    output: Path,
    *,
    others: Sequence[Path] = (),
    force: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Make a picture again; the same version, weights and kind of machine give the same bytes.

    Args:
        recipe: recipe of the picture.
        colorizer: colorizer with the recipe's model, weights, precision and guidance.
        original: photo that the picture was made from.
        output: file to write, in the recipe's format; an existing file is replaced.
        others: reference, mask, hints or codes that were used, in any order.
        force: whether to use files that have changed, ``others`` in the order of the recipe.
        max_pixels: see :func:`open_photo`.

    Raises:
        WeightsError: the colorizer has other weights.
        LatentError: a file of codes does not fit.
        PhotoError: a file is missing, has changed or cannot be read, or the new one cannot be written.
    """
    if colorizer.sha256 != recipe.weights:
        raise WeightsError(
            f"the picture was made with weights {recipe.weights[:12]}..., not {colorizer.sha256[:12]}...; "
            "give --weights the file with that SHA-256"
        )
    photo = open_photo(original, max_pixels=max_pixels, page=recipe.page)
    if photo.sha256 != recipe.original and not force:
        raise PhotoError(
            f"{printable_name(original)}: is not the file that the picture was made from (SHA-256 "
            f"{photo.sha256[:12]}..., not {recipe.original[:12]}...); give that file, or add --force"
        )
    photos = [photo]
    photos += [open_photo(original, max_pixels=max_pixels, page=page.page) for page in recipe.more]
    photo.together = len(photos)
    files = _find(recipe, [original, *others], others, force)
    mode = mode_like(*files.values())
    if format_of_name(output) != recipe.format:
        suffix = FORMATS[recipe.format][0]
        raise PhotoError(f"{printable_name(output)}: must end in {suffix}, the format of the picture")
    if recipe.version != __version__:
        log.warning(
            f"the picture was made by version {recipe.version}, not {__version__}: the new one may differ"
        )
    try:
        method = recipe.method.from_recipe(recipe.entries, files, colorizer.info.levels, max_pixels)
        made = []
        for its, photo in zip((recipe, *recipe.more), photos, strict=True):
            photo.mode &= mode
            photo = photo.framed(str(its.frame)) if its.frame else photo
            made.append(method.draw(colorizer, photo, its.temperature, its.seed, its.rendering))
    except (KeyError, ValueError) as error:  # an entry that is not a number, or a file without a SHA-256
        raise PhotoError(f"the recipe of the picture is damaged ({error})") from error
    first, *rest = made
    if isinstance(first, Chart):
        first.save(output, **vars(recipe.encoding))
    else:
        more = [page for page in rest if not isinstance(page, Chart)]
        first.save(output, **vars(recipe.encoding), more=more)


def _number(text: str) -> int:
    """Parse the number of a page, or of pages.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise ValueError(f"{text!r:.80} is not a number of pages")
    return int(text)


def _pages(found: Mapping[str, str], page: int) -> int:
    """Return the number of pages that the recipe in the first one names; others name none."""
    return _number(found.get("pages", "1")) if page == 1 else 1


def _require(found: Mapping[str, str], keys: Sequence[str]) -> None:
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"it lacks {', '.join(missing)}")


def _find(recipe: Recipe, given: Sequence[Path], others: Sequence[Path], force: bool) -> Files:
    """Return the files that a recipe requires beside the photo, which may itself be one of them."""
    wanted = recipe.others
    if not wanted:
        return {}
    digests = {}
    for path in given:
        digests[sha256_of(path)] = path
    files = {digest: digests[digest] for digest in wanted if digest in digests}
    if missing := [digest for digest in wanted if digest not in files]:
        if force and len(others) >= len(wanted):
            return dict(zip(wanted, others, strict=False))
        names = " and ".join(f"the {wanted[digest]} with SHA-256 {digest[:12]}..." for digest in missing)
        raise PhotoError(f"the picture requires {names}; give it after ORIGINAL")
    return files
