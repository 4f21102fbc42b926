"""Results of a photo joined by a mask: what ``mix --of`` makes of their recipes, and what it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import ending_with_code, in_this_process, longer, the_line
from PIL import Image, ImageDraw

from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.methods.mix import Mix
from cinn_colorize.request import MixRequest

RESULTS = {
    "plain": "gray.png -s 3",
    "other": "gray.png -s 7",
    "hinted": "gray.png -s 3 --hint 20,40,#c02020 --saturation 1.3",
    "painted": "gray.png -s 4 --hints strokes.png",
    "cooler": "gray.png -s 5 --white-balance 0.8 --saturation 0.7",
    "typical": "gray.png",
    "like": "gray.png --like 3",
    "transferred": "transfer coffee.png gray.png --strength 0.9",
    "mixed": "mix gray.png --seeds 1,2 --mask mask.png",
}
MADE_WITH = {"painted": ["strokes.png"], "transferred": ["coffee.png"], "mixed": ["mask.png"]}
INSIDE, OUTSIDE = np.s_[:, :32], np.s_[:, 56:]  # of pixels, away from the border of the mask


@pytest.fixture(scope="module")
def made(tmp_path_factory, examples, colorizer):
    """A folder with a gray photo, what it is coloured with, and results of it by their names."""
    folder = tmp_path_factory.mktemp("made")
    with Image.open(examples / "camera.png") as photo:
        photo.convert("L").resize((96, 80)).save(folder / "gray.png")
    with Image.open(examples / "coffee.png") as photo:
        photo.convert("RGB").resize((90, 60)).save(folder / "coffee.png")
    mask = Image.new("L", (96, 80))
    ImageDraw.Draw(mask).rectangle((0, 0, 43, 80), fill=255)
    mask.save(folder / "mask.png")
    strokes = Image.new("RGBA", (96, 80))
    strokes.paste((40, 60, 200, 255), (60, 50, 80, 60))
    strokes.save(folder / "strokes.png")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        command = in_this_process(monkeypatch, colorizer)
        for name, arguments in RESULTS.items():
            made = command(*arguments.split(), "-o", "made")
            assert made.exit_code == 0, made.stderr
            Path(made.stdout.splitlines()[0]).rename(f"{name}.png")
    return folder


@pytest.fixture
def run(tmp_path, made, colorizer, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return ending_with_code(in_this_process(monkeypatch, colorizer))


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float32)


def apart(path, other, part):
    """Mean difference of two pictures in a part, of 255."""
    return np.abs(pixels(path)[part] - pixels(other)[part]).mean()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("hinted", "other", marks=pytest.mark.ci),
        pytest.param("painted", "cooler", marks=pytest.mark.ci),
        ("transferred", "typical"),
        ("mixed", "like"),
        pytest.param("other", "hinted", marks=pytest.mark.ci),
        pytest.param("hinted", "plain", marks=pytest.mark.ci),
        pytest.param("cooler", "transferred", marks=pytest.mark.ci),
    ],
)
def test_one_is_inside_and_the_other_outside(run, one, other):
    files = sorted({file for name in (one, other) for file in MADE_WITH.get(name, [])})
    join = ["mix", "gray.png", *files, "--of", f"{one}.png,{other}.png", "--mask", "mask.png", "--no-sheet"]
    (joined,) = run(*join).stdout.splitlines()
    assert joined == f"colorized/gray_mix_{one}_{other}.png"
    for part, own, rest in ((INSIDE, one, other), (OUTSIDE, other, one)):
        assert apart(f"{own}.png", f"{rest}.png", part) > 2
        assert apart(joined, f"{own}.png", part) < 0.25 * apart(joined, f"{rest}.png", part)
    (twice,) = run(*join, "-o", "twice").stdout.splitlines()
    assert Path(twice).read_bytes() == Path(joined).read_bytes()
    for name in (one, other):
        Path(f"{name}.png").unlink()  # whose recipes are in that of the mix
    run("recreate", joined, "gray.png", *{"mask.png", *files}, "-o", "again.png")
    assert Path("again.png").read_bytes() == Path(joined).read_bytes()


@pytest.mark.ci
def test_samples_are_joined_alike_by_their_seeds_and_by_their_files(run):
    by_files = run("mix", "gray.png", "--of", "plain.png,other.png", "--mask", "mask.png").stdout.splitlines()
    by_seeds = run("mix", "gray.png", "--seeds", "3,7", "--mask", "mask.png").stdout.splitlines()
    assert by_files[1] == "colorized/gray_mix_plain_other_sheet.jpg"
    assert apart(by_files[0], by_seeds[0], np.s_[:]) == 0
    assert "of" not in read_recipe(by_seeds[0])


@pytest.mark.parametrize("both", [*longer(["--of", "other.png,plain.png"]), ["--seeds", "7,3"]])
def test_the_mask_may_be_the_thing_at_a_pixel(run, both):
    """Its border is that of the photo, so the rest is as it was up to there."""
    joined, sheet = run("mix", "gray.png", *both, "--mask", "20,40").stdout.splitlines()
    assert read_recipe(joined)["mask"] == "20,40"
    change = np.abs(pixels(joined) - pixels("plain.png")).max(2)
    inside, outside = apart(joined, "other.png", np.s_[39:42, 19:22]), (change == 0).mean()
    assert inside < 1 < 5 * inside + 2 < apart(joined, "plain.png", np.s_[39:42, 19:22])
    assert 0.05 < outside < 1
    run("recreate", joined, "gray.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path(joined).read_bytes()
    assert Path(sheet).exists()


@pytest.mark.ci
def test_results_of_a_mix_of_results(run):
    join = ["mix", "gray.png", "strokes.png", "mask.png", "--no-sheet", "--mask"]
    (first,) = run(*join, "mask.png", "--of", "painted.png,other.png").stdout.splitlines()
    (both,) = run(*join, "70,55", "--of", f"hinted.png,{first}").stdout.splitlines()
    run("recreate", both, "gray.png", "strokes.png", "mask.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path(both).read_bytes()
    missing = the_line(run("recreate", both, "gray.png", "mask.png", "-o", "no.png", code=1))
    assert "gray_mix_hinted_mix_painted_other.png: requires the file of a part with SHA-256" in missing


@pytest.mark.ci
def test_results_of_a_long_photo(colorizer, tmp_path):
    """Which are squeezed to the square that a mask joins."""
    gray = np.random.default_rng(0).integers(0, 256, (32, 96), np.uint8)
    Image.fromarray(gray).save(tmp_path / "long.png")
    Image.fromarray(np.where(np.arange(96) < 48, 255, 0).astype(np.uint8) + 0 * gray).save(
        tmp_path / "mask.png"
    )
    photo = open_photo(tmp_path / "long.png")
    for seed in (1, 2):
        colorizer.colorize(photo, seed=seed)[0].save(tmp_path / f"{seed}.png")
    of = f"{tmp_path / '1.png'},{tmp_path / '2.png'}"
    (joined,) = colorizer.draw(photo, MixRequest(seeds=of, mask=tmp_path / "mask.png"))
    assert joined.ab.shape == (2, 64, 64)
    one, other = (colorizer.colorize(photo, seed=seed)[0].rgb[:, :36].astype(float) for seed in (1, 2))
    assert np.abs(joined.rgb[:, :36] - one).mean() < 0.7 * np.abs(joined.rgb[:, :36] - other).mean()


def test_no_one_may_read_a_mix_who_may_not_read_what_it_is_of(run):
    Path("plain.png").chmod(0o600)
    join = ["mix", "gray.png", "--of", "plain.png,other.png", "--mask", "mask.png", "--no-sheet"]
    assert Path(run(*join).stdout.strip()).stat().st_mode & 0o777 == 0o600


def edited(path, **entries):
    """Give a picture another recipe."""
    recipe = {**read_recipe(path), **entries}
    for key in ("format", "quality", "strip"):
        recipe.setdefault(key, "")
    (picture,) = open_photo("gray.png").compose([_NoColour()])
    picture.save(path, recipe=recipe)


class _NoColour:
    def rows(self, y0, y1, L):
        return np.zeros((2, *L.shape), np.float32)


@pytest.mark.parametrize(
    ("arguments", "entries", "message"),
    [
        ("--of plain.png,coffee.png", {}, "coffee.png: has no recipe; choose a picture that"),
        ("--of plain.png,no.png", {}, "no.png: no such file"),
        ("--of plain.png,painted.png", {}, "painted.png: requires the picture of hints with SHA-256"),
        ("--of plain.png,transferred.png", {}, "transferred.png: requires the reference with SHA-256"),
        ("--of plain.png,other.png", {"original": "00" * 32}, "plain.png: was made from another photo; give"),
        ("--of plain.png,other.png", {"weights": "00" * 32}, "plain.png: was made with other weights; give"),
        ("--of plain.png,other.png", {"guidance": "0.5"}, "plain.png: was made with guidance 0.5, not "),
        ("--of plain.png,other.png", {"frame": "1,2,30,40"}, "with frame 1,2,30,40, not none; give mix the"),
        ("--of plain.png,other.png", {"precision": "bf16"}, "was made with precision bf16, not fp32"),
        ("--of plain.png,other.png", {"sheet": "true"}, "plain.png: is a contact sheet"),
        (
            "--of plain.png,other.png",
            {"method": "temperatures", "temperatures": "0.0,1.0", "scaled": "all"},
            "plain.png: shows several samples; choose a picture of one",
        ),
        (
            "--of plain.png,other.png",
            {"method": "hints", "hints": "1,1", "strokes": ""},
            "plain.png: its recipe is damaged ('1,1' is not a hint",
        ),
        ("--of plain.png,other.png --mask 200,40", {}, "lies outside its 96x80 pixels"),
        ("--of plain.png,other.png --mask coffee.png", {}, "coffee.png: has 90x60 pixels and does not fit"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_a_line(run, arguments, entries, message):
    if entries:
        edited("plain.png", **entries)
    before = sorted(Path().rglob("*"))
    mask = [] if "--mask" in arguments else ["--mask", "mask.png"]
    assert message in the_line(run("mix", "gray.png", *arguments.split(), *mask, code=1))
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--of plain.png", "is not a pair"),
        ("--of plain.png,other.png,like.png", "is not a pair"),
        ("--of plain.png,plain.png", "the same sample"),
        ("--of plain.png,other.png -t 0.5", "leave out --temperature"),
        ("--of plain.png,9223372036854775808", "is not a seed"),
        ("", "Missing option"),
    ],
)
def test_usage(run, arguments, message):
    assert message in the_line(run("mix", "gray.png", *arguments.split(), "--mask", "mask.png", code=2))
    assert not Path("colorized").exists()


def test_a_recipe_of_parts_that_are_not_two_is_damaged():
    entries = {"outside_seed": "1", "mask": "1,2", "of": "method=sample&seed=1&temperature=1.0"}
    with pytest.raises(ValueError, match="two parts, not 1"):
        Mix.from_recipe(entries, {}, [8, 16, 32], 100)
