"""The things that hints lie on, and samples in which these alone are recoloured.

What the model holds to be one thing has one colour in each of its samples, and another one in the next.
Most of what varies is the mood of the whole photo, though, so each sample's mean colour is taken out first.
How much a place then varies with a hint says how likely it belongs to the hint's thing. A random walker
with such priors (Grady 2005, https://doi.org/10.1109/CVPR.2005.239) finds the things: it steps from place
to place, seldom across edges of L* or between places that do not vary together, until it ends: at a hint,
or where it is, by the prior there, in the thing of some hint or in none. A place belongs to a thing by the
share of walkers from it that end in the thing.
"""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray
from PIL import ImageDraw
from PIL.Image import Image

from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.options import HintReach
from cinn_colorize.imaging.photo import Photo
from cinn_colorize.methods.conditioned import Conditioned
from cinn_colorize.methods.ensemble import AT_A_TIME, in_parts, recolored
from cinn_colorize.methods.hint import Hint
from cinn_colorize.methods.hint_map import HintMap, neighbours
from cinn_colorize.methods.samples import Sample

Doubles = NDArray[np.float64]

MEMBERS = 48  # samples whose coarse colours are drawn
_EDGE = 4.0  # standard deviation of the differences of L* that a walker crosses
_APART = 0.3  # the same of what two places lack to a correlation of 1
_PRIOR = 0.05  # rate at which a walker ends by the prior
_HELD = 50.0  # rate at which it ends at a hint of weight 1
_LIKELY = 0.6  # correlation with a hint at which a place belongs to its thing as likely as not
_SLOPE = 8.0  # of the logarithm of these odds
_SEEDS = 64  # places of hints that others are compared with, at most
_SOFT = 0.25  # shares from 0.5 - this to 0.5 + this lie on the border of a thing
_TEXTURE = 0.3  # share of its differences of colour that a thing keeps


def follow(samples: Sequence[Sample], things: Floats, hints: HintMap) -> list[Sample]:
    """Return samples in which things have the colours wanted, and all else is as it was."""
    colors = recolor([sample.ab for sample in samples], things, hints)
    return recolored(samples, colors, {**hints.recipe, "reach": HintReach.thing})


def drawn(conditioned: Conditioned, progress: Callable[[int, int], None] | None = None) -> list[Floats]:
    """Return all :func:`members`; ``progress`` is called with the number of those drawn, and of all."""
    found = list[Floats]()
    for member in members(conditioned):
        found.append(member)
        if progress:
            progress(len(found), MEMBERS)
    return found


def members(conditioned: Conditioned, at_once: int = AT_A_TIME) -> Iterator[Floats]:
    """Draw coarse ab (2, s, s) of the squeezed photo, which tell things apart, ``at_once`` when asked."""
    return in_parts(conditioned.coarse, MEMBERS, at_once)


def find(members: Sequence[Floats], hints: HintMap) -> Floats:
    """Find the things that hints lie on, given the coarse ab of some samples, (2, s, s) each.

    Returns the share of each place that belongs to the thing of each of K wishes, (K, h, w) in [0, 1], with
    sums of 1 at most.
    """
    height, width = hints.guide.shape
    wide = [[cv2.resize(plane, (width, height)) for plane in ab] for ab in members]
    unit = _directions(np.array(wide, np.float64))
    i, j = neighbours(hints.guide.shape)
    L, n = hints.guide.ravel().astype(np.float64), hints.guide.size
    unlike = 1 - np.einsum("mp,mp->p", unit[:, i], unit[:, j])
    step = np.exp(-0.5 * ((L[i] - L[j]) / _EDGE) ** 2 - unlike / _APART) + 1e-4
    steps = scipy.sparse.coo_array((np.tile(step, 2), (np.append(i, j), np.append(j, i))), (n, n))
    weights = np.stack([wish.weight.ravel() for wish in hints.wishes]).astype(np.float64)
    most = max(1, _SEEDS // len(weights))
    odds = np.exp(np.stack([_SLOPE * (_alike(unit, weight, most) - _LIKELY) for weight in weights]))
    ending = _PRIOR * odds / (1 + odds.sum(0)) + _HELD * weights
    elsewhere = _PRIOR / (1 + odds.sum(0))
    leaving = steps.sum(axis=1) + ending.sum(0) + elsewhere
    system = (scipy.sparse.diags_array(leaving) - steps).tocsc()
    shares = scipy.sparse.linalg.splu(system).solve(ending.T).T
    grown = shares * np.array([[wish.size] for wish in hints.wishes])
    shares = grown / (1 + (grown - shares).sum(0))
    inside = np.clip(0.5 + (shares - 0.5) / (2 * _SOFT), 0, 1)
    smooth = inside**2 * (3 - 2 * inside)
    return smooth.reshape(-1, height, width).astype(np.float32)


def at(hint: Hint, photo: Photo, conditioned: Conditioned, size: int) -> Floats:
    """Return the share of each place in the thing of a hint, (size, size); PhotoError if it lies outside."""
    (thing,) = find(drawn(conditioned), HintMap.of(photo, [hint]))
    return np.asarray(cv2.resize(thing, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def _directions(members: Doubles) -> Doubles:
    """Return how places vary over members (m, 2, h, w), without moods: (2 m, h w), each of length 1."""
    moves = members.reshape(len(members), 2, -1)
    moves = moves - moves.mean(0)
    moves -= moves.mean(2, keepdims=True)
    moves = moves.reshape(-1, moves.shape[-1])
    return np.asarray(moves / (np.linalg.norm(moves, axis=0) + 1e-6))


def _alike(unit: Doubles, weight: Doubles, most: int) -> Doubles:
    """Return the largest correlation of each place with those of a hint, of which ``most`` are looked at."""
    (seeds,) = np.nonzero(weight > 0.05 * weight.max())
    seeds = seeds[:: -(-len(seeds) // most)]
    return np.asarray(np.einsum("ms,mp->sp", unit[:, seeds], unit).max(0))


def recolor(samples: Sequence[Floats], things: Floats, hints: HintMap) -> list[Floats]:
    """Give things (see :func:`find`) in samples' ab, (2, h, w), the colours wanted; the rest stays."""
    kept = sum((wish.weight for wish in hints.wishes if wish.ab is None), np.zeros_like(hints.weight))
    colored = 1 - kept / np.maximum(hints.weight, 1e-12)
    moved, lacking = [], []
    for sample in samples:
        change = np.zeros_like(sample)
        for thing, wish in zip(things, hints.wishes, strict=True):
            if wish.ab is not None:
                own = (wish.weight * sample).sum((1, 2)) / wish.weight.sum()
                change += thing * (wish.ab + _TEXTURE * (sample - own[:, None, None]) - sample)
        moved.append(sample + change)
        lacking.append(colored * (hints.ab - sample) + sample - moved[-1])
    inside = np.maximum(things.sum(0), np.minimum(hints.weight, 1))  # many colours share a place of a stroke
    return [ab + inside * rest for ab, rest in zip(moved, hints.spread(lacking), strict=True)]


def outlined(picture: Image, photo: Photo, things: Floats) -> Image:
    """Outline things in a picture of a whole photo, of any size, and return it."""
    for outline in outlines(things, photo, (picture.height, picture.width)):
        ImageDraw.Draw(picture).polygon(outline, outline="white")
    return picture


def outlines(things: Floats, photo: Photo, size: tuple[int, int]) -> Iterator[list[tuple[int, int]]]:
    """Yield the outlines of things in a whole photo of any ``size``, height and width, as places x, y."""
    box, method = photo.inside.scaled((photo.height, photo.width), size), cv2.CHAIN_APPROX_SIMPLE
    for thing in things:
        inside = (cv2.resize(thing, box.size[::-1]) > 0.5).astype(np.uint8)
        found, _ = cv2.findContours(inside, cv2.RETR_LIST, method, offset=(box.left, box.top))
        yield from ([(int(x), int(y)) for x, y in one[:, 0]] for one in found if len(one) > 2)  # no specks
