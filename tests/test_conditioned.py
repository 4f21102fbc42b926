"""The promises of a conditioned photo for any network; here the network is a few lines of numpy."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import ENVIRONMENT, GRAY

from cinn_colorize.batch.model_server import _Model, _ServedNetwork
from cinn_colorize.colorizer import BaseColorizer, NetworkInput
from cinn_colorize.engines.interface import Coarse, LoadedNetwork
from cinn_colorize.imaging.options import MAX_SEED
from cinn_colorize.latents.latent import Latent
from cinn_colorize.latents.windows import Windows
from cinn_colorize.methods.mix import Mask
from cinn_colorize.models import MODELS

WIDE = np.tile(GRAY, (1, 4))[:100, :1100]  # 28 windows


class Doubling:
    """ab is twice the first channels of the finest level, brighter where L is.

    Densities use all bits of a float64.
    """

    latent_shapes = {32: (6, 32, 32), 16: (6, 16, 16), 8: (8, 8, 8)}  # noqa: RUF012
    coarse_size = None

    def __init__(self):
        self.conditioned = 0

    def condition(self, L):
        assert L.shape == (256, 256)
        self.conditioned += 1
        return 1 + L.mean()

    def decode(self, latents, condition, coarse=None):
        z = latents[32][:, :2]
        log_prob = -0.5 * np.square(z, dtype=np.float64).sum((1, 2, 3)) - np.log(condition)
        return 2 * condition * z.repeat(2, 2).repeat(2, 3), log_prob

    def encode(self, ab, condition):
        levels = {r: np.zeros((1, *shape), np.float32) for r, shape in self.latent_shapes.items()}
        levels[32][:, :2] = ab[:, ::2, ::2] / (2 * condition)
        return levels

    def log_prob(self, ab, condition):
        z = self.encode(ab, condition)[32]
        return float(-0.5 * np.square(z, dtype=np.float64).sum() - np.log(condition))


def colorizer_with(network):
    return BaseColorizer(MODELS["natural"], "0" * 64, "fp32", network)


@pytest.fixture
def network():
    return Doubling()


@pytest.fixture
def conditioned(network):
    return colorizer_with(network).condition(GRAY)


def test_a_photo_is_conditioned_once_and_asked_many_times(network, conditioned):
    samples = conditioned.sample(3, 0.8, 1) + conditioned.whole.sample(1, 0.8, 9)
    conditioned.log_prob(conditioned.decode(samples[0].latent)[0])
    assert network.conditioned == 1


def test_a_long_photo_is_conditioned_once_a_window_and_as_a_whole_when_that_is_asked_for(network):
    conditioned = colorizer_with(network).condition(WIDE)
    for seed in (1, 2):
        conditioned.sample(1, 0.8, seed)
    assert network.conditioned == 28
    for seed in (1, 2):
        conditioned.whole.sample(1, 0.8, seed)
    assert network.conditioned == 29


@pytest.mark.parametrize("photo", [GRAY, WIDE], ids=["square", "windows"])
def test_a_sample_depends_on_its_seed_alone(network, photo):
    """Exact to the last bit of its density, which is the mean over windows."""
    conditioned = colorizer_with(network).condition(photo)
    for one, seed in zip(conditioned.sample(5, 0.8, 3), range(3, 8), strict=True):
        (alone,) = conditioned.sample(1, 0.8, seed)
        assert (one.seed, one.log_prob, one.recipe) == (seed, alone.log_prob, alone.recipe)
        assert one.ab.tobytes() == alone.ab.tobytes()
        assert all(np.array_equal(z, alone.levels[r]) for r, z in one.levels.items())


def test_codes_of_windows_and_of_the_whole_are_both_decoded(network):
    conditioned = colorizer_with(network).condition(WIDE)
    (long,), (short,) = (each.sample(1, 0.8, 3) for each in (conditioned, conditioned.whole))
    assert long.ab.shape == (2, 64, 64 + 27 * 24)
    assert short.ab.shape == (2, 64, 64)
    for sample in (long, short):
        assert conditioned.decode(sample.latent)[0].tobytes() == sample.ab.tobytes()


@pytest.mark.parametrize("photo", [GRAY, WIDE], ids=["square", "windows"])
def test_arrays_of_other_shapes_are_refused(network, photo):
    conditioned = colorizer_with(network).condition(photo)
    for ab in (np.zeros((2, 32, 32)), np.zeros((64, 64, 2)), np.zeros((1, 2, 64, 64))):
        for call in (conditioned.encode, conditioned.log_prob):
            with pytest.raises(ValueError, match=r"does not fit; pass \(2, 64, 64\)"):
                call(ab)
    sample = conditioned.sample()[0].latent
    for levels in ({32: sample.levels[32]}, {r: z[:, :1] for r, z in sample.levels.items()}):
        with pytest.raises(ValueError, match="do not fit"):
            conditioned.decode(Latent(levels))
    for number in (0, 2):
        other = sample.levels[8].expand(2, -1, -1, -1)[:number]
        with pytest.raises(ValueError, match="as many codes"):
            conditioned.decode(Latent({**sample.levels, 8: other}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 101])
def test_what_is_no_luminance_is_refused(network, value):
    L = np.full((256, 256), 50, np.float32)
    L[3, 4] = value
    with pytest.raises(ValueError, match=r"L\* must be in \[0, 100\]"):
        colorizer_with(network).condition(NetworkInput(L))
    with pytest.raises(TypeError, match="must be an array, not list"):
        NetworkInput([[50.0]])


@pytest.mark.parametrize(("shape", "panorama"), [((100, 300), False), ((100, 200), True)])
def test_several_windows_have_a_panorama_and_one_has_none(shape, panorama):
    L = np.full((256, 256), 50, np.float32)
    with pytest.raises(ValueError, match="give a panorama where there are several windows"):
        NetworkInput(L, Windows.of(*shape), L if panorama else None)


def test_colours_that_are_not_finite_are_refused(conditioned):
    ab = np.zeros((2, 64, 64), np.float32)
    ab[0, 0, 0] = np.nan
    for method in (conditioned.encode, conditioned.log_prob):
        with pytest.raises(ValueError, match="not finite"):
            method(ab)


def test_codes_of_any_precision_are_decoded(conditioned):
    (sample,) = conditioned.sample()
    assert np.array_equal(conditioned.decode(sample.latent.map(torch.Tensor.double))[0], sample.ab)


def test_a_reference_and_a_mask_are_made_by_the_colorizer(conditioned):
    with pytest.raises(TypeError, match=r"made by Colorizer\.reference\(\), not str"):
        conditioned.transfer("other.jpg")
    with pytest.raises(TypeError, match=r"made by Colorizer\.mask\(\), not str"):
        conditioned.mix((1, 2), "mask.png")


def test_seeds_have_a_limit(conditioned):
    for draw in (conditioned.sample, partial(conditioned.vary, 0)):
        with pytest.raises(ValueError, match="no seed may exceed"):
            draw(2, seed=MAX_SEED)


def test_a_mix_of_one_sample_is_that_sample(network):
    colorizer = colorizer_with(network)
    conditioned = colorizer.condition(GRAY)
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    (sample,) = conditioned.sample(1, seed=3)
    mixed = conditioned.mix((3, 3), Mask(ramp, ""))
    assert np.array_equal(mixed.levels[32], sample.levels[32])


@pytest.mark.parametrize("wide", [WIDE, WIDE.T], ids=["wide", "upright"])
def test_windows_have_the_coarse_colours_of_the_whole(wide):
    """With a network whose whole photo becomes redder from its left end to its right, or downwards."""

    class Ramp(Doubling):
        coarse_size = 16

        def decode(self, latents, condition, coarse=None):
            if coarse is None:  # of the whole
                rows, columns = np.indices((64, 64), np.float32)
                ab = np.stack([rows if wide is not WIDE else columns, 0 * rows])[None]
                return np.repeat(ab, len(latents[8]), axis=0), np.zeros(len(latents[8]))
            return coarse.ab.repeat(4, 2).repeat(4, 3), coarse.log_prob

    for sample in colorizer_with(Ramp()).condition(wide).sample(2, 0.8, 1):
        along = sample.ab[0].mean(axis=1 if wide is not WIDE else 0)
        assert np.abs(along - np.linspace(0, 63, len(along))).max() < 2
        assert np.ptp(sample.ab[0], axis=1 if wide is not WIDE else 0).max() < 1e-3


def test_samples_are_what_their_codes_give(conditioned):
    latent = Latent.draw(conditioned.latent_shapes, [4, 5], 0.5)
    method = {"method": "found"}
    found = conditioned.samples_of(latent, [4, 5], 0.5, method)
    for sample, drawn in zip(found, conditioned.sample(2, 0.5, 4), strict=True):
        assert sample.ab.tobytes() == drawn.ab.tobytes()
        assert sample.recipe == drawn.recipe | method
    again = conditioned.encode(found[1].ab)
    np.testing.assert_allclose(again.levels[32][:, :2], latent.levels[32][1:, :2], rtol=1e-5)


def test_the_model_has_its_own_temperature(conditioned):
    assert conditioned.temperature == MODELS["natural"].temperature
    (own,), (same,) = conditioned.sample(), conditioned.sample(1, MODELS["natural"].temperature)
    assert own.ab.tobytes() == same.ab.tobytes()


def test_a_served_network_conditions_once_what_it_remembers(network, monkeypatch):
    monkeypatch.setattr("cinn_colorize.batch.model_server._CACHED", 2)
    model = _Model()
    loaded = LoadedNetwork(MODELS["natural"], "0" * 64, "fp32", network, 0.0)
    model.load(SimpleNamespace(load=lambda: loaded))
    served = colorizer_with(_ServedNetwork(model, *model.facts()[1:]))
    first, second, third = (
        served.condition(NetworkInput(np.full((256, 256), L, np.float32))) for L in (10, 20, 30)
    )
    expected = first.sample()[0]
    assert first.log_prob(expected.ab) == pytest.approx(expected.log_prob)
    second.sample()
    first.sample()
    assert network.conditioned == 2
    third.sample()  # the second is forgotten, not the first
    assert first.sample()[0].ab.tobytes() == expected.ab.tobytes()
    assert network.conditioned == 3
    second.sample()
    assert network.conditioned == 4


def test_the_face_needs_no_torch_until_a_colorizer_is_made():
    code = (
        "import sys, cinn_colorize\n"
        "exported = [getattr(cinn_colorize, name) for name in cinn_colorize.__all__]\n"
        "assert {*cinn_colorize.__all__} <= {*dir(cinn_colorize)}\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


class Checkered(Doubling):
    """The whole photo is a board of single pixels, 10 and -10: gray on average."""

    coarse_size = 16

    def decode(self, latents, condition, coarse=None):
        n = len(latents[8])
        if coarse is None:  # of the whole
            board = np.where(np.indices((64, 64)).sum(0) % 2, 10, -10).astype(np.float32)
            return np.broadcast_to(board, (n, 2, 64, 64)).copy(), np.zeros(n)
        return coarse.ab.repeat(4, 2).repeat(4, 3), coarse.log_prob


def test_the_coarse_colours_of_windows_are_means_of_the_whole():
    upright = np.ascontiguousarray(WIDE[:, :600].T)
    (sample,) = colorizer_with(Checkered()).condition(upright).sample(1, 0.8, 1)
    assert np.abs(sample.ab).max() < 2


class Stepwise(Doubling):
    """Coarse colours are drawn first, and that takes long."""

    coarse_size, drawn = 8, 0

    def coarse(self, latents, conditions):
        self.drawn += 1
        return Coarse(latents[8][:, :2], np.zeros(len(latents[8])))

    def decode(self, latents, condition, coarse=None):
        ab, log_prob = coarse or self.coarse(latents, [condition])
        return ab.repeat(8, 2).repeat(8, 3), log_prob


def test_coarse_colours_that_were_compared_are_not_drawn_again():
    network = Stepwise()
    photo = colorizer_with(network).condition(GRAY)
    (typical,), eight = photo.sample(8, pick=1), photo.sample(8)
    assert np.array_equal(photo.coarse(8), [sample.ab[:, ::8, ::8] for sample in eight])
    assert network.drawn == 1
    assert eight[typical.seed].ab.tobytes() == typical.ab.tobytes()
    for options in ({"temperature": 0.5}, {"seed": 8}):  # other codes
        assert photo.sample(8, **options)[0].ab.tobytes() != eight[0].ab.tobytes()
    assert network.drawn == 3


class Counting(Doubling):
    """The density of a window is its number, from 1."""

    def condition(self, L):
        super().condition(L)
        return self.conditioned

    def decode(self, latents, condition, coarse=None):
        ab, _ = super().decode(latents, condition)
        return ab, np.full(len(ab), float(condition))


def test_the_density_of_a_long_photo_is_the_mean_over_its_windows():
    network = Counting()
    for sample in colorizer_with(network).condition(WIDE[:, :600]).sample(2, 0.8, 1):
        assert sample.log_prob == pytest.approx(np.arange(1, network.conditioned + 1).mean())
    assert network.conditioned > 1
