"""Samples that follow hints: move a latent code to where its colours agree with them.

::

    photo = open_photo("photo.jpg")
    hints = HintMap.of(photo, [Hint(310, 120, (160, 40, 50))])
    samples = draw(colorizer.condition(photo), hints, n=4)
    pictures = colorizer.compose(photo, samples)

The flow is invertible and differentiable, so a latent code can be moved to where its colours agree with the
hints. From a drawn code z0, we go to the nearest one that agrees::

    minimise over z   sum_i w_i |g(z; c)_i - hint_i|^2 / (2 sigma^2)  +  sum_r s_r |z_r - z0_r|^2 / 2

If g were linear, all s_r 1 and z0 standard normal, z would be a draw from p(z | hints) (randomized maximum
likelihood; Oliver, He and Reynolds 1996). The coarsest levels are stiffer, so that a hint does not tint the
whole photo, and the weights w_i reach beyond the hint to what no edge of L separates from it, so that it
colorizes an object. z0 is the best of several codes, which shortens the way. The network's weights and the
photo's condition are constants; the gradient goes through g only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from cinn_colorize.latents.latent import Latent
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.methods.hint_map import HintMap

if TYPE_CHECKING:
    from cinn_colorize.conditioned import ConditionedPhoto
    from cinn_colorize.samples import Sample

CANDIDATES = 8  # codes drawn; the best one is refined
_PASSES = 18  # maximum number of passes through the network, forward and backward
_TOLERANCE = 4.0  # sigma, in Delta E76 of ab
_STIFFNESS = {0: 8.0, 1: 8.0, 2: 3.0}  # s_r; 1 in the other levels


def draw(
    conditioned: ConditionedPhoto,
    hints: HintMap,
    n: int = 1,
    temperature: PerLevel | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Draw n colorizations that follow hints, with the seeds seed, seed + 1, ...

    Args:
        conditioned: the photo that the hints are for.
        hints: see :meth:`HintMap.of`.
        n: number of samples, 1 or more.
        temperature: see :meth:`ConditionedPhoto.sample`.
        seed: seed of the first sample.
        progress: called with the number of steps done, and of all steps.

    Raises:
        ValueError: an argument is out of its range.
        EngineError: the engine computes no gradients.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"n must be 1 or more and seed 0 or more, not {n} and {seed}")
    steps, samples = CANDIDATES + _PASSES, []
    temperature = conditioned.temperature if temperature is None else temperature
    for k, own in enumerate(range(seed, seed + n)):

        def report(done: int, before: int = k * steps) -> None:
            if progress:
                progress(before + min(done, steps), n * steps)  # the last line search may take a few more

        drawn = []
        for sample in candidates(conditioned, temperature, own):
            drawn.append(sample)
            report(len(drawn))
        best = min(drawn, key=lambda sample: hints.disagreement(sample.ab))
        latent = refine(conditioned, best.latent, hints, lambda passes: report(CANDIDATES + passes))
        samples += conditioned.samples_of(latent, [own], temperature, hints.recipe)
        report(steps)
    return samples


def candidates(conditioned: ConditionedPhoto, temperature: PerLevel, seed: int) -> Iterator[Sample]:
    """Draw the sample that a seed gives without hints, then others that depend only on this seed."""
    for own in (seed, *np.random.SeedSequence(seed).generate_state(CANDIDATES - 1).tolist()):
        yield from conditioned.sample(1, temperature, own)


def refine(
    conditioned: ConditionedPhoto,
    latent: Latent,
    hints: HintMap,
    progress: Callable[[int], None] = lambda step: None,
) -> Latent:
    """Find the code near a given one whose colours agree with hints: the minimum at the top of this module.

    Args:
        conditioned: the photo that the hints are for.
        latent: one code.
        hints: see :meth:`HintMap.of`.
        progress: called with the number of passes through the network.

    Raises:
        EngineError: the engine computes no gradients.
    """
    scale = {r: _STIFFNESS.get(r, 1.0) ** -0.5 for r in latent.levels}
    moved = {r: torch.zeros_like(z, requires_grad=True) for r, z in latent.levels.items()}
    weight, wanted = torch.as_tensor(hints.weight), torch.as_tensor(hints.ab)
    parts = [(k, hints.windows.cut(weight, k)) for k in range(hints.windows.count)]
    windows = [(k, part, hints.windows.cut(wanted, k)) for k, part in parts if part.any()]
    optimizer = torch.optim.LBFGS(
        list(moved.values()),
        max_iter=_PASSES,
        max_eval=_PASSES,
        tolerance_grad=1e-2,
        tolerance_change=1e-4,
        line_search_fn="strong_wolfe",
    )
    passes = 0

    def code() -> Latent:
        return Latent({r: z + scale[r] * moved[r] for r, z in latent.levels.items()})

    with conditioned.differentiable() as decode:

        def closure() -> torch.Tensor:
            nonlocal passes
            passes += 1
            optimizer.zero_grad()
            loss = 0.5 * torch.stack([(step**2).sum() for step in moved.values()]).sum()
            z = code()
            for k, part, aim in windows:
                ab = decode(z, k)
                error = (ab - aim.to(ab.device)) ** 2
                loss = loss + (part.to(ab.device) * error.sum(0)).sum().cpu() / (2 * _TOLERANCE**2)
            loss.backward()
            progress(passes)
            return loss

        optimizer.step(closure)
    return code().map(torch.Tensor.detach)
