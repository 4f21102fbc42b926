"""The scripts that draw the paper's figures and contact sheets, with small models."""

import sys
from pathlib import Path

import contact_sheet
import figures
import numpy as np
import pytest
import torch
from helpers import EXAMPLES, stir
from narrow import NARROW_BEDROOMS, SMALL_MNIST
from PIL import Image

from cinn_colorize import Colorizer
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods.digits import principal_axes
from cinn_colorize.models import save_model
from cinn_colorize.models.bedrooms import Bedrooms
from cinn_colorize.models.mnist import AXES, Mnist

PHOTOS = [EXAMPLES / "chelsea.png", EXAMPLES / "coffee.png"]  # 3:2 both
ROW, COLUMN, EDGE = 133 + 34, 200 + 12, 12


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of two models that draw different colours."""
    files = []
    for seed, name in enumerate(("before", "after")):
        torch.manual_seed(seed)
        files.append(tmp_path_factory.mktemp(name) / "bedrooms.safetensors")
        save_model(files[-1], stir(Bedrooms(NARROW_BEDROOMS)), {})
    return files


@pytest.fixture
def scripts(monkeypatch, tmp_path):
    """Return a function that runs a script's ``main`` and returns the tiles of its sheets with labels."""
    monkeypatch.chdir(tmp_path)
    modules, tiles = {"figures": figures, "contact_sheet": contact_sheet}, []
    for module in modules.values():
        draw = module.contact_sheet
        monkeypatch.setattr(
            module,
            "contact_sheet",
            lambda shown, columns=None, draw=draw: tiles.extend(shown) or draw(shown, columns),
        )

    def run(name, *arguments):
        tiles.clear()
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        modules[name].main()
        return [label for _, label in tiles], [image for image, _ in tiles]

    return run


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_truth_among_samples(scripts, weights, capsys, tmp_path):
    labels, images = scripts("figures", 1, "--data", PHOTOS[0], "--weights", weights[0], "--number", 3)
    assert labels == list("ABCD")
    truth = np.asarray(open_photo(PHOTOS[0]).thumbnail(300), float)
    errors = [np.abs(np.asarray(image, float) - truth).mean() for image in images]
    assert capsys.readouterr().err.split()[-1] == labels[int(np.argmin(errors))]
    assert size_of("colorized/figure-1.jpg")[0] == 2 * 312 + EDGE


@pytest.mark.parametrize(
    ("figure", "labels"),
    [
        (9, ["original", "seed 5", "seed 6"] * 2),
        pytest.param(11, ["original", "seed 5", "seed 6"] * 2, marks=pytest.mark.ci),
        pytest.param(
            14, ["T = 0", "T = 0.3", "T = 0.6", "T = 0.8", "T = 1", "T = 1.2"] * 2, marks=pytest.mark.ci
        ),
        (15, ["gray", "reference", "original", "transferred"]),
    ],
)
def test_rows_of_samples(scripts, weights, figure, labels):
    arguments = (figure, "--data", *PHOTOS, "--weights", weights[0], "--number", 2, "--seed")
    shown, _ = scripts("figures", *arguments, 5)
    assert shown == labels
    path = Path(f"colorized/figure-{figure}.jpg")
    columns, height = len(labels) // 2, 200 + 34 if figure == 9 else ROW
    assert size_of(path) == (columns * COLUMN + EDGE, 2 * height + EDGE)
    once = path.read_bytes()
    scripts("figures", *arguments, 5)
    assert path.read_bytes() == once
    scripts("figures", *arguments, 6)
    assert path.read_bytes() != once


@pytest.mark.parametrize("figure", [9, 16])
def test_models_side_by_side(scripts, weights, figure):
    labels, images = scripts("figures", figure, "--data", PHOTOS[0], "--weights", *weights, "--number", 4)
    names = [file.parent.name for file in weights]
    assert labels == ["original", *(name for name in names for _ in range(2))]
    assert len({image.tobytes() for image in images}) == 5


def test_failures_are_the_least_likely(scripts, weights):
    labels, _ = scripts("figures", 12, "--data", *PHOTOS, "--weights", weights[0], "--number", 4)
    expected = []
    colorizer = Colorizer("bedrooms", weights=weights[0])
    for path in PHOTOS:
        conditioned = colorizer.condition(path)
        noise = 0.75 * np.random.default_rng(0).standard_normal((2, 64, 64), np.float32)
        found = {s.seed: conditioned.log_prob(s.ab + noise) / 8192 for s in conditioned.sample(4, 1.0)}
        seeds = sorted(found, key=found.get)
        expected.append(f"seed {seeds[0]}: log-likelihood {found[seeds[0]] - found[seeds[2]]:+.2f}")
    assert labels[0:4:2] == ["original"] * 2
    assert sorted(labels[1:4:2]) == sorted(expected)
    assert labels[5::2] == ["median sample"] * 2
    assert all(label.startswith("original: log-likelihood ") for label in labels[4::2])


def test_digits(scripts, shared, tmp_path):
    torch.manual_seed(0)
    model = stir(Mnist(SMALL_MNIST))
    model.centre, model.axes = principal_axes(torch.randn(20, model.centre.numel()), AXES)
    save_model(tmp_path / "mnist.safetensors", model, {})
    for figure, rows in ((4, 8), (6, 2), (7, 2)):
        arguments = () if figure == 4 else ("--number", 2)
        scripts("figures", figure, "--weights", tmp_path / "mnist.safetensors", *arguments)
        assert rows * 60 <= size_of(f"colorized/figure-{figure}.jpg")[1] < (rows + 1) * 60


def test_curves_of_ablations(scripts, tmp_path):
    for run, end in (("full, seed 0", -0.5), ("without noise", 0.1)):
        (tmp_path / "mnist-100" / run).mkdir(parents=True)
        (tmp_path / "mnist-100" / run / "evaluation.csv").write_text(f"seen,nll\n50,0.4\n100,{end}\n")
    labels, _ = scripts("figures", 10, "--data", tmp_path)
    assert labels == ["mnist-100"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["9", "--weights", "no.safetensors"], "no.safetensors: no such weights file"),
        (["16"], "give --weights of the models with and without conditioning network"),
        (["10", "--data", "runs"], "runs: no runs in it; make them with scripts/paper/ablations.py"),
        (["1", "--weights", "no.safetensors"], "no.safetensors: no such weights file"),
        (["11", "--data", "nowhere"], "nowhere: does not exist"),
        (["1", "--data", str(EXAMPLES / "camera.png")], "camera.png: gray, with no colours"),
    ],
)
def test_errors_are_one_line(scripts, arguments, line):
    with pytest.raises(SystemExit) as end:
        scripts("figures", *arguments)
    assert line in end.value.code
    assert end.value.code.startswith("figures: ")
    assert "\n" not in end.value.code
    assert not Path("colorized").exists()


def test_contact_sheets(scripts, weights, tmp_path):
    folder = tmp_path / "seven"
    folder.mkdir()
    for k in range(7):
        Image.effect_noise((40 + k, 30), 60).save(folder / f"{k}.png")
    labels, images = scripts("contact_sheet", folder, "--weights", *weights, "--number", 1)
    before, after = (file.parent.name for file in weights)
    row = [f"{name}, {t}" for name in (before, after) for t in ("T = 1", "default T")]
    assert labels == [label for k in range(7) for label in (str(k), *row)]
    assert {image.size for image in images} == {(160, 160)}
    width = 5 * 172 + EDGE
    assert size_of("colorized/samples-1.jpg") == (width, 4 * 194 + EDGE)
    assert size_of("colorized/samples-2.jpg") == (width, 3 * 194 + EDGE)
