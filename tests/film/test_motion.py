import cv2
import numpy as np
import pytest
from gray_worlds import texture, view

from cinn_colorize.film.motion import GRID, brought, flow, followed, joined, motion, reduced, shared


def both_ways(here, there):
    return motion(reduced(here), reduced(there), flow(here, there), flow(there, here))


def test_still():
    found = both_ways(view(texture(), 0), view(texture(), 0))
    assert np.abs(found[..., :2]).max() < 0.01
    assert found[..., 2].min() == 1


@pytest.mark.parametrize(("dx", "dy"), [(6, 0), (-4, 10)])
def test_a_moved_camera(dx, dy):
    world = texture()
    found = both_ways(view(world, 40 + dx, 40 + dy), view(world, 40, 40))
    inner = found[20:-20, 20:-20]
    assert np.abs(inner[..., :2] - [dx / 2, dy / 2]).max() < 0.1  # in cells of two pixels
    assert inner[..., 2].min() == 1


def test_what_left_the_picture_is_not_shown():
    world = texture()
    found = both_ways(view(world, 32), view(world, 0))
    assert found[:, -12:, 2].mean() < 0.2
    assert found[20:-20, 20:90, 2].min() == 1


def test_what_is_covered_is_not_shown():
    before, after = view(texture(), 0), view(texture(), 0)
    after[96:160, 96:160] = view(texture(7), 0)[96:160, 96:160]
    found = both_ways(after, before)
    assert found[54:74, 54:74, 2].mean() < 0.5
    assert found[:40, :, 2].min() == 1


@pytest.mark.parametrize("light", [lambda L: L * 0.8, lambda L: L * 0.7 + 70])
def test_flashes_and_fades_hide_nothing(light):
    before = view(texture(), 0)
    after = np.round(light(before)).astype(np.uint8)
    assert both_ways(after, before)[8:-8, 8:-8, 2].mean() > 0.99


def test_shared_places_tell_cuts():
    world = texture()
    assert shared(view(world, 0)[::4, ::4].copy(), view(world, 4)[::4, ::4].copy()) > 0.8
    assert shared(view(world, 0)[::4, ::4].copy(), view(texture(5), 0)[::4, ::4].copy()) < 0.3


def test_without_motion_nothing_is_blurred():
    values = np.random.default_rng(0).standard_normal((GRID, GRID, 5)).astype(np.float32)
    still = np.zeros((GRID, GRID, 2), np.float32)
    np.testing.assert_array_equal(brought(values, still), values)
    np.testing.assert_array_equal(
        followed(values, np.dstack([still, np.ones((GRID, GRID), np.float32)])), values
    )


def test_joined_flows_bring_what_one_after_the_other_brings():
    smooth = cv2.resize(np.random.default_rng(0).uniform(-2, 2, (4, 4, 4)).astype(np.float32), (GRID, GRID))
    first, second = np.ascontiguousarray(smooth[..., :2]), np.ascontiguousarray(smooth[..., 2:])
    ramp = np.dstack(np.meshgrid(*2 * [np.arange(GRID, dtype=np.float32)]))
    inner = slice(8, -8), slice(8, -8)
    at_once, by_two = brought(ramp, joined(first, second)), brought(brought(ramp, second), first)
    np.testing.assert_allclose(at_once[inner], by_two[inner], atol=0.08)
