"""``evaluate``: its table, its JSON, its plot, and what it refuses."""

import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from helpers import ENVIRONMENT, Gaussian, needs, the_line
from PIL import Image
from typer.testing import CliRunner


@pytest.fixture
def run(monkeypatch):
    from cinn_colorize import colorizer
    from cinn_colorize.cli.app import app

    monkeypatch.setattr(colorizer, "Colorizer", lambda *_, **__: Gaussian())
    return lambda *args: CliRunner().invoke(app, ["evaluate", *map(str, args)])


def unpack(sources, folder):
    with zipfile.ZipFile(sources[0].path) as archive:
        for i, source in enumerate(sources):
            (folder / f"{i}.webp").write_bytes(archive.read(source.entry))


def test_command_prints_json_and_names_what_it_cannot_read(sources, tmp_path, run):
    unpack(sources[:3], tmp_path)
    good = run(tmp_path, "--json", "--limit", 2)
    assert (good.exit_code, good.stderr) == (0, "")
    found = json.loads(good.stdout)
    assert (found["photos"], found["network"]["model"], len(found["network"]["weights"])) == (
        2,
        "natural",
        64,
    )
    assert run(tmp_path).stdout.startswith("|  | nll |")

    whole = (tmp_path / "1.webp").read_bytes()
    (tmp_path / "1.webp").write_bytes(whole[: len(whole) // 2])
    bad = run(tmp_path, "--json")
    assert bad.exit_code == 1
    assert [("1.webp" in line) for line in bad.stderr.splitlines()] == [True]
    found = json.loads(bad.stdout)
    assert (found["photos"], found["failed"]) == (2, 1)


@pytest.mark.parametrize("content", ["missing", "empty", "no zip"])
def test_command_without_photos_fails_in_one_line(tmp_path, run, content):
    path = tmp_path / "photos"
    if content == "empty":
        path.mkdir()
    elif content == "no zip":
        path.write_text("text")
    result = run(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert str(path) in result.stderr


@pytest.mark.ci
def test_command_has_a_row_for_each_temperature_and_draws_one(sources, tmp_path, run):
    needs("matplotlib")
    photos, plot = tmp_path / "photos", tmp_path / "plots" / "calibration.png"
    photos.mkdir()
    unpack(sources[:4], photos)
    several = run(photos, "--every", 2, "-t", 0.5, "-t", "0.8,32:0.5", "--json")
    found = json.loads(several.stdout)
    assert [len(found), found[0]["photos"]] == [2, 2]
    assert found[0]["temperature"] == 0.5
    assert found[1]["temperature"] == {"32": 0.5, "16": 0.8, "8": 0.8}
    assert run(photos, "--limit", 2, "--plot", plot).exit_code == 0
    with Image.open(plot) as image:
        assert image.width > 2 * image.height > 500
    before = plot.read_bytes()
    refused = run(photos, "--limit", 2, "--plot", plot)
    assert (refused.exit_code, plot.read_bytes()) == (1, before)
    assert "exists; add --overwrite" in refused.stderr


@pytest.mark.ci
def test_command_compares_with_an_earlier_result(sources, tmp_path, run):
    photos, before = tmp_path / "photos", tmp_path / "before.json"
    (photos / "below").mkdir(parents=True)
    unpack(sources[:3], photos / "below")
    before.write_text(run(photos, "-t", 0.5, "--json").stdout)
    assert json.loads(before.read_text())["per_photo"]["names"] == [f"below/{i}.webp" for i in range(3)]
    found = json.loads(run(photos, "--limit", 2, "--against", before, "--json").stdout)
    assert [(d["to"], d["photos"]) for d in found["differences"]] == [
        (row, 2) for row in ("model", "tint", "tint*", "saturations", "gray")
    ]
    assert found["differences"][0]["variance"]["mean"] > 0
    assert "| model - earlier tint* |" in run(photos, "--against", before).stdout

    # Told before anything is measured.
    shutil.move(photos / "below", photos / "above")
    result = run(photos, "--against", before)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "before.json: has none of the 3 photos, such as above/0.webp" in the_line(result)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--metrics", "kid_lite0"], "kid_lite0 requires --reference"),
        (["--metrics", "top5_vgg16"], "top5_vgg16 requires --labels"),
        (["--metrics", "lpips"], "'lpips' is not one of"),
        (["--reference", "x.zip"], "requires --metrics kid_lite0 or fid"),
        (["--labels", "x.tsv", "--metrics", "st_lpips"], "requires --metrics top5_lite0 or top5_vgg16"),
        (["--plot", "a.png", "-t", "1", "-t", "0.8"], "one temperature"),
        (["--plot", "a.txt"], "must end in"),
        (["--plot", "a.png", "--samples", "1"], "two samples"),
        (["-t", "0.5,0.8"], "more than one number for all levels"),
        (["-t", "3:0.5"], "no level 3"),
        (["-t", "1", "-t", "1.0"], "has the same temperature twice"),
        (["--reference-limit", "5"], "requires --reference"),
    ],
)
def test_command_refuses_options_that_do_not_fit(tmp_path, run, options, problem):
    result = run(tmp_path, *options)
    assert result.exit_code == 2
    assert problem in " ".join(result.stderr.replace("│", " ").split())


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(tmp_path, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(tmp_path, "--plot", tmp_path / "a.png")
    assert result.exit_code == 2
    assert "pip install 'cinn-colorize[evaluation]'" in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "option",
    [
        ("--samples", 0),
        ("--every", 0),
        ("--reference-limit", 1),
        ("--temperature", -1),
        ("--temperature", "nan"),
        ("--limit", 0),
        ("--device", "x"),
    ],
)
def test_command_refuses_values_out_of_range(tmp_path, run, option):
    assert run(tmp_path, *option).exit_code == 2


def test_command_is_quick_to_import():
    heavy = "{'torch', 'cv2', 'numpy', 'skimage'} & set(sys.modules)"
    code = f"import sys, cinn_colorize.cli.evaluate; print({heavy})"
    result = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
