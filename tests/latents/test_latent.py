"""Noise, seeds and temperature."""

import pytest
import torch

from cinn_colorize import weights
from cinn_colorize.errors import LatentError, WeightsError
from cinn_colorize.latents.latent import Latent, pooled

SHAPES = {32: (6, 32, 32), 16: (6, 16, 16), 0: (2, 1, 1)}


def test_noise_depends_on_the_seed_alone():
    several, one = Latent.draw(SHAPES, range(5, 10)), Latent.draw(SHAPES, [9])
    assert all(torch.equal(several.levels[r][4:], one.levels[r]) for r in SHAPES)
    assert not torch.equal(several.levels[0][0], several.levels[0][1])


def test_temperature_scales():
    warm, cold = Latent.draw(SHAPES, [3], 1.0), Latent.draw(SHAPES, [3], 0.5)
    assert all(torch.equal(0.5 * warm.levels[r], cold.levels[r]) for r in SHAPES)
    assert not any(Latent.draw(SHAPES, [3], 0.0).levels[r].any() for r in SHAPES)
    assert warm.levels[32].std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_impossible_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature"):
        Latent.draw(SHAPES, [0], temperature)


def test_log_prob_is_that_of_a_normal_distribution():
    latent = Latent.draw(SHAPES, [1, 2])
    flat = torch.cat([z.flatten(1) for z in latent.levels.values()], dim=1)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    expected = sum(normal.log_prob(pair) for pair in flat.unflatten(1, (-1, 2)).unbind(1))
    assert torch.allclose(latent.log_prob(), expected, rtol=1e-5)


def test_length_and_slices():
    latent = Latent.draw(SHAPES, range(4))
    assert len(latent) == 4
    assert torch.equal(latent[1:3].levels[16], latent.levels[16][1:3])


def test_temperature_by_level():
    warm = Latent.draw(SHAPES, [3])
    scaled = Latent.draw(SHAPES, [3], {32: 0.5, 16: 1.0, 0: 0.0})
    for r, factor in {32: 0.5, 16: 1.0, 0: 0.0}.items():
        assert torch.equal(scaled.levels[r], factor * warm.levels[r])
    with pytest.raises(ValueError, match="level 0"):
        Latent.draw(SHAPES, [3], {32: 0.5, 16: 1.0})


def test_mixing_keeps_the_variance_and_reaches_both_ends():
    a, b = Latent.draw(SHAPES, [1, 2]), Latent.draw(SHAPES, [3, 4])
    mixed = a.mixed(b, {32: 0.3, 16: 0.0, 0: 1.0})
    assert torch.equal(mixed.levels[16], a.levels[16])
    assert torch.equal(mixed.levels[0], b.levels[0])
    assert mixed.levels[32].std().item() == pytest.approx(1, abs=0.02)
    left = torch.zeros(32, 32)
    left[:, :16] = 1
    halves = a.mixed(b, {32: left, 16: 0.0, 0: 0.0}).levels[32]
    assert torch.equal(halves[..., :16], b.levels[32][..., :16])
    assert torch.equal(halves[..., 16:], a.levels[32][..., 16:])


def test_interpolation_keeps_the_variance():
    """Squared lengths are interpolated linearly, in levels of two dimensions too."""
    a, b = Latent.draw(SHAPES, range(50), 1.3), Latent.draw(SHAPES, range(50, 100), 0.7)
    for t in (0.0, 0.2, 0.5, 1.0):
        between = a.interpolated(b, t)
        for r in SHAPES:
            squares = [code.levels[r].square().flatten(1).sum(1) for code in (a, b, between)]
            assert torch.allclose(squares[2], (1 - t) * squares[0] + t * squares[1], rtol=1e-4)
    for end, t in ((a, 0.0), (b, 1.0)):
        for r in SHAPES:
            assert torch.allclose(a.interpolated(b, t).levels[r], end.levels[r], atol=1e-6)


def test_interpolation_leaves_what_is_common_alone():
    a = Latent.draw(SHAPES, [1])
    b = a.replace([16], Latent.draw(SHAPES, [2]))
    between = a.interpolated(b, 0.4)
    assert torch.allclose(between.levels[32], a.levels[32], atol=1e-6)
    assert torch.equal(b.levels[0], a.levels[0])
    assert (between.levels[16] - a.levels[16]).abs().max() > 0.1
    zero = Latent.draw(SHAPES, [1], 0.0)
    assert not zero.interpolated(zero, 0.5).levels[32].any()


def test_pooling_is_by_area():
    mask = torch.zeros(64, 64)
    mask[:, :16] = 1
    shares = pooled(mask, SHAPES)
    assert {r: tuple(share.shape) for r, share in shares.items()} == {32: (32, 32), 16: (16, 16), 0: (1, 1)}
    assert shares[0].item() == 0.25
    assert torch.equal(shares[16][0], torch.tensor([1.0] * 4 + [0.0] * 12))


def test_codes_are_saved_and_loaded(tmp_path):
    codes, path = Latent.draw(SHAPES, [1, 2]), tmp_path / "z.safetensors"
    codes.save(path, "natural", "12ab")
    loaded, made_with = Latent.load(path, "natural", SHAPES)
    assert made_with == "12ab"
    assert list(loaded.levels) == list(SHAPES)
    assert all(torch.equal(loaded.levels[r], codes.levels[r]) for r in SHAPES)
    joined = Latent.join([loaded[:1], loaded[1:]])
    assert all(torch.equal(joined.levels[r], codes.levels[r]) for r in SHAPES)


def test_files_that_hold_no_codes_for_this(tmp_path):
    path = tmp_path / "z.safetensors"
    with pytest.raises(LatentError, match="no such file"):
        Latent.load(path, "natural", SHAPES)
    Latent.draw(SHAPES, [1]).save(path, "natural", "12ab")
    with pytest.raises(LatentError, match="of the model 'natural', not of 'mnist'"):
        Latent.load(path, "mnist", SHAPES)
    with pytest.raises(LatentError, match="other sizes"):
        Latent.load(path, "natural", SHAPES | {32: (6, 32, 80)})
    weights.save(path, {"model": "natural"}, {"32": torch.zeros(1)})
    with pytest.raises(LatentError, match="no latent codes"):
        Latent.load(path, "natural", SHAPES)
    path.write_bytes(b"text")
    with pytest.raises(WeightsError, match="damaged"):
        Latent.load(path, "natural", SHAPES)
    with pytest.raises(LatentError, match="cannot be written"):
        Latent.draw(SHAPES, [1]).save(tmp_path / "none" / "z.safetensors", "natural", "12ab")
