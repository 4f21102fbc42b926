"""Give the methods the interface that ``cinn_colorize.evaluation`` requires of a model."""

import math
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from features import SHA256, features_of
from methods import Features, Method
from numpy.typing import NDArray
from torch import Tensor

from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.files import tensorfile
from cinn_colorize.imaging.color import Floats
from cinn_colorize.models.conditioning.backbone import EfficientNetLite2


class Colorized(NamedTuple):
    """One sample, of (2, 64, 64)."""

    ab: Floats


class Conditioned:
    """One photo's samples."""

    def __init__(self, method: Method, L: Tensor, features: Features) -> None:
        self.method, self.L, self.features = method, L, features

    @torch.inference_mode()
    def sample(self, n: int = 1, temperature: Any = 1.0, seed: int = 0) -> list[Colorized]:
        """Draw n samples with the seeds seed, seed + 1, ..., one by one: each depends only on its seed."""
        if temperature != 1 and self.method.samples_differ:
            raise ValueError("methods whose samples differ have no temperature but 1")
        drawn = []
        with torch.random.fork_rng(devices=[]):
            for k in range(n):
                torch.manual_seed(seed + k)
                drawn.append(Colorized(self.method.sample(self.L, self.features)[0].float().numpy()))
        return drawn

    def log_prob(self, ab: NDArray[np.floating]) -> float:
        return math.nan  # none of the methods has a density of ab


class Sampler:
    """A trained method, as :class:`~cinn_colorize.evaluation.evaluator.Model`; without backbone, of L."""

    def __init__(self, method: Method, backbone: EfficientNetLite2 | None) -> None:
        self.method, self.backbone = method.eval(), backbone

    @classmethod
    def load(cls, method: Method, path: Path, backbone: EfficientNetLite2 | None) -> Self:
        config, state = tensorfile.load(path)
        if backbone and config.get("backbone") != SHA256:
            raise SystemExit(f"{path}: learnt on another backbone; remove {path.parent} and train again")
        method.load_state_dict(state, strict=False)  # constants are not stored
        return cls(method, backbone)

    def condition(self, photo: NetworkInput) -> Conditioned:
        """Compute once what all samples of L* (256, 256) share."""
        full = torch.from_numpy(np.ascontiguousarray(photo.square))[None, None]
        features = features_of(self.backbone, full) if self.backbone else {}
        return Conditioned(self.method, F.avg_pool2d(full, 4), features)
