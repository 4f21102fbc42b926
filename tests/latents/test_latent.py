"""Noise, seeds and temperature."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cinn_colorize.errors import LatentError, WeightsError
from cinn_colorize.files import tensorfile
from cinn_colorize.latents.latent import Latent, pooled
from cinn_colorize.latents.windows import Windows

SHAPES = {32: (6, 32, 32), 16: (6, 16, 16), 0: (2, 1, 1)}
SEEDS = st.integers(10, 2**32 - 1)
TEMPERATURES = st.floats(0.1, 2)
SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1), SEEDS)


def of_size(share, shape):
    """A share for all places, or a random map of shares with many 0 and 1."""
    if isinstance(share, float):
        return torch.tensor(share)
    return (2 * torch.rand(shape, generator=torch.Generator().manual_seed(share)) - 0.5).clamp(0, 1)


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


def test_an_index_gives_the_code_of_one_sample():
    latent = Latent.draw(SHAPES, range(4))
    for one, i in [
        (latent[2], 2),
        (latent[-2], 2),
        (latent[np.int64(2)], 2),
        *zip(latent, range(4), strict=True),
    ]:
        assert len(one) == 1
        assert all(torch.equal(z, latent.levels[r][i : i + 1]) for r, z in one.levels.items())
    for index in (4, -5):
        with pytest.raises(IndexError):
            latent[index]


def test_codes_are_shown_in_a_line_and_are_equal_to_themselves_alone():
    latent = Latent.draw(SHAPES, range(2))
    assert [repr(latent), repr(latent[1])] == [
        "<Latent of 2 samples, levels 32, 16, 0>",
        "<Latent of 1 sample, levels 32, 16, 0>",
    ]
    assert latent == latent
    assert latent != latent[:]
    assert len({latent, latent}) == 1


def test_temperature_by_level():
    warm = Latent.draw(SHAPES, [3])
    scaled = Latent.draw(SHAPES, [3], {32: 0.5, 16: 1.0, 0: 0.0})
    for r, factor in {32: 0.5, 16: 1.0, 0: 0.0}.items():
        assert torch.equal(scaled.levels[r], factor * warm.levels[r])
    with pytest.raises(ValueError, match="level 0"):
        Latent.draw(SHAPES, [3], {32: 0.5, 16: 1.0})


@given(SEEDS, SEEDS, st.fixed_dictionaries(dict.fromkeys(SHAPES, SHARES)))
def test_mixing_keeps_the_variance_and_reaches_both_ends(seed, other, shares):
    """The mean square of both signs of the other code is (1 - s) z^2 + s z_other^2."""
    a, b = Latent.draw(SHAPES, [seed, 1]), Latent.draw(SHAPES, [other, 2])
    share = {r: of_size(s, SHAPES[r][1:]) for r, s in shares.items()}
    with_b, against_b = a.mixed(b, share), a.mixed(b.map(torch.neg), share)
    for r, s in share.items():
        z, z_other, mixed = a.levels[r], b.levels[r], with_b.levels[r]
        squares = (mixed.square() + against_b.levels[r].square()) / 2
        torch.testing.assert_close(squares, (1 - s) * z.square() + s * z_other.square(), rtol=1e-4, atol=1e-5)
        for end, there in ((z, s == 0), (z_other, s == 1)):
            there = there.expand_as(z)
            assert torch.equal(mixed[there], end[there])


@given(SEEDS, SEEDS, TEMPERATURES, TEMPERATURES, st.floats(0, 1))
def test_interpolation_is_an_arc(seed, other, first, second, t):
    """Squared lengths are interpolated linearly, in levels of two dimensions too; both ways are one."""
    a, b = Latent.draw(SHAPES, [seed, 7], first), Latent.draw(SHAPES, [other, 8], second)
    between, back = a.interpolated(b, t), b.interpolated(a, 1 - t)
    for r in SHAPES:
        squares = [code.levels[r].square().flatten(1).sum(1) for code in (a, b, between)]
        torch.testing.assert_close(squares[2], (1 - t) * squares[0] + t * squares[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(between.levels[r], back.levels[r], rtol=1e-4, atol=1e-4)
        for end, there in ((a, 0.0), (b, 1.0)):
            reached = a.interpolated(b, there).levels[r]
            torch.testing.assert_close(reached, end.levels[r], rtol=1e-5, atol=1e-5)


def test_interpolation_leaves_what_is_common_alone():
    a = Latent.draw(SHAPES, [1])
    b = a.replace([16], Latent.draw(SHAPES, [2]))
    between = a.interpolated(b, 0.4)
    assert torch.allclose(between.levels[32], a.levels[32], atol=1e-6)
    assert torch.equal(b.levels[0], a.levels[0])
    assert (between.levels[16] - a.levels[16]).abs().max() > 0.1
    zero = Latent.draw(SHAPES, [1], 0.0)
    assert not zero.interpolated(zero, 0.5).levels[32].any()


@pytest.mark.parametrize("t", [0.25, 0.5])
def test_a_code_without_length_has_the_direction_of_the_other(t):
    a, zero = Latent.draw(SHAPES, [1]), Latent.draw(SHAPES, [1], 0.0)
    for between, share in ((a.interpolated(zero, t), 1 - t), (zero.interpolated(a, t), t)):
        for r, z in a.levels.items():
            torch.testing.assert_close(between.levels[r], share**0.5 * z, rtol=1e-5, atol=1e-6)


@given(SEEDS, st.floats(0, 1), st.builds(Windows, st.integers(1, 6), st.booleans()))
def test_pooling_is_by_area(seed, part, windows):
    """Each place has the mean of its block of the mask, for photos of any length."""
    shapes = windows.shapes(SHAPES)
    drawn = torch.rand(windows.size(64), generator=torch.Generator().manual_seed(seed))
    mask = torch.where(drawn < part, 1.0, drawn)
    shares = pooled(mask, shapes)
    for r, shape in shapes.items():
        assert shares[r].shape == shape[1:]
        if r:
            blocks = mask.unflatten(0, (shape[1], -1)).unflatten(2, (shape[2], -1))
            torch.testing.assert_close(shares[r], blocks.mean((1, 3)))
        torch.testing.assert_close(shares[r].mean(), mask.mean())


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
    with pytest.raises(LatentError, match="do not fit the photo"):
        Latent.load(path, "natural", SHAPES | {32: (6, 32, 80)})
    codes = Latent.draw(SHAPES, [1, 2]).levels
    for problem in (
        {r: z[:0] for r, z in codes.items()},
        {r: z[: 1 + (r == 16)] for r, z in codes.items()},
        {r: z.int() for r, z in codes.items()},
    ):
        Latent(problem).save(path, "natural", "12ab")
        with pytest.raises(LatentError, match="holds no latent codes that can be used"):
            Latent.load(path, "natural", SHAPES)
    Latent({r: z.bfloat16() for r, z in codes.items()}).save(path, "natural", "12ab")
    assert {z.dtype for z in Latent.load(path, "natural", SHAPES)[0].levels.values()} == {torch.float32}
    tensorfile.save(path, {"model": "natural"}, {"32": torch.zeros(1)})
    with pytest.raises(LatentError, match="not a file of latent codes"):
        Latent.load(path, "natural", SHAPES)
    path.write_bytes(b"text")
    with pytest.raises(WeightsError, match="damaged"):
        Latent.load(path, "natural", SHAPES)
    with pytest.raises(LatentError, match="cannot be written"):
        Latent.draw(SHAPES, [1]).save(tmp_path / "none" / "z.safetensors", "natural", "12ab")


def test_codes_are_there_already_if_they_are_those_of_the_same_weights(tmp_path):
    codes, path = Latent.draw(SHAPES, [1, 2]), tmp_path / "z.safetensors"
    assert not codes.is_saved(path, "natural", "12ab")
    codes.save(path, "natural", "12ab")
    assert codes.is_saved(path, "natural", "12ab")
    assert not codes.is_saved(path, "natural", "34cd")
    assert not codes.is_saved(path, "bedrooms", "12ab")
    assert not codes[:1].is_saved(path, "natural", "12ab")
    assert not Latent.draw(SHAPES, [1, 3]).is_saved(path, "natural", "12ab")
