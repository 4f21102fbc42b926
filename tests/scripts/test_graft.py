"""The script that prepares what a run begins with."""

import sys

import graft
import pytest
import torch
from helpers import stir
from narrow import NARROW_NATURAL

from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural


@pytest.fixture
def run(monkeypatch):
    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", ["", *map(str, arguments)])
        script.main()

    return run


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
