"""The scripts that prepare what a run begins with."""

import sys

import grow
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
    files = [tmp_path / f"{name}.safetensors" for name in ("coarse", "made", "other")]
    run(grow, *files[:2], "--details", files[2])
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


def test_grown_weights_are_the_same_flow_with_more_to_learn(run, tmp_path):
    save_model(tmp_path / "small.safetensors", stir(Natural(NARROW_NATURAL)), {})
    files = [tmp_path / f"{name}.safetensors" for name in ("small", "grown")]
    run(grow, *files, "--attention", "8:2", "--blocks", "3")
    small, grown = (load_model(source=path).model.eval() for path in files)
    assert (grown.config.attention, grown.config.coarse.blocks) == ({8: 2}, 3)
    generator = torch.Generator().manual_seed(0)
    L, x = (
        100 * torch.rand(1, 1, 256, 256, generator=generator),
        torch.randn(1, 2, 64, 64, generator=generator),
    )
    with torch.no_grad():
        (z, log_dets), (z_grown, log_dets_grown) = (model(x, model.condition(L)) for model in (small, grown))
    torch.testing.assert_close(z_grown, z, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_dets_grown, log_dets, atol=1e-2, rtol=1e-4)
    with pytest.raises(SystemExit):
        run(grow, files[1], files[0], "--blocks", "1")
