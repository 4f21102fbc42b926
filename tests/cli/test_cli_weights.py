"""Weights that commands refuse, each in one line."""

from pathlib import Path

import pytest
from helpers import the_line
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.files import tensorfile
from cinn_colorize.models import weights


@pytest.fixture
def foreign(tmp_path):
    """A safetensors file of something else."""
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    return tmp_path / "foreign.safetensors"


def colorize_with(folder, monkeypatch, path):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["gray.jpg", "-o", "unused", "--weights", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert not Path("unused").exists()
    return the_line(result)


def test_wrong_weights(folder, monkeypatch, foreign):
    assert "not one of cinn-colorize" in colorize_with(folder, monkeypatch, foreign)


@pytest.mark.parametrize("value", [float("nan"), 6e4])
@pytest.mark.parametrize("words", ["colorize gray.jpg -s 3", "colorize gray.jpg", "sample gray.jpg -n 2"])
def test_weights_without_finite_colours(folder, monkeypatch, narrow_weights, tmp_path, words, value):
    """Which would be black pictures, with a recipe."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.fill_(value) for name, tensor in load_file(narrow_weights).items()}
    with safe_open(narrow_weights, "pt") as file:
        save_file(tensors, tmp_path / "bad.safetensors", file.metadata())
    monkeypatch.chdir(folder)
    command = [*words.split(), "-o", str(tmp_path / "out"), "--weights", str(tmp_path / "bad.safetensors")]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has no finite colours; choose other weights" in the_line(result)
    assert "gray.jpg" in result.stderr
    assert not [*tmp_path.glob("out/*")]


def test_weights_of_another_model(folder, monkeypatch, tmp_path):
    path = tmp_path / "other.safetensors"
    tensorfile.save(path, {"model": "other", "architecture": {}}, {})
    assert "holds weights of 'other', not of 'natural'" in colorize_with(folder, monkeypatch, path)
    tensorfile.save(path, {"model": "natural", "architecture": {"levels": {}}}, {})
    assert "does not fit" in colorize_with(folder, monkeypatch, path)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\xff" * 64])
def test_corrupt_weights(folder, monkeypatch, tmp_path, content):
    path = tmp_path / "corrupt.safetensors"
    path.write_bytes(content)
    line = colorize_with(folder, monkeypatch, path)
    assert line.rstrip().endswith("damaged, or not a safetensors file"), "without the words of its parser"


def test_truncated_weights(folder, monkeypatch, tmp_path):
    path = tmp_path / "truncated.safetensors"
    path.write_bytes(weights.find_packaged("natural.safetensors").read_bytes()[:-1])
    assert "damaged" in colorize_with(folder, monkeypatch, path)


def test_missing_weights(folder, monkeypatch):
    assert "no such weights file" in colorize_with(folder, monkeypatch, "missing.safetensors")
    assert "not a hub repository" in colorize_with(folder, monkeypatch, "hf:nobody")


def test_packaged_weights_are_verified(folder, monkeypatch, foreign):
    foreign.rename(foreign.with_name("natural.safetensors"))
    monkeypatch.setattr(weights, "_FOLDERS", (foreign.parent,))
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["gray.jpg", "-o", "unused"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "SHA-256" in the_line(result)
    assert not Path("unused").exists()
