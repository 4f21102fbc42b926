"""Find the picture inside the frame of a scan: the rebate of a film, a mount, the page of an album.

A frame shows as four straight steps of L*, one along each side, which meet at the corners of a rectangle.
Outside a step the frame has one tone from end to end. Writing, notches, perforations, and places of the
picture in the frame's own tone may hide parts of the steps. A photo without a frame may have one such step,
at a horizon or a wall, but seldom four that end where they meet.

The constants were chosen on the scans and photos of ``scripts/measure/frames.py``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.options import Box

Counts = NDArray[np.intp]

SIZE = 512  # longer side of the reduced copy that is searched, in pixels

_DEEPEST = 0.25  # depth of a step below the photo's side, as a share of the photo
_SHALLOWEST = 3  # the same in pixels
_SLOPES = np.linspace(-0.035, 0.035, 11)  # of a step, up to two degrees
_OUTSIDE, _NEAR, _DEEP = 4, 2, 6  # pixels across a step whose means are compared
_HEIGHT = 3.0  # smallest difference in L* across a step
_TONE = 6.0  # largest difference from the frame's tone along a step, in L*
_TONES = 9.0  # largest difference between the tones of the sides
_CANDIDATES, _FAINTEST = 7, 0.2  # steps per side, and the share of its length that each must have
_OTHER_TONE = 0.3  # cost of a side in another tone
_CROSSING = 6.0  # cost of a step's share of the side's length that lies beyond the corners
_ENOUGH = 2.65  # of 4, the score of four whole steps
_DEEPER, _WORSE = 4.0, 0.5  # what each side's depth is worth, within this of the best score
_TRIED = 60  # rectangles
_PLAIN, _PLAIN_GRAY = 0.62, 0.8  # share of the frame in its tone; of a gray frame, which is rarer
_GRAY = 25.0, 80.0  # L*
_AROUND = 5  # pixels around a step where its exact place is looked for
_CLEAR = 6.0  # difference in L* that shows it
_BLURRED = 2  # pixels of a side of the picture that the frame around it may reach into
_CURVED = 2.0  # pixels that it may lie beside a straight line
_OUTERMOST = 10  # percent of the places of a side may lie outside the box


class _Step(NamedTuple):
    """A step along a side."""

    depth: int  # distance from the side at its middle, in pixels
    slope: float  # pixels of depth per pixel along the side
    tone: float  # L* of the frame beside the step
    counts: Counts  # (n + 1,), how many of the first k places along the side show the step


def find_picture(L: Floats, size: tuple[int, int]) -> Box | None:
    """Find the picture inside a frame, in L* (h, w), whose longer side is about ``SIZE``, of a photo.

    Returns where nearly all of the picture lies in the photo of a height and width; None without a frame.
    """
    if not (box := _innermost(L)):
        return None
    x, y = size[1] / L.shape[1], size[0] / L.shape[0]
    return Box(round(box[0] * x), round(box[1] * y), round(box[2] * x), round(box[3] * y))


def _innermost(L: Floats) -> tuple[float, float, float, float] | None:
    """Return left, top, right and bottom of the picture in pixels of L* (h, w), in the innermost frame."""
    turned = [L.T, L, L[:, ::-1].T, L[::-1]]  # in each, one of the four sides is the first row
    sides = [_steps(side) for side in turned]
    steps = _rectangle(L, sides) if all(sides) else None
    if steps is None:
        return None
    depths = [step.depth for step in steps]
    neighbours = [depths[1], depths[3]], [depths[0], depths[2]]
    left, top, right, bottom = (
        _outer_depth(side, step, *neighbours[k % 2])
        for k, (side, step) in enumerate(zip(turned, steps, strict=True))
    )
    right, bottom = L.shape[1] - right, L.shape[0] - bottom
    # A mount may lie within the edge of a film, and a print with a border on a board.
    x, y = math.ceil(left) + _BLURRED, math.ceil(top) + _BLURRED
    if inner := _innermost(L[y : int(bottom) - _BLURRED, x : int(right) - _BLURRED]):
        return inner[0] + x, inner[1] + y, inner[2] + x, inner[3] + y
    return left, top, right, bottom


def _steps(L: Floats) -> list[_Step]:
    """Return the steps along the first row of L* (h, w), those that show along most of it first."""
    deepest = int(_DEEPEST * len(L))
    depths = np.arange(_SHALLOWEST, deepest)
    if not len(depths):
        return []
    sums = np.cumsum(L[: deepest + _DEEP + 1], axis=0, dtype=np.float32)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    first = np.maximum(depths - _OUTSIDE, 0)
    # The row at the depth itself is left out, and the one before: a step is blurred.
    outside = (sums[depths - 1] - sums[first]) / (depths - 1 - first)[:, None]
    near = (sums[depths + 1 + _NEAR] - sums[depths + 1]) / _NEAR - outside
    deep = (sums[depths + 1 + _DEEP] - sums[depths + 1]) / _DEEP - outside
    shows = (np.minimum(np.abs(near), np.abs(deep)) > _HEIGHT) & (near * deep > 0)
    columns = np.arange(L.shape[1])
    tones, here = [], []
    for slope in _SLOPES:
        shift = np.rint(slope * (columns - (len(columns) - 1) / 2)).astype(np.intp)
        rows = (np.arange(len(depths))[:, None] + shift).clip(0, len(depths) - 1)
        places = rows * len(columns) + columns  # of the flat arrays, from which it is faster to take
        beside = outside.take(places)
        tone = np.median(beside[:, ::4], axis=1)
        exact = shows.take(places) & (np.abs(beside - tone[:, None]) < _TONE)
        within_one = exact.copy()
        within_one[1:] |= exact[:-1]
        within_one[:-1] |= exact[1:]
        tones.append(tone)
        here.append(within_one)
    share = np.stack(here).mean(axis=2)
    best = share.max(axis=0)
    steps: list[_Step] = []
    while len(steps) < _CANDIDATES and best.max() >= _FAINTEST:
        k = int(best.argmax())
        s = int(share[:, k].argmax())
        counts = np.concatenate([[0], np.cumsum(here[s][k])])
        steps.append(_Step(int(depths[k]), float(_SLOPES[s]), float(tones[s][k]), counts))
        best[max(0, k - 3) : k + 4] = 0
    return steps


def _rectangle(L: Floats, sides: list[list[_Step]]) -> list[_Step] | None:
    """Choose a step for each side, so that together they frame a picture; None if no choice does."""
    depths = np.stack(np.meshgrid(*([step.depth for step in side] for side in sides), indexing="ij"))
    tones = np.stack(np.meshgrid(*([step.tone for step in side] for side in sides), indexing="ij"))
    others = [(np.abs(tones - tone) > _TONES).sum(axis=0) for tone in tones]
    score = -_OTHER_TONE * np.min(others, axis=0)
    for k, side in enumerate(sides):
        before, after = (1, 3) if k % 2 == 0 else (0, 2)
        of_side = _completeness(side, sides[before], sides[after])
        # Its axes are the side and its neighbours; the side opposite has no say.
        score = score + np.moveaxis(of_side[..., None], (0, 1, 2, 3), (k, before, after, (k + 2) % 4))
    if score.max() < _ENOUGH:
        return None
    # A film has an edge of its own: of rectangles that are nearly as good, the picture is the innermost.
    worth = score + _DEEPER * depths.sum(axis=0) / max(L.shape)
    worth[score < max(_ENOUGH, score.max() - _WORSE)] = -np.inf
    for flat in np.argsort(-worth, axis=None)[:_TRIED]:
        chosen = np.unravel_index(flat, worth.shape)
        if worth[chosen] == -np.inf:
            break
        tone = float(np.sort(tones[(slice(None), *chosen)])[1:3].mean())
        if _is_plain(L, depths[(slice(None), *chosen)].tolist(), tone):
            return [side[k] for side, k in zip(sides, chosen, strict=True)]
    return None


def _completeness(steps: list[_Step], before: list[_Step], after: list[_Step]) -> NDArray[np.float64]:
    """Return how much of each step of a side shows between its corners, less what shows beyond them.

    Corners are with steps of the sides before and after it; (steps, before, after), 1 at most.
    """
    counts = np.stack([step.counts for step in steps])
    n = counts.shape[1] - 1
    first = np.array([step.depth for step in before])[:, None]
    last = n - np.array([step.depth for step in after])[None]
    low, high = np.broadcast_arrays(first + 2, last - 2)  # corners are rounded, and steps blurred
    between = (counts[:, high] - counts[:, low]) / (high - low)
    low, high = np.broadcast_arrays(np.maximum(first - 5, 0), np.minimum(last + 5, n))
    beyond = (counts[:, low] + counts[:, [n]][..., None] - counts[:, high]) / n
    return np.asarray(between - _CROSSING * beyond)


def _is_plain(L: Floats, depths: list[int], tone: float) -> bool:
    """Return whether most of what lies outside a rectangle has the frame's tone."""
    left, top, right, bottom = depths
    height, width = L.shape
    in_tone = np.abs(L - tone) < _TONES
    inside = in_tone[top - 1 : height - bottom + 1, left - 1 : width - right + 1]
    share = (in_tone.sum() - inside.sum()) / (L.size - inside.size)
    return bool(share >= (_PLAIN_GRAY if _GRAY[0] < tone < _GRAY[1] else _PLAIN))


def _outer_depth(L: Floats, step: _Step, before: int, after: int) -> float:
    """Return the depth that nearly all of a step along the first row of L* (h, w) lies beyond.

    A step is where L* is half-way from the frame's to the picture's. The depths of the rectangle where the
    side begins and ends are ``before`` and ``after``.
    """
    shown = np.flatnonzero(np.diff(step.counts))
    shown = shown[(shown > before + 2) & (shown < L.shape[1] - after - 3)]
    if not shown.size:
        return float(step.depth)
    middle = step.depth + np.rint(step.slope * (shown - (L.shape[1] - 1) / 2)).astype(np.intp)
    rows = (middle + np.arange(-_AROUND, _AROUND + 1)[:, None]).clip(0, len(L) - 1)
    beside = L[rows, shown]
    away = np.abs(beside - beside[:3].mean(axis=0))
    clear = away.max(axis=0) > _CLEAR
    if not clear.any():
        return float(step.depth)
    rows, away = rows[:, clear], away[:, clear]
    half = away.max(axis=0) / 2
    k = np.maximum((away > half).argmax(axis=0), 1)
    place = np.arange(away.shape[1])
    low, high = away[k - 1, place], away[k, place]
    # Row r covers depths r to r + 1.
    depth = rows[k, place] - 0.5 + np.clip((half - low) / np.maximum(high - low, 1e-6), 0, 1)
    off = depth - rows[_AROUND]
    straight = np.abs(off - np.median(off)) < _CURVED
    return max(0.0, float(np.percentile(depth[straight], _OUTERMOST)))
