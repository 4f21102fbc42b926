"""The backward pass by inversion has the plain gradients, and its memory does not grow with the stack."""

from functools import partial

import pytest
import torch
from helpers import stir
from torch.profiler import ProfilerActivity, profile

from cinn_colorize.flow.coupling import AffineCoupling, ConvSubnet
from cinn_colorize.flow.details import SinhMap
from cinn_colorize.flow.downsampling import HaarDownsampling
from cinn_colorize.flow.mixing import OrthogonalMixing, Permutation
from cinn_colorize.flow.sequence import Sequence

CHANNELS, SIZE = 8, 8


def stack(blocks, dtype, width=16):
    """An elementwise map, then coupling blocks after mixings and permutations, and their conditions."""
    torch.manual_seed(0)
    maps, conditions = [SinhMap(1.5)], [torch.randn(2, 4 * CHANNELS, SIZE, SIZE)]
    for seed in range(blocks):
        mixing = OrthogonalMixing(CHANNELS, seed) if seed % 2 else Permutation(CHANNELS, seed)
        maps += [mixing, AffineCoupling(CHANNELS, partial(ConvSubnet, width=width, kernel=3), 1.0, bound=3)]
        conditions += [None, tuple(torch.randn(2, 2, width, SIZE, SIZE).unbind(0))]
    maps, conditions = [HaarDownsampling(), *maps], [None, *conditions]
    return stir(Sequence(maps)).to(dtype), [convert(condition, dtype) for condition in conditions]


def convert(condition, dtype):
    if isinstance(condition, tuple):
        return tuple(convert(part, dtype) for part in condition)
    return condition if condition is None else condition.to(dtype).detach().requires_grad_()


def gradients(flow, conditions, x, save_memory):
    flow.save_memory = save_memory
    leaves = [part for c in conditions if c is not None for part in (c if isinstance(c, tuple) else (c,))]
    x = x.detach().requires_grad_()
    z, log_det = flow(2 * x, conditions)
    loss = 0.5 * z.square().sum() - log_det.sum()
    return z.detach(), log_det.detach(), torch.autograd.grad(loss, [x, *leaves, *flow.parameters()])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("blocks", [3, 32])
def test_gradients_are_the_plain_ones(blocks, dtype, tolerance):
    flow, conditions = stack(blocks, dtype)
    x = torch.randn(2, CHANNELS // 4, 2 * SIZE, 2 * SIZE, dtype=dtype)
    plain, saving = (gradients(flow, conditions, x, save_memory) for save_memory in (False, True))
    assert torch.equal(plain[0], saving[0])
    assert torch.equal(plain[1], saving[1])
    for expected, found in zip(plain[2], saving[2], strict=True):
        assert expected.abs().max() > 0
        assert (found - expected).norm() < tolerance * expected.norm()


def test_only_what_learns_gets_a_gradient():
    flow, conditions = stack(2, torch.float64)
    flow.save_memory = True
    frozen = flow.maps[-1].requires_grad_(False)
    conditions[-1] = (conditions[-1][0].detach(), conditions[-1][1])
    x = torch.randn(2, CHANNELS // 4, 2 * SIZE, 2 * SIZE, dtype=torch.float64)
    z, _ = flow(x, conditions)
    z.square().sum().backward()
    assert all(p.grad is None for p in frozen.parameters())
    assert conditions[-1][0].grad is None
    assert conditions[-1][1].grad is not None
    assert all(p.grad is not None for p in flow.maps[3].parameters())


def test_a_second_backward_pass_is_refused():
    flow, conditions = stack(2, torch.float64)
    flow.save_memory = True
    z, _ = flow(torch.randn(2, CHANNELS // 4, 2 * SIZE, 2 * SIZE, dtype=torch.float64), conditions)
    loss = z.square().sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="forward pass again"):
        loss.backward()


def test_an_output_that_was_changed_in_place_is_refused():
    """Its map would be inverted from other values."""
    flow, conditions = stack(2, torch.float64)
    flow.save_memory = True
    z, _ = flow(torch.randn(2, CHANNELS // 4, 2 * SIZE, 2 * SIZE, dtype=torch.float64), conditions)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.mul_(2).square().sum().backward()


def peak(blocks):
    """Peak allocation in bytes during forward and backward pass, without conditions and gradients."""
    flow, conditions = stack(blocks, torch.float32, width=64)  # as natural's
    flow.save_memory = True
    given = [tuple(p.detach() for p in c) if isinstance(c, tuple) else c for c in conditions]
    given[1] = given[1].detach()
    x = torch.randn(2, CHANNELS // 4, 2 * SIZE, 2 * SIZE)
    for parameter in flow.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        z, log_det = flow(x, given)
        (z.square().sum() - log_det.sum()).backward()
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def test_memory_hardly_grows_with_the_stack():
    assert peak(32) < 1.3 * peak(8)
