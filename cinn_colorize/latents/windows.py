"""Photos longer than 2:1, covered by overlapping windows.

A photo of up to 2:1 is squeezed to the network's square. A longer one is covered by windows about as long as
its short side, each of which begins 3/8 of a window after the one before. All windows of a sample share the
latents of the coarse levels, and cut those of the fine levels from one field as long as the photo, so that
they agree where they overlap. An autoregressive coarse level is decoded once, for the whole photo, and its
colours are cut instead (:class:`cinn_colorize.colorizer.ConditionedPhoto`). Their ab is blended with weights
that fall off smoothly.

With 1/2 in place of 3/8 the centre of a window would lie where its neighbours end, and the step that the flow
often makes there, between the two halves of its coarsest details, would show in full.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cinn_colorize.latents.noise import Floats, Shapes

if TYPE_CHECKING:
    from torch import Tensor

Grid = TypeVar("Grid", Floats, "Tensor")

_LONGEST = 2.0  # of photos that are squeezed to one square, in short sides
_MOST = 32  # windows; from 12.6:1 on they are longer than the short side
_STRIDE = 3 / 8  # of a window
_SHARED = 4  # the finest level that the windows share, or the coarsest one if all are finer


@dataclass(frozen=True)
class Windows:
    """Positions of windows in a photo; in an upright photo, rows take the part of columns."""

    count: int  # 1 for photos of up to 2:1; windows lie 3/8 of a window apart
    upright: bool  # whether the photo is higher than wide

    @classmethod
    def of(cls, height: int, width: int) -> "Windows":
        aspect = max(height, width) / min(height, width)
        count = 1 if aspect <= _LONGEST else min(math.ceil((aspect - 1) / _STRIDE) + 1, _MOST)
        return cls(count, height > width)

    def size(self, window: int) -> tuple[int, int]:
        """Return height and width of a grid over the photo whose windows are ``window`` squared."""
        length = window + self._start(window, self.count - 1)
        return (length, window) if self.upright else (window, length)

    def shapes(self, shapes: Shapes) -> Shapes:
        """Return the shapes of the whole photo's latents by level, given those of one window."""
        shared = _shared(shapes)
        return {r: shape if r in shared else (shape[0], *self.size(r)) for r, shape in shapes.items()}

    def cut(self, grid: Grid, k: int) -> Grid:
        """Return the part of a grid (..., height, width) over the photo that lies in window ``k``."""
        side = min(grid.shape[-2:])
        start = self._start(side, k)
        part = slice(start, start + side)
        return grid[..., part, :] if self.upright else grid[..., part]

    def latents(self, levels: Mapping[int, Grid], k: int) -> dict[int, Grid]:
        """Return the latents of window ``k`` by level, given those of the whole photo."""
        shared = _shared(levels)
        return {r: z if r in shared else self.cut(z, k) for r, z in levels.items()}

    def blend(self, parts: Sequence[Floats]) -> Floats:
        """Blend ab (..., side, side) of all windows into ab (..., height, width) of the photo."""
        side = parts[0].shape[-1]
        weights = (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)).astype(np.float32)
        if self.upright:
            weights = weights[:, None]
        total = np.zeros((*parts[0].shape[:-2], *self.size(side)), np.float32)
        share = np.zeros_like(total)
        for k, part in enumerate(parts):
            self.cut(total, k)[...] += weights * part
            self.cut(share, k)[...] += weights
        total /= share
        return total

    def _start(self, window: int, k: int) -> int:
        """Return where window ``k`` begins on a grid whose windows are ``window`` long, a multiple of 8."""
        return round(k * _STRIDE * window)


def _shared(levels: Iterable[int]) -> set[int]:
    levels = list(levels)
    return {r for r in levels if r <= max(_SHARED, min(levels))}
