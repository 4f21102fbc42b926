"""The interface of the network that draws: in torch, onnxruntime or another process. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging.photo import Photo
from cinn_colorize.latents.noise import Floats, LatentLevels, Shapes
from cinn_colorize.latents.windows import Windows
from cinn_colorize.models import PhotoModelInfo

DENSITY_SCALE = 15.0  # densities are those of x = ab / 15, whatever a model's own scale
TOGETHER = 8  # samples in the sequential part of a flow, whose time is nearly that of its number of steps
_ROUNDING = 0.01  # by which L* may exceed its range
_ONE_WINDOW = Windows(count=1, upright=False)


class Coarse(NamedTuple):
    """The coarse colours of N samples, which their details refine."""

    ab: Floats  # (N, 2, s, s), the means over the areas of ab
    log_prob: NDArray[np.float64]  # (N,), their share in nats; 0 of colours that were not drawn

    def some(self, index: Sequence[int]) -> "Coarse":
        return Coarse(self.ab[index], self.log_prob[index])


def chunks(number: int, size: int) -> list[list[int]]:
    """Split samples into chunks of one size; the last sample stands for those that are missing."""
    return [[min(k, number - 1) for k in range(start, start + size)] for start in range(0, number, size)]


class Network(Protocol):
    """Interface of a model's flow on arrays, one window of a photo at a time.

    L* is (S, S) and ab is (2, s, s), where S is the model's ``luminance_size`` and s its ``chroma_size``.
    """

    latent_shapes: Shapes  # (C, r, r) of each level of a window's latent code
    coarse_size: int | None  # side of the ab that :meth:`coarse` computes; None without such a part

    def condition(self, L: Floats) -> Any:
        """Compute once what all samples under L*, (S, S), share; a ValueError if L has another shape."""

    def coarse(self, latents: LatentLevels, conditions: Sequence[Any]) -> Coarse:
        """Compute what :meth:`decode` begins with from the coarsest level of N codes, N conditions."""

    def decode(
        self, latents: LatentLevels, condition: Any, coarse: Coarse | None = None
    ) -> tuple[Floats, NDArray[np.float64]]:
        """Decode N codes (N, C, r, r) by level: g(z; c), or the details of other ``coarse`` colours.

        It returns ab, (N, 2, s, s), and the log density of x = ab / 15 under the map that g is in nats, (N,).
        """

    def encode(self, ab: Floats, condition: Any) -> LatentLevels:
        """Encode ab (2, s, s): f(x; c), (1, C, r, r) by level; an EngineError if the engine has no f."""

    def log_prob(self, ab: Floats, condition: Any) -> float:
        """Return the log density of x = ab / 15 given L in nats, without guidance; see :meth:`encode`."""


class LoadedNetwork(NamedTuple):
    """A network, and what recipes say of it."""

    info: PhotoModelInfo
    sha256: str  # of the weights file
    precision: str  # of the networks
    network: Network
    guidance: float  # see :class:`cinn_colorize.Colorizer`


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What the network sees of a photo.

    ``square`` is L* of the whole photo squeezed to a square, (S, S) float32 in [0, 100], where S is the
    model's ``luminance_size``; torch reduces a multiple of S by area means. ``panorama`` is L* of a photo
    longer than 2:1, (S, S) in each of several ``windows``; None for others.
    """

    square: Floats
    windows: Windows = _ONE_WINDOW
    panorama: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse what is no L*, by a TypeError or ValueError."""
        if (self.panorama is None) != (self.windows.count == 1):
            raise ValueError("give a panorama where there are several windows, and only there")
        for L in (self.square, *([] if self.panorama is None else [self.panorama])):
            if not isinstance(L, np.ndarray):
                raise TypeError(f"L* must be an array, not {type(L).__name__}")
            if L.size and not (L.min() >= -_ROUNDING and L.max() <= 100 + _ROUNDING):  # NaN, neither
                raise ValueError(f"L* must be in [0, 100], not in [{L.min():g}, {L.max():g}]")

    @classmethod
    def of(cls, photo: Photo, size: int) -> "NetworkInput":
        """Reduce a photo, without its frame, to squares of ``size`` pixels; or a PhotoError."""
        windows = Windows.of(*photo.inside.size)
        panorama = photo.luminance(*windows.size(size)) if windows.count > 1 else None
        return cls(photo.luminance(size, size), windows, panorama)

    def parts(self) -> list[Floats]:
        if self.panorama is None:
            return [self.square]
        windows = self.windows
        return [np.ascontiguousarray(windows.cut(self.panorama, k)) for k in range(windows.count)]
