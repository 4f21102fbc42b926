"""The latent-space commands as users run them, and ``recreate`` of their pictures."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import ending_with_code, in_this_process, the_line
from PIL import Image, ImageDraw

from cinn_colorize.imaging.photo import read_recipe


@pytest.fixture(scope="module")
def photos(tmp_path_factory, examples):
    """A gray photo, one in colour, and masks."""
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(examples / "camera.png") as photo:
        photo.convert("L").resize((96, 80)).save(folder / "gray.jpg")
    with Image.open(examples / "coffee.png") as photo:
        photo.convert("RGB").resize((90, 60)).save(folder / "coffee.png")
    mask = Image.new("L", (96, 80))
    mask.save(folder / "black.png")
    ImageDraw.Draw(mask).rectangle((0, 0, 40, 80), fill=255)
    mask.save(folder / "mask.png")
    (folder / "text.jpg").write_text("no photo")
    return folder


@pytest.fixture
def run(tmp_path, photos, colorizer, monkeypatch):
    """Run a command in this process and its own folder, with a preloaded model."""
    shutil.copytree(photos, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return ending_with_code(in_this_process(monkeypatch, colorizer))


def made_again(run, picture, *files):
    """Return whether ``recreate`` gives the same bytes."""
    (again,) = run("recreate", picture, *files, "--overwrite").stdout.splitlines()
    return Path(again).read_bytes() == Path(picture).read_bytes()


def test_transfer(run):
    result = run("transfer", "coffee.png", "gray.jpg", "coffee.png", "text.jpg", "-n", 2, "--sheet", code=1)
    names = []
    for stem, suffix in (("gray", "jpg"), ("coffee", "png")):
        names += [f"colorized/{stem}_like_coffee_{seed:03d}.{suffix}" for seed in range(2)]
        names.append(f"colorized/{stem}_like_coffee_sheet.jpg")
    assert sorted(result.stdout.splitlines()) == sorted(names)  # in the order of their creation
    assert "text.jpg" in result.stderr
    recipe = read_recipe(names[1])
    assert (recipe["method"], recipe["seed"], recipe["temperature"]) == ("transfer", "1", "0.5")
    assert recipe["noise"] == "32:1.0,16:1.0,8:0.2"
    missing = run("recreate", names[1], "gray.jpg", code=1)
    assert f"the reference with SHA-256 {recipe['reference'][:12]}" in the_line(missing)
    wrong = run("recreate", names[1], "gray.jpg", "mask.png", code=1)
    assert "requires the reference" in the_line(wrong)
    assert made_again(run, names[1], "gray.jpg", "coffee.png")
    assert made_again(run, names[3], "coffee.png")  # it is its own reference
    run("recreate", names[0], "gray.jpg", "mask.png", "--force", code=1)  # which is gray


def test_transfer_by_levels(run):
    run("transfer", "coffee.png", "gray.jpg", "--levels", "0.5,16:0.2,8:0", "-t", "32:0.1", "-q")
    recipe = read_recipe("colorized/gray_like_coffee_000.jpg")
    assert recipe["noise"] == "32:0.5,16:0.2,8:0.0"
    assert recipe["temperature"] == "32:0.1,16:0.5,8:0.5"
    assert made_again(run, "colorized/gray_like_coffee_000.jpg", "gray.jpg", "coffee.png")
    other = the_line(run("transfer", "coffee.png", "gray.jpg", "--strength", 1, code=1))
    levels, temperature = "levels 0.5,16:0.2,8:0, not strength 1", "temperature 0.5,32:0.1, not 0.5"
    assert f"exists, made with {levels} and with {temperature}; add" in other
    run("transfer", "coffee.png", "gray.jpg", "--strength", 1, "--overwrite")
    assert read_recipe("colorized/gray_like_coffee_000.jpg")["noise"] == "0.0"


@pytest.mark.parametrize(
    "command",
    [
        "transfer coffee.png gray.jpg -n 2 --strength 1",
        "transfer coffee.png gray.jpg -n 2 -t 0",
        "colorize gray.jpg -n 2 -t 0",
        "colorize gray.jpg -n 2 --like 3 -t 0",
    ],
)
def test_samples_without_noise_are_said_to_be_the_same(run, command):
    result = run(*command.split(), "--format", "png")
    assert "without noise all 2 samples are the same; -n 1 draws only one" in result.stderr
    first, second = (path for path in map(Path, result.stdout.splitlines()) if "sheet" not in path.name)
    with Image.open(first) as one, Image.open(second) as other:
        assert one.tobytes() == other.tobytes()
    assert "the same" not in run(*command.split()[:-2], "--format", "png", "--output-dir", "noisy").stderr


def test_a_gray_reference(run):
    assert "gray.jpg: gray, with no colours" in the_line(run("transfer", "gray.jpg", "coffee.png", code=1))


def test_mix(run):
    result = run("mix", "gray.jpg", "--seeds", "3,7", "--mask", "mask.png", "--json")
    picture, sheet = map(json.loads, result.stdout.splitlines())
    assert sheet["output"] == "colorized/gray_mix_003_007_sheet.jpg"
    assert picture["output"] == "colorized/gray_mix_003_007.jpg"
    assert read_recipe(picture["output"])["outside_seed"] == "7"
    missing = run("recreate", picture["output"], "gray.jpg", code=1)
    assert "requires the mask" in the_line(missing)
    assert made_again(run, picture["output"], "gray.jpg", "mask.png")
    for mask, message in {
        "black.png": "black all over",
        "coffee.png": "does not fit",
        "no.png": "no such",
    }.items():
        failed = run("mix", "gray.jpg", "--seeds", "3,7", "--mask", mask, "--overwrite", code=1)
        assert message in the_line(failed)


def test_temperature_of_a_photo_without_a_suffix(run):
    """As of colorize, its pictures have the format of its content."""
    Path("gray.jpg").rename("gray")
    result = run("temperature", "gray", "--temperatures", "0.5", "--files", "-s", 4)
    made = run("gray", "-s", 4, "-t", 0.5).stdout.splitlines()
    assert (made, result.stdout.splitlines()[0]) == (
        ["colorized/gray_004.jpg"],
        "colorized/gray_004_t0.5.jpg",
    )
    assert Path(made[0]).read_bytes() == Path("colorized/gray_004_t0.5.jpg").read_bytes()


def test_temperature(run):
    result = run("temperature", "gray.jpg", "--temperatures", "0:1:0.5", "--files", "-s", 4)
    pictures = [f"colorized/gray_004_t{t}.jpg" for t in ("0", "0.5", "1")]
    strip = "colorized/gray_temperature_004.jpg"
    assert result.stdout.splitlines() == [*pictures, strip]
    run("gray.jpg", "-s", 4, "-t", 0.5, "-o", "same")
    assert Path("same/gray_004.jpg").read_bytes() == Path(pictures[1]).read_bytes()
    assert made_again(run, strip, "gray.jpg")
    again = run("temperature", "gray.jpg", "--temperatures", "0:1:0.5", "--files", "-s", 4)
    assert (again.stdout, "all 4 results: there already" in the_line(again)) == ("", True)
    other = the_line(run("temperature", "gray.jpg", "-s", 4, code=1))
    assert "gray_temperature_004.jpg: exists, made with temperatures 0.0,0.5,1.0, not 0.0,0.25," in other
    run(
        "temperature",
        "gray.jpg",
        "-s",
        4,
        "--temperatures",
        "0,1",
        "--only",
        "16,8",
        "-t",
        "32:0.4",
        "--overwrite",
    )
    assert read_recipe(strip)["scaled"] == "16,8"
    assert made_again(run, strip, "gray.jpg")


def test_sample(run):
    grid = "colorized/gray_samples.jpg"
    result = run("sample", "gray.jpg", "-n", 2, "--save-z", "z.safetensors", "-s", 3)
    assert result.stdout.splitlines() == [grid, "z.safetensors"]
    drawn = Path(grid).read_bytes()
    assert made_again(run, grid, "gray.jpg")
    again = run("sample", "gray.jpg", "-n", 2, "--save-z", "z.safetensors", "-s", 3)
    assert (again.stdout, f"{grid}: there already" in the_line(again)) == ("", True)
    other = the_line(run("sample", "gray.jpg", code=1))
    assert "gray_samples.jpg: exists, made with number 2, not 16 and with seed 3, not 0; add" in other
    other = run("sample", "gray.jpg", "-n", 3, "-o", "other", "--save-z", "z.safetensors", code=1)
    assert "z.safetensors: exists; add --overwrite" in the_line(other)
    assert not Path("other/gray_samples.jpg").exists()
    again = ["--overwrite", "-q"]
    run("recreate", grid, "gray.jpg", *again)

    run("sample", "gray.jpg", "--load-z", "z.safetensors", *again)
    assert Path(grid).read_bytes() != drawn  # labels differ
    assert "requires the file of codes" in the_line(run("recreate", grid, "gray.jpg", *again, code=1))
    run("recreate", grid, "gray.jpg", "z.safetensors", *again)
    assert Path("colorized/gray_samples_again.jpg").read_bytes() == Path(grid).read_bytes()

    few = the_line(
        run("sample", "gray.jpg", "--load-z", "z.safetensors", "-n", 3, "--overwrite", "-o", "few")
    )
    assert "z.safetensors: has 2 codes, not 3" in few
    for useless in (["-s", 4], ["-t", 0.1]):
        for codes in (["--load-z", "z.safetensors"], ["--interpolate", "z.safetensors,z.safetensors"]):
            refused = run("sample", "gray.jpg", *codes, *useless, code=2)
            assert "nothing is drawn where all codes are read" in the_line(refused)
    refused = run("sample", "gray.jpg", "--interpolate", "1,2", "-s", 4, code=2)
    assert "the ends are those of --interpolate" in the_line(refused)
    run("sample", "gray.jpg", "-n", 3, "--interpolate", "z.safetensors,8", *again)
    run("recreate", grid, "gray.jpg", "z.safetensors", *again)
    assert Path("colorized/gray_samples_again.jpg").read_bytes() == Path(grid).read_bytes()

    run("sample", "gray.jpg", "-n", 2, "--vary-level", 8, *again)
    assert read_recipe(grid)["vary"] == "8"
    run("sample", "gray.jpg", "--load-z", "mask.png", *again, code=1)
    kept = run("sample", "gray.jpg", "--load-z", "z.safetensors", "--save-z", "z.safetensors", *again, code=1)
    assert "is one of the files given" in the_line(kept)


def test_samples_like_a_chosen_one(run):
    found = run("gray.jpg", "--like", 3, "-n", 2).stdout.splitlines()
    assert found == [f"colorized/gray_like_003_{end}.jpg" for end in ("004", "005", "sheet")]
    recipe = read_recipe(found[0])
    assert (recipe["method"], recipe["like"], recipe["seed"]) == ("variation", "3", "4")
    assert recipe["fresh"] == "32:1.0,16:1.0,8:0.2"
    assert made_again(run, found[0], "gray.jpg")
    assert not run("gray.jpg", "--like", 3, "-n", 2).stdout, "they are there"
    run("gray.jpg", "--seed", 4, "--output", "{stem}_like_003_{seed:03d}{ext}", code=1)
    other = run("gray.jpg", "--like", 7, "--seed", 4, "--output", "{stem}_like_003_{seed:03d}{ext}", code=1)
    assert "with colours like seed 3, not 7" in the_line(other)
    run("gray.jpg", "--like", 3, "-o", "alone")
    assert [path.name for path in Path("alone").iterdir()] == ["gray_like_003_004.jpg"]


def sample_at(path):
    """Pixels and recipe of a picture, without what it was picked from."""
    with Image.open(path) as picture:
        return picture.tobytes(), {k: v for k, v in read_recipe(path).items() if k != "picked"}


def test_ranking_and_picking(run):
    result = run("gray.jpg", "-n", 4, "--rank", "log-prob", "--json", "-t", "0.9,32:0.5")
    *samples, sheet = map(json.loads, result.stdout.splitlines())
    chances = [sample["log_prob"] for sample in samples]
    assert chances == sorted(chances, reverse=True)
    assert samples[0]["temperature"] == {"32": 0.5} | dict.fromkeys(("16", "8"), 0.9)
    assert "sheet" in sheet["output"]
    names = [sample["output"] for sample in samples[:2]]
    picked = run("gray.jpg", "-n", 4, "--pick", 2, "--rank", "log-prob", "-t", "0.9,32:0.5", "-o", "picked")
    assert picked.stdout.splitlines()[:-1] == [name.replace("colorized", "picked") for name in names]
    assert [*map(sample_at, picked.stdout.split()[:-1])] == [*map(sample_at, names)]
    assert made_again(run, names[0], "gray.jpg")
    by_typicality = run(
        "gray.jpg", "-n", 4, "--rank", "typical", "-t", "0.9,32:0.5", "-o", "typical", "--json"
    )
    most_typical = json.loads(by_typicality.stdout.splitlines()[0])["output"]
    only = run("gray.jpg", "-n", 4, "--pick", 1, "--output", "{stem}{ext}", "-o", "best", "-t", "0.9,32:0.5")
    assert only.stdout == "best/gray.jpg\n"
    assert sample_at("best/gray.jpg") == sample_at(most_typical)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("colorize gray.jpg -t 3:1", "no level 3"),
        ("colorize gray.jpg -n 2 --pick 3", "raise -n"),
        ("transfer coffee.png", "TARGET"),
        ("transfer coffee.png gray.jpg --strength 1.5", "--strength"),
        ("transfer coffee.png gray.jpg --strength 1 --levels 0", "exclude each other"),
        ("transfer coffee.png gray.jpg --levels 32:2", "the share of noise must be a number from 0 to 1"),
        ("transfer coffee.png gray.jpg --overwrite --skip-existing", "exclude each other"),
        ("transfer coffee.png gray.jpg -o a.jpg", "'a.jpg' is the name of a file, not of a folder (see"),
        ("transfer coffee.png gray.jpg -n 2 --seed 9223372036854775807", "--seed"),
        ("export -o a.onnx", "'a.onnx' is the name of a file, not of a folder (see"),
        ("mix gray.jpg --mask mask.png", "--seeds"),
        ("mix gray.jpg --mask mask.png --seeds 3", "not a pair of seeds"),
        ("mix gray.jpg --mask mask.png --seeds 3,3", "the same sample"),
        ("temperature gray.jpg --temperatures 1:0:0.1", "--temperatures"),
        ("temperature gray.jpg --temperatures 0:1:0", "--temperatures"),
        ("temperature gray.jpg --temperatures 0,-1", "--temperatures"),
        ("temperature gray.jpg --temperatures 0,0", "twice"),
        ("temperature gray.jpg --temperatures 0,-0", "twice"),
        ("temperature gray.jpg --temperatures 0.12345678,0.12345679", "twice, to six digits"),
        ("temperature gray.jpg --temperatures 0,2.5", "from 0 to 2"),
        ("temperature gray.jpg --only 3", "no level 3"),
        ("temperature gray.jpg --only x", "'x' is not a level"),
        ("sample gray.jpg --vary-level 64", "no level 64"),
        ("sample gray.jpg --interpolate 1", "two or four"),
        ("sample gray.jpg --interpolate 1,x", "x is neither a seed"),
        ("sample gray.jpg --interpolate 1,2 --vary-level 8", "takes neither a file of codes nor"),
        ("sample gray.jpg --interpolate 1,2 -n 1", "the number of codes must be from 2 to 1024, not 1"),
        ("sample gray.jpg --save-z z.npz", "--save-z"),
        ("sample gray.jpg -n 2000000", "-n"),
        ("sample gray.jpg --interpolate 1,2,3,4 -n 33", "the number of codes must be from 2 to 32, not 33"),
        ("sample gray.jpg -t 5", "--temperature"),
    ],
)
def test_usage_errors(run, arguments, message):
    result = run(*arguments.split(), code=2)
    assert message in the_line(result)
    assert not Path("colorized").exists()
