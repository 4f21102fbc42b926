"""The multi-scale architecture: stages of falling resolution that split off latent code in between."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cinn_colorize.flow import Transform

BASE = 0  # names the last stage, which transforms a vector, and its latent code


class MultiScaleFlow(nn.Module):
    """Apply stages one after another; after each, split off a part of the channels as latent code.

    The channels left after the last resolution go through one more stage as a vector (paper, Fig. 8), after
    Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP" (2017,
    https://arxiv.org/abs/1605.08803, 3.6). A level of the latent code is named by its resolution; that of the
    vector is :data:`BASE`. To keep more channels than there are is a ValueError.

    Args:
        channels: channels of x, (N, channels, r, r) at the finest r.
        keep: channels kept after the stage at r, by resolution, each half of the one before.
        stage: ``stage(r, channels)`` makes the transform of the input at r, (N, channels, r, r), or, for
            :data:`BASE`, of the vector, (N, channels).
        reduce: transform to half the size and four times the channels before each stage but the first; None
            if the stages end with one of their own.
    """

    def __init__(
        self,
        channels: int,
        keep: Mapping[int, int],
        stage: Callable[[int, int], Transform[Any]],
        reduce: Transform[None] | None = None,
    ) -> None:
        super().__init__()
        self.keep, self.finest, self.reduce = dict(keep), max(keep), reduce
        self.latent_shapes: dict[int, tuple[int, int, int]] = {}
        self._levels: dict[int, int] = {}  # split off after the stage at r
        for r, kept in keep.items():
            self.add_module(str(r), stage(r, channels))
            size = r
            if reduce is None:
                channels, size = 4 * channels, r // 2
            if not 0 < kept <= channels:
                raise ValueError(f"of {channels} channels at {r}, {kept} cannot go on")
            if channels > kept:
                self._levels[r], self.latent_shapes[size] = size, (channels - kept, size, size)
            self._last = (kept, size, size)
            channels = kept if reduce is None else 4 * kept
        values = math.prod(self._last)
        self.add_module(str(BASE), stage(BASE, values))
        self.latent_shapes[BASE] = (values, 1, 1)

    def __getitem__(self, r: int) -> Any:
        return self.get_submodule(str(r))

    def forward(
        self, x: Tensor, conditions: Mapping[int, Any]
    ) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Compute f(x; c): latents (N, C, r, r) and log-dets (N,) by level, given conditions by stage."""
        latents, log_dets = {}, {}
        log_det = x.new_zeros(len(x))
        for r, kept in self.keep.items():
            if self.reduce is not None and r < self.finest:
                x, change = self.reduce(x, None)
                log_det = log_det + change
            x, change = self[r](x, conditions[r])
            log_det = log_det + change
            if r in self._levels:
                level = self._levels[r]
                x, latents[level] = x[:, :kept], x[:, kept:]
                log_dets[level], log_det = log_det, torch.zeros_like(log_det)
        z, change = self[BASE](x.flatten(1), conditions[BASE])
        latents[BASE], log_dets[BASE] = z[..., None, None], log_det + change
        return latents, log_dets

    def inverse(
        self, latents: Mapping[int, Tensor], conditions: Mapping[int, Any]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        x, log_det = self[BASE].inverse(latents[BASE].flatten(1), conditions[BASE])
        x, level, log_dets = x.unflatten(1, self._last), BASE, {BASE: log_det}
        for r in reversed(self.keep):
            if r in self._levels:
                level = self._levels[r]
                x, log_dets[level] = torch.cat([x, latents[level]], dim=1), torch.zeros_like(log_det)
            x, change = self[r].inverse(x, conditions[r])
            log_dets[level] = log_dets[level] + change
            if self.reduce is not None and r < self.finest:
                x, change = self.reduce.inverse(x, None)
                log_dets[level] = log_dets[level] + change
        return x, log_dets
