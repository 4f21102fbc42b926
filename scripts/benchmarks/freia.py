"""Build our flows in FrEIA 0.2 (https://github.com/vislearn/FrEIA), with equal weights.

FrEIA's coupling block concatenates a condition to the half that its subnetworks see; ours adds a
projection of the condition to their first layer. Weights are copied so that both are the same function.
"""

import copy
import itertools
import math
from collections.abc import Iterable
from typing import Any

import FrEIA.framework as ff
import FrEIA.modules as fm
import torch
from torch import Tensor, nn

from cinn_colorize.flow.coupling import AffineCoupling
from cinn_colorize.flow.downsampling import HaarDownsampling, Squeeze
from cinn_colorize.flow.mixing import OrthogonalMixing, Permutation
from cinn_colorize.flow.multiscale import BASE
from cinn_colorize.models.imagenet_vgg import SIZE, ImagenetVgg


class Flatten(fm.Flatten):  # type: ignore[misc]  # FrEIA has no types
    """FrEIA's own, which accepts no tensors in channels last."""

    def forward(self, x: tuple[Tensor], *arguments: Any, **options: Any) -> Any:
        return super().forward((x[0].contiguous(),), *arguments, **options)


class Graph:
    """A graph that grows at its end, node by node."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.nodes: list[Any] = [ff.InputNode(*shape)]
        self.outputs: list[Any] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.nodes[-1].output_dims[0])

    def add(self, module: type, condition: int = 0, **arguments: Any) -> Any:
        """Append a node; ``condition`` is the number of channels of its condition."""
        given = ff.ConditionNode(condition, *self.shape[1:]) if condition else None
        node = ff.Node(self.nodes[-1].out0, module, arguments, conditions=given)
        self.nodes += [given, node] if given else [node]
        return node

    def finish(self) -> Any:
        """Return the network; its outputs are the parts split off, and the rest."""
        outputs = (*self.outputs, self.nodes[-1].out0)
        return ff.GraphINN(self.nodes + [ff.OutputNode(output) for output in outputs])


def add_coupling(graph: Graph, ours: AffineCoupling, condition: int, subnets: Iterable[nn.Module]) -> None:
    """Append our block with copies of its subnetworks 1 and 2, which are 2 and 1 in FrEIA."""
    if ours.bound != math.inf:
        raise ValueError("FrEIA's blocks have no bounds")
    made = list(subnets)  # FrEIA constructs its first, our second, first
    graph.add(
        fm.GLOWCouplingBlock,
        condition,
        subnet_constructor=lambda inputs, outputs: made.pop(),
        clamp=ours.clamp,
        clamp_activation=lambda s: (2 / math.pi) * torch.atan(s),
        split_len=ours.sizes[0],
    )


def add_map(graph: Graph, ours: nn.Module) -> None:
    match ours:
        case OrthogonalMixing():
            graph.add(fm.Fixed1x1Conv, M=ours.matrix.t())
        case Permutation():
            node = graph.add(fm.PermuteRandom, seed=0)
            node.module.perm.copy_(ours.order)
            node.module.perm_inv.copy_(ours.inverse_order)
        case HaarDownsampling():
            graph.add(fm.HaarDownsampling, order_by_wavelet=True, rebalance=0.5)
        case Squeeze():
            graph.add(fm.IRevNetDownsampling)
        case _:
            raise TypeError(f"FrEIA has no {type(ours).__name__}")


def concatenating(ours: nn.Module, part: Tensor | None, clamp: float) -> nn.Sequential:
    """Build our subnetwork so that it sees a half and a condition, whose weights are ``part``, together."""
    copies = copy.deepcopy([m for m in ours.modules() if isinstance(m, nn.Conv2d | nn.Linear)])
    first, last = copies[0], copies[-1]
    if part is not None:
        first.weight = nn.Parameter(torch.cat([first.weight, part], dim=1).detach())
        inputs = "in_channels" if isinstance(first, nn.Conv2d) else "in_features"
        setattr(first, inputs, first.weight.shape[1])
    with torch.no_grad():
        for values in (last.weight, last.bias):
            assert values is not None
            values[: len(values) // 2] /= clamp  # FrEIA's arctan sees s, ours s / clamp
    rectified = itertools.chain.from_iterable((layer, nn.ReLU()) for layer in copies)
    return nn.Sequential(*list(rectified)[:-1])


def imagenet_vgg(model: ImagenetVgg) -> Any:
    """Build the coupling stack; it has a condition for each conditional block, and latents finest first."""
    graph = Graph((2, SIZE, SIZE))
    for r, config in model.config.stages.items():
        stage = model.stages[r]
        if r == BASE:
            graph.add(Flatten)
        parts = iter(stage.parts)
        for ours in stage.flow.maps:
            if isinstance(ours, AffineCoupling):
                part: Any = next(parts, None)
                of_condition = (None, None) if part is None else part.weight.chunk(2)
                both = zip((ours.subnet1, ours.subnet2), of_condition, strict=True)
                subnets = [concatenating(subnet, weights, ours.clamp) for subnet, weights in both]
                add_coupling(graph, ours, 0 if part is None else config.width, subnets)
            else:
                add_map(graph, ours)
        if r != BASE and graph.shape[0] > config.keep:
            split = graph.add(fm.Split, section_sizes=[config.keep, graph.shape[0] - config.keep])
            graph.outputs.append(split.out1)
    return graph.finish()
