"""How a picture differs from one that was asked for, going by their recipes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.messages import printable
from cinn_colorize.imaging.options import MAX_PIXELS, Encoding, Rendering
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.levels import PerLevel, named_levels, parse_levels, short_levels
from cinn_colorize.methods.catalogue import METHODS, OLD_NAMES

# Nobody asks for a version: a picture of an older one is not another picture for that.
_IGNORED = frozenset({"version"})
# Of options that some recipes leave out.
_DEFAULTS = {
    "guidance": "0.0",
    "saturation": "1.0",
    "page": "1",
    "pages": "1",
    **Rendering().entries(),
    **Encoding().entries(),
}
_OF_METHODS = frozenset(key for method in METHODS.values() for key in method.keys)
_OTHER = {  # for entries that say nothing to people
    "original": "from another photo",
    "weights": "with other weights",
    "hints": "with other hints",
    "strokes": "with another picture of hints",
    "mask": "with another mask",
    "reference": "with another reference",
    "load": "with other codes",
    "between": "between other codes",
}
_NAMES = {
    "like": "colours like seed",
    "fresh": "fresh noise",
    "scaled": "scaled levels",
    "vary": "varied level",
    "outside_seed": "seed outside",
    "pages": "page count",
}


def recipe_at(path: Path, max_pixels: int = MAX_PIXELS, page: int = 1) -> dict[str, str]:
    """Return the recipe in a file; empty if this program did not make it, or it cannot be read."""
    try:
        return open_photo(path, max_pixels=max_pixels, page=page).recipe
    except PhotoError:
        return {}


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Compare the recipe of a picture that is there with that of the one wanted.

    Args:
        found: recipe of the picture that is there.
        wanted: recipe of the one wanted, as it would be in its file.

    Returns:
        What to say of each entry that differs, such as ``with temperature 0.8, not 1``; empty if they are the
        same but for the version.
    """
    # In the order of recipes, what the picture is of first.
    found, wanted = {**found, **_DEFAULTS, **found}, {**wanted, **_DEFAULTS, **wanted}
    if "method" in found:
        found["method"] = OLD_NAMES.get(found["method"], found["method"])
    keys = [key for key in {**wanted, **found} if _value(key, found) != _value(key, wanted)]
    if "method" in keys:
        keys = [key for key in keys if key not in _OF_METHODS]
    return {key: _OTHER.get(key) or _said(key, found, wanted) for key in keys if key not in _IGNORED}


def _said(key: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    names = [_name(key, recipe) for recipe in (found, wanted)]
    values = [_short(key, recipe) for recipe in (found, wanted)]
    same = names[0] == names[1]
    return f"with {names[0]} {values[0]}, not {values[1] if same else f'{names[1]} {values[1]}'}"


def _name(key: str, recipe: Mapping[str, str]) -> str:
    """Return the name that people give an entry: that of the option, for the two that say ``noise``."""
    if key == "noise":
        return "strength" if isinstance(_value(key, recipe), float) else "levels"
    return _NAMES.get(key, key)


def _value(key: str, recipe: Mapping[str, str]) -> PerLevel | str | None:
    """Return an entry, of numbers their values: older recipes write ``0.8`` by level too."""
    text = recipe.get(key)
    if text and key in ("temperature", "noise", "fresh", "guidance", "saturation"):
        try:
            return parse_levels(text, named_levels(text) or [0], 1.0)
        except ValueError:  # edited by hand
            pass
    return text


def _short(key: str, recipe: Mapping[str, str]) -> str:
    """Return an entry as people write it."""
    value = _value(key, recipe)
    if key == "noise" and isinstance(value, float):
        value = 1 - value
    text = short_levels(value) if isinstance(value, float | Mapping) else value or "none"
    return printable(text if len(text) <= 40 else f"{text[:40]}...")
