"""Invertible maps one after another, whose activations the backward pass can recompute by inversion.

This is after Gomez et al., "The Reversible Residual Network" (2017, https://arxiv.org/abs/1707.04585): a
stack of maps keeps only its last output, from which the backward pass recomputes each map's input. Such a
stack must not contain batch norm or dropout, which do not repeat exactly, nor compute in half precision,
whose rounding the inverse does not undo.
"""

from collections.abc import Iterable
from collections.abc import Sequence as List
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils import _pytree as pytree

from cinn_colorize.flow import Transform
from cinn_colorize.flow.coupling import AffineCoupling

# An output is kept every eight maps (four coupling blocks), so that rounding of inverses does not build up.
_KEPT_EVERY = 8
_Gradients = dict[int, Tensor]  # by id of the tensor


class Sequence(Transform[List[Any]]):
    """Apply maps in order, or their inverses in reverse order, and add up their log-dets.

    The condition is a list of theirs, None for unconditional ones. With ``save_memory``, training keeps only
    the output of every eighth map and of the last one, and recomputes the others.
    """

    def __init__(self, maps: Iterable[Transform[Any]]) -> None:
        super().__init__()
        self.maps = cast(List[Transform[Any]], nn.ModuleList(maps))
        self.save_memory = False

    def forward(self, x: Tensor, condition: List[Any]) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        saving = self.save_memory and torch.is_grad_enabled()
        tape = _Tape()
        for position, (transform, c) in enumerate(zip(self.maps, condition, strict=True)):
            if position % _KEPT_EVERY == 0:
                tape = _Tape()
            x, change = _recomputing(transform, x, c, tape) if saving else transform(x, c)
            log_det = log_det + change
        return x, log_det

    def inverse(self, z: Tensor, condition: List[Any]) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(len(z))
        for transform, c in reversed(list(zip(self.maps, condition, strict=True))):
            z, change = transform.inverse(z, c)
            log_det = log_det + change
        return z, log_det

    def coupling_conditions(self, parts: List[Tensor]) -> list[Any]:
        """List the condition of each map, given those of the subnetworks of the first coupling blocks."""
        left = zip(parts[::2], parts[1::2], strict=True)
        return [next(left, None) if isinstance(m, AffineCoupling) else None for m in self.maps]


class _Tape:
    """The output of the map whose backward pass is next."""

    def __init__(self) -> None:
        self.output: Tensor | None = None
        self.version = 0  # of the output, which counts the changes in place
        self.position = 0

    def keep(self, output: Tensor) -> None:
        self.output, self.version = output, output._version


def _recomputing(transform: Transform[Any], x: Tensor, condition: Any, tape: _Tape) -> tuple[Tensor, Tensor]:
    """Compute ``transform(x, condition)`` and keep only the stack's tape for the backward pass."""
    parts, form = pytree.tree_flatten(condition)
    tape.position += 1
    z, log_det = _Recomputed.apply(  # type: ignore[no-untyped-call]
        transform, tape, tape.position, form, x, *parts, *transform.parameters()
    )
    tape.keep(z.detach())
    return z, log_det


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        transform: Transform[Any],
        tape: _Tape,
        position: int,
        form: pytree.TreeSpec,
        x: Tensor,
        *tensors: Any,
    ) -> tuple[Tensor, Tensor]:
        parts = tensors[: form.num_leaves]
        ctx.transform, ctx.tape, ctx.position, ctx.form = transform, tape, position, form
        ctx.others = [None if isinstance(part, Tensor) else part for part in parts]  # numbers, and None
        ctx.save_for_backward(*(each if isinstance(each, Tensor) else None for each in tensors))
        z, log_det = transform(x, pytree.tree_unflatten(parts, form))
        return z, log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:
        tape: _Tape = ctx.tape
        if tape.position != ctx.position or tape.output is None:
            raise RuntimeError("activations were recomputed already; run the forward pass again")
        if tape.output._version != tape.version:
            raise RuntimeError("the output was changed in place before its backward pass; change a copy")
        tensors = ctx.saved_tensors
        # Detached leaves, so that gradients stop at the conditions.
        parts = [
            other if part is None else part.detach().requires_grad_(wanted)
            for other, part, wanted in zip(ctx.others, tensors, ctx.needs_input_grad[5:], strict=False)
        ]
        condition = pytree.tree_unflatten(parts, ctx.form)
        x, grad_x, gradients = _backward(ctx.transform, tape.output, condition, grad_z, grad_log_det)
        tape.position, tape.output = tape.position - 1, None
        if tape.position:
            tape.keep(x)
        wanted = (*parts, *tensors[len(parts) :])
        return (None,) * 4 + (grad_x, *(gradients.get(id(tensor)) for tensor in wanted))


def _backward(
    transform: Transform[Any], z: Tensor, condition: Any, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, _Gradients]:
    """Compute the input of a map from its output z, and the gradients of input, condition and parameters."""
    if isinstance(transform, AffineCoupling):
        return _coupling_backward(transform, z, condition, grad_z, grad_log_det)
    with torch.no_grad():
        x, _ = transform.inverse(z, condition)
    x.requires_grad_()
    with torch.enable_grad():
        outputs = transform(x, condition)
    others = [*pytree.tree_leaves(condition), *transform.parameters()]
    grad_x, gradients = _gradients(outputs, (grad_z, grad_log_det), x, others)
    return x.detach(), grad_x, gradients


def _coupling_backward(
    block: AffineCoupling, v: Tensor, condition: Any, grad_v: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, _Gradients]:
    """Take one half after the other: each subnetwork runs once, for both inverse and gradients."""
    c1, c2 = condition or (None, None)
    v1, v2 = v.split(block.sizes, dim=1)
    g1, g2 = grad_v.split(block.sizes, dim=1)
    u2, g2, grad_v1, second = _half_backward(block, block.subnet2, v1, v2, c2, g2, grad_log_det)
    u1, g1, grad_u2, first = _half_backward(block, block.subnet1, u2, v1, c1, g1 + grad_v1, grad_log_det)
    return torch.cat([u1, u2], dim=1), torch.cat([g1, g2 + grad_u2], dim=1), first | second


def _half_backward(
    block: AffineCoupling,
    subnet: nn.Module,
    seen: Tensor,
    v: Tensor,
    condition: Tensor | None,
    grad_v: Tensor,
    grad_log_det: Tensor,
) -> tuple[Tensor, Tensor, Tensor, _Gradients]:
    """Invert v = u exp(s) + t; return u and the gradients of u, of the half seen, and of the rest."""
    seen = seen.detach().requires_grad_()
    with torch.enable_grad():
        s, t = block.scale_shift(subnet, seen, condition)
    scale = s.detach().exp()
    u = (v - t.detach()) / scale
    grad_u = grad_v * scale
    grad_s = grad_u * u + grad_log_det.view(-1, *[1] * (u.dim() - 1))
    grad_seen, gradients = _gradients((s, t), (grad_s, grad_v), seen, [condition, *subnet.parameters()])
    return u, grad_u, grad_seen, gradients


def _gradients(
    outputs: Iterable[Tensor], grads: Iterable[Tensor], x: Tensor, others: Iterable[Any]
) -> tuple[Tensor, _Gradients]:
    """Compute the gradients of x and of the other tensors that require one."""
    learn = [other for other in others if isinstance(other, Tensor) and other.requires_grad]
    pairs = ((o, g) for o, g in zip(outputs, grads, strict=True) if o.requires_grad)
    reached, given = zip(*pairs, strict=True)
    found = torch.autograd.grad(reached, [x, *learn], given, allow_unused=True)
    grad_x = torch.zeros_like(x) if found[0] is None else found[0]
    return grad_x, {id(t): g for t, g in zip(learn, found[1:], strict=True) if g is not None}
