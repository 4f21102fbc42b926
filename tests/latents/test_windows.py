from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import GRAY, longer
from hypothesis import given
from hypothesis import strategies as st

from cinn_colorize.latents.latent import Latent
from cinn_colorize.latents.windows import Windows
from cinn_colorize.methods.samples import typical

SHAPES = {r: (6, r, r) for r in (32, 16, 8, 4, 2, 1)} | {0: (2, 1, 1)}


@pytest.mark.parametrize(
    ("size", "count", "upright"),
    [((1, 1), 1, False), ((100, 200), 1, False), ((200, 100), 1, True), ((100, 201), 4, False),
     ((100, 600), 15, False), ((600, 100), 15, True), ((1, 10000), 32, False)],
)  # fmt: skip
def test_layout(size, count, upright):
    windows = Windows.of(*size)
    assert (windows.count, windows.upright) == (count, upright)
    assert windows.size(64) == (64, 64 + 24 * (count - 1))[:: -1 if upright else 1]


SIZES = st.integers(1, 20_000)
WINDOWS = st.builds(Windows, st.integers(1, 12), st.booleans())
SIDES = st.sampled_from([8, 16, 32, 64])


@given(SIZES, SIZES)
def test_windows_cover_the_photo(height, width):
    windows, turned = Windows.of(height, width), Windows.of(width, height)
    assert windows.size(64) == turned.size(64)[::-1]
    assert windows.upright == (height > width)
    aspect, covered = max(height, width) / min(height, width), max(windows.size(64)) / 64
    if aspect <= 2:
        assert windows.count == 1
    elif windows.count < 32:  # they are about as long as the short side
        assert 0.8 <= aspect / covered <= 1


@given(WINDOWS)
def test_windows_see_the_same_where_they_overlap(windows):
    latent = Latent.draw(windows.shapes(SHAPES), [3, 4])
    parts = [windows.latents(latent.levels, k) for k in range(windows.count)]
    for part in parts:
        assert {r: tuple(z.shape[1:]) for r, z in part.items()} == SHAPES
    for left, right in pairwise(parts):
        for r in (0, 1, 2, 4):
            assert left[r] is right[r]
        for r in (8, 16, 32):
            a, b = (part[r].mT if windows.upright else part[r] for part in (left, right))
            assert torch.equal(a[..., 3 * r // 8 :], b[..., : 5 * r // 8])


def field(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(WINDOWS, SIDES, st.integers(0, 2**32))
def test_blending_gives_back_what_was_cut(windows, side, seed):
    grid = field(seed, 3, 2, *windows.size(side))
    parts = [windows.cut(grid, k) for k in range(windows.count)]
    assert {part.shape for part in parts} == {(3, 2, side, side)}
    np.testing.assert_allclose(windows.blend(parts), grid, atol=1e-4)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12), SIDES, st.booleans())
def test_blending_stays_between_the_windows(values, side, upright):
    """So a constant stays constant, and windows without overlap stay themselves."""
    windows = Windows(len(values), upright)
    blended = windows.blend([np.full((side, side), value, np.float32) for value in values])
    assert blended.shape == windows.size(side)
    least, most = np.full_like(blended, np.inf), np.full_like(blended, -np.inf)
    for k, value in enumerate(values):
        windows.cut(least, k)[...] = np.minimum(windows.cut(least, k), value)
        windows.cut(most, k)[...] = np.maximum(windows.cut(most, k), value)
    assert (blended >= least - 1e-4).all()
    assert (blended <= most + 1e-4).all()


@given(st.integers(1, 12), SIDES, st.integers(0, 2**32))
def test_an_upright_photo_is_a_wide_one_on_its_side(count, side, seed):
    wide, upright = Windows(count, False), Windows(count, True)
    parts = list(field(seed, count, 2, side, side))
    blended = wide.blend(parts)
    np.testing.assert_array_equal(upright.blend([part.mT for part in parts]), blended.mT)
    for k in range(count):
        np.testing.assert_array_equal(upright.cut(blended.mT, k), wide.cut(blended, k).mT)


def test_blending_has_no_step():
    """Windows of different values meet in a ramp."""
    values = (0, 10, -5, 20)
    wide = Windows(4, False).blend([np.full((2, 64, 64), value, np.float32) for value in values])
    assert wide.shape == (2, 64, 136)
    assert np.abs(np.diff(wide, axis=2)).max() < 25 * np.pi / 64 * 1.01
    np.testing.assert_allclose(wide[0, 0, :2], 0, atol=0.05)


def test_seeds_alone_decide():
    shapes = Windows(5, False).shapes(SHAPES)
    both, one = Latent.draw(shapes, [7, 8]), Latent.draw(shapes, [8])
    assert all(torch.equal(both.levels[r][1:], one.levels[r]) for r in shapes)


@pytest.mark.parametrize("upright", [False, *longer(True)])
def test_a_panorama(colorizer, tmp_path, upright):
    pixels = GRAY[80:200, :260]
    pixels = np.ascontiguousarray(pixels.T if upright else pixels)
    conditioned = colorizer.condition(pixels)
    samples = conditioned.sample(n=2, seed=4)
    (again,) = conditioned.sample(n=1, seed=5)
    np.testing.assert_array_equal(samples[1].ab, again.ab)
    assert samples[1].log_prob == again.log_prob
    shape = Windows.of(*pixels.shape).size(64)
    assert again.ab.shape == (2, *shape)
    np.testing.assert_array_equal(conditioned.decode(again.latent)[0], again.ab)
    along = np.abs(np.diff(again.ab, axis=1 if upright else 2)).mean(axis=(0, 2 if upright else 1))
    borders = np.arange(24, len(along) - 24, 24) - 1
    assert along[borders].max() < 2 * along.mean()
    squeezed = conditioned.encode(np.zeros((2, 64, 64)))
    assert np.abs(conditioned.decode(squeezed)).max() < 0.01
    (colorization,) = colorizer.colorize(pixels, seed=5)
    np.testing.assert_array_equal(colorization.ab, again.ab)
    assert colorization.rgb.shape == (*pixels.shape, 3)


def test_typical_samples_of_a_panorama_are_those_of_the_whole(colorizer):
    pixels = GRAY[80:200, :260]
    conditioned = colorizer.condition(pixels)
    chosen = typical(conditioned.whole.sample(n=8), 2)
    made = colorizer.colorize(pixels, n=8, pick=2)
    assert [one.seed for one in made] == [sample.seed for sample in chosen]
    for one in made:
        np.testing.assert_array_equal(one.ab, conditioned.sample(seed=one.seed)[0].ab)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), pytest.param((1, 10000), marks=pytest.mark.slow)])
def test_tiny_and_thin_photos(colorizer, shape):
    pixels = np.linspace(0, 255, shape[0] * shape[1]).astype(np.uint8).reshape(shape)
    (colorization,) = colorizer.colorize(pixels)
    assert colorization.rgb.shape == (*shape, 3)


@pytest.mark.parametrize("upright", [False, True])
def test_samples_of_a_panorama_differ_in_their_coarse_colours(colorizer, upright):
    """Without noise in the details, too: those of each seed are those of the whole photo of this seed."""
    pixels = GRAY[80:200, :260]
    conditioned = colorizer.condition(np.ascontiguousarray(pixels.T if upright else pixels))
    details = {32: 0.0, 16: 0.0}
    one, other = conditioned.sample(2, details, 4)
    assert np.abs(one.ab - other.ab).mean() > 1
    whole = conditioned.whole.sample(2, details, 4)
    for sample, same in zip((one, other), whole, strict=True):
        np.testing.assert_allclose(sample.ab.mean((1, 2)), same.ab.mean((1, 2)), atol=1)
