"""Films as arrays."""

import numpy as np
import pytest
from gray_worlds import texture

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import FilmError
from cinn_colorize.film import colorize_film, frames
from cinn_colorize.imaging import color

HEIGHT, WIDTH = 60, 83


def film(number=20, cut=12):
    """A film of two shots that moves to the left."""
    worlds = [texture(seed)[100 : 100 + HEIGHT] for seed in range(2)]
    return [np.ascontiguousarray(worlds[t >= cut][:, 2 * t : 2 * t + WIDTH]) for t in range(number)]


@pytest.fixture
def plain(monkeypatch):
    """Colours in place of the network's: one for each seed."""

    def draw(drawer, frames):
        ab = np.random.default_rng(drawer.seeds[0]).normal(0, 15, (1, 2, 1, 1)).astype(np.float32)
        return np.broadcast_to(ab, (len(frames), 1, 2, 64, 64))

    monkeypatch.setattr(frames.Drawer, "draw", draw)


def test_each_frame_gets_colours_at_its_own_lightness(plain):
    given = film()
    made = list(colorize_film(iter(given), None, seed=1))
    assert [(frame.shape, frame.dtype) for frame in made] == [((HEIGHT, WIDTH, 3), np.uint8)] * 20
    for gray, rgb in zip(given, made, strict=True):
        assert np.abs(color.pixels_to_luminance(rgb) - color.pixels_to_luminance(gray)).max() < 1.5
        assert np.ptp(rgb.astype(int), axis=-1).mean() > 5


@pytest.mark.ci
def test_places_of_shots_that_are_done_are_used_again(plain, monkeypatch):
    sizes = []

    class Watched(frames.Stored):
        def __delitem__(self, t):
            super().__delitem__(t)
            sizes.append(self._file.seek(0, 2) // (HEIGHT * WIDTH))

    monkeypatch.setattr(frames, "Stored", Watched)
    given = [frame for _ in range(4) for frame in film()]
    assert len(list(colorize_film(given, None))) == 80
    assert max(sizes) < 40


def test_colour_frames_are_taken_for_gray(plain):
    rgb = np.random.default_rng(0).integers(0, 255, (3, HEIGHT, WIDTH, 3), np.uint8)
    for before, after in zip(rgb, colorize_film(rgb, None), strict=True):
        gray = [color.pixels_to_luminance(frame) for frame in (before, after)]
        assert np.abs(gray[0] - gray[1]).mean() < 0.5


def test_seed_and_saturation_act(plain):
    def colours(**options):
        return np.stack(list(colorize_film(film(4), None, **options))).astype(int)

    assert (colours(seed=1) == colours(seed=1)).all()
    assert np.abs(colours(seed=1) - colours(seed=2)).mean() > 3
    assert np.ptp(colours(saturation=0), axis=-1).max() <= 1


def test_the_network_draws_it(colorizer):
    assert isinstance(colorizer, BaseColorizer)
    assert len(list(colorize_film(film(2), colorizer, seed=3, temperature=0.5))) == 2
    assert list(colorize_film([], colorizer)) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (np.zeros((5, 5), np.float32), r"frame 1 must be .* not \(5, 5\) float32"),
        (np.zeros((5, 5, 4), np.uint8), r"frame 1 must be .* not \(5, 5, 4\) uint8"),
        (np.zeros((5, 6), np.uint8), r"frame 1 has the size \(5, 6\), unlike the first one, \(5, 5\)"),
    ],
)
def test_wrong_frames_are_told(plain, wrong, told):
    with pytest.raises(FilmError, match=told):
        list(colorize_film([np.zeros((5, 5), np.uint8), wrong], None))
