"""Properties of single maps; test_laws.py has the laws of all of them."""

import math

import pytest
import torch
from helpers import stir
from torch.nn import functional

from cinn_colorize.flow.coupling import AffineCoupling, ConvSubnet, soft_clamp
from cinn_colorize.flow.details import (
    BoundedDetails,
    BoundedMean,
    GuidedMean,
    GuidedShift,
    Interval,
    LeakyClamp,
    SinhMap,
)
from cinn_colorize.flow.downsampling import HaarDownsampling, Squeeze, haar, inverse_haar
from cinn_colorize.flow.mixing import OrthogonalMixing, Permutation

WIDTH = 8


def randn(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_squeeze_moves_each_block_of_pixels_into_channels():
    x = randn(1, 2, 4, 4)
    z, _ = Squeeze()(x)
    assert torch.equal(z[0, 4:, 1, 0], x[0, 1, 2:, :2].flatten())


def test_soft_clamp_is_equation_7():
    s = torch.linspace(-50, 50, 1001, dtype=torch.float64)
    clamped = soft_clamp(s, 1.9)
    assert clamped.abs().max() < 1.9
    assert torch.equal(clamped, (2 * 1.9 / math.pi) * torch.atan(s / 1.9))
    small = torch.tensor(1e-6, dtype=torch.float64)
    assert soft_clamp(small, 1.9).item() == pytest.approx(2 / math.pi * 1e-6, rel=1e-9)


def test_coupling_starts_as_the_identity():
    block = AffineCoupling(6, lambda i, o: ConvSubnet(i, o, WIDTH, 3), 0.5)
    x = torch.randn(1, 6, 4, 4)
    z, log_det = block(x, (torch.randn(1, WIDTH, 4, 4), torch.randn(1, WIDTH, 4, 4)))
    assert torch.equal(z, x)
    assert not log_det.any()


def test_bound_limits_what_subnetworks_see_and_nothing_else():
    torch.manual_seed(1)
    block = stir(AffineCoupling(6, lambda i, o: ConvSubnet(i, o, WIDTH, 3), 0.5, bound=3.0)).double()
    conditions = (randn(1, WIDTH, 2, 2), randn(1, WIDTH, 2, 2, seed=1))
    near, far = randn(1, 6, 2, 2), randn(1, 6, 2, 2)
    near[:, 3:], far[:, 3:] = 3.0, 300.0  # u2, seen alike by the subnetwork of u1
    assert torch.equal(block(near, conditions)[0][:, :3], block(far, conditions)[0][:, :3])
    assert (block(far, conditions)[0][:, 3:] - block(near, conditions)[0][:, 3:]).min() > 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixing_is_orthogonal_after_half_precision(dtype):
    mixing = OrthogonalMixing(6, seed=3).half().to(dtype)
    gram = (mixing.matrix @ mixing.matrix.t()).double()
    assert (gram - torch.eye(6)).abs().max() < 4 * torch.finfo(dtype).eps
    assert "matrix" not in mixing.state_dict()


def test_mixing_depends_on_its_seed_alone():
    assert torch.equal(OrthogonalMixing(6, seed=3).matrix, OrthogonalMixing(6, seed=3).matrix)
    assert not torch.allclose(OrthogonalMixing(6, seed=3).matrix, OrthogonalMixing(6, seed=4).matrix)


def test_haar_is_orthonormal():
    x = randn(2, 3, 8, 6)
    average, details = haar(x)
    assert (average.square().sum() + details.square().sum()).item() == pytest.approx(x.square().sum().item())
    assert (inverse_haar(average, details) - x).abs().max() < 1e-12


@pytest.mark.parametrize("halve_details", [False, True])
def test_haar_downsampling_gives_means(halve_details):
    x = randn(1, 2, 4, 4)
    z, _ = HaarDownsampling(halve_details)(x)
    assert torch.allclose(z[:, :2], torch.nn.functional.avg_pool2d(x, 2))
    assert torch.allclose(z[:, 2:], haar(x)[1] / (1 + halve_details))


def test_guided_shift_predicts_colours_that_follow_the_guide():
    """If ab is a linear function of L, the finer details follow from the coarser level."""
    guide = randn(1, 1, 64, 64).cumsum(-1).cumsum(-2) / 40
    guide = guide / guide.abs().max()
    x = torch.cat([3 * guide, -2 * guide + 0.5], 1)
    (average, details), (coarse, _) = haar(x), haar(guide)
    given = GuidedMean(average / 2, coarse / 2, guide)
    residual, _ = GuidedShift(limit=100.0, eps=1e-9)(details, given)
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert residual[inside].square().mean() < 0.05 * details[inside].square().mean()


def test_sinh_map_is_linear_beyond_its_knee():
    transform = SinhMap(1.5)
    z = torch.tensor([6.0, 7.0, 8.0], dtype=torch.float64).reshape(1, 1, 1, 3)
    x, _ = transform.inverse(z, torch.zeros(1, 4, 1, 3, dtype=torch.float64))
    steps = x.flatten().diff()
    assert steps[0].item() == pytest.approx(steps[1].item(), rel=1e-12)


def test_scales_of_the_sinh_map_end_at_its_limit():
    zero, condition = torch.zeros(1, 1, 1, 1), torch.zeros(1, 4, 1, 1)
    for given, log_scale in ((0.0, 0.0), (50.0, 0.7), (-50.0, -4.0)):
        condition[:, 1] = given
        assert SinhMap(1.5, limit=0.7).inverse(zero, condition)[1].item() == pytest.approx(log_scale)


def bounds(size, low=-0.5, high=0.7):
    """Intervals that differ from pixel to pixel."""
    spread = randn(2, 2, size, size, seed=9).abs()
    return Interval(low - spread, high + spread.flip(-1))


def test_details_of_pixels_within_their_bounds_are_left_alone():
    pixels = bounds(8)
    x = pixels.low + torch.rand(2, 2, 8, 8, dtype=torch.float64) * (pixels.high - pixels.low)
    average, details = haar(x)
    free, log_det = BoundedDetails(leak=0.1)(details, BoundedMean(average / 2, pixels))
    assert (free - details).abs().max() < 1e-12
    assert not log_det.any()


def test_free_details_become_pixels_near_their_bounds():
    bounded, pixels = BoundedDetails(leak=0.0001), bounds(8)
    halved = pixels.halve()
    mean = halved.low + torch.rand(2, 2, 4, 4, dtype=torch.float64) * (halved.high - halved.low)
    details, _ = bounded.inverse(randn(2, 6, 4, 4, scale=5.0), BoundedMean(mean, pixels))
    x = inverse_haar(2 * mean, details)
    assert (pixels.low - x).max() < 0.01
    assert (x - pixels.high).max() < 0.01
    assert ((x - pixels.low).abs() < 0.01).any()


def test_leaky_clamp_leaves_what_is_within_its_bounds_and_shrinks_the_rest():
    limits = Interval(randn(2, 3).abs() * -1, randn(2, 3, seed=1).abs())
    u = randn(2, 3, seed=2, scale=5.0)
    x, log_det = LeakyClamp(0.1).inverse(u, limits)
    within = (u > limits.low) & (u < limits.high)
    assert within.any()
    assert torch.equal(x[within], u[within])
    beyond = torch.where(u > limits.high, u - limits.high, u - limits.low)
    end = torch.where(u > limits.high, limits.high, limits.low)
    assert torch.allclose(x[~within], (end + 0.1 * beyond)[~within])
    assert torch.allclose(log_det, math.log(0.1) * (~within).sum(1).double())


def test_a_permutation_moves_every_channel_and_depends_on_its_seed_alone():
    x = torch.arange(784.0)[None]
    moved, _ = Permutation(784, seed=3)(x)
    assert torch.equal(moved.sort()[0], x)
    assert torch.equal(Permutation(784, seed=3)(x)[0], moved)
    assert not torch.equal(Permutation(784, seed=4)(x)[0], moved)
    assert not Permutation(784, seed=3).state_dict()
    # Stored weights belong to these permutations: another generator would make them worthless.
    assert Permutation(784, seed=0).order[:5].tolist() == [60, 361, 167, 578, 107]


def test_mixing_is_not_rounded_where_networks_are():
    mixing, x = (
        OrthogonalMixing(6, seed=3),
        torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0)),
    )
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = mixing(x)
        back, _ = mixing.inverse(z)
    assert z.dtype == torch.float32
    assert torch.equal(z, mixing(x)[0])
    assert (back - x).abs().max() < 1e-5


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_guide_counts_on_grids_larger_than_its_windows(size):
    """On smaller ones, details are predicted by enlarging the colours."""
    mean, shift = randn(1, 2, size, size), GuidedShift(limit=100.0)
    details = randn(1, 6, size, size, seed=1)
    residuals = []
    for seed in (2, 3):
        guides = randn(1, 1, size, size, seed=seed), randn(1, 1, 2 * size, 2 * size, seed=seed)
        residuals.append(shift(details, GuidedMean(mean, *guides))[0])
    assert torch.equal(*residuals) == (size < 4)
    if size < 4:
        enlarged = functional.interpolate(mean, scale_factor=2, mode="bilinear")
        assert torch.allclose(details - residuals[0], haar(enlarged)[1])


@pytest.mark.parametrize("size", [2, 8], ids=["windows of all", "windows"])
def test_far_colours_predict_what_those_at_the_limit_do(size):
    generator = torch.Generator().manual_seed(0)
    mean = 10 * torch.randn(1, 2, size, size, generator=generator, dtype=torch.float64)
    guide = torch.rand(1, 1, size, size, generator=generator, dtype=torch.float64)
    fine = torch.rand(1, 1, 2 * size, 2 * size, generator=generator, dtype=torch.float64)
    shift, details = GuidedShift(limit=3.0), torch.zeros(1, 6, size, size, dtype=torch.float64)
    far, near = (shift(details, GuidedMean(m, guide, fine))[0] for m in (mean, mean.clamp(-3, 3)))
    assert torch.equal(far, near)
    assert not torch.equal(far, GuidedShift(limit=100.0)(details, GuidedMean(mean, guide, fine))[0])
