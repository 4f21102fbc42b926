"""White balance by shades of gray."""

import numpy as np
import pytest

from cinn_colorize.imaging.color import linear_from_lab, linear_to_lab
from cinn_colorize.imaging.light import balanced, light_of

LIGHT = np.array([1.2, 1.0, 0.8], np.float32)


@pytest.fixture
def under_light():
    """L and ab of surfaces that are gray in the mean, under a warm light, none of them bleached."""
    surfaces = np.random.default_rng(0).uniform(0.05, 0.6, (32, 32, 3)).astype(np.float32)
    surfaces = np.concatenate([np.roll(surfaces, k, -1) for k in range(3)])  # each primary as strong
    lab = linear_to_lab(np.moveaxis(surfaces, -1, 0) * LIGHT[:, None, None])
    return lab[0], lab[1:]


def test_the_light_is_found_and_its_tint_taken_out_by_shares(under_light):
    L, ab = under_light
    np.testing.assert_allclose(light_of(L, ab), LIGHT, atol=0.01)
    np.testing.assert_allclose(balanced(L, ab, LIGHT, 0.0), ab, atol=1e-3)
    half = light_of(L, balanced(L, ab, LIGHT, 0.5))
    np.testing.assert_allclose(half, np.sqrt(LIGHT) / np.sqrt(LIGHT).mean(), atol=0.03)
    np.testing.assert_allclose(light_of(L, balanced(L, ab, LIGHT, 1.0)), 1, atol=0.03)


def test_gray_stays_gray_and_black_has_no_light():
    L = np.linspace(0, 100, 64, dtype=np.float32).reshape(8, 8)
    gray = np.zeros((2, 8, 8), np.float32)
    np.testing.assert_allclose(light_of(L, gray), 1, atol=1e-4)
    np.testing.assert_allclose(balanced(L, gray, light_of(L, gray), 1.0), 0, atol=0.01)
    assert (light_of(0 * L, gray + 30) == 1).all()


def test_linear_rgb_and_back():
    lab = (
        np.random.default_rng(0).uniform([[20], [-20], [-20]], [[80], [20], [20]], (3, 50)).astype(np.float32)
    )
    np.testing.assert_allclose(linear_to_lab(linear_from_lab(lab[0], lab[1:])), lab, atol=1e-3)
