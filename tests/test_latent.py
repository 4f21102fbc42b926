"""Noise, seeds and temperature."""

import pytest
import torch

from cinn_colorize.latent import Latent

SHAPES = {32: (6, 32, 32), 16: (6, 16, 16), 0: (2, 1, 1)}


def test_noise_depends_on_the_seed_alone():
    several, one = Latent.draw(SHAPES, range(5, 10)), Latent.draw(SHAPES, [9])
    assert all(torch.equal(several.levels[r][4:], one.levels[r]) for r in SHAPES)
    assert not torch.equal(several.levels[0][0], several.levels[0][1])


def test_temperature_scales():
    warm, cold = Latent.draw(SHAPES, [3], 1.0), Latent.draw(SHAPES, [3], 0.5)
    assert all(torch.equal(0.5 * warm.levels[r], cold.levels[r]) for r in SHAPES)
    assert not any(Latent.draw(SHAPES, [3], 0.0).levels[r].any() for r in SHAPES)
    assert warm.levels[32].std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_impossible_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature"):
        Latent.draw(SHAPES, [0], temperature)


def test_log_prob_is_that_of_a_normal_distribution():
    latent = Latent.draw(SHAPES, [1, 2])
    flat = torch.cat([z.flatten(1) for z in latent.levels.values()], dim=1)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    expected = sum(normal.log_prob(pair) for pair in flat.unflatten(1, (-1, 2)).unbind(1))
    assert torch.allclose(latent.log_prob(), expected, rtol=1e-5)


def test_length_and_slices():
    latent = Latent.draw(SHAPES, range(4))
    assert len(latent) == 4
    assert torch.equal(latent[1:3].levels[16], latent.levels[16][1:3])
