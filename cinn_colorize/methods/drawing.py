"""What is drawn where samples are asked for, by the command line and the library. Light: imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, SupportsIndex

from cinn_colorize.imaging.options import TYPICAL_OF, Rank, check_seeds, whole_number
from cinn_colorize.latents.levels import transfer_noise
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.hint import HintLike, parse_hints
from cinn_colorize.methods.hints import Hinted
from cinn_colorize.methods.sample import Sampling
from cinn_colorize.methods.variation import Variation


class Drawing(NamedTuple):
    """A method with the number of samples that it draws, of which it may keep fewer, and the first seed."""

    method: SampleMethod
    number: int
    seed: int


def drawing(
    n: SupportsIndex,
    seed: SupportsIndex | None,
    levels: Iterable[int],
    *,
    like: SupportsIndex | None = None,
    rank: Rank | None = None,
    pick: SupportsIndex | None = None,
    hints: str | Iterable[HintLike] = (),
    strokes: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Drawing:
    """Return what is drawn: without a seed, one sample is the most typical of several.

    Args:
        n: number of samples.
        seed: seed of the first.
        levels: levels of the model's latent code.
        like: seed of the sample that all resemble, see :meth:`ConditionedPhoto.vary`; None for all samples.
        rank: see :class:`Sampling`.
        pick: number of samples to keep, see :class:`Sampling`; None for all.
        hints: hints that the samples follow, see :func:`parse_hints`.
        strokes: path of a picture, see :class:`Hinted`.
        progress: see :class:`Hinted`.

    Raises:
        TypeError: a number is no integer, or hints or strokes have none of these forms.
        ValueError: a number is out of range, a hint cannot be read, or hints are asked for with what they
            exclude.
    """
    if like is not None:
        like = whole_number(like, "like", 0)
        check_seeds(like, 1)
        seed = like + 1 if seed is None else seed
    n, first = whole_number(n, "n", 1), whole_number(0 if seed is None else seed, "seed", 0)
    check_seeds(first, n)
    kept = None if pick is None else whole_number(pick, "pick", 1)
    if kept and kept > n:
        raise ValueError(f"pick must be at most n, {n}, not {kept}")
    alone = n == 1 and seed is None
    number = TYPICAL_OF if alone else n
    points = parse_hints(hints)
    if not (strokes is None or isinstance(strokes, str | os.PathLike)):
        raise TypeError(f"strokes must be the path of a picture, not {type(strokes).__name__}")
    if not points and strokes is None:
        if like is not None:
            return Drawing(Variation(rank, kept, like=like, fresh=transfer_noise(levels)), n, first)
        return Drawing(Sampling(rank, 1 if alone else kept), number, first)
    if rank or kept or like is not None:
        raise ValueError("hints exclude like and pick; leave these out")
    painted = None if strokes is None else Path(strokes)
    return Drawing(Hinted(points, painted, first=alone, progress=progress), number, first)
