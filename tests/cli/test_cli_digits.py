"""``sample`` and ``transfer`` with ``--model mnist``."""

import cv2
import numpy as np
import pytest
import torch
from helpers import stir
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.models import save_model
from cinn_colorize.models.mnist import Mnist, MnistConfig


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = stir(Mnist(MnistConfig(blocks=2, hidden=(8,))))
    model.axes.copy_(torch.randn(4, 784) / 28)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(path, model, {})
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    image = np.zeros((28, 28), np.uint8)
    cv2.line(image, (10, 22), (18, 5), 255, 3)
    cv2.imwrite("one.png", image)
    cv2.imwrite("two.png", image.T)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [*map(str, arguments), "--weights", str(weights), "--device", "cpu"])
        assert result.exit_code == code, result.stderr
        return result

    return run


def the_picture(result):
    (path,) = result.stdout.splitlines()
    with Image.open(path) as picture:
        return path, picture.size


def test_all_digits_of_one_code(run):
    path, size = the_picture(run("sample", "--model", "mnist", "-n", 3))
    assert path == "colorized/digits.png"
    assert size[1] == 3 * 60 + 24
    first = Image.open(path).tobytes()
    again, _ = the_picture(run("sample", "--model", "mnist", "-n", 3, "-o", "again"))
    assert Image.open(again).tobytes() == first
    assert "exists" in run("sample", "--model", "mnist", code=1).stderr


def test_one_digit_and_walks(run):
    assert (
        the_picture(run("sample", "--model", "mnist", "--digit", 0, "-n", 5))[0] == "colorized/digits_0.png"
    )
    path, size = the_picture(run("sample", "--model", "mnist", "--pca"))
    assert path == "colorized/digits_axes.png"
    assert size[1] == 8 * 60 + 4


@pytest.mark.parametrize("digit", [[], ["--digit", 0]])
def test_the_style_of_images(run, digit):
    path, size = the_picture(run("transfer", "--model", "mnist", "one.png", "two.png", *digit))
    assert path == "colorized/digits_like_one.png"
    assert size == (11 * 60 + 4, 2 * 60 + 24)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "one.png", "--model", "mnist"], "PHOTO: not with --model mnist"),
        (["sample", "--model", "mnist", "--vary-level", "0"], "--vary-level: not with"),
        (["sample", "--model", "mnist", "--digit", "10"], "--digit"),
        (
            ["sample", "--model", "mnist", "--frame", "none", "--max-pixels", "9"],
            "--frame, --max-pixels: not with",
        ),
        (["sample", "--model", "mnist", "--guidance", "0.3"], "--guidance: not with --model mnist"),
        (["sample", "--model", "mnist", "--engine", "onnx"], "--engine: not with --model mnist"),
        (["sample", "--model", "mnist", "--pca", "-n", "3", "-s", "9"], "--number, --seed: not with --pca"),
        (["sample", "--model", "mnist", "-t", "32:1"], "--temperature"),
        (["sample", "one.png", "--digit", "0"], "--digit: only with --model mnist"),
        (["sample", "one.png", "--pca"], "--pca: only with"),
        (["sample"], "Missing argument 'PHOTO'"),
        (["transfer", "one.png"], "Missing argument 'TARGET...'"),
        (["transfer", "one.png", "two.png", "--digit", "0"], "--digit: only with"),
        (["transfer", "one.png", "--model", "mnist", "--strength", "0"], "--strength: not with"),
        (["transfer", "one.png", "--model", "mnist", "-n", "1", "--json"], "--number, --json: not with"),
        (["transfer", "one.png", "--model", "mnist", "--no-sheet"], "--sheet: not with"),
    ],
)
def test_usage_errors(run, arguments, message):
    result = run(*arguments, code=2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_images_that_are_no_digits(run, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    result = run("transfer", "--model", "mnist", "text.png", code=1)
    assert "text.png" in result.stderr
    assert len(result.stderr.splitlines()) == 1
