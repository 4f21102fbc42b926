import tracemalloc

import numpy as np
import pytest
from gray_worlds import texture, view

from cinn_colorize.film import along as along_motion
from cinn_colorize.film import drawing as drawing_of_shots
from cinn_colorize.film.along import MOST, colours_along_motion
from cinn_colorize.film.motion import GRID


class Drawing:
    """Draws given colours in key frames, (N, 2, s, s) each, and notes which were asked for."""

    def __init__(self, colours):
        self.colours, self.keys = colours, []

    def __call__(self, frames):
        self.keys.extend(frames)
        return np.stack([self.colours(t) for t in frames]).astype(np.float32)


def plain(*ab):
    return np.broadcast_to(np.array(ab, np.float32)[:, :, None, None], (len(ab), 2, 64, 64))


def along(L, colours):
    drawing = Drawing(colours)
    return np.stack(list(colours_along_motion(L, drawing))), drawing.keys


def noise(t, n=1):
    return np.random.default_rng(t).normal(0, 20, (n, 2, 64, 64)).astype(np.float32)


def pan(frames, step=2, seed=0):
    world = texture(seed)
    return [view(world, step * t) for t in range(frames)]


def test_a_still_film_has_the_mean_colours_of_its_key_frames():
    ab, keys = along([view(texture(), 0)] * 20, lambda t: plain((t, -2 * t)))
    assert (keys[0], keys[-1]) == (0, 19)
    np.testing.assert_allclose(
        ab, np.broadcast_to(plain((1, -2))[:, :, :1, :1] * np.mean(keys), ab.shape), atol=0.01
    )


def test_a_still_film_keeps_fine_colours_sharp():
    ab, _ = along([view(texture(), 0)] * (3 * MOST), lambda t: noise(0))
    one, _ = along([view(texture(), 0)], lambda t: noise(0))
    np.testing.assert_allclose(ab, np.broadcast_to(one[0], ab.shape), atol=0.01)


def test_colours_stay_on_what_moves():
    # The world is red at the left and blue at the right, in each key frame with an error of its own.
    frames = 33

    def colours(t):
        here = np.arange(0.5, GRID, 2) + t < 80  # a cell of the motion's grid a frame
        row = np.stack([np.where(here, 40, -10), np.where(here, 20, -50)])
        return row[None, :, None].repeat(64, 2) + noise(t) / 4

    ab, _ = along(pan(frames), colours)
    for t in range(1, frames):
        change = ab[t, 0, :, 20:-20, 20:-21] - ab[t - 1, 0, :, 20:-20, 21:-20]
        assert np.sqrt(np.mean(change**2)) < 0.5  # of 7 in the key frames
    edge = 80 - np.arange(frames)
    for t in (0, 16, 32):
        np.testing.assert_allclose(ab[t, 0, 0, 20:-20, 10 : edge[t] - 6].mean(), 40, atol=1)
        np.testing.assert_allclose(ab[t, 0, 0, 20:-20, edge[t] + 6 : -10].mean(), -10, atol=1)


@pytest.mark.parametrize("second", [2, 12])
def test_colours_do_not_cross_a_cut(second):
    L = pan(12) + pan(second, seed=5)
    ab, keys = along(L, lambda t: plain((60, 30) if t < 12 else (-10, -60)))
    assert 12 in keys
    np.testing.assert_allclose(
        ab[:12], np.broadcast_to(plain((60, 30))[:, :, :1, :1], ab[:12].shape), atol=0.01
    )
    np.testing.assert_allclose(
        ab[12:], np.broadcast_to(plain((-10, -60))[:, :, :1, :1], ab[12:].shape), atol=0.01
    )


@pytest.mark.parametrize("at", [5, 8, 17])
@pytest.mark.parametrize("strange", [1, 3])
def test_colours_go_on_after_a_short_interruption(at, strange):
    L = [view(texture(), 0)] * 20
    L[at : at + strange] = pan(strange, seed=7)
    ab, keys = along(L, lambda t: plain((t, 3 * t)))
    assert len(ab) == 20
    assert keys[-1] == 19
    if at + strange < 20:
        assert not set(keys) & set(range(at, at + strange))
        np.testing.assert_allclose(ab, np.broadcast_to(ab[0], ab.shape), atol=0.01)
    else:  # the shot ends with something else
        np.testing.assert_allclose(ab[:at], np.broadcast_to(ab[0], ab[:at].shape), atol=0.01)


def test_places_that_no_key_frame_shows_take_colours_from_around_them():
    L = [view(texture(), 0).copy() for _ in range(MOST + 1)]
    L[MOST // 2][100:140, 100:140] = view(texture(9), 0)[100:140, 100:140]
    ab, keys = along(L, lambda t: plain((30, -20)))
    assert MOST // 2 not in keys
    np.testing.assert_allclose(ab, np.broadcast_to(plain((30, -20))[:, :, :1, :1], ab.shape), atol=0.01)


@pytest.mark.parametrize("frames", [1, 2, MOST, MOST + 1, MOST + 2])
def test_every_frame_has_colours_and_the_first_and_the_last_are_key_frames(frames):
    ab, keys = along(pan(frames), noise)
    assert ab.shape == (frames, 1, 2, GRID, GRID)
    assert ab.dtype == np.float32
    assert keys == sorted({0, frames - 1} | set(keys))
    assert np.diff(keys, prepend=0).max() <= MOST


def test_an_anchor_is_a_key_frame_that_the_others_follow():
    drawing = Drawing(lambda t: plain((30, -20) if t == 11 else (t, t)))
    ab = np.stack(list(colours_along_motion(pan(24, step=1), drawing, {11})))
    assert 11 in drawing.keys
    assert np.abs(np.median(ab, (3, 4))[:, 0] - (30, -20)).max() < 2
    assert np.median(np.abs(ab[:, 0, 0] - 30)) < 1


def test_given_colours_are_found_wherever_a_shot_is_taken_up(monkeypatch):
    monkeypatch.setattr(drawing_of_shots, "WINDOW", 16)
    monkeypatch.setattr(drawing_of_shots, "LAP", 4)
    L, given = pan(40, step=1), plain((30, -20))

    def draw(frames):
        return np.stack([plain((frame.mean() % 7, 3)) for frame in frames])

    whole = [*drawing_of_shots.shot_colours(L, draw, 0, {20: given})]
    later = [*drawing_of_shots.shot_colours(L[12:], draw, 4, {8: given})]
    np.testing.assert_array_equal(np.stack(later), np.stack(whole[16:]))
    reached = [abs(np.median(ab[0, 0]) - 30) < 2 for ab in whole]
    assert all(reached[16:28])
    assert not any(reached[:12] + reached[32:])


def test_no_frames():
    assert list(colours_along_motion([], noise)) == []


def test_several_samples_are_those_of_each_alone():
    L = pan(12)
    together, _ = along(L, lambda t: noise(t, 3))
    for n in range(3):
        alone, _ = along(L, lambda t, n=n: noise(t, 3)[n : n + 1])
        np.testing.assert_array_equal(together[:, n : n + 1], alone)


def test_key_frames_are_drawn_once_in_order_after_they_were_taken():
    taken, drawn = [], []

    def stream():
        for frame in pan(2 * MOST + 3):
            taken.append(frame)
            yield frame

    def draw(frames):
        assert all(t < len(taken) for t in frames)
        drawn.extend(frames)
        return np.stack([noise(t) for t in frames])

    streamed = np.stack(list(colours_along_motion(stream(), draw)))
    assert drawn == sorted({*drawn})
    np.testing.assert_array_equal(streamed, along(np.stack(pan(2 * MOST + 3)), noise)[0])


@pytest.mark.ci
def test_a_long_shot_takes_no_more_memory_than_a_short_one(monkeypatch):
    monkeypatch.setattr(along_motion, "_TOGETHER", 2)

    def peak(frames):
        L = view(texture(), 0)
        tracemalloc.start()
        for _ in colours_along_motion((L for _ in range(frames)), Drawing(noise)):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(6 * MOST), peak(12 * MOST)
    assert many < few + 2e6  # 48 frames of what lies in files are 9e6
