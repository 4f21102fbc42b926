"""The registry, its commands, and weights from the hub."""

import json
from dataclasses import replace

import pytest
from helpers import the_line
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.errors import WeightsError
from cinn_colorize.files.atomic import sha256
from cinn_colorize.models import MODELS, model_class, own_weights, weights
from cinn_colorize.models.base import PhotoFlow
from cinn_colorize.models.registry import PhotoModelInfo

PUBLISHED = [name for name, info in MODELS.items() if info.sha256]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_each_model_of_the_registry_has_its_class():
    for name, info in MODELS.items():
        found = model_class(name)
        assert found.name == name == info.name
        assert issubclass(found, PhotoFlow) == isinstance(info, PhotoModelInfo)


def test_models_are_listed_with_size_data_measures_and_licence():
    result = run("models")
    assert result.exit_code == 0
    assert "natural (default)" in result.stdout
    size = weights.find_packaged(MODELS["natural"].file).stat().st_size
    assert f"{size / 2**20:.1f} MiB" in result.stdout
    objects = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert [found["name"] for found in objects] == list(MODELS)
    for found, info in zip(objects, MODELS.values(), strict=True):
        assert found["default"] == (info.name == "natural")
        assert (found["data"], found["measured"], found["licence"]) == (
            info.data,
            info.measured,
            info.licence,
        )


def test_download_verifies_what_is_here(tmp_path, monkeypatch):
    result = run("download", "-q", *PUBLISHED)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(weights.find_packaged(MODELS[n].file)) for n in PUBLISHED]
    damaged = bytearray(weights.find_packaged(MODELS["natural"].file).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / MODELS["natural"].file).write_bytes(damaged)
    monkeypatch.setattr(weights, "_FOLDERS", (tmp_path,))
    result = run("download", "natural")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "SHA-256" in the_line(result)


def test_download_says_that_nothing_is_published(monkeypatch):
    monkeypatch.setitem(MODELS, "mnist", replace(MODELS["mnist"], sha256=None))
    result = run("download", "mnist")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "mnist: no weights are published yet" in the_line(result)
    result = run("download", "unnatural")
    assert result.exit_code == 2
    assert "natural, bedrooms, mnist" in the_line(result)


def test_a_model_that_is_not_packaged_comes_from_the_hub_and_is_verified(tmp_path, monkeypatch):
    path = tmp_path / "fetched.safetensors"
    path.write_bytes(b"weights")
    asked = []
    monkeypatch.setattr(weights, "find", lambda source: asked.append(source) or path)
    info = replace(MODELS["mnist"], file="absent", hub="hf:someone/mnist", sha256=sha256(path))
    assert own_weights(info) == path
    assert asked == ["hf:someone/mnist"]
    with pytest.raises(WeightsError, match="SHA-256"):
        own_weights(replace(info, sha256="0" * 64))
    with pytest.raises(WeightsError, match="not in this installation"):
        own_weights(replace(info, hub=None))


@pytest.mark.parametrize("command", ["colorize", "evaluate"])
def test_commands_for_photos_refuse_models_of_digits(command):
    result = run(command, "--model", "mnist", "photo.jpg")
    assert result.exit_code == 2
    assert "mnist does not colorize photos; choose natural, bedrooms" in the_line(result)
