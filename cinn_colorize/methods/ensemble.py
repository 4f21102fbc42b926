"""Samples that follow hints, by what varies together among the model's own samples.

What the model holds to be one object has one colour in each of its samples, and another one in the next: its
places vary together. An ensemble of samples shows how, and a sample x is moved by the update of the ensemble
Kalman filter (Evensen 1994, https://doi.org/10.1029/94JC00572) from its colours x_h at the hints to those
wanted, h::

    x + C_xh (C_hh + R)^-1 (h - x_h)

C are covariances of the ensemble, and R is diagonal: the tolerance of a hint, which is wider for places that
it merely reaches, and for those of a large stroke, which err together. So a hint on a shirt colours the
shirt, and what does not vary with it stays as it was. What the hints still lack then is painted on, weaker
with distance, up to the edges of luminance. It takes samples but no gradients, so any engine will do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from cinn_colorize.imaging.color import Floats
from cinn_colorize.latents.levels import temperatures
from cinn_colorize.methods.conditioned import Conditioned
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.samples import Sample

Member = TypeVar("Member")

MEMBERS = 24  # samples of the ensemble; what more of them gain is in docs/hints.md
STROKE = 8.0  # weight of all that is painted in one stroke, at most, in hints
_FINE = 16  # members have no noise from this level on
_FIRST_MEMBER = 2**31  # seed of the first member, far from those that people use
_TOLERANCE = 6.0  # sigma of a hint, in units of ab
_BEYOND = 1 / 64  # weight of the places that a hint reaches, in hints
_NEGLIGIBLE = 1e-4  # weight
AT_A_TIME = 8  # members drawn between two reports of progress


def move(
    conditioned: Conditioned,
    samples: Sequence[Sample],
    hints: HintMap,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Make samples follow hints, as far as these ask; ``progress`` is told how many are drawn, of all."""
    members, n = [], len(samples)
    for member in ensemble(conditioned):
        members.append(member.ab)
        if progress:
            progress(n + len(members), n + MEMBERS)
    return recolored(samples, follow([sample.ab for sample in samples], members, hints), hints.recipe)


def recolored(samples: Sequence[Sample], colors: Sequence[Floats], method: Mapping[str, str]) -> list[Sample]:
    """Return samples with other ab, without code and density; ``method`` is what their recipes say of it."""
    found = []
    for sample, ab in zip(samples, colors, strict=True):
        picked = {key: value for key, value in sample.method.items() if key == "picked"}
        found.append(replace(sample, ab=ab, levels=None, log_prob=None, method={**method, **picked}))
    return found


def ensemble(conditioned: Conditioned, at_once: int = AT_A_TIME) -> Iterator[Sample]:
    """Draw the members of a photo's ensemble, coarse colours and moods at the coarsest level's temperature.

    At temperature 1 outliers spoil the covariances of so few, and at 0 there are none. Noise in details does
    not tell objects from each other, but adds chance covariances, so details are at temperature 0. When the
    next member is asked for, ``at_once`` are drawn.
    """
    own = temperatures(conditioned.temperature, conditioned.latent_shapes)
    coarse = {r: 0.0 if r >= _FINE else own[r] for r in conditioned.latent_shapes}
    return in_parts(partial(conditioned.sample, temperature=coarse), MEMBERS, at_once)


def in_parts(draw: Callable[..., Iterable[Member]], number: int, at_once: int) -> Iterator[Member]:
    """Yield the members of an ensemble, which ``draw`` draws ``at_once``, so many from a seed on."""
    end = _FIRST_MEMBER + number
    for seed in range(_FIRST_MEMBER, end, at_once):
        yield from draw(min(at_once, end - seed), seed=seed)


def follow(samples: Sequence[Floats], members: Sequence[Floats], hints: HintMap) -> list[Floats]:
    """Move colours, (2, h, w), to where they agree with hints, by two ``members`` or more."""
    flat = np.stack(members).reshape(len(members), -1).astype(np.float64)
    deviations = flat - flat.mean(0)
    weight = np.tile(_weight(hints).ravel(), 2)  # of a, then of b
    hinted = np.flatnonzero(weight)
    wanted, precision = hints.ab.ravel()[hinted], weight[hinted] / _TOLERANCE**2
    # Of (Y^T Y / (m - 1) + R)^-1, with the deviations Y of m members, only a matrix as large as the ensemble
    # is inverted, however many hints there are (Sherman, Morrison and Woodbury).
    of_hints = deviations[:, hinted] * precision
    # einsum, not @, whose BLAS starts a thread per core.
    inner = np.einsum("mh,kh->mk", of_hints, deviations[:, hinted])
    inner += (len(members) - 1) * np.eye(len(members))
    moved = []
    for sample in samples:
        share = np.linalg.solve(inner, np.einsum("mh,h->m", of_hints, wanted - sample.ravel()[hinted]))
        change = np.einsum("m,mp->p", share, deviations)
        moved.append(sample + change.reshape(sample.shape).astype(np.float32))
    lacking = hints.spread([hints.ab - ab for ab in moved])
    return [ab + rest for ab, rest in zip(moved, lacking, strict=True)]


def _weight(hints: HintMap) -> Floats:
    """Return how many hints each place counts as, (h, w)."""
    # What no edge separates from a hint is probably of the same object.
    weight = np.maximum(hints.weight, _BEYOND * hints.reach)
    weight[weight < _NEGLIGIBLE] = 0
    strokes = hints.strokes()
    # A stroke is one guess at one colour. Were each of its places another one, hundreds of them would bend
    # the few members until they met it everywhere, and spoil the rest of the photo.
    painted = np.bincount(strokes.ravel(), hints.weight.ravel())
    excess = np.maximum(painted / STROKE, 1)[strokes].astype(np.float32)
    ((excess, reach),) = hints.spread([np.stack([excess, np.ones_like(excess)])])
    return weight * reach / np.maximum(excess, 1e-12)
