import colorsys
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from cinn_colorize.imaging import color


def vivid(n=20_000, chroma=150, seed=0):
    """Colours in and far out of the gamut: L (1, n) and ab (2, 1, n)."""
    rng = np.random.default_rng(seed)
    L = rng.uniform(0, 100, (1, n)).astype(np.float32)
    hue, radius = rng.uniform(-np.pi, np.pi, n), rng.uniform(0, chroma, n)
    ab = np.stack([radius * np.cos(hue), radius * np.sin(hue)])[:, None].astype(np.float32)
    return L, ab


def to_rgb(L, ab):
    return color.lab_to_srgb(np.stack([L, *ab], axis=-1))


def test_a_pickled_space_has_no_tables():
    wide = color.RGBSpace(color.SRGB.matrix, color.SRGB.curves**0.9)
    for space, most in ((color.SRGB, 100), (wide, wide.curves.nbytes + 1000)):
        table = space.encoding(16)
        pickled = pickle.dumps(space)
        assert len(pickled) < most
        assert np.array_equal(pickle.loads(pickled).encoding(16), table)
    assert pickle.loads(pickle.dumps(color.SRGB)) is color.SRGB


def test_lab_is_that_of_scikit_image():
    steps = np.linspace(0, 1, 33)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    lab = color.srgb_to_lab(cube)
    assert lab.dtype == np.float32
    np.testing.assert_allclose(lab, rgb2lab(cube), atol=1e-3)
    np.testing.assert_allclose(color.lab_to_srgb(lab), lab2rgb(lab.astype(float)), atol=1e-3)
    np.testing.assert_allclose(color.lab_to_srgb(lab), cube, atol=1e-4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-0.3, 1.3), min_size=3, max_size=3))
def test_colours_outside_the_gamut_survive_the_round_trip(rgb):
    assert np.allclose(color.lab_to_srgb(color.srgb_to_lab(np.array([rgb]))), rgb, atol=2e-3)


@pytest.mark.parametrize("depth", [8, 16])
def test_every_gray_comes_back(depth):
    grays = np.arange(2**depth, dtype=np.uint8 if depth == 8 else np.uint16).reshape(256, -1)
    L = color.pixels_to_luminance(grays)
    np.testing.assert_allclose(L.ravel()[:: 2**depth // 256], rgb2lab(color_column(grays))[:, 0], atol=1e-3)
    pixels = color.compose(L, np.zeros((2, *L.shape), np.float32), depth)
    assert pixels.dtype == grays.dtype
    error = pixels.astype(int) - grays[..., None]
    # At 16 bits, the white of scikit-image's matrix, which is not quite D65, shows in blue.
    assert np.abs(error).max() <= (0 if depth == 8 else 3)
    assert abs(error[..., 1].mean()) < 0.25  # rounded, not cut off


def color_column(grays):
    step = grays.size // 256
    values = grays.ravel()[::step] / np.iinfo(grays.dtype).max
    return np.tile(values[:, None], 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_to_lab_of_colours(dtype):
    pixels = (
        np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 50, 3), endpoint=True).astype(dtype)
    )
    expected = rgb2lab(pixels / np.iinfo(dtype).max)
    np.testing.assert_allclose(np.moveaxis(color.pixels_to_lab(pixels), 0, -1), expected, atol=2e-3)
    np.testing.assert_allclose(color.pixels_to_luminance(pixels), expected[..., 0], atol=1e-3)


def test_colours_inside_the_gamut_are_left_alone():
    rgb = np.random.default_rng(0).uniform(0.001, 0.999, (1, 5000, 3))
    lab = np.moveaxis(color.srgb_to_lab(rgb), -1, 0)
    np.testing.assert_array_equal(color.reduce_chroma(lab[0], lab[1:]), lab[1:])


def test_reduction_goes_to_the_edge_of_the_gamut_at_constant_hue():
    L, ab = vivid()
    reduced = color.reduce_chroma(L, ab)
    rgb = to_rgb(L, reduced)
    assert rgb.min() >= -1e-4
    assert rgb.max() <= 1 + 1e-4
    changed = np.hypot(*(reduced - ab)) > 0
    assert 0.2 < changed.mean() < 0.9  # colours of both kinds occur
    cross = ab[0] * reduced[1] - ab[1] * reduced[0]
    assert np.abs(cross / np.maximum(np.hypot(*ab), 1)).max() < 1e-3
    assert (ab * reduced).sum(axis=0).min() >= -1e-6  # never past gray
    # A little more chroma would leave the gamut; white and black have none to give.
    more = to_rgb(L, reduced * (1 + 0.5 / np.maximum(np.hypot(*reduced), 1e-3)))
    outside = (more.min(axis=-1) < -1e-5) | (more.max(axis=-1) > 1 + 1e-5)
    assert outside[changed].mean() > 0.999


@settings(deadline=None, max_examples=200)
@given(st.floats(0, 100), st.floats(-180, 180), st.floats(1, 140), st.floats(1, 3))
def test_all_colours_of_a_line_of_hue_are_reduced_to_its_end(L, degrees, chroma, further):
    """What is reduced stays so; chroma beyond the end makes no difference; L and hue stay."""
    hue, L = np.radians(degrees), np.full((1, 1), L, np.float32)
    assume(not color._leave_twice(L, hue % (2 * np.pi)))
    ab = (chroma * np.array([np.cos(hue), np.sin(hue)])).astype(np.float32).reshape(2, 1, 1)
    reduced = color.reduce_chroma(L, ab)
    step = 3 * color._MAX_CHROMA / 2**color._BISECTIONS
    np.testing.assert_allclose(color.reduce_chroma(L, reduced), reduced, atol=step)
    if (reduced != ab).any():
        np.testing.assert_allclose(color.reduce_chroma(L, further * ab), reduced, atol=step)
    share = np.hypot(*reduced) / np.hypot(*ab)
    assert share <= 1
    np.testing.assert_allclose(reduced, share * ab, atol=1e-4)
    lab = color.srgb_to_lab(to_rgb(L, reduced))
    np.testing.assert_allclose(lab[..., 0], L, atol=0.01)


def test_lines_of_hue_leave_the_gamut_once_but_for_some_yellows():
    rng = np.random.default_rng(0)
    L, hue = rng.uniform(0, 100, 30_000), rng.uniform(0, 2 * np.pi, 30_000)
    L[15_000:], hue[15_000:] = rng.uniform(90, 100, 15_000), np.radians(rng.uniform(90, 115, 15_000))
    ab = color._MAX_CHROMA * np.stack([np.cos(hue), np.sin(hue)]).astype(np.float32)
    lines = color._HueLines.to(L.astype(np.float32), ab)
    shares = np.linspace(0, 1, 141, dtype=np.float32)
    outside = np.stack([lines.outside(np.full(L.size, share)) for share in shares])
    enters_again = (np.logical_or.accumulate(outside) & ~outside).any(axis=0)
    may = color._leave_twice(L, hue)
    assert enters_again.sum() > 100
    assert not (enters_again & ~may).any()
    assert may[:15_000].mean() < 0.002


@pytest.mark.parametrize(("depth", "tolerance"), [(8, 0.15), (16, 0.01)])
def test_compose_keeps_luminance(depth, tolerance):
    L, ab = vivid()
    pixels = color.compose(L, ab, depth)
    assert pixels.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert np.abs(rgb2lab(pixels / (2**depth - 1))[..., 0] - L).mean() <= tolerance
    expected = np.clip(to_rgb(L, color.reduce_chroma(L, ab)), 0, 1) * (2**depth - 1)
    assert np.abs(pixels - expected).max() <= (0.52 if depth == 8 else 2)


def test_compose_does_not_depend_on_the_band(monkeypatch):
    L, ab = vivid(90 * 70)
    L, ab = L.reshape(90, 70), ab.reshape(2, 90, 70)
    whole = color.compose(L, ab, 16)
    monkeypatch.setattr(color, "_BLOCK", 350)
    for y0, y1 in [(0, 1), (1, 64), (64, 90)]:
        np.testing.assert_array_equal(color.compose(L[y0:y1], ab[:, y0:y1], 16), whole[y0:y1])


HUES = {
    "all hues": (0, 100, -180, 180),
    "nearly black": (0, 5, -180, 180),
    "black": (0, 0, -180, 180),
    "nearly white": (99, 100, -180, 180),
    "yellows whose way out of the gamut leads through it again": (91, 99, 96, 108),
}


@pytest.mark.parametrize("part", HUES)
def test_the_table_finds_what_bisecting_finds(part, monkeypatch):
    darkest, brightest, first, last = HUES[part]
    rng = np.random.default_rng(0)
    L = rng.uniform(darkest, brightest, (600, 500)).astype(np.float32)
    hue, chroma = np.radians(rng.uniform(first, last, L.shape)), rng.uniform(0, 150, L.shape)
    ab = (chroma * np.stack([np.cos(hue), np.sin(hue)])).astype(np.float32)
    tabulated = color.compose(L, ab, 16)
    monkeypatch.setattr(color, "_MANY", L.size + 1)
    monkeypatch.setattr(color, "_tabulated", None)  # never called
    np.testing.assert_array_equal(color.compose(L, ab, 16), tabulated)


@pytest.mark.parametrize("part", list(HUES)[:-1])
def test_few_colours_are_left_to_bisecting(part):
    darkest, brightest, *_ = HUES[part]
    _, ab = vivid(30_000, chroma=60)
    L = np.linspace(darkest, brightest, 30_000, dtype=np.float32)
    outside = color._outside(color.linear_from_lab(L, ab[:, 0]))
    _, wrong = color._tabulated(L, ab[:, 0], outside)
    assert wrong.sum() < 0.1 * outside.sum()


def test_hues_of_a_fully_saturated_wheel_do_not_swap():
    """A guard against exchanged channels: named hues must come out as these hues."""
    for hue in np.linspace(0, 1, 12, endpoint=False):
        rgb = np.array(colorsys.hsv_to_rgb(hue, 0.6, 0.8))
        lab = color.srgb_to_lab(rgb[None, None])[0, 0]
        pixels = color.compose(np.full((1, 1), lab[0]), lab[1:].reshape(2, 1, 1), 8)
        np.testing.assert_allclose(pixels[0, 0] / 255, rgb, atol=0.003)


@pytest.mark.parametrize("depth", [8, 16])
def test_light_gets_a_code_that_stands_for_it_though_the_curve_falls_at_its_end(depth):
    codes = np.linspace(0, 1, 65536)
    space = replace(color.SRGB, curves=np.tile(np.sin(0.6 * np.pi * codes), (3, 1)))
    assert space.curves[1, -1] < 0.96 < space.curves.max()
    table, most = space.encoding(depth)[1].astype(int), 2**depth - 1
    error = np.abs(space.curves[1, table * 65535 // most] - codes**2)
    assert np.mean(error < 2 / most) > 0.999


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_of_a_space_whose_curves_differ_has_no_colour(depth):
    """As scanners' profiles have them: equal code values are no gray there."""
    curves = color.SRGB.curves.copy()
    curves[2] **= 1.3
    space = replace(color.SRGB, curves=curves)
    L = np.linspace(10, 90, 64, dtype=np.float32)[None]
    pixels = color.compose_gray(L, depth, space)
    lab = color.pixels_to_lab(pixels, space)
    assert np.hypot(*lab[1:]).max() < 1
    np.testing.assert_allclose(lab[0], L, atol=0.3)
    same = color.compose_gray(L, depth)
    assert (same == same[..., :1]).all()
