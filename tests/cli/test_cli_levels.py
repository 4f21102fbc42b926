"""Levels, their temperatures, and guidance, as commands take them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import stir, the_line
from narrow import NARROW_NATURAL
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.colorizer import Colorizer
from cinn_colorize.imaging.photo import read_recipe
from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural

LEVELS = (32, 16, 8)


@pytest.fixture(scope="module")
def files(tmp_path_factory, folder):
    """Weights, and photos."""
    made = tmp_path_factory.mktemp("levels")
    torch.manual_seed(0)
    save_model(made / "narrow.safetensors", stir(Natural(NARROW_NATURAL)), {})
    shutil.copy(folder / "gray.jpg", made)
    shutil.copy(folder / "coffee.webp", made)
    return made


@pytest.fixture
def run(files, tmp_path, monkeypatch):
    """Run a command in a folder of its own, with weights."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [*map(str, arguments), "--weights", "narrow.safetensors"])
        assert result.exit_code == code, result.output
        return result

    return run


def test_a_picture_says_its_levels_and_is_recreated(run, tmp_path):
    run("gray.jpg", "-t", "0.5,8:0.7", "-s", 3, "-o", "out")
    made = tmp_path / "out" / "gray_003.jpg"
    named = [int(part.split(":")[0]) for part in read_recipe(made)["temperature"].split(",")]
    assert tuple(named) == LEVELS
    run("recreate", made, "gray.jpg", "-o", "again.jpg")
    assert (tmp_path / "again.jpg").read_bytes() == made.read_bytes()


def test_the_mood_of_a_picture_has_a_temperature(run, tmp_path):
    for name, temperature in {"plain": "0.5,8:0.7", "calm": "0.5,8:0.7,1:0.2"}.items():
        run("gray.jpg", "-t", temperature, "-s", 3, "-o", name)
    plain, calm = (tmp_path / name / "gray_003.jpg" for name in ("plain", "calm"))
    assert read_recipe(calm)["temperature"] == "32:0.5,16:0.5,8:0.7,1:0.2"
    assert calm.read_bytes() != plain.read_bytes()
    run("recreate", calm, "gray.jpg", "-o", "again.jpg")
    assert (tmp_path / "again.jpg").read_bytes() == calm.read_bytes()


def test_a_strip_scales_the_mood_alone(run, tmp_path):
    run("temperature", "gray.jpg", "--only", 1, "--temperatures", "0.2,0.7", "-t", "0.5,8:0.7", "--files")
    strip = tmp_path / "colorized"
    temperatures = [read_recipe(strip / f"gray_000_t{t}.jpg")["temperature"] for t in ("0.2", "0.7")]
    assert temperatures == ["32:0.5,16:0.5,8:0.7,1:0.2", "32:0.5,16:0.5,8:0.7"]
    run("recreate", strip / "gray_temperature_000.jpg", "gray.jpg", "-o", "again.jpg")
    assert (tmp_path / "again.jpg").read_bytes() == (strip / "gray_temperature_000.jpg").read_bytes()


def test_a_level_that_the_model_lacks(run):
    message = the_line(run("gray.jpg", "-t", "4:0.5", code=2))
    assert "there is no level 4; levels are 32, 16, 8, 1" in message
    run("sample", "gray.jpg", "--vary-level", 1, code=2)
    run("temperature", "gray.jpg", "--only", 2, code=2)


def test_methods_draw_with_them(run, tmp_path):
    run("sample", "gray.jpg", "-n", 2, "--vary-level", 8, "-o", "out")
    run("temperature", "gray.jpg", "--only", 8, "--temperatures", "0,1", "-o", "out")
    result = run("transfer", "coffee.webp", "gray.jpg", "-o", "out")
    made = tmp_path / result.stdout.strip()
    assert read_recipe(made)["noise"] == "32:1.0,16:1.0,8:0.2"
    run("recreate", made, "gray.jpg", "coffee.webp", "-o", "again.jpg")
    assert (tmp_path / "again.jpg").read_bytes() == made.read_bytes()


def test_a_panorama_shares_the_coarsest_level(run, tmp_path):
    wide = np.tile(np.linspace(0, 255, 60, dtype=np.uint8)[:, None], (1, 200))
    Image.fromarray(wide).save("wide.png")
    run("wide.png", "-s", 0, "-o", "out")
    with Image.open(tmp_path / "out" / "wide_000.png") as made:
        assert made.size == (200, 60)


def test_export_replaces_no_step_without_being_told(run, tmp_path):
    (tmp_path / "onnx").mkdir()
    step = tmp_path / "onnx" / "step0.onnx"
    step.write_bytes(b"of somebody else")
    message = the_line(run("export", "-o", "onnx", code=1))
    assert "step0.onnx: exists; add --overwrite" in message
    assert step.read_bytes() == b"of somebody else"
    assert [path.name for path in (tmp_path / "onnx").iterdir()] == ["step0.onnx"]


def test_guidance_is_in_the_recipe_and_followed_again(run, tmp_path):
    for name, guidance in {"plain": "0", "guided": "0.75"}.items():
        run("gray.jpg", "-s", 3, "--guidance", guidance, "-o", name)
    plain, guided = (tmp_path / name / "gray_003.jpg" for name in ("plain", "guided"))
    assert "guidance" not in read_recipe(plain)
    assert read_recipe(guided)["guidance"] == "0.75"
    assert plain.read_bytes() != guided.read_bytes()
    for made in (plain, guided):
        run("recreate", made, "gray.jpg", "-o", "again.jpg", "--overwrite")
        assert (tmp_path / "again.jpg").read_bytes() == made.read_bytes()


def test_guidance_out_of_range(run):
    assert "from 0 to 2, not 3" in the_line(run("gray.jpg", "--guidance", 3, code=2))


def test_guidance_that_a_model_does_not_allow(files, monkeypatch):
    monkeypatch.chdir(files)
    for guidance, code in ((0.5, 2), (0, 0)):
        words = ["gray.jpg", "--model", "bedrooms", "--guidance", str(guidance), "-s", "0", "-o", "out"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == code, result.output
        assert code == 0 or "these weights of bedrooms cannot be guided" in the_line(result)
    assert (files / "out" / "gray_000.jpg").exists()


def test_a_damaged_guidance_in_a_recipe(run, files, tmp_path):
    colorizer = Colorizer(load_model("natural", files / "narrow.safetensors"), guidance=0.5, device="cpu")
    (picture,) = colorizer.colorize(tmp_path / "gray.jpg")
    for wrong in ("-1", "nan", "2.5", "1e9"):
        replace(picture, recipe={**picture.recipe, "guidance": wrong}).save(tmp_path / "wrong.png")
        message = the_line(run("recreate", "wrong.png", "gray.jpg", code=1))
        assert f"guidance {wrong!r} is not a number from 0 to 2" in message


def test_encoding_undoes_guided_decoding(files):
    loaded = load_model("natural", files / "narrow.safetensors")
    guided, plain = (Colorizer(loaded, guidance=weight, device="cpu") for weight in (0.75, 0.0))
    conditioned, unguided = (each.condition(files / "gray.jpg") for each in (guided, plain))
    (sample,) = conditioned.sample(seed=1)
    assert np.abs(conditioned.decode(conditioned.encode(sample.ab))[0] - sample.ab).max() < 1e-2
    assert np.abs(unguided.decode(conditioned.encode(sample.ab))[0] - sample.ab).max() > 0.1
    # Likelihoods are those of the learnt distribution.
    assert conditioned.log_prob(sample.ab) == unguided.log_prob(sample.ab)
