"""The comparison's cINN, with coupling blocks at all levels: laws of its flow, and its parts."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from couplings import BASE, HEADS, LEVELS, RESOLUTIONS, CoarseLevels, ColorAttention, Couplings, Head
from helpers import check_independence, stir
from narrow import NARROW_NATURAL

from cinn_colorize.engines.pytorch import TorchNetwork
from cinn_colorize.models.natural_config import LevelConfig, NaturalConfig

NARROW = {r: replace(level, blocks=1 if r > 4 else 2, width=8, depth=8) for r, level in LEVELS.items()}


@cache
def narrow():
    torch.manual_seed(0)
    return stir(Couplings(NARROW_NATURAL, NARROW)).double().eval().requires_grad_(False)


@cache
def condition():
    L = 50 + 30 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    L = torch.nn.functional.interpolate(L, (256, 256), mode="bicubic").clamp(0, 100)
    return narrow().condition(L)


def test_each_direction_undoes_the_other():
    model, generator = narrow(), torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 64, 64, generator=generator, dtype=torch.float64)
    latents, log_dets = model(x, condition())
    assert {r: z.shape[1:] for r, z in latents.items()} == model.latent_shapes
    assert list(model.latent_shapes) == [32, 16, *RESOLUTIONS, BASE]
    back, inverse = model.inverse(latents, condition())
    assert (back - x).abs().max() < 1e-9
    assert log_dets.keys() == inverse.keys() == latents.keys()
    assert all((log_det + inverse[r]).abs().max() < 1e-8 for r, log_det in log_dets.items())


@pytest.mark.ci
def test_log_dets_are_those_of_autograd():
    coarse = narrow().coarse
    assert isinstance(coarse, CoarseLevels)
    given = condition()
    x = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def flat(values):
        latents, _ = coarse.encode(values, given)
        return torch.cat([z.flatten(1) for z in latents.values()], dim=1)

    jacobian = torch.autograd.functional.jacobian(flat, x, vectorize=True)
    size = x[0].numel()
    of_each = [jacobian[k, :, k].reshape(size, size) for k in range(2)]
    expected = torch.stack([torch.linalg.slogdet(matrix)[1] for matrix in of_each])
    torch.testing.assert_close(sum(coarse.encode(x, given)[1].values()), expected, rtol=1e-8, atol=1e-8)


def test_levels_are_left_out():
    model, x = narrow(), torch.randn(2, 2, 64, 64, dtype=torch.float64)
    L = 100 * torch.rand(2, 1, 256, 256, dtype=torch.float64)
    whole, _ = model(x, model.condition(L))
    part, _ = model(x, model.condition(L, finest=8))
    assert part.keys() == {*RESOLUTIONS, BASE}
    assert all((part[r] - whole[r]).abs().max() < 1e-9 for r in part)


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    torch.manual_seed(0)
    model = stir(Couplings(NARROW_NATURAL, NARROW)).eval().requires_grad_(False)
    check_independence(TorchNetwork(model, 256, torch.device("cpu")))


def test_it_cannot_be_guided():
    with pytest.raises(ValueError, match="these weights of couplings cannot be guided"):
        narrow().guided(condition(), 0.3)


def test_every_trained_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = stir(Couplings()).train()
    model.backbone.requires_grad_(False)
    latents, log_dets = model(torch.randn(2, 2, 64, 64), model.condition(100 * torch.rand(2, 1, 256, 256)))
    (sum(z.square().sum() for z in latents.values()) - sum(log_dets.values()).sum()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_attention_is_a_weighted_mean_of_colours():
    attention = ColorAttention(4, query_channels=10, key_channels=12)
    weights = attention.weights(torch.randn(2, 10, 8, 8), torch.randn(2, 12, 4, 4))
    assert torch.allclose(weights.sum(-1), torch.ones(2, HEADS, 64), atol=1e-5)
    colours = torch.randn(2, 2, 4, 4)
    attended = attention(weights, colours)
    assert attended.shape == (2, 2 * HEADS, 8, 8)
    by_hand = sum(weights[1, 3, 8 * 2 + 5, k] * colours[1, 1, k // 4, k % 4] for k in range(16))
    assert attended[1, 2 * 3 + 1, 2, 5].item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert torch.allclose(attention(weights, torch.full_like(colours, 0.3)), torch.tensor(0.3), atol=1e-5)


def test_attention_prefers_what_is_near():
    attention = ColorAttention(4, query_channels=10, key_channels=12)
    torch.nn.init.zeros_(attention.query.weight)
    weights = attention.weights(torch.randn(1, 10, 8, 8), torch.randn(1, 12, 4, 4))
    assert (weights[0, :, 0].argmax(-1) == 0).all()  # the corner looks at the corner
    assert (weights[0, :, 63].argmax(-1) == 15).all()


@pytest.mark.parametrize("attend", [False, True])
def test_a_head_sees_coarser_colours_within_its_limit(attend):
    config = NaturalConfig({4: LevelConfig(1, 8, 8, attend=attend)}, chroma_limit=45.0)  # x within +-3
    head = stir(Head(4, config, {8: 10, 4: 12})).eval()
    prepared = head.prepare(torch.randn(1, 10, 8, 8), torch.randn(1, 4, 4, 4), torch.randn(1, 12, 4, 4))
    colours = torch.randn(1, 2, 4, 4).clamp(-2, 2)
    colours[0, 0, 1, 2], colours[0, 1, 3, 0] = 3, -3
    beyond = torch.where(colours.abs() == 3, 100 * colours, colours)
    within = torch.where(colours.abs() == 3, 0.9 * colours, colours)
    with torch.no_grad():
        found, far, near = (head(prepared, seen)[0] for seen in (colours, beyond, within))
    assert torch.equal(far, found)
    assert (near - found).abs().max() > 1e-4
