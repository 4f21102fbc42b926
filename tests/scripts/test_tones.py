"""Samples that are a mere tint."""

import numpy as np
import pytest
from tones import tones

from cinn_colorize.imaging.color import Floats


@pytest.fixture
def luminance() -> Floats:
    return np.random.default_rng(0).uniform(0, 100, (256, 256)).astype(np.float32)


@pytest.fixture
def sepia(luminance):
    small = luminance.reshape(64, 4, 64, 4).mean((1, 3)) / 100
    return np.stack([4 + 8 * small - 6 * small**2, 15 + 20 * small - 25 * small**3]).astype(np.float32)


def test_one_colour_for_each_brightness_is_a_single_tone(luminance, sepia):
    of_gray, of_sepia = tones(np.stack([0 * sepia, sepia]), luminance)
    assert of_gray == pytest.approx([100, 0, 0], abs=1e-3)
    assert of_sepia == pytest.approx([100, 0, np.hypot(*sepia).mean()], abs=1e-3)


def test_a_thing_of_its_own_colour_is_none(luminance, sepia):
    thing = sepia.copy()
    thing[:, 20:40, 20:40] += np.float32([[[30]], [[-20]]])
    share = 20 * 20 / 64**2
    (found,) = tones(thing[None], luminance)
    assert found[0] == 0
    # What brightness explains of a thing that has all of them is its mean.
    assert found[1] == pytest.approx(np.hypot(30, 20) * np.sqrt(share * (1 - share)), rel=0.02)


def test_the_distance_grows_with_saturation(luminance, sepia):
    colours = sepia + np.random.default_rng(1).normal(0, 2, sepia.shape).astype(np.float32)
    (once,), (twice,) = (tones(factor * colours[None], luminance) for factor in (1, 2))
    assert twice[1:] == pytest.approx(2 * once[1:])
    assert (once[0], twice[0]) == (100, 0)
