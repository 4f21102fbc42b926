"""How a picture differs from one that was asked for, going by their recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.messages import printable
from cinn_colorize.imaging.options import MAX_PIXELS, Encoding, Rendering
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.levels import PerLevel, named_levels, parse_levels, short_levels
from cinn_colorize.methods.catalogue import METHODS

# A picture of another version, or picked from other samples, is not another picture for that.
_IGNORED = frozenset({"version", "picked"})
# Of entries that some recipes leave out.
_DEFAULTS = {
    "guidance": "0.0",
    "page": "1",
    "pages": "1",
    **{option.name: str(option.default) for option in fields(Rendering)},
    **Encoding().entries(),
}
_WORDS = {"pages": "page count"} | {k: word for method in METHODS.values() for k, word in method.keys.items()}
# Of entries that say nothing to people: SHA-256s, and long lists.
_OTHER = {
    "original": "from another photo",
    "weights": "with other weights",
    "hints": "with other hints",
    **{key: f"with another {name}" for method in METHODS.values() for key, name in method.files.items()},
}
_NUMBERS = ("temperature", "noise", "fresh", "guidance", "saturation")


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
        same but for the version and what they were picked from.
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
    """Return an entry, of numbers their values."""
    text = recipe.get(key)
    if text and key in _NUMBERS:
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
