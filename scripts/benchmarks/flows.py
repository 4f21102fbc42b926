"""Compare the paper's coupling stack in FrEIA and here, at equal weights: training steps, samples, memory."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import freia
import torch
from shared import Times, in_turn, ratio, table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from cinn_colorize.flow.multiscale import BASE
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models import base
from cinn_colorize.models.base import StageConditions
from cinn_colorize.models.imagenet_vgg import ImagenetVgg, ImagenetVggConfig
from cinn_colorize.training.processes import choose_precision

BATCH, SAMPLES = 16, 8
SHAPE = (2, 64, 64)  # of x
PEER, PEER_LAST = "FrEIA", "FrEIA, channels last"
OURS, OURS_ALONE, OURS_SAVING = "cinn-colorize", "cinn-colorize, one by one", "cinn-colorize, save memory"
Shape = tuple[int, ...]
Tensors = list[Tensor]


class Pair:
    """The coupling stack of the paper's network, without bounds, in both libraries.

    Conditions are the heads' outputs, one for each conditional block.
    """

    def __init__(self, config: ImagenetVggConfig | None = None) -> None:
        self.ours = ImagenetVgg(replace(config or ImagenetVggConfig.paper(), bound=math.inf))
        for parameter in self.ours.parameters():
            if not parameter.any():  # training starts from these zeros
                nn.init.normal_(parameter, std=0.02)
        del self.ours.network
        self.conditions: list[Shape] = []  # without the batch, as all shapes
        for r, stage in self.ours.config.stages.items():
            del self.ours.stages[r].heads
            self.conditions += [(stage.width,) if r == BASE else (stage.width, r, r)] * stage.blocks
        self.peer = freia.imagenet_vgg(self.ours)

    def forward(self, x: Tensor, given: Tensors) -> tuple[Tensors, Tensor]:
        """Compute the latents of x, and the log-det, as the peer does when it is called."""
        latents, log_dets = self.ours(x, self._prepared(given))
        return list(latents.values()), sum(log_dets.values(), torch.zeros(()))

    def inverse(self, z: Tensors, given: Tensors, at_once: int) -> Tensor:
        """Compute x under one photo's conditions, so many at once."""
        condition = base.expanded(self._prepared(given), at_once)  # once for all samples of the photo
        chunks = zip(*(level.split(at_once) for level in z), strict=True)
        codes = (dict(zip(self.ours.latent_shapes, chunk, strict=True)) for chunk in chunks)
        return torch.cat([self.ours.inverse(code, condition)[0] for code in codes])

    def _prepared(self, given: Tensors) -> StageConditions:
        found = iter(given)
        parts = {}
        for r in self.ours.config.stages:
            of_blocks = [part(next(found)) for part in self.ours.stages[r].parts]
            parts[r] = tuple(half for of_block in of_blocks for half in of_block.chunk(2, dim=1))
        return StageConditions(parts)

    def peer_inverse(self, z: Tensors, given: Tensors) -> Tensor:
        """Compute x under one photo's conditions, all at once."""
        both = [condition.expand(len(z[0]), *condition.shape[1:]) for condition in given]
        return self.peer([*z[:-1], z[-1].flatten(1)], both, rev=True)[0]

    def parameters(self) -> int:
        """Count the parameters, which are equally many in both."""
        learning = [[p for p in stack.parameters() if p.requires_grad] for stack in (self.ours, self.peer)]
        ours, peer = (sum(p.numel() for p in parameters) for parameters in learning)
        assert ours == peer, f"{ours} parameters here, {peer} in FrEIA"
        return ours

    def difference(self) -> float:
        """Return the largest difference between both outputs, log-det per dimension included."""
        x, given = torch.randn(2, *SHAPE), drawn(self.conditions, 2)
        with torch.no_grad():
            (ours, log_det), (peer, peer_log_det) = self.forward(x, given), self.peer(x, given)
        latents = [(a.flatten() - b.flatten()).abs().max() for a, b in zip(ours, peer, strict=True)]
        return float(torch.stack([*latents, (log_det - peer_log_det).abs().max() / math.prod(SHAPE)]).max())

    def step(self, stack: nn.Module, *, last: bool = False, learn: bool = True) -> Callable[[], None]:
        """Make a training step of one stack: forward, loss, backward and, if it should ``learn``, Adam.

        ``last`` selects channels last, which the heads' conditions then use too.
        """
        flow: Callable[..., Any] = self.forward if stack is self.ours else stack
        x, given = torch.randn(BATCH, *SHAPE), drawn(self.conditions, BATCH)
        if last:
            stack.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            given = [c.to(memory_format=torch.channels_last) if c.dim() == 4 else c for c in given]
        for condition in given:
            condition.requires_grad_()  # heads learn
        optimizer = torch.optim.AdamW(stack.parameters(), 1e-6, fused=True)

        def run() -> None:
            latents, log_det = flow(x, given)
            energy = torch.stack([0.5 * z.float().square().sum() for z in latents]).sum()
            ((energy - log_det.sum()) / (BATCH * math.prod(SHAPE))).backward()  # type: ignore[no-untyped-call]
            if learn:
                optimizer.step()
                optimizer.zero_grad()
                for condition in given:
                    condition.grad = None

        return run


def peak(work: Callable[[], object]) -> int:
    """Measure the peak allocation in bytes beyond what existed before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(itertools.accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())))


def drawn(shapes: Iterable[Shape], n: int) -> Tensors:
    """Draw noise of these shapes for n photos or samples."""
    return [torch.randn(n, *shape) for shape in shapes]


def training(repeats: int, precision: torch.dtype) -> Times:
    """Time training steps; ours in channels last, as in ``cinn-colorize train``."""
    pair, other = Pair(), Pair()
    ways = {
        PEER: pair.step(pair.peer),
        PEER_LAST: other.step(other.peer, last=True),
        OURS: pair.step(pair.ours, last=True),
    }
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        return in_turn(ways, repeats)


def sampling(pair: Pair, repeats: int, precision: torch.dtype) -> Times:
    """Time all samples of one photo under given conditions; ours at once, and one by one."""
    given, z = drawn(pair.conditions, 1), drawn(pair.ours.latent_shapes.values(), SAMPLES)
    ways: dict[str, Callable[[], object]] = {
        PEER: lambda: pair.peer_inverse(z, given),
        OURS: lambda: pair.inverse(z, given, SAMPLES),
        OURS_ALONE: lambda: pair.inverse(z, given, 1),
    }
    with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        return in_turn(ways, repeats)


def memory(pair: Pair) -> dict[str, int]:
    """Measure the activations of a training step in bytes, by library, with and without recomputation."""
    most, ways = {}, {PEER: pair.peer, OURS: pair.ours, OURS_SAVING: pair.ours}
    for name, stack in ways.items():
        for sequence in stack.modules():
            if isinstance(sequence, Sequence):
                sequence.save_memory = name == OURS_SAVING
        step = pair.step(stack, learn=False)
        step()  # gradients are allocated now
        most[name] = peak(step)
    return most


def report(repeats: int) -> str:
    precisions, remark = {torch.float32: "fp32", torch.bfloat16: "bf16"}, ""
    if choose_precision("auto", torch.device("cpu")) == torch.float32:
        del precisions[torch.bfloat16]
        remark = "\n- bf16 is not faster than fp32 on this processor"
    pair, lines = Pair(), []
    for precision, label in precisions.items():
        steps, drawing = training(repeats, precision), sampling(pair, repeats, precision)
        timed = {f"training step, batch {BATCH}": steps, f"{SAMPLES} samples of a photo": drawing}
        for what, found in timed.items():
            for way, seconds in found.items():
                took = [f"{statistics.median(seconds):.3f}", f"{ratio(found, PEER, way):.2f}"]
                lines.append([f"{label}: {what}", way, *took])
    most = memory(pair)
    used = [[way, f"{m / 2**20:.0f}", f"{m / most[PEER]:.2f}"] for way, m in most.items()]
    speeds = table(["", "", "seconds", "speed, FrEIA = 1"], lines)
    sizes = table(["training step", "activations, MiB", "FrEIA = 1"], used)
    equal = f"- {pair.parameters() / 1e6:.1f} million parameters in both"
    differ = f"outputs of the same weights differ by {pair.difference():.0e} at most"
    return f"{speeds}\n\n{sizes}\n\n{equal}, {differ}{remark}"
