"""Every method reads back the recipes it writes, and follows those written before."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import GRAY
from PIL import Image

from cinn_colorize.files.atomic import sha256
from cinn_colorize.imaging.options import MAX_PIXELS, Encoding, Rendering, Upsampling
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.charts import Grid, Interpolated, Strip, Successive, Varied
from cinn_colorize.methods.hints import Hint, Hinted
from cinn_colorize.methods.mix import Mix
from cinn_colorize.methods.recipe import METHODS, Recipe, differences, recreate
from cinn_colorize.methods.sample import Sampling, Variation
from cinn_colorize.methods.transfer import Transfer
from cinn_colorize.models.registry import MODELS

LEVELS = MODELS["natural"].levels


@pytest.fixture(scope="module")
def files(colorizer, examples, tmp_path_factory):
    """A photo, and the other files that methods require, by recipe entry."""
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray(GRAY).save(folder / "photo.png")
    mask = np.zeros_like(GRAY)
    mask[:, :100] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    strokes = np.zeros((*GRAY.shape, 4), np.uint8)
    strokes[100:120, 100:120] = 160, 40, 50, 255
    Image.fromarray(strokes).save(folder / "strokes.png")
    codes = colorizer.condition(GRAY).sample(1, 0.6, 1)[0].latent
    codes.save(folder / "codes.safetensors", "natural", colorizer.sha256)
    return {
        "photo": folder / "photo.png",
        "mask": folder / "mask.png",
        "strokes": folder / "strokes.png",
        "load": folder / "codes.safetensors",
        "between": folder / "codes.safetensors",
        "reference": examples / "coffee.png",
    }


def methods(files):
    """Some instances of each method, with non-default parameters."""
    noise = dict.fromkeys(LEVELS, 0.25) | {8: 0.5}
    return [
        Sampling(),
        Variation(like=1, fresh=noise),
        Transfer(files["reference"], noise),
        Mix(files["mask"], 7),
        Hinted((Hint(100, 90, (160, 40, 50)), Hint(3, 4, (1, 2, 3))), files["strokes"]),
        Hinted((Hint(100, 90, (160, 40, 50)),)),
        Strip((0.0, 0.5), (16, 8)),
        Strip((0.25,)),
        Grid(Varied(2, 8)),
        Grid(Successive(None, files["load"])),
        Grid(Interpolated(2, (4, files["between"]))),
    ]


def test_each_method_is_here(files):
    assert {type(method) for method in methods(files)} == set(METHODS.values())
    keys = [key for method in METHODS.values() for key in method.keys]
    assert len(set(keys)) == len(keys), "an entry means the same in all recipes"


@pytest.mark.parametrize("k", range(11))
def test_a_method_is_read_back_from_its_recipe(colorizer, files, tmp_path, k):
    method, photo = methods(files)[k], open_photo(files["photo"])
    rendering, encoding = Rendering(Upsampling.bicubic), Encoding(90, True)
    drawing = replace(method, temperature=0.5, seed=3, rendering=rendering)
    made = drawing.draw(colorizer, photo)
    made.save(tmp_path / "made.png", **vars(encoding))
    recipe = Recipe.read(tmp_path / "made.png")
    assert (recipe.method, recipe.seed, recipe.temperature) == (type(method), 3, 0.5)
    assert (recipe.rendering, recipe.encoding) == (rendering, encoding)
    by_digest = {sha256(path): path for path in files.values()}
    assert set(recipe.others) <= set(by_digest)
    assert recipe.method.from_recipe(recipe.entries, by_digest, LEVELS, MAX_PIXELS) == method
    again = tmp_path / "again.png"
    recreate(recipe, colorizer, files["photo"], again, others=[by_digest[other] for other in recipe.others])
    assert again.read_bytes() == (tmp_path / "made.png").read_bytes()
    if isinstance(method, SampleMethod):
        assert set(method.settings) <= {*method.keys, "pick"}, "a manifest calls things as recipes do"


class Blank:
    """No colours."""

    def rows(self, y0, y1, L):
        return np.zeros((2, *L.shape), np.float32)


@pytest.mark.parametrize("key", ["temperature", "noise", "fresh", "guidance", "saturation"])
def test_numbers_are_compared_by_their_values(key):
    recipe = {"model": "natural", "seed": "1", "method": "sample"}
    assert differences({**recipe, key: "0.50"}, {**recipe, key: "0.5"}) == {}
    assert differences({**recipe, key: "0.51"}, {**recipe, key: "0.5"}).keys() == {key}
