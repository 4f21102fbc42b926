"""Old films: what they see of colours, and that they stay in range."""

import numpy as np
import pytest
from skimage import data

from cinn_colorize.imaging.color import pixels_to_luminance
from cinn_colorize.training.film import _STEPS, EMULSIONS, as_film, exposed

PATCHES = np.array([[[200, 30, 30], [30, 160, 30], [40, 60, 220], [128, 128, 128]]], np.uint8)
PHOTO = data.astronaut()[::4, ::4]


def seen(kind, seed=0):
    """L* of a red, a green, a blue and a gray patch."""
    return exposed(PATCHES, EMULSIONS[kind].draw(np.random.default_rng(seed)))[0]


@pytest.mark.parametrize("seed", range(20))
def test_an_orthochromatic_film_is_blind_to_red(seed):
    red, green, blue, _ = seen("orthochromatic", seed)
    assert red < green
    assert red < blue
    red, green, blue, _ = seen("blue-sensitive", seed)
    assert max(red, green) < blue - 20


@pytest.mark.parametrize("kind", EMULSIONS)
@pytest.mark.parametrize("seed", range(20))
def test_gray_is_gray_to_every_film(kind, seed):
    weights = EMULSIONS[kind].draw(np.random.default_rng(seed))
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    gray = exposed(PATCHES[:, 3:], weights)
    np.testing.assert_allclose(gray, pixels_to_luminance(PATCHES[:, 3:]), atol=0.01)


def test_luminance_is_a_film_too():
    Y = np.array([0.212671, 0.715160, 0.072169])
    np.testing.assert_allclose(exposed(PHOTO, Y), pixels_to_luminance(PHOTO), atol=1e-3)


def test_a_film_is_a_function_of_its_seed_and_stays_in_range():
    films = [as_film(PHOTO, np.random.default_rng(seed)) for seed in range(50)]
    for seed, L in enumerate(films):
        assert L.shape == PHOTO.shape[:2]
        assert L.dtype == np.float32
        assert L.min() >= 0
        assert L.max() <= 100
        np.testing.assert_array_equal(L, as_film(PHOTO, np.random.default_rng(seed)))
    correlations = [np.corrcoef(L.ravel(), pixels_to_luminance(PHOTO).ravel())[0, 1] for L in films]
    assert np.median(correlations) > 0.8, "the photo is still there"
    assert min(correlations) < 0.95, "and films differ"


@pytest.mark.parametrize("step", [step for _, step in _STEPS], ids=lambda step: step.__name__)
def test_each_step_changes_the_print(step):
    L = (pixels_to_luminance(PHOTO) / 100).astype(np.float32)
    before = L.copy()
    changed = step(L, np.random.default_rng(1))
    assert changed.shape == L.shape
    assert np.abs(changed - before).max() > 1e-3
    np.testing.assert_array_equal(L, before, err_msg="what it was given is left alone")
