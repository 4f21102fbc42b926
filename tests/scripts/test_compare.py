"""The methods of scripts/compare: their shapes and laws."""

import argparse
import json
import shutil
import sys

import evaluate
import features
import methods
import numpy as np
import pytest
import torch
import train
from couplings import Couplings
from features import PARTS, Cache
from helpers import stir
from methods import CLIP, Classification, ColorGan, Conditioned, Regression, Sampler, judged

from cinn_colorize.data.sources import find_photos
from cinn_colorize.models.natural_config import NaturalConfig

STRIDES = (4, 8, 16, 32)
FEATURES = f"features-{features.SHA256[:8]}"


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(0)
    L = 100 * torch.rand(3, 1, 64, 64)
    ab = 20 * torch.randn(3, 2, 64, 64)
    return L, ab, {s: torch.randn(3, *PARTS[f"stride{s}"]) for s in STRIDES}


@pytest.mark.parametrize("name", train.METHODS)
def test_every_parameter_learns_and_samples_have_the_shape_of_ab(name, batch):
    L, ab, features = batch
    torch.manual_seed(0)
    method = stir(train.METHODS[name]())
    method.prepare(ab)
    losses = method.losses(L, ab, features)
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(parameter.grad is not None for parameter in method.parameters())
    grouped = [id(parameter) for parameters, _ in method.groups() for parameter in parameters]
    assert sorted(grouped) == sorted(id(parameter) for parameter in method.parameters())
    assert method.eval().sample(L, features).shape == ab.shape


@pytest.mark.parametrize("name", train.METHODS)
def test_a_sample_depends_on_its_seed_alone(name, batch):
    L, _, features = batch
    torch.manual_seed(0)
    method = stir(train.METHODS[name]()).eval()
    photo = Conditioned(method, L[:1], {s: f[:1] for s, f in features.items()})
    state = torch.random.get_rng_state()
    several = [sample.ab for sample in photo.sample(3, seed=4)]
    assert torch.equal(state, torch.random.get_rng_state())
    np.testing.assert_array_equal(photo.sample(1, seed=5)[0].ab, several[1])
    assert np.array_equal(several[0], several[1]) != method.samples_differ


def test_the_annealed_mean_lies_between_mean_and_mode():
    method = Classification()
    distribution = torch.full((1, len(method.bins), 1, 1), 1e-9)
    first, second = ((method.bins.centres == torch.tensor(c)).all(1).nonzero() for c in ([0.0, 0], [0.0, 40]))
    distribution[0, first], distribution[0, second] = 0.4, 0.6
    mean, annealed, mode = (
        method.bins.annealed_mean(distribution.log(), T)[0, 1].item() for T in (1.0, 0.38, 0.01)
    )
    assert mean == pytest.approx(24, abs=0.01)
    assert mode == pytest.approx(40, abs=0.01)
    assert mean + 1 < annealed < mode - 1


def test_rare_colours_weigh_more(batch):
    method = Classification()
    method.prepare(torch.randn(2, 2, 64, 64))
    gray, vivid = ((method.bins.centres == torch.tensor(c)).all(1).nonzero() for c in ([0.0, 0], [80.0, 60]))
    assert method.rarity[vivid] > 5 * method.rarity[gray]


def test_the_density_of_codes_is_normalised(monkeypatch):
    monkeypatch.setattr(methods, "CODE", 1)
    torch.manual_seed(0)
    method = methods.VaeMdn().eval()
    mixture = method.mixture({32: 3 * torch.randn(1, 352, 8, 8)})
    z = torch.linspace(-20, 20, 20001)
    density = mixture.log_prob(z[:, None]).exp()
    assert torch.trapezoid(density, z).item() == pytest.approx(1, abs=1e-3)
    drawn = mixture.sample((20000,)).flatten()
    assert drawn.mean().item() == pytest.approx(torch.trapezoid(z * density, z).item(), abs=0.05)


def test_a_judge_is_not_moved_by_those_it_judges():
    judge, x = torch.nn.Linear(3, 1), torch.randn(2, 3, requires_grad=True)
    judged(judge, x).sum().backward()
    assert judge.weight.grad is None
    torch.testing.assert_close(x.grad, judge.weight.detach().expand(2, 3))


def test_the_critic_stays_within_its_bounds(batch):
    L, ab, _ = batch
    method = ColorGan()
    with torch.no_grad():
        method.critic[0].weight.fill_(3)
    method.losses(L, ab, {})
    assert max(parameter.abs().max() for parameter in method.critic.parameters()) <= CLIP


@pytest.mark.parametrize("name", train.METHODS)
def test_a_run_measures_its_method_on_held_out_photos(name, examples):
    dev = find_photos(examples, pattern=None)[:1]
    nothing = argparse.Namespace(count=0, distinct=0, dev=dev)  # to learn from
    if name == "colorgan":
        task = train.RoomsTask(train.METHODS[name], nothing)
    else:
        task = train.MethodTask(train.METHODS[name], nothing, dev)
    torch.manual_seed(0)
    figures = task.measure(stir(train.METHODS[name]()))
    assert figures["best_of_1"] > 0
    assert ("best_of_8" in figures) == train.METHODS[name].samples_differ


def test_the_papers_cinn_differs_by_its_levels_alone(examples):
    papers, own = (train.cinn(name, [examples]) for name in ("couplings", "natural"))
    assert (papers.photos, papers.dev, papers.config) == (own.photos, own.dev, own.config)
    models = papers.initial_model(), own.initial_model()
    assert models[0].config.levels == models[1].config.levels  # those of details
    assert (type(models[0]), models[1].config) == (Couplings, NaturalConfig.default())
    first, second = (model.backbone.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first.keys() | second.keys())


def test_the_weights_of_the_papers_cinn_are_evaluated(examples, tmp_path):
    torch.manual_seed(0)
    model = stir(Couplings())
    train.CouplingsTask([], []).save(model, tmp_path / "couplings.safetensors", {})
    colorizer = evaluate.couplings(tmp_path / "couplings.safetensors")
    assert colorizer.info.levels == tuple(model.latent_shapes)
    conditioned = colorizer.condition(examples / "camera.png")
    (sample,) = conditioned.sample(1, 1.0, 0)
    assert conditioned.log_prob(sample.ab) == pytest.approx(sample.log_prob, rel=1e-3)


@pytest.fixture(scope="module")
def filled(examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BATCH", 4)
        patch.setattr(features, "Loading", lambda workers: train.Loading())
        Cache(folder / "whole", 8).fill(find_photos(examples, pattern=None))
        Cache(folder / FEATURES, 8).fill(find_photos(examples, pattern=None))
        (folder / FEATURES / "done").write_text("4")
        Cache(folder / FEATURES, 8).fill(find_photos(examples, pattern=None))
    return folder


def test_features_stopped_on_the_way_are_those_computed_at_once(filled):
    for part, shape in PARTS.items():
        whole, resumed = (np.load(filled / name / f"{part}.npy") for name in ("whole", FEATURES))
        assert whole.shape == (8, *shape)
        np.testing.assert_array_equal(whole, resumed)
        assert whole.any(axis=tuple(range(1, 1 + len(shape)))).all()


def test_a_run_is_done_once(filled, examples, monkeypatch):
    monkeypatch.setattr(train, "BATCH", 8)
    arguments = argparse.Namespace(run=filled, photos=8, data=[examples], precision="fp32")
    train.run("regression", arguments)
    weights = filled / "regression" / "regression.safetensors"
    first = weights.stat().st_mtime_ns
    found = json.loads((filled / "regression" / "compute.json").read_text())
    assert found["parameters"] == sum(p.numel() for p in Regression().parameters())
    train.run("regression", arguments)
    assert weights.stat().st_mtime_ns == first


def test_a_table_is_measured_once(filled, examples, monkeypatch, capsys):
    photos = filled / "photos"
    photos.mkdir()
    for name in ("coffee.png", "chelsea.png", "photo-sky.png"):
        shutil.copy(examples / name, photos)
    torch.manual_seed(0)
    methods = {name: stir(train.METHODS[name]()) for name in ("regression", "colorgan")}
    opened = []

    def rows(arguments):
        for name, method in methods.items():
            network = None if name == "colorgan" else features.backbone()
            yield evaluate.Row(
                method.title,
                name,
                lambda m=method, n=network: opened.append(m) or Sampler(m, n),
                method.samples_differ,
                ("tint*", "saturations") if name == "regression" else (),
            )

    monkeypatch.setattr(evaluate, "rows", rows)
    monkeypatch.setattr(evaluate, "SAMPLES", 2)
    monkeypatch.setattr(evaluate, "COLUMNS", ("best_of_2", "best_of_1", "variance", "kid_lite0", "objects"))
    monkeypatch.setattr(evaluate, "PAIRED", ("best_of_1",))
    monkeypatch.setattr(evaluate, "PAPER", ("best_of_2", "variance"))
    command = ["evaluate.py", "rooms", str(photos), "--reference", str(photos), "--run", str(filled)]
    monkeypatch.setattr(sys, "argv", command)
    evaluate.main()
    table = capsys.readouterr().out
    evaluate.main()
    assert capsys.readouterr().out == table
    monkeypatch.setattr(sys, "argv", [command[0], "table-1", *command[2:]])
    evaluate.main()
    of_paper = [row.split("|")[1:-1] for row in capsys.readouterr().out.splitlines() if "|" in row]
    assert opened == list(methods.values())
    table, differences = table.split("\n\n")[::2]
    cells = {row.split("|")[1].strip(): row.split("|")[2:] for row in table.splitlines() if "|" in row}
    assert of_paper[0] == ["  ", " best_of_2 ", " variance "]
    assert all([first, third] == cells[name.strip()][0:3:2] for name, first, third in of_paper)
    tinted = cells["CNN [16] in the best random tints"]
    assert float(tinted[0].split()[0]) < float(cells["CNN [16]"][0].split()[0])
    changed = {row.split("|")[1].strip(): row.split("|")[2:] for row in differences.splitlines()}
    assert set(changed) >= {"CNN [16] in the best random tints", "colorGAN [4]"}
    *errors, kid, objects = cells["CNN [16] in eight saturations"][:5]
    assert kid.strip() == "-"
    assert float(errors[0].split()[0]) < float(errors[1].split()[0])
    assert 0 < float(objects.split()[0]) < 1
    change = float(cells["colorGAN [4]"][1].split()[0]) - float(cells["CNN [16]"][1].split()[0])
    assert float(changed["colorGAN [4]"][0].split()[0]) == pytest.approx(change, abs=0.011)
    best, one, variance, kid = cells["CNN [16]"][:4]
    assert best == one
    assert variance.strip().startswith("0.0")
    assert float(cells["colorGAN [4]"][0].split()[0]) < float(cells["colorGAN [4]"][1].split()[0])
    assert float(cells["truth"][0].split()[0]) < float(cells["gray"][0].split()[0])
    assert np.isfinite(float(kid.split()[0]))
