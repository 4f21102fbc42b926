"""The scripts that prepare what runs begin with."""

import sys
import zipfile
from dataclasses import replace

import average
import graft
import pytest
import tilt
import torch
from helpers import stir
from narrow import NARROW_NATURAL

from cinn_colorize.data.sources import find_photos
from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural


@pytest.fixture
def run(monkeypatch):
    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", ["", *map(str, arguments)])
        script.main()

    return run


def test_narrow_sources_are_thinned_out_and_others_kept(run, tmp_path):
    for k in range(2):
        with zipfile.ZipFile(tmp_path / f"photos-{k}.zip", "w") as file:
            for source in ("dogs", "streets"):
                for i in range(200):
                    file.writestr(f"{source}/{i:05d}.webp", f"{k} {source} {i}")
    run(tilt, *tmp_path.glob("*.zip"), "--output", tmp_path / "set")
    (made,) = (tmp_path / "set").iterdir()
    with zipfile.ZipFile(made) as file:
        contents = [file.read(entry).decode() for entry in file.namelist()]
    assert len(set(contents)) == len(contents) == len(find_photos(made, None))
    assert sum("streets" in content for content in contents) == 400
    assert 120 < sum("dogs" in content for content in contents) < 200


def test_details_are_taken_and_the_rest_is_kept(run, tmp_path):
    for seed, name in enumerate(["coarse", "other"]):
        save_model(tmp_path / f"{name}.safetensors", stir(Natural(NARROW_NATURAL), seed=seed), {})
    run(graft, *(tmp_path / f"{name}.safetensors" for name in ("coarse", "other", "made")))
    coarse, other, made = (
        load_model(source=tmp_path / f"{name}.safetensors").model.state_dict()
        for name in ("coarse", "other", "made")
    )
    assert made.keys() == coarse.keys()
    for name, tensor in made.items():
        details = name.startswith(("levels.32", "levels.16"))
        assert not details or torch.equal(tensor, other[name]), name
        kept = name.startswith(("levels.8", "backbone"))
        assert not kept or torch.equal(tensor, coarse[name]), name


def test_the_average_lies_between_two_weights_files(run, tmp_path):
    for k in range(2):
        save_model(tmp_path / f"{k}.safetensors", stir(Natural(NARROW_NATURAL), seed=k), {})
    save_model(tmp_path / "other.safetensors", Natural(replace(NARROW_NATURAL, knee=2.0)), {})
    run(average, *(tmp_path / f"{name}.safetensors" for name in (0, 1, "mean")))
    first, second, mean = (
        load_model(source=tmp_path / f"{name}.safetensors").model.state_dict() for name in (0, 1, "mean")
    )
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2, rtol=2e-3, atol=1e-5)
    with pytest.raises(SystemExit, match="another architecture"):
        run(average, *(tmp_path / f"{name}.safetensors" for name in (0, "other", "mean")))
