"""Recipes in the files of pictures: how they are read, how they differ, and pictures made again from them."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cinn_colorize import __version__
from cinn_colorize.errors import PhotoError, WeightsError, printable, printable_name
from cinn_colorize.files.atomic import mode_like
from cinn_colorize.files.formats import FORMATS, READ_ONLY, format_of_name
from cinn_colorize.imaging.options import (
    MAX_PIXELS,
    Box,
    Encoding,
    Precision,
    Rendering,
    parse_number,
    parse_seed,
)
from cinn_colorize.imaging.photo import Photo, open_photo, read_recipe
from cinn_colorize.latents.levels import PerLevel, named_levels, parse_levels, parse_temperature, short_levels
from cinn_colorize.methods.base import Files, Method, PhotoColorizer, SampleMethod, sha256_of
from cinn_colorize.methods.charts import Grid, Strip
from cinn_colorize.methods.contact_sheet import Chart
from cinn_colorize.methods.hints import Hinted
from cinn_colorize.methods.mix import Mix, part_of
from cinn_colorize.methods.sample import Sampling, Variation
from cinn_colorize.methods.samples import Colorization
from cinn_colorize.methods.transfer import Transfer
from cinn_colorize.models.registry import MAX_GUIDANCE, MODELS

log = logging.getLogger(__name__)

_ALL: tuple[type[Method], ...] = (Sampling, Variation, Transfer, Mix, Hinted, Strip, Grid)
METHODS = {method.name: method for method in _ALL}

_DIGEST = re.compile("[0-9a-f]{64}")
_LONGEST = 2**20  # characters of an entry
_KEYS = ("version", "model", "weights", "method", "seed", "temperature", "precision", "original", "format")
# A picture of another version, or picked from other samples, is not another picture for that.
_IGNORED = frozenset({"version", "picked"})
# Of entries that some recipes leave out.
_DEFAULTS = {
    "guidance": "0.0",
    "page": "1",
    "pages": "1",
    **{option.name: str(option.default) for option in fields(Rendering)},
    **Encoding().entries(),
    **{key: value for method in METHODS.values() for key, value in method.absent.items()},
}
_WORDS = {"pages": "page count"} | {k: word for method in METHODS.values() for k, word in method.keys.items()}
# Of entries that say nothing to people: SHA-256s, and long lists.
_OTHER = {
    "original": "from another photo",
    "weights": "with other weights",
    "hints": "with other hints",
    **{key: f"with another {name}" for method in METHODS.values() for key, name in method.files.items()},
}
_NUMBERS = ("temperature", "noise", "fresh", "guidance", *(number.name for number in Rendering.numbers()))


@dataclass(frozen=True)
class Recipe:
    """How a picture was made."""

    version: str
    model: str
    weights: str  # SHA-256 of the file
    method: type[Method]
    entries: Mapping[str, str]  # those that belong to the method
    seed: int
    temperature: PerLevel
    precision: str
    guidance: float
    rendering: Rendering
    original: str  # SHA-256 of the photo's file; empty if the photo was not a file
    frame: Box | None  # where the picture lies inside the photo's frame
    page: int  # of the photo's file
    more: "tuple[Recipe, ...]"  # of the other pages of the picture's file
    format: str
    encoding: Encoding
    name: str  # of the picture, in messages
    picked: str = ""  # from how many samples it was picked; empty if it was not

    @classmethod
    def read(cls, path: Path, page: int = 1, *, max_pixels: int = MAX_PIXELS) -> "Recipe":
        """Read the recipe of a picture, or of its page, with those of the pages after it.

        A PhotoError if the picture cannot be read, or has no recipe that this version can follow.
        """
        found, name = read_recipe(path, page, max_pixels=max_pixels), printable_name(path)
        if not found:
            advice = "choose a picture that cinn-colorize wrote and nothing has edited"
            raise PhotoError(f"{name}: has no recipe; {advice}")
        if "sheet" in found:
            raise PhotoError(f"{name}: is a contact sheet or a grid of digits; choose a picture of one photo")
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
            found = {**method.absent, **found}
            _require(found, method.keys)
            pages = _number(found.get("pages", "1")) if page == 1 else 1  # the first one names all
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
                more=tuple(cls.read(path, k, max_pixels=max_pixels) for k in range(2, pages + 1)),
                format=found["format"],
                encoding=Encoding.from_entries(found),
                name=name,
                picked=found.get("picked", ""),
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

    ``others`` are files beside the original photo, in any order; ``force`` uses files that have changed, too,
    then in the order of the recipe. The output is in the recipe's format, and replaces an existing file. A
    WeightsError if the colorizer has other weights, a LatentError if a file of codes does not fit, a
    PhotoError if a file is missing, has changed or cannot be read, or the new one cannot be written.
    """
    if colorizer.sha256 != recipe.weights:
        raise WeightsError(
            f"the picture was made with weights {recipe.weights[:12]}..., not {colorizer.sha256[:12]}...; "
            "give --weights the file with that SHA-256"
        )
    photos = _photos(recipe, original, force, max_pixels)
    files = _find(recipe, [original, *others], others, force)
    if format_of_name(output) != recipe.format:
        suffix = FORMATS[recipe.format][0]
        problem = f"must end in {suffix}, the format of the picture, and is no folder"
        raise PhotoError(f"{printable_name(output)}: {problem}")
    if recipe.version != __version__:
        made = f"the picture was made by version {recipe.version}, not {__version__}"
        log.warning(f"{made}: the new one may differ")
    try:
        method = recipe.method.from_recipe(recipe.entries, files, colorizer.info.levels, max_pixels)
        pages = [
            _draw(method, page, colorizer, photo, mode_like(*files.values()))
            for page, photo in zip((recipe, *recipe.more), photos, strict=True)
        ]
    except (KeyError, ValueError) as error:  # an entry that is not a number, or a file without a SHA-256
        raise PhotoError(f"the recipe of the picture is damaged ({error})") from error
    first, *rest = pages
    if isinstance(first, Chart):
        first.save(output, **vars(recipe.encoding))
    else:
        more = [page for page in rest if not isinstance(page, Chart)]
        first.save(output, **vars(recipe.encoding), more=more)


def _photos(recipe: Recipe, original: Path, force: bool, max_pixels: int) -> list[Photo]:
    first = open_photo(original, max_pixels=max_pixels, page=recipe.page)
    if first.sha256 != recipe.original and not force:
        raise PhotoError(
            f"{printable_name(original)}: is not the file that the picture was made from (SHA-256 "
            f"{first.sha256[:12]}..., not {recipe.original[:12]}...); give that file, or add --force"
        )
    first.together = 1 + len(recipe.more)
    return [first, *(open_photo(original, max_pixels=max_pixels, page=page.page) for page in recipe.more)]


def _draw(
    method: Method, recipe: Recipe, colorizer: PhotoColorizer, photo: Photo, mode: int
) -> Colorization | Chart:
    photo.mode &= mode
    photo = photo.framed(str(recipe.frame)) if recipe.frame else photo
    method = replace(method, seed=recipe.seed, temperature=recipe.temperature, rendering=recipe.rendering)
    drawn = method.draw(colorizer, photo)
    return replace(drawn, recipe={**drawn.recipe, "picked": recipe.picked}) if recipe.picked else drawn


def _number(text: str) -> int:
    """Parse the number of a page, or of pages; ValueError if it is none."""
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise ValueError(f"{text!r:.80} is not a number of pages")
    return int(text)


def _require(found: Mapping[str, str], keys: Iterable[str]) -> None:
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"it lacks {', '.join(missing)}")


def _find(recipe: Recipe, given: Sequence[Path], others: Sequence[Path], force: bool) -> Files:
    """Return the files that a recipe requires beside the photo, which may itself be one of them."""
    wanted = recipe.others
    digests = {sha256_of(path): path for path in (given if wanted else others)}  # and all can be read
    files = {digest: digests[digest] for digest in wanted if digest in digests}
    if missing := [digest for digest in wanted if digest not in files]:
        if force and len(others) >= len(wanted):
            return dict(zip(wanted, others, strict=False))
        names = " and ".join(f"the {wanted[digest]} with SHA-256 {digest[:12]}..." for digest in missing)
        raise PhotoError(f"{recipe.name}: requires {names}; give it after the photo")
    return files


def part_at(path: Path, others: Sequence[Path], max_pixels: int) -> SampleMethod:
    """Return what draws a result again, to join it; ``others`` are files that it was made with.

    A PhotoError if it has no recipe, or is of several samples, or a file is missing.
    """
    recipe = Recipe.read(path, max_pixels=max_pixels)
    if not issubclass(recipe.method, SampleMethod):
        raise PhotoError(f"{recipe.name}: shows several samples; choose a picture of one")
    files, levels = _find(recipe, others, others, False), MODELS[recipe.model].levels
    try:
        return part_of(read_recipe(path), files, levels, max_pixels)
    except (KeyError, ValueError) as error:
        raise PhotoError(f"{recipe.name}: its recipe is damaged ({error})") from error


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Compare the recipe of a picture that is there with that of the one wanted.

    Returns what to say of each entry that differs, such as ``with temperature 0.8, not 1``; empty if they are
    the same but for the version and what they were picked from.
    """
    # In the order of recipes, what the picture is of first.
    found, wanted = {**found, **_DEFAULTS, **found}, {**wanted, **_DEFAULTS, **wanted}
    keys = [key for key in {**wanted, **found} if _value(key, found) != _value(key, wanted)]
    if "method" in keys:
        of_methods = {key for method in METHODS.values() for key in method.keys}
        keys = [key for key in keys if key not in of_methods]
    return {key: _OTHER.get(key) or _said(key, found, wanted) for key in keys if key not in _IGNORED}


def _said(key: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    names = [_name(key, recipe) for recipe in (found, wanted)]
    values = [_short(key, recipe) for recipe in (found, wanted)]
    same = names[0] == names[1]
    return f"with {names[0]} {values[0]}, not {values[1] if same else f'{names[1]} {values[1]}'}"


def _name(key: str, recipe: Mapping[str, str]) -> str:
    """Return the name that people give an entry; a transfer's noise by level is given by ``--levels``."""
    if key == "noise" and not isinstance(_value(key, recipe), float):
        return "levels"
    return _WORDS.get(key, key)


def _value(key: str, recipe: Mapping[str, str]) -> PerLevel | str | None:
    text = recipe.get(key)
    if text and key in _NUMBERS:
        try:
            return parse_levels(text, named_levels(text) or [0], 1.0)
        except ValueError:  # edited by hand
            pass
    return text


def _short(key: str, recipe: Mapping[str, str]) -> str:
    value = _value(key, recipe)
    if key == "noise" and isinstance(value, float):
        value = 1 - value
    text = short_levels(value) if isinstance(value, float | Mapping) else value or "none"
    return printable(text if len(text) <= 40 else f"{text[:40]}...")
