"""A picture's file returns the recipe that it was saved with."""

import numpy as np
import pytest
from helpers import Uniform
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.methods.samples import Colorization, Sample

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]*", fullmatch=True)
PRINTABLE = st.text().map(lambda text: "".join(filter(str.isprintable, text)))
HOW_WRITTEN = {"format", "quality", "strip"}
RECIPES = st.dictionaries(NAMES.filter(lambda name: name not in HOW_WRITTEN), PRINTABLE)
SHORT = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def gray_picture(depth):
    pixels = np.linspace(0, np.iinfo(depth).max, 6 * 5).astype(depth).reshape(6, 5)
    return open_photo(pixels).compose([Uniform(20, -10)])[0]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@SHORT
@given(recipe=RECIPES, strip=st.booleans())
def test_recipes_come_back(tmp_path, suffix, recipe, strip):
    sample = Sample(np.zeros((2, 64, 64), np.float32), None, 0.0, 5, 0.8)
    colorization = Colorization(gray_picture(np.uint8), sample, recipe)
    path = tmp_path / f"picture{suffix}"
    colorization.save(path, quality=80, strip=strip)
    found = read_recipe(path)
    assert {name: value for name, value in found.items() if name not in HOW_WRITTEN} == recipe
    assert set(found) == {*recipe, *HOW_WRITTEN}


@SHORT
@given(recipe=st.dictionaries(NAMES, st.text()))
def test_what_xml_cannot_hold_becomes_a_space(tmp_path, recipe):
    """Recipes in 16-bit files too, and instead of the photo's own."""
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    gray_picture(np.uint16).save(first, recipe={"seed": "5", "old": "entry"})
    open_photo(first).compose([Uniform(0, 0)])[0].save(second, recipe=recipe)
    assert read_recipe(second) == {
        name: "".join(c if c.isprintable() else " " for c in value) for name, value in recipe.items()
    }
