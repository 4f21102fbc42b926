"""Which a and b exist at a given L: the bounds that the flow keeps its samples near."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cinn_colorize.imaging.color import pixels_to_lab

_KNOTS = 101  # one per unit of L
_REACH = 1.0  # units of L that a knot covers on both sides, so that bounds between knots err outwards


def chroma_range() -> np.ndarray:
    """Return the smallest a, b and largest a, b of sRGB's colours at L = 0, 1, ..., 100; (4, 101) float32."""
    line = np.linspace(0, 255, 86).astype(np.uint8)
    u, v = np.meshgrid(line, line)
    w = np.zeros_like(u)
    faces = [
        np.roll(np.stack([u, v, w + end], axis=-1), axis, axis=-1) for end in (0, 255) for axis in range(3)
    ]
    lab = pixels_to_lab(np.concatenate(faces)).reshape(3, -1)  # extremes lie on the cube's surface
    L, *ab = lab[:, lab[0].argsort()]
    knots = np.arange(_KNOTS)
    first, last = L.searchsorted(knots - _REACH), L.searchsorted(knots + _REACH, side="right")
    near = [slice(*ends) for ends in zip(first, last, strict=True)]
    ranges = [[values[part].min() for part in near] for values in ab]
    ranges += [[values[part].max() for part in near] for values in ab]
    return np.array(ranges, np.float32)


class ChromaBounds(nn.Module):
    """Bounds of a and b by L.

    Both are close to concave in L, so those of a mean L hold for the mean of the colours too.
    """

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        table = torch.from_numpy(chroma_range()).to(torch.get_default_device())
        self.register_buffer("table", table, persistent=False)

    def forward(self, L: Tensor) -> Tensor:
        """Map L* in [0, 100], (N, 1, H, W), to lower a, lower b, upper a, upper b, (N, 4, H, W)."""
        L = L.clamp(0, _KNOTS - 1)
        below = L.floor().clamp(max=_KNOTS - 2)
        knot, share = below.long()[:, 0], L - below
        low, high = self.table[:, knot].movedim(0, 1), self.table[:, knot + 1].movedim(0, 1)
        return torch.lerp(low, high, share.to(low.dtype))
