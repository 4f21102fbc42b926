"""Laws of the default model, of its architecture in float64 and of its shipped weights."""

import pytest
import torch
from helpers import stir

from cinn_colorize.models.natural import Natural, NaturalConfig


def inputs(n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    L = torch.rand(n, 1, 8, 8, generator=generator, dtype=dtype) * 100
    L = torch.nn.functional.interpolate(L, size=(256, 256), mode="bicubic").clamp(0, 100)
    return L, torch.randn(n, 2, 64, 64, generator=generator, dtype=dtype)


def test_round_trip_in_double_precision(natural64):
    L, x = inputs(2)
    with torch.no_grad():
        condition = natural64.condition(L)
        latents, log_dets = natural64(x, condition)
        back, inverse_log_dets = natural64.inverse(latents, condition)
    assert (back - x).abs().max() < 1e-9
    for r, log_det in log_dets.items():
        assert (log_det + inverse_log_dets[r]).abs().max() < 1e-8
    assert sum(z[0].numel() for z in latents.values()) == x[0].numel()
    assert {r: z.shape[1:] for r, z in latents.items()} == natural64.latent_shapes


@pytest.mark.parametrize(("double", "tolerance"), [(False, 1e-4), (True, 1e-9)], ids=["fp32", "fp64"])
def test_round_trip_of_the_shipped_weights(colorizer, double, tolerance):
    dtype = torch.float64 if double else torch.float32
    L, x = inputs(2, dtype)
    model = Natural(colorizer.model.config)
    model.load_state_dict(colorizer.model.state_dict())
    model = model.to(dtype).eval()
    with torch.no_grad():
        condition = model.condition(L)
        back, _ = model.inverse(model(x, condition)[0], condition)
        latents = {r: torch.randn(2, *shape, dtype=dtype) for r, shape in model.latent_shapes.items()}
        again, _ = model(model.inverse(latents, condition)[0], condition)
    assert (back - x).abs().max() < tolerance
    assert max((again[r] - latents[r]).abs().max() for r in latents) < 100 * tolerance


@pytest.mark.parametrize("r", [1, 0])
def test_log_det_of_a_level_is_that_of_autograd(natural64, r):
    L, _ = inputs(1)
    level, channels = natural64.levels[str(r)], natural64.latent_shapes[r][0]
    coarser = None if r == 0 else torch.randn(1, 2, 1, 1, dtype=torch.float64)
    conditions = level.conditions(natural64.condition(L).prepared[r], coarser)
    values = torch.randn(1, channels, 1, 1, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: level.flow(v, conditions)[0], values)
    expected = torch.linalg.slogdet(jacobian.reshape(channels, channels))[1]
    assert level.flow(values, conditions)[1].item() == pytest.approx(expected.item(), rel=1e-8, abs=1e-8)


def test_one_photo_is_what_it_is_in_a_batch(natural64):
    L, x = inputs(3)
    with torch.no_grad():
        together = natural64(x, natural64.condition(L))
        alone = natural64(x[1:2], natural64.condition(L[1:2]))
    for r, z in alone[0].items():
        assert (z - together[0][r][1:2]).abs().max() < 1e-10
        assert (alone[1][r] - together[1][r][1:2]).abs().max() < 1e-8


def test_condition_expands_to_samples_of_one_photo(natural64):
    L, _ = inputs(1)
    latents = {r: torch.randn(3, *s, dtype=torch.float64) for r, s in natural64.latent_shapes.items()}
    with torch.no_grad():
        condition = natural64.condition(L)
        many, _ = natural64.inverse(latents, condition.expand(3))
        one, _ = natural64.inverse({r: z[2:] for r, z in latents.items()}, condition)
    assert (many[2:] - one).abs().max() < 1e-10


def test_coarser_levels_alone_are_the_same(natural64):
    L, x = inputs(1)
    with torch.no_grad():
        whole, _ = natural64(x, natural64.condition(L))
        part, _ = natural64(x, natural64.condition(L, finest=16))
    assert set(whole) - set(part) == {32}
    assert all(torch.equal(part[r], whole[r]) for r in part)


def test_every_trained_parameter_gets_a_gradient():
    model = stir(Natural(NaturalConfig.default()))
    model.backbone.requires_grad_(False)
    L, x = inputs(1, torch.float32)
    latents, log_dets = model(x, model.condition(L))
    (sum(z.square().sum() for z in latents.values()) - sum(log_dets.values()).sum()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_config_survives_json():
    import json
    from dataclasses import asdict

    config = NaturalConfig.default()
    again = NaturalConfig.from_dict(json.loads(json.dumps(asdict(config), sort_keys=True)))
    assert again == config
    assert list(again.levels) == [32, 16, 8, 4, 2, 1, 0]
    with pytest.raises(TypeError):
        NaturalConfig.from_dict(asdict(config) | {"unknown": 1})
