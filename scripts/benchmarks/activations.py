"""Memory and time of a training step whose activations are kept, checkpointed, or recomputed by inversion.

    python scripts/benchmarks/activations.py [--batch 4] [--repeat 3] [stack] [natural] ...

``stack`` is 8 and 32 coupling blocks at 32 px under given conditions, which therefore do not count; the
models see random photos and are measured as they are trained, conditions and heads included. The peak covers
all allocations during forward and backward pass beyond what existed before (weights, gradients, inputs).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from collections.abc import Sequence as List
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from cinn_colorize.flow import AffineCoupling, ConvSubnet, OrthogonalMixing, Sequence, Transform
from cinn_colorize.models import load_model
from cinn_colorize.models.bedrooms import Bedrooms, BedroomsConfig
from cinn_colorize.models.imagenet_vgg import ImagenetVgg, ImagenetVggConfig
from cinn_colorize.models.natural import Natural
from cinn_colorize.training.natural import batch_nll, features_in_chunks
from cinn_colorize.training.objective import balanced_loss, level_nll, mean_loss

CHANNELS, WIDTH, SIZE = 12, 64, 32
Step = Callable[[], Tensor]  # a forward pass, to the loss


def sizes(model: Any) -> dict[int, int]:
    return {r: torch.Size(shape).numel() for r, shape in model.latent_shapes.items()}


def stack(blocks: int, batch: int) -> tuple[nn.Module, Step]:
    maps: list[Transform[Any]] = []
    conditions: list[Any] = []
    for seed in range(blocks):
        subnet = partial(ConvSubnet, width=WIDTH, kernel=3)
        maps += [OrthogonalMixing(CHANNELS, seed), AffineCoupling(CHANNELS, subnet, 0.5)]
        pair = torch.randn(2, batch, WIDTH, SIZE, SIZE).unbind(0)
        conditions += [None, pair]
    sequence = stirred(Sequence(maps))
    x = torch.randn(batch, CHANNELS, SIZE, SIZE)

    def step() -> Tensor:
        z, log_det = sequence(x, conditions)
        return mean_loss(level_nll({0: z}, {0: log_det}), {0: x[0].numel()})

    return sequence, step


def natural(batch: int) -> tuple[nn.Module, Step]:
    model = load_model("natural").model.requires_grad_(True).train()
    assert isinstance(model, Natural)
    model.backbone.requires_grad_(False)
    L, x = 100 * torch.rand(batch, 1, 256, 256), torch.randn(batch, 2, 64, 64)

    def step() -> Tensor:
        features = features_in_chunks(model, L, torch.float32)
        return balanced_loss(batch_nll(model, x, L, features, {32: 2}), sizes(model))

    return model, step


def bedrooms(batch: int) -> tuple[nn.Module, Step]:
    model = stirred(Bedrooms(BedroomsConfig.default()))
    L, x = 100 * torch.rand(batch, 1, 64, 64), torch.randn(batch, 2, 64, 64)
    return model, lambda: mean_loss(level_nll(*model(x, model.condition(L))), sizes(model))


def imagenet_vgg(batch: int) -> tuple[nn.Module, Step]:
    model = stirred(ImagenetVgg(ImagenetVggConfig.paper()))
    model.network.requires_grad_(False)
    L, x = 100 * torch.rand(batch, 1, 256, 256), torch.randn(batch, 2, 64, 64)
    return model, lambda: mean_loss(level_nll(*model(x, model.condition(L))), sizes(model))


def stirred(module: nn.Module) -> Any:
    """Give it weights instead of the zeros that training starts from."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return module


def checkpointed(self: Sequence, x: Tensor, condition: List[Any]) -> tuple[Tensor, Tensor]:
    """Do what ``Sequence.forward`` does, with torch's checkpointing of each map."""
    log_det = x.new_zeros(len(x))
    for transform, c in zip(self.maps, condition, strict=True):
        x, change = checkpoint(transform, x, c, use_reentrant=False)
        log_det = log_det + change
    return x, log_det


def run(step: Step) -> None:
    torch.manual_seed(0)  # of dropout
    step().backward()  # type: ignore[no-untyped-call]


def peak(work: Callable[[], object]) -> int:
    """Measure the peak allocation in bytes beyond what existed before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held, most = 0, 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def gradients(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def measure(name: str, model: nn.Module, step: Step, repeat: int) -> None:
    forward, reference = Sequence.forward, torch.zeros(())
    for way in ("kept", "checkpointed", "recomputed"):
        Sequence.forward = checkpointed if way == "checkpointed" else forward  # type: ignore[method-assign]
        for sequence in model.modules():
            if isinstance(sequence, Sequence):
                sequence.save_memory = way == "recomputed"
        run(step)  # gradients are allocated now
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        most = peak(partial(run, step))
        found = gradients(model)
        if way == "kept":
            reference = found
        error = ((found - reference).norm() / reference.norm()).item()
        seconds = []
        for _ in range(repeat):
            start = time.process_time()
            run(step)
            seconds.append(time.process_time() - start)
        print(f"{name:12s} {way:12s} {most / 2**20:8.1f} {min(seconds):8.2f} {error:10.1e}", flush=True)
    Sequence.forward = forward  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    models = {"natural": natural, "bedrooms": bedrooms, "imagenet-vgg": imagenet_vgg}
    known = ["stack", *models]
    parser.add_argument("what", nargs="*", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    what = arguments.what or known
    if unknown := [name for name in what if name not in known]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(known)}")
    torch.manual_seed(0)
    print("             activations peak MiB  seconds of a processor   error of gradients")
    if "stack" in what:
        for blocks in (8, 32):
            measure(f"{blocks} blocks", *stack(blocks, arguments.batch), arguments.repeat)
    for name, build in models.items():
        if name in what:
            measure(name, *build(arguments.batch), arguments.repeat)


if __name__ == "__main__":
    main()
