"""Old films: what they see of colours, and that they stay in range."""

from itertools import islice

import numpy as np
import pytest
import torch
from helpers import write_blobs
from skimage import data

from cinn_colorize.data.sources import find_photos
from cinn_colorize.imaging.color import pixels_to_luminance
from cinn_colorize.training.crops import Crops, Loading
from cinn_colorize.training.natural import NaturalTask, NaturalTraining
from cinn_colorize.training.old_film import _STEPS, EMULSIONS, as_film, exposed

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


def test_films_tell_colours_of_one_luminance_apart():
    """Each in its own way; luminance, which the photo has of itself, does not."""
    patches = np.zeros((64, 64, 3), np.uint8)
    patches[:, :32], patches[:, 32:] = (200, 60, 60), (70, 104, 203)
    L = pixels_to_luminance(patches)
    assert abs(L[:, :32].mean() - L[:, 32:].mean()) < 2
    films = [as_film(patches, np.random.default_rng(seed)) for seed in range(60)]
    apart = np.array([film[:, 32:].mean() - film[:, :32].mean() for film in films])
    assert (apart > 15).mean() > 0.35  # blue is bright to half of the films, the old ones
    assert (apart < 15).mean() > 0.2


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_as_many_photos_are_films_as_the_run_says(tmp_path, share):
    """Their colours are the true ones all the same."""
    photos = find_photos(write_blobs(tmp_path, *[(120, 100)] * 4))
    task, config = NaturalTask(photos), NaturalTraining(photos=40, batch=8, films=share)
    plain, films = Crops(photos, config.seed), 0
    for step, batch in enumerate(islice(task.batches(config, 0, Loading()), 5)):
        for k, (L, ab) in enumerate(zip(*batch.parts, strict=True)):
            own_L, own_ab = plain[8 * step + k].parts
            assert torch.equal(ab, own_ab)
            films += not torch.equal(L, own_L)
    assert abs(films / 40 - share) < 0.25
    assert films in {0.0: [0], 1.0: [40]}.get(share, np.arange(1, 40))
