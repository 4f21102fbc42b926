"""Laws of the invertible maps, in float64."""

import math

import pytest
import torch
from helpers import stir

from cinn_colorize.flow import (
    AffineCoupling,
    BoundedDetails,
    ConvSubnet,
    GuidedShift,
    HaarDownsampling,
    HaarSplit,
    Interval,
    OrthogonalMixing,
    Permutation,
    Sequence,
    SinhMap,
    Squeeze,
    haar,
    inverse_haar,
    leaky_clamp,
    leaky_clamp_inverse,
    soft_clamp,
)

WIDTH = 8


def coupling(channels, bound=math.inf, kernel=3, layers=3):
    torch.manual_seed(1)
    return stir(AffineCoupling(channels, lambda i, o: ConvSubnet(i, o, WIDTH, kernel, layers), 0.5, bound))


def randn(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def case(name, n=2, size=3, scale=1.0):
    """A map with something to transform and its condition."""
    subnet_conditions = (randn(n, WIDTH, size, size, seed=2), randn(n, WIDTH, size, size, seed=3))
    map_condition = randn(n, 6 * SinhMap.PARAMETERS, size, size, seed=4)
    maps = {
        "coupling": (coupling(6), subnet_conditions),
        "coupling, odd channels": (coupling(5), subnet_conditions),
        "coupling, bounded": (coupling(6, bound=0.7), subnet_conditions),
        "coupling, 1x1 without condition": (coupling(6, kernel=1), None),
        "coupling, two layers": (coupling(6, layers=2), subnet_conditions),
        "mixing": (OrthogonalMixing(6, seed=5), None),
        "permutation": (Permutation(6, seed=5), None),
        "sinh map": (SinhMap(1.5), map_condition),
        "sequence": (
            Sequence([SinhMap(1.5), OrthogonalMixing(6, seed=5), coupling(6)]),
            [map_condition, None, subnet_conditions],
        ),
    }
    transform, condition = maps[name]
    channels = 5 if "odd" in name else 6
    return transform.double().eval(), randn(n, channels, size, size, scale=scale), condition


NAMES = [
    "coupling",
    "coupling, odd channels",
    "coupling, bounded",
    "coupling, 1x1 without condition",
    "coupling, two layers",
    "mixing",
    "permutation",
    "sinh map",
    "sequence",
]


@pytest.mark.parametrize("scale", [1.0, 8.0], ids=["typical", "far"])
@pytest.mark.parametrize("name", NAMES)
def test_inverse_undoes_forward(name, scale):
    transform, x, condition = case(name, scale=scale)
    z, log_det = transform(x, condition)
    back, inverse_log_det = transform.inverse(z, condition)
    assert (back - x).abs().max() < 1e-9
    assert (log_det + inverse_log_det).abs().max() < 1e-9
    assert (z - x).abs().max() > 1e-3  # it does something


@pytest.mark.parametrize("scale", [1.0, 8.0], ids=["typical", "far"])
@pytest.mark.parametrize("name", NAMES)
def test_log_det_is_that_of_autograd(name, scale):
    transform, x, condition = case(name, n=1, size=2, scale=scale)
    jacobian = torch.autograd.functional.jacobian(lambda v: transform(v, condition)[0], x)
    expected = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))[1]
    assert transform(x, condition)[1].item() == pytest.approx(expected.item(), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("reduction", [HaarDownsampling(), Squeeze()], ids=["haar", "squeeze"])
def test_reductions_to_half_the_size(reduction):
    x = randn(2, 3, 4, 6)
    z, log_det = reduction(x, None)
    assert z.shape == (2, 12, 2, 3)
    back, inverse_log_det = reduction.inverse(z, None)
    assert (back - x).abs().max() < 1e-12
    assert (log_det + inverse_log_det).abs().max() < 1e-12
    jacobian = torch.autograd.functional.jacobian(lambda v: reduction(v)[0], x[:1]).reshape(72, 72)
    assert log_det[0].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-10)


def test_squeeze_moves_each_block_of_pixels_into_channels():
    x = randn(1, 2, 4, 4)
    z, _ = Squeeze()(x)
    assert torch.equal(z[0, 4:, 1, 0], x[0, 1, 2:, :2].flatten())


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_a_batch_do_not_influence_each_other(name):
    transform, x, condition = case(name)
    one = [
        None if c is None else tuple(p[:1] for p in c) if isinstance(c, tuple) else c[:1]
        for c in (condition if isinstance(condition, list) else [condition])
    ]
    alone, _ = transform(x[:1], one if isinstance(condition, list) else one[0])
    together, _ = transform(x, condition)
    assert (alone - together[:1]).abs().max() < 1e-12


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
    block = coupling(6, bound=3.0).double()
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


def test_haar_split_gives_means_and_their_log_det():
    split, x = HaarSplit(), randn(1, 2, 4, 4)
    mean, details, log_det = split(x)
    assert torch.allclose(mean, torch.nn.functional.avg_pool2d(x, 2))
    jacobian = torch.autograd.functional.jacobian(lambda v: torch.cat([p.flatten() for p in split(v)[:2]]), x)
    expected = torch.linalg.slogdet(jacobian.reshape(32, 32))[1]
    assert log_det.item() == pytest.approx(expected.item(), abs=1e-10)
    back, inverse_log_det = split.inverse(mean, details)
    assert (back - x).abs().max() < 1e-12
    assert (log_det + inverse_log_det).abs().max() < 1e-12


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_guided_shift_is_undone(size):
    shift = GuidedShift(limit=7.0)
    mean = randn(2, 2, size, size, scale=10)
    guides = randn(2, 1, size, size, seed=1), randn(2, 1, 2 * size, 2 * size, seed=2)
    details = randn(2, 6, size, size, seed=3)
    residual = shift(details, mean, *guides)
    assert (shift.inverse(residual, mean, *guides) - details).abs().max() < 1e-9


def test_guided_shift_predicts_colours_that_follow_the_guide():
    """Where ab is a linear function of L, the finer details are known from the coarser level."""
    guide = randn(1, 1, 64, 64).cumsum(-1).cumsum(-2) / 40
    guide = guide / guide.abs().max()
    x = torch.cat([3 * guide, -2 * guide + 0.5], 1)
    (mean, details, _), (coarse, _, _) = HaarSplit()(x), HaarSplit()(guide)
    residual = GuidedShift(limit=100.0, eps=1e-9)(details, mean, coarse, guide)
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert residual[inside].square().mean() < 0.05 * details[inside].square().mean()


def test_sinh_map_is_linear_beyond_its_knee():
    transform = SinhMap(1.5)
    z = torch.tensor([6.0, 7.0, 8.0], dtype=torch.float64).reshape(1, 1, 1, 3)
    x, _ = transform.inverse(z, torch.zeros(1, 4, 1, 3, dtype=torch.float64))
    steps = x.flatten().diff()
    assert steps[0].item() == pytest.approx(steps[1].item(), rel=1e-12)


def bounds(size, low=-0.5, high=0.7):
    """Intervals that differ from pixel to pixel."""
    spread = randn(2, 2, size, size, seed=9).abs()
    return Interval(low - spread, high + spread.flip(-1))


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0], ids=["within", "across", "beyond"])
def test_bounded_details_are_undone(scale):
    bounded, pixels = BoundedDetails(leak=0.1), bounds(8)
    details, mean = randn(2, 6, 4, 4, scale=scale), randn(2, 2, 4, 4, seed=1, scale=scale)
    free, log_det = bounded.forward(details, mean, pixels)
    back, inverse_log_det = bounded.inverse(free, mean, pixels)
    assert (back - details).abs().max() < 1e-12 * max(scale, 1)
    assert (log_det + inverse_log_det).abs().max() < 1e-12
    again, _ = bounded.forward(bounded.inverse(details, mean, pixels)[0], mean, pixels)
    assert (again - details).abs().max() < 1e-11 * max(scale, 1)


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0], ids=["within", "across", "beyond"])
def test_log_det_of_bounded_details_is_that_of_autograd(scale):
    bounded = BoundedDetails(leak=0.1)
    pixels = Interval(*(t[:1] for t in bounds(4)))
    details, mean = randn(1, 6, 2, 2, scale=scale), randn(1, 2, 2, 2, seed=1)
    jacobian = torch.autograd.functional.jacobian(lambda v: bounded.forward(v, mean, pixels)[0], details)
    expected = torch.linalg.slogdet(jacobian.reshape(24, 24))[1]
    log_det = bounded.forward(details, mean, pixels)[1]
    assert log_det.item() == pytest.approx(expected.item(), rel=1e-8, abs=1e-8)


def test_details_of_pixels_within_their_bounds_are_left_alone():
    pixels = bounds(8)
    x = pixels.low + torch.rand(2, 2, 8, 8, dtype=torch.float64) * (pixels.high - pixels.low)
    average, details = haar(x)
    free, log_det = BoundedDetails(leak=0.1).forward(details, average / 2, pixels)
    assert (free - details).abs().max() < 1e-12
    assert not log_det.any()


def test_free_details_become_pixels_near_their_bounds():
    bounded, pixels = BoundedDetails(leak=0.0001), bounds(8)
    halved = pixels.halve()
    mean = halved.low + torch.rand(2, 2, 4, 4, dtype=torch.float64) * (halved.high - halved.low)
    details, _ = bounded.inverse(randn(2, 6, 4, 4, scale=5.0), mean, pixels)
    x = inverse_haar(2 * mean, details)
    assert (pixels.low - x).max() < 0.01
    assert (x - pixels.high).max() < 0.01
    assert ((x - pixels.low).abs() < 0.01).any()


def test_drawing_near_is_undone():
    limits = Interval(randn(2, 3).abs() * -1, randn(2, 3, seed=1).abs())
    u = randn(2, 3, seed=2, scale=5.0)
    x, log_det = leaky_clamp(u, limits, 0.1)
    back, inverse_log_det = leaky_clamp_inverse(x, limits, 0.1)
    assert (back - u).abs().max() < 1e-12
    assert (log_det + inverse_log_det).abs().max() < 1e-12
    assert ((u > limits.low) & (u < limits.high)).any()
    assert log_det.min() < 0


def test_a_permutation_moves_every_channel_and_depends_on_its_seed_alone():
    x = torch.arange(784.0)[None]
    moved, _ = Permutation(784, seed=3)(x)
    assert torch.equal(moved.sort()[0], x)
    assert torch.equal(Permutation(784, seed=3)(x)[0], moved)
    assert not torch.equal(Permutation(784, seed=4)(x)[0], moved)
    assert not Permutation(784, seed=3).state_dict()
    # Stored weights belong to these permutations: another generator would make them worthless.
    assert Permutation(784, seed=0).order[:5].tolist() == [60, 361, 167, 578, 107]
