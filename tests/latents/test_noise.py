"""Noise equals torch's, without torch."""

import math

import numpy as np
import pytest
import torch

from cinn_colorize.latents.noise import draw, draw_like
from cinn_colorize.latents.windows import Windows

SQUARE = {r: (6, r, r) for r in (32, 16, 8, 4, 2, 1)} | {0: (2, 1, 1)}
LONG = Windows(5, True).shapes(SQUARE)
ODD = {2: (6, 3, 3), 1: (1, 17, 1), 0: (14, 1, 1)}  # not of whole blocks of 16


@pytest.mark.parametrize("shapes", [SQUARE, LONG, ODD], ids=["square", "long", "odd"])
@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1, 2**32 + 5, 2**63 - 1])
def test_the_noise_of_a_seed_is_that_of_torch(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = draw(shapes, [seed])
    for r in sorted(shapes):
        expected = torch.randn(shapes[r], generator=generator).numpy()
        assert drawn[r].dtype == np.float32
        # torch has several kinds of approximate logarithm and cosine, by processor.
        np.testing.assert_allclose(drawn[r][0], expected, rtol=5e-7, atol=5e-7)


def test_few_values_are_the_same_to_the_bit():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        for r, z in sorted(draw({1: (6, 1, 1), 0: (2, 1, 1)}, [seed]).items()):
            assert np.array_equal(z[0], torch.randn(z.shape[1:], generator=generator).numpy()), r


def test_noise_is_standard_normal():
    z = np.concatenate([z.ravel() for z in draw(SQUARE, range(40)).values()])
    assert abs(z.mean()) < 4 / math.sqrt(z.size)
    assert abs(z.std() - 1) < 4 / math.sqrt(2 * z.size)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / z.size)


def test_the_mean_of_the_coarsest_level_has_a_temperature_of_its_own():
    shapes = {16: (6, 16, 16), 8: (8, 8, 24)}
    plain, drawn = draw(shapes, [1, 2]), draw(shapes, [1, 2], {16: 0.5, 8: 0.9, 1: 0.25})
    mean, mean_drawn = (z[8].mean((2, 3), keepdims=True) for z in (plain, drawn))
    np.testing.assert_allclose(mean_drawn, 0.25 * mean, atol=1e-6)
    np.testing.assert_allclose(drawn[8] - mean_drawn, 0.9 * (plain[8] - mean), atol=1e-6)
    assert np.array_equal(drawn[16], np.float32(0.5) * plain[16])
    assert np.array_equal(draw(shapes, [1], {16: 0.5, 8: 0.9, 1: 0.9})[8], np.float32(0.9) * plain[8][:1])


def test_where_level_1_is_a_level_it_is_not_a_mean():
    shapes, temperature = {1: (6, 1, 1), 0: (2, 1, 1)}, {1: 0.25, 0: 0.5}
    for r, z in draw(shapes, [1], temperature).items():
        assert np.array_equal(z, np.float32(temperature[r]) * draw(shapes, [1])[r])


def test_noise_near_that_of_a_seed_has_its_share_of_it():
    fresh = dict.fromkeys(SQUARE, 1.0) | {16: 0.0, 8: 0.25}
    temperature = dict.fromkeys(SQUARE, 0.5) | {8: 0.8}
    own, near = draw(SQUARE, [7], temperature), draw_like(SQUARE, 7, range(8, 48), fresh, temperature)
    assert np.array_equal(near[32], draw(SQUARE, range(8, 48), temperature)[32])
    assert np.array_equal(near[16], np.repeat(own[16], 40, axis=0))
    z = near[8] - math.sqrt(0.75) * own[8]
    assert abs(z.std() - 0.5 * 0.8) < 4 * 0.4 / math.sqrt(2 * z.size), "a quarter of the variance"


@pytest.mark.parametrize("seed", [7, 7 + 2**32])
def test_noise_near_that_of_a_seed_by_the_same_seed_is_its_own(seed):
    fresh = dict.fromkeys(SQUARE, 0.3)
    for r, z in draw_like(SQUARE, 7, [2, seed], fresh, 0.6).items():
        assert np.array_equal(z[1:], draw(SQUARE, [7], 0.6)[r])
