"""The elementwise conditional map, whose location, scale, skew and tails the condition sets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cinn_colorize.flow.transform import Transform


class SinhMap(Transform[Tensor]):
    """Map values with heavy, skewed tails to a normal distribution, one by one.

    With parameters m (location), s (log-scale), k (skew) and w (tail weight) per value::

        x = m + exp(s) / w * (S(w z + asinh k) - k),   S(u) = sinh(u) within +-knee, its tangent beyond

    After the sinh-arcsinh distributions of Jones and Pewsey (2009, https://doi.org/10.1093/biomet/asp053);
    with tangents, as likely samples explode far less. The knee lies above asinh of the largest skew, so at
    1.5 or more.
    """

    PARAMETERS = 4  # condition channels per value

    def __init__(self, knee: float) -> None:
        super().__init__()
        self.knee, self.edge, self.slope = knee, math.sinh(knee), math.cosh(knee)

    @staticmethod
    def _unpack(condition: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        location, log_scale, skew, tail = condition.chunk(SinhMap.PARAMETERS, dim=1)
        # Soft limits: scales within e^+-4, skew within +-2, tail weight from 0.05 (normal) to 1.05 (heavy).
        log_scale, skew = 4 * torch.tanh(log_scale / 4), 2 * torch.tanh(skew / 2)
        return location, log_scale, skew, 0.05 + torch.sigmoid(tail - 1)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale, skew, tail = self._unpack(condition.to(x.dtype))
        v = tail * (x - location) * torch.exp(-log_scale) + skew
        inner = v.clamp(-self.edge, self.edge)
        z = (torch.asinh(inner) + (v - inner) / self.slope - torch.asinh(skew)) / tail
        log_det = -log_scale - 0.5 * torch.log1p(inner * inner)
        return z, log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale, skew, tail = self._unpack(condition.to(z.dtype))
        u = tail * z + torch.asinh(skew)
        bounded = u.clamp(-self.knee, self.knee)
        inner = torch.sinh(bounded)
        v = inner + (u - bounded) * self.slope
        log_det = log_scale + 0.5 * torch.log1p(inner * inner)
        return location + (v - skew) / tail * torch.exp(log_scale), log_det.flatten(1).sum(1)
