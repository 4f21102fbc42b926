"""The stage of the autoregressive level: what it trains, what it measures, and where it starts."""

import math
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import stir
from narrow import NARROW_NATURAL

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import nll_by_level
from cinn_colorize.models import load_model
from cinn_colorize.models.architecture import read
from cinn_colorize.models.natural import Natural
from cinn_colorize.models.natural_config import COARSE, NaturalConfig
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.natural import (
    CoarseTask,
    CoarseTraining,
    FineTask,
    FineTraining,
    batch_nll,
    features_in_chunks,
)
from cinn_colorize.training.task import Noise, vividness, without

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(examples):
    photos = find_photos(examples)[:4]
    return CoarseTask(photos, photos)


def build(config=NARROW_NATURAL):
    torch.manual_seed(0)
    return Natural(config)


@pytest.mark.ci
def test_the_coarse_colours_are_learnt_and_the_details_left_alone(task, tmp_path):
    config = CoarseTraining(photos=32, batch=4, warmup=0, learning_rate=3e-3)
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learnt = train(model, task, config, tmp_path, RunOptions(CPU, workers=0))
    after = learnt.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    parts = {name.rsplit(".", 1)[0] for name in changed}
    assert any(name.startswith(f"levels.{COARSE}.flow") for name in parts)
    assert any(name.startswith("pyramid") for name in parts)
    assert any(name.startswith("backbone.stages.6") for name in parts)
    assert not any(name.startswith(("levels.32", "levels.16", "backbone.stem")) for name in parts)
    started = build()
    assert task.measure(learnt)["nll_coarse"] < task.measure(started.eval())["nll_coarse"] - 1


def test_the_finest_levels_learn_from_every_second_photo_and_all_others_from_all():
    model, rng = stir(build()).eval(), torch.Generator().manual_seed(0)
    L, x = 100 * torch.rand(4, 1, 256, 256, generator=rng), torch.randn(4, 2, 64, 64, generator=rng) / 2
    features = features_in_chunks(model, L, torch.float32)
    with torch.no_grad():
        nll, whole = (batch_nll(model, x, L, features, every) for every in ({32: 2, 16: 2}, {}))
    assert set(nll) == set(model.latent_shapes)
    for r, values in nll.items():
        assert len(values) == (2 if r in (32, 16) else 4)
        torch.testing.assert_close(values, whole[r][: len(values)], rtol=1e-4, atol=1e-3)


def test_the_level_alone_has_the_nll_that_it_has_in_the_whole(task):
    model = stir(build()).eval()
    coarse = partial(model.condition, finest=COARSE)
    alone, whole = nll_by_level(model, task.dev[:2], coarse), nll_by_level(model, task.dev[:2])
    assert set(alone) == {COARSE}
    assert alone[COARSE] == pytest.approx(whole[COARSE], rel=1e-5)


def test_all_that_learns_is_on_one_device(task):
    """As on a GPU, which a device without values stands for."""
    groups = task.learning(build().to("meta"), CoarseTraining())
    assert {parameter.device.type for parameters, _ in groups for parameter in parameters} == {"meta"}


def test_a_model_without_conditioning_has_no_such_stage(task):
    with pytest.raises(DataError, match="no conditioning network"):
        task.learning(build(without(NARROW_NATURAL, ["conditioning"])), CoarseTraining())


def test_its_architecture_survives_a_file():
    from dataclasses import asdict
    from json import dumps, loads

    config = NaturalConfig.default()
    assert read(NaturalConfig, loads(dumps(asdict(config)))) == config
    assert set(Natural(NARROW_NATURAL).latent_shapes) == {32, 16, COARSE}


def test_a_latent_of_zeros_is_the_same_colours_every_time():
    model = stir(build()).eval()
    L = torch.from_numpy(np.random.default_rng(0).uniform(0, 100, (1, 1, 256, 256)).astype(np.float32))
    with torch.no_grad():
        condition = model.condition(L)
        zeros = {r: torch.zeros(1, *shape) for r, shape in model.latent_shapes.items()}
        first, second = (model.inverse(zeros, condition)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_muon_gets_the_maps_between_hidden_layers(task):
    model, config = build(), CoarseTraining()
    groups = task.learning(model, config)
    optimizer = task.optimizer(model, groups, config, torch.float32)
    names = {id(p): name for name, p in model.named_parameters()}
    by_muon = {names[id(p)] for g in optimizer.param_groups if g["use_muon"] for p in g["params"]}
    by_adam = {names[id(p)] for g in optimizer.param_groups if not g["use_muon"] for p in g["params"]}
    assert by_muon | by_adam == {names[id(p)] for parameters, _ in groups for p in parameters}
    first = f"levels.{COARSE}.flow.maps.1"
    assert {f"{first}.blocks.0.{n}.weight" for n in ("query_key_value", "attended", "expand")} <= by_muon
    assert {f"{first}.{n}" for n in ("position", "embed.weight", "to_affine.weight")} <= by_adam


def muon_step(task, precision):
    """The first step of a matrix of zeros, on a CPU in a run of some precision."""
    model, config = build(), CoarseTraining(weight_decay=0.0)
    optimizer = task.optimizer(model, task.learning(model, config), config, precision)
    weight = model.get_parameter(f"levels.{COARSE}.refine.weight")
    weight.data.zero_()
    weight.grad = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    return weight.detach()


def test_muon_does_not_round_to_bf16_on_a_cpu_in_fp32(task):
    # Where these instructions are emulated, its products take two thirds of a step.
    step = muon_step(task, torch.float32)
    assert not torch.equal(step.bfloat16().float(), step)
    assert len(step.unique()) > step.numel() / 2  # bf16 has 8 bits of mantissa


def test_muon_rounds_to_bf16_on_a_cpu_in_bf16(task):
    step = muon_step(task, torch.bfloat16)
    assert len(step.unique()) < step.numel() / 2
    torch.testing.assert_close(step, muon_step(task, torch.float32), rtol=0, atol=0.05 * step.abs().max())


def test_all_that_learns_has_a_gradient(task):
    # Otherwise several processes wait for it forever.
    model, config = build(), CoarseTraining()
    groups = task.learning(model, config)
    batch = [torch.rand(2, 1, 256, 256), torch.rand(2, 2, 64, 64)]
    noise = Noise(torch.Generator().manual_seed(0))
    task.losses(stir(model).train(), batch, config, noise, torch.float32)["loss"].backward()
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(p)] for parameters, _ in groups for p in parameters if p.grad is None] == []


def test_vivid_photos_count_more_in_the_loss_and_as_much_in_the_nll(task):
    model = build()
    task.learning(model, CoarseTraining())
    stir(model).eval()
    generator = torch.Generator().manual_seed(0)
    L, ab = 100 * torch.rand(1, 1, 256, 256, generator=generator), torch.ones(1, 2, 64, 64)
    for chroma in (8.5, 17.0, 34.0):
        plain, weighted = (
            task.losses(
                model,
                [L, chroma / math.sqrt(2) * ab],
                CoarseTraining(vivid=vivid, pixel_noise=0, coarse_noise=0),
                Noise(torch.Generator().manual_seed(1)),
                torch.float32,
            )
            for vivid in (0.0, 2.0)
        )
        assert weighted["nll"] == plain["nll"]
        assert (weighted["loss"] / plain["loss"]).item() == pytest.approx((chroma / 16.95) ** 2, rel=1e-4)


def test_features_must_tell_the_colours_alone(task):
    model = build()
    task.learning(model, CoarseTraining())
    model.eval()
    x, L = torch.randn(2, 2, 64, 64), 100 * torch.rand(2, 1, 256, 256)
    features = model.condition(L, finest=COARSE).prepared[COARSE].features
    blocks = x.view(2, 2, 16, 4, 16, 4).mean((3, 5))
    error = model.to_colours.error(x, features)  # of a map that is zero yet
    torch.testing.assert_close(error, blocks.square().mean((1, 2, 3)))

    colours = torch.einsum("oc,nchw->nohw", stir(model.to_colours).weight[:, :, 0, 0], torch.cat(features, 1))
    told = torch.stack([colours[:, :4], colours[:, 4:]], 1)  # of the 2x2 pixels of each place, row by row
    pixels = blocks.view(2, 2, 8, 2, 8, 2).permute(0, 1, 3, 5, 2, 4).flatten(2, 3)
    error = model.to_colours.error(x, features)
    expected = (told + model.to_colours.bias.view(2, 4, 1, 1) - pixels).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(error, expected)
    error.sum().backward()
    deep = dict(model.backbone.named_parameters())
    assert any(p.grad is not None and p.grad.any() for p in deep.values())


def test_the_map_that_tells_them_is_not_in_the_weights(task, tmp_path):
    model = build()
    task.learning(model, CoarseTraining())
    task.save(stir(model), tmp_path / "natural.safetensors", {})
    loaded = load_model("natural", tmp_path / "natural.safetensors").model
    assert loaded.state_dict().keys() == build().state_dict().keys()
    flow = f"levels.{COARSE}.flow.maps.1.to_affine.weight"
    torch.testing.assert_close(loaded.state_dict()[flow], model.state_dict()[flow], atol=1e-4, rtol=1e-3)
    task.learning(loaded, CoarseTraining())  # from which another run of the stage can start


def test_no_photo_counts_for_nothing_or_for_a_batch():
    x = torch.tensor([0.0, 100.0]).view(2, 1, 1, 1).expand(2, 2, 64, 64)
    assert vividness(x, 1.0).tolist() == pytest.approx([0.3, 3.0])
    assert vividness(x, 0.0).tolist() == [1.0, 1.0]


def test_training_hides_the_features_of_some_photos(task):
    model = stir(build())
    level = model.levels[str(COARSE)]
    L = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    pyramid = {r: torch.rand(64, c, r, r) for r, c in model.pyramid.CHANNELS.items() if r in (8, 16)}
    plain = level.eval().prepare(pyramid, L).features[0]
    hidden = level.train().prepare(pyramid, L).features[0]
    changed = (plain - hidden).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert 0 < changed.float().mean() < 0.5
    assert torch.allclose(hidden[changed], hidden[changed][:1].expand_as(hidden[changed]), atol=1e-5)


@pytest.mark.ci
def test_the_details_are_learnt_and_the_coarse_colours_left_alone(task, tmp_path):
    config = FineTraining(photos=32, batch=4, warmup=0, learning_rate=3e-3)
    fine, model = FineTask(task.photos, task.dev), stir(build())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    nll = nll_by_level(model.eval(), task.dev[:2])
    learnt = train(model, fine, config, tmp_path, RunOptions(CPU, workers=0))
    changed = {name for name, tensor in learnt.state_dict().items() if not torch.equal(tensor, before[name])}
    parts = {".".join(name.split(".")[:3]) for name in changed}
    assert {"levels.32.flow", "levels.16.flow", "pyramid.lateral.64", "pyramid.smooth.32"} <= parts
    read = ("backbone", f"levels.{COARSE}", "pyramid.lateral.8", "pyramid.lateral.16", "pyramid.attention")
    assert not any(name.startswith(read) for name in changed)
    better = nll_by_level(learnt, task.dev[:2])
    assert better[32] < nll[32]
    assert better[COARSE] == pytest.approx(nll[COARSE], rel=1e-5)
    assert set(nll_by_level(learnt, task.dev[:1], partial(learnt.condition, coarsest=16))) == {32, 16}


def test_details_learn_above_drawn_colours_too(task):
    model, rng = stir(build(replace(NARROW_NATURAL, gamut_margin=1e4))), torch.Generator()
    L, ab = 100 * torch.rand(8, 1, 256, 256), 20 * torch.randn(8, 2, 64, 64)

    def x(model, share):
        noise = Noise(rng.manual_seed(1))
        return FineTask(task.photos).prepare(model, [L, ab], FineTraining(drawn=share), noise, torch.float32)[
            0
        ]

    change = x(model, 1.0) - x(model, 0.0)
    at_16, at_32 = (F.interpolate(F.avg_pool2d(change, side), scale_factor=side) for side in (4, 2))
    torch.testing.assert_close(change, at_32, rtol=0, atol=1e-4)  # the details of each photo stay its own
    assert 0 < sum(torch.allclose(*pair, atol=1e-4) for pair in zip(change, at_16, strict=True)) < 8
    assert (change.flatten(1).std(1) > 0.1).all()
    assert torch.equal(x(model, 0.0), x(model, 0.0))
    within = build()
    drawn, bounds = x(stir(within), 1.0), within.condition(L).gamut[64]
    assert torch.equal(drawn, drawn.clamp(*bounds))


def test_details_cannot_be_learnt_alone(task):
    fine = FineTask(task.photos)
    with pytest.raises(DataError, match="requires --start"):
        fine.initial_model()
    with pytest.raises(DataError, match="no conditioning network"):
        fine.learning(build(without(NARROW_NATURAL, ["conditioning"])), FineTraining())


def test_without_timm_one_line_says_how_to_get_it(monkeypatch, task):
    monkeypatch.setitem(sys.modules, "timm.optim.muon", None)
    with pytest.raises(DataError, match=r"requires timm; pip install 'cinn-colorize\[train\]'"):
        task.optimizer(build(), [], task.settings(), torch.float32)
