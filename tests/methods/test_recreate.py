"""``cinn-colorize recreate``: the recipe of a picture makes it again."""

import re
import shutil

import numpy as np
import pytest
from helpers import GRAY, RECIPE, Uniform, deep, longer, write
from PIL import Image

from cinn_colorize.errors import PhotoError, WeightsError
from cinn_colorize.imaging.options import MAX_PIXELS, Encoding
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.methods.mix import Mix
from cinn_colorize.methods.recipe import Recipe, recreate
from cinn_colorize.methods.transfer import Transfer


@pytest.fixture(scope="module")
def colorizer(shipped_colorizer):
    return shipped_colorizer  # which the command loads too


@pytest.fixture(scope="module")
def made(colorizer, tmp_path_factory):
    """A folder with photos and pictures made of them."""
    folder = tmp_path_factory.mktemp("made")
    Image.fromarray(GRAY).save(folder / "photo.jpg", dpi=(300, 300))
    write(folder / "photo.png", deep(GRAY))
    for name, options in {"photo.jpg": {"quality": 80}, "photo.png": {"strip": True}}.items():
        colorization = colorizer.colorize(folder / name, n=2, seed=6, temperature=0.7, upsampling="bicubic")[
            1
        ]
        colorization.save(folder / f"out-{name}", **options)
    return folder


@pytest.mark.parametrize("name", [*longer("photo.jpg"), "photo.png"])
def test_the_same_bytes(colorizer, made, tmp_path, name):
    recipe = Recipe.read(made / f"out-{name}")
    assert (recipe.seed, recipe.temperature, recipe.rendering.upsampling) == (7, 0.7, "bicubic")
    assert recipe.encoding == (Encoding(80, False) if name == "photo.jpg" else Encoding(95, True))
    recreate(recipe, colorizer, made / name, tmp_path / name)
    assert (tmp_path / name).read_bytes() == (made / f"out-{name}").read_bytes()


def test_a_recipe_without_guidance_is_of_none(made, tmp_path):
    """As older versions wrote them, which had no guidance."""
    entries = read_recipe(made / "out-photo.jpg")
    assert float(entries.pop("guidance", "0.3")) > 0
    open_photo(GRAY).compose([Uniform(5, 5)])[0].save(tmp_path / "old.jpg", recipe=entries)
    assert Recipe.read(tmp_path / "old.jpg").guidance == 0


def test_all_files_may_have_as_many_pixels_as_is_said(colorizer, made, tmp_path):
    recipe = Recipe.read(made / "out-photo.jpg", max_pixels=GRAY.size)
    recreate(recipe, colorizer, made / "photo.jpg", tmp_path / "again.jpg", max_pixels=GRAY.size)
    with pytest.raises(PhotoError, match=r"out-photo\.jpg: .*raise --max-pixels"):
        Recipe.read(made / "out-photo.jpg", max_pixels=GRAY.size - 1)
    for method in (Transfer, Mix):
        entries = COMPLETE_WITH[method.name]
        made_with = method.from_recipe(entries, {"00": made / "photo.jpg"}, colorizer.info.levels, 1000)
        assert made_with.max_pixels == 1000


def test_a_changed_original(colorizer, made, tmp_path):
    recipe, changed = Recipe.read(made / "out-photo.jpg"), tmp_path / "photo.jpg"
    Image.fromarray(GRAY[::-1]).save(changed)
    with pytest.raises(PhotoError, match=r"photo\.jpg: is not the file .*--force"):
        recreate(recipe, colorizer, changed, tmp_path / "again.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]
    recreate(recipe, colorizer, changed, tmp_path / "again.jpg", force=True)
    assert read_recipe(tmp_path / "again.jpg")["original"] != recipe.original


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weights": "12ab" * 16}, WeightsError, "12ab12ab12ab"),
        ({"format": "png"}, PhotoError, r"must end in \.png"),
        ({"version": "0.0.9"}, None, r"0\.0\.9"),
    ],
)
def test_what_differs_is_named(colorizer, made, tmp_path, caplog, change, error, message):
    recipe = Recipe(**vars(Recipe.read(made / "out-photo.jpg")) | change)
    if error is None:
        recreate(recipe, colorizer, made / "photo.jpg", tmp_path / "again.jpg")
        assert re.search(message, caplog.text)
        return
    with pytest.raises(error, match=message):
        recreate(recipe, colorizer, made / "photo.jpg", tmp_path / "again.jpg")
    assert not list(tmp_path.iterdir())


COMPLETE = {
    **RECIPE, "version": "1", "method": "sample", "weights": "00", "precision": "fp32",
    "upsampling": "jbu", "original": "00", "format": "png", "quality": "95", "strip": "false",
}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (None, "has no recipe"), ({**COMPLETE, "sheet": "true"}, "is a contact sheet"),
        (RECIPE, "lacks version"), ({**COMPLETE, "seed": "x"}, "'x'"),
        ({**COMPLETE, "method": "mix"}, "lacks outside_seed, mask"),
        ({**COMPLETE, "method": "m"}, "method 'm'"), ({**COMPLETE, "temperature": "3:1"}, "no level 3"),
        ({**COMPLETE, "upsampling": "no"}, "upsampling 'no'"), ({**COMPLETE, "model": "m"}, "model 'm'"),
        ({**COMPLETE, "quality": "100000"}, "quality '100000' is not a number from 1 to 100"),
        ({**COMPLETE, "quality": "0"}, "quality '0'"), ({**COMPLETE, "strip": "perhaps"}, "strip 'perhaps'"),
        ({**COMPLETE, "temperature": "1e308"}, "temperature must be a number from 0 to 2, not 1e"),
        ({**COMPLETE, "temperature": "nan"}, "temperature must be"),
        ({**COMPLETE, "temperature": "8:5"}, "temperature must be a number from 0 to 2, not 5"),
        ({**COMPLETE, "seed": "-1"}, "'-1' is not a seed"),
        ({**COMPLETE, "seed": str(2**63)}, "is not a seed"),
        ({**COMPLETE, "seed": "9" * 10**4}, "is not a seed"),
        ({**COMPLETE, "format": "heif"}, "format 'heif'"),
        ({**COMPLETE, "more": "x" * 2**21}, "more has more than 1048576 characters"),
    ],
)  # fmt: skip
def test_recipes_that_do_not_serve(tmp_path, recipe, message):
    (picture,) = open_photo(np.zeros((4, 4), np.uint8)).compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.png", recipe=recipe)
    with pytest.raises(PhotoError, match=rf"out\.png: .*{message}"):
        Recipe.read(tmp_path / "out.png")


COMPLETE_WITH = {
    "grid": {"number": "4", "load": "", "between": "", "vary": ""},
    "temperatures": {"temperatures": "0.0,1.0", "scaled": "all"},
    "hints": {"hints": "1,1,#ff0000", "strokes": "", "reach": "thing"},
    "transfer": {"noise": "1.0", "reference": "00"},
    "mix": {"outside_seed": "1", "mask": "00", "of": ""},
}


@pytest.mark.parametrize(
    ("method", "entries", "message"),
    [
        ("grid", {"number": "2000000"}, "the number of codes must be from 1 to 1024, not 2000000"),
        ("grid", {"number": ""}, "the number of codes must be"),
        ("grid", {"number": "-1"}, "'-1' is not a number"),
        ("grid", {"number": "33", "between": "1,2,3,4"}, "must be from 2 to 32, not 33"),
        ("grid", {"number": "1", "between": "1,2"}, "must be from 2 to 1024"),
        ("grid", {"between": "1,2,3"}, "two or four"), ("grid", {"between": "1,-2"}, "'-2' is not a seed"),
        ("grid", {"between": "1," * 20_000 + "1"}, "two or four"),
        ("grid", {"vary": "3"}, "no level 3"),
        ("grid", {"vary": "1", "between": "1,2"}, "an interpolation takes neither"),
        ("temperatures", {"temperatures": ",".join(map(str, range(20_000)))}, "up to 64 numbers from 0 to 2"),
        ("temperatures", {"temperatures": "0.0,1e308"}, "up to 64 numbers from 0 to 2"),
        ("temperatures", {"temperatures": "0.0,nan"}, "up to 64 numbers"),
        ("temperatures", {"temperatures": "0:1:1e-9"}, "up to 64 numbers"),
        ("temperatures", {"temperatures": "1.0,1.0"}, "twice"),
        ("temperatures", {"scaled": "3"}, "no level 3"),
        ("temperatures", {"scaled": "x"}, "'x' is not a level"),
        ("temperatures", {"scaled": ",".join(["1"] * 10_000)}, "is not a level"),
        ("hints", {"hints": "1,1"}, "is not a hint"),
        ("hints", {"hints": "1,1,#ff0000 " * 1001}, "1000 hints"),
        ("transfer", {"noise": "2.0"}, "share of noise must be a number from 0 to 1"),
        ("mix", {"outside_seed": str(2**63)}, "is not a seed"),
    ],
)  # fmt: skip
def test_recipes_are_validated_as_the_command_line_is(colorizer, tmp_path, method, entries, message):
    recipe = {**COMPLETE, **COMPLETE_WITH[method], "method": method, "weights": colorizer.sha256}
    (picture,) = open_photo(np.zeros((4, 4), np.uint8)).compose([Uniform(0, 0)])
    picture.save(tmp_path / "out.png", recipe=recipe | entries)
    Image.fromarray(GRAY).save(tmp_path / "photo.png")
    read, files = Recipe.read(tmp_path / "out.png"), {"00": tmp_path / "photo.png"}
    levels = colorizer.info.levels
    read.method.from_recipe({**COMPLETE_WITH[method]}, files, levels, MAX_PIXELS)  # which is fine
    with pytest.raises(ValueError, match=message):
        read.method.from_recipe(read.entries, files, levels, MAX_PIXELS)
    if method in ("grid", "temperatures"):
        with pytest.raises(PhotoError, match=message):
            recreate(read, colorizer, tmp_path / "photo.png", tmp_path / "again.png", force=True)
    assert not (tmp_path / "again.png").exists()


def test_the_command(made, tmp_path, capfdbinary):
    from cinn_colorize.cli.app import app

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            app([str(a) for a in ("recreate", *arguments)], prog_name="cinn-colorize")
        return end.value.code, *(stream.decode() for stream in capfdbinary.readouterr())

    for name in ("photo.jpg", "out-photo.jpg"):
        shutil.copy(made / name, tmp_path)
    out, photo, again = (tmp_path / name for name in ("out-photo.jpg", "photo.jpg", "out-photo_again.jpg"))
    code, stdout, stderr = run(out, photo)
    assert (code, stdout) == (0, f"{again}\n"), stderr
    assert "the same bytes" in stderr
    assert again.read_bytes() == out.read_bytes()
    assert run(out, photo)[:2] == (0, "")  # it is there already
    shutil.copy(photo, again)
    code, stdout, stderr = run(out, photo)
    assert (code, stdout) == (1, "")
    assert "--overwrite" in stderr
    code, stdout, stderr = run(out, photo, "-o", photo, "--overwrite")
    assert code == 1
    assert "is one of the files given" in stderr
    assert run(out, photo, "-q", "--overwrite") == (0, f"{again}\n", "")


@pytest.mark.ci
@pytest.mark.parametrize("private", ["gray.png", "strokes.png"])
def test_a_picture_made_again_is_no_more_readable_than_what_it_is_made_of(colorizer, tmp_path, private):
    Image.fromarray(GRAY).save(tmp_path / "gray.png")
    strokes = Image.new("RGBA", GRAY.shape[::-1])
    strokes.paste((160, 40, 50, 255), (110, 90, 130, 100))
    strokes.save(tmp_path / "strokes.png")
    (made,) = colorizer.colorize(open_photo(tmp_path / "gray.png"), seed=3, strokes=tmp_path / "strokes.png")
    made.save(tmp_path / "made.png")
    (tmp_path / private).chmod(0o600)
    recreate(
        Recipe.read(tmp_path / "made.png"),
        colorizer,
        tmp_path / "gray.png",
        tmp_path / "again.png",
        others=[tmp_path / "strokes.png"],
    )
    assert (tmp_path / "again.png").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "made.png").read_bytes()
