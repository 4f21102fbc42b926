"""Exported files, and what the command does beside those of another export."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import ENVIRONMENT, GRAY, call, names, needs, the_line
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from typer.testing import CliRunner

from cinn_colorize.cli.app import app

for package in ("onnx", "onnxscript", "onnxruntime"):
    needs(package)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The shipped model, exported while it was in train mode."""
    from cinn_colorize.engines.onnx.export import export
    from cinn_colorize.models import load_model

    folder = tmp_path_factory.mktemp("exported")
    loaded = load_model()
    loaded.model.train()
    export(loaded, folder)
    assert loaded.model.training
    assert names(folder) == [
        *("coarse.onnx", "condition.onnx", "sample.onnx"),
        *(f"step{k}.onnx" for k in range(4)),
    ]
    return folder


@pytest.mark.ci
def test_exported_files_draw_the_same(files, engine):
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.engines.onnx.engine import onnx_network
    from cinn_colorize.engines.onnx.files import Sessions

    exported = BaseColorizer(*onnx_network("natural", engine.sha256, Sessions(files)))
    ours, theirs = (each.condition(GRAY).sample(2, seed=5)[1] for each in (exported, engine))
    assert np.array_equal(ours.ab, theirs.ab)
    assert ours.log_prob == theirs.log_prob


def test_export_keeps_what_is_there(folder, tmp_path):
    (tmp_path / "sample.onnx").write_bytes(b"kept")
    done, (line,), torch_was_there = call(folder, "export", "-o", tmp_path)
    assert (done.returncode, done.stdout, torch_was_there) == (1, "", False)
    assert f"{tmp_path / 'sample.onnx'}: exists; add --overwrite" in line
    assert names(tmp_path) == ["sample.onnx"]


def test_an_export_leaves_no_files_of_another_model(tmp_path, monkeypatch):
    def write(loaded, folder):
        (folder / "sample.onnx").write_bytes(b"new")
        return [folder / "sample.onnx"]

    monkeypatch.setattr("cinn_colorize.engines.onnx.export.export", write)
    for name in ("sample.onnx", "coarse.onnx", "step3.onnx", "mine.onnx", "step_2.onnx", "steps.onnx"):
        (tmp_path / name).write_bytes(b"old")
    result = CliRunner().invoke(app, ["export", "-o", str(tmp_path), "--overwrite"])
    assert result.output == f"{tmp_path / 'sample.onnx'}\n"
    assert names(tmp_path) == ["mine.onnx", "sample.onnx", "step_2.onnx", "steps.onnx"]


def test_export_says_which_packages_it_takes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("cinn_colorize.engines.onnx.export.find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["export", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "export requires onnx and onnxscript; pip install 'cinn-colorize[onnx]'" in the_line(result)
    assert names(tmp_path) == []


@pytest.mark.ci
def test_the_example_draws_what_the_engine_draws(folder, files, engine, examples, tmp_path):
    output = tmp_path / "coloured.png"
    subprocess.run(
        [sys.executable, examples / "with_onnx.py", folder / "gray.png", files, output],
        env=ENVIRONMENT,
        check=True,
    )
    coloured = np.asarray(Image.open(output), float)
    # The same noise, drawn in the same order: coarse colours first.
    noise, network = np.random.default_rng(0), engine.network
    codes = {
        r: t * noise.standard_normal((1, *network.latent_shapes[r]), np.float32)
        for r, t in ((8, 0.8), (32, 0.7), (16, 0.7))
    }
    L = rgb2lab(np.repeat(GRAY[..., None], 3, axis=2))[..., 0].astype(np.float32)
    square = cv2.resize(L, (256, 256), interpolation=cv2.INTER_AREA)
    (ab,), _ = network.decode(codes, network.condition(square))
    ab = cv2.resize(ab.transpose(1, 2, 0), L.shape[::-1], interpolation=cv2.INTER_CUBIC)
    assert np.abs(coloured - 255 * lab2rgb(np.dstack([L, ab]))).max() < 2
    assert np.ptp(coloured, axis=2).mean() > 3  # there is colour in it
