"""A photo that is conditioned once and asked many times, and the network that answers.

:class:`Network` is the interface of a model's flow, wherever it is computed: in torch
(:mod:`cinn_colorize.network`), in onnxruntime (:mod:`cinn_colorize.onnx.engine`) or in another process
(:mod:`cinn_colorize.batch.model_server`). :class:`ConditionedPhoto` is what people and methods use: it knows
windows, seeds and temperatures, and no engine. Light: imports torch only where codes are mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging.photo import Photo
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.latents.noise import Shapes, draw
from cinn_colorize.latents.windows import Windows
from cinn_colorize.methods.mix import Mask, mix
from cinn_colorize.methods.transfer import TEMPERATURE, Reference, transfer
from cinn_colorize.samples import Floats, LatentLevels, Sample, seeds_from

if TYPE_CHECKING:
    from torch import Tensor

    from cinn_colorize.latents.latent import Latent


_ONE_WINDOW = Windows(count=1, upright=False)


class Network(Protocol):
    """A model's flow as a function of arrays, for one window of a photo at a time.

    Sizes: L* is (S, S), S being the model's ``luminance_size``, and ab is (2, s, s), s its ``chroma_size``.
    """

    @property
    def latent_shapes(self) -> Shapes:
        """(C, r, r) of each level of the latent code of a window."""

    def condition(self, L: Floats) -> Any:
        """Compute once what all samples under L* share; what that is, the network alone knows.

        Args:
            L: (S, S) float32 in [0, 100].

        Raises:
            ValueError: it has another shape.
        """

    def decode(self, latents: LatentLevels, condition: Any) -> tuple[Floats, NDArray[np.float64]]:
        """g(z; c) of N codes.

        Args:
            latents: (N, C, r, r) by level.
            condition: what :meth:`condition` returned.

        Returns:
            ab (N, 2, s, s), and the log density of x = ab / 15 given L in nats, (N,).
        """

    def encode(self, ab: Floats, condition: Any) -> tuple[LatentLevels, float]:
        """f(x; c): the latent code of ab (2, s, s), (1, C, r, r) by level, and its log density in nats.

        Raises:
            EngineError: the engine has no forward direction.
        """

    def differentiable(self) -> AbstractContextManager[Callable[[Mapping[int, Tensor], Any], Tensor]]:
        """Context that gives g of one code with gradients: (latents, condition) to ab (2, s, s).

        Raises:
            EngineError: the engine computes no gradients.
        """


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What the network sees of a photo.

    Attributes:
        square: L* in [0, 100], (S, S) float32, the whole photo squeezed to that square. S is the model's
            ``luminance_size``; in torch a multiple is accepted too, of which area means are taken.
        windows: how they lie in the photo.
        panorama: L* that covers a photo longer than 2:1, (S, S) in each window; None for others.
    """

    square: Floats
    windows: Windows = _ONE_WINDOW
    panorama: Floats | None = None

    @classmethod
    def of(cls, photo: Photo, size: int) -> NetworkInput:
        """Reduce a photo to squares of ``size`` pixels.

        Raises:
            PhotoError: the photo cannot be read.
        """
        windows = Windows.of(photo.height, photo.width)
        panorama = photo.luminance(*windows.size(size)) if windows.count > 1 else None
        return cls(photo.luminance(size, size), windows, panorama)

    def parts(self) -> list[Floats]:
        """L* (S, S) of each window."""
        if self.panorama is None:
            return [self.square]
        cuts = (self.windows.cut(self.panorama, k) for k in range(self.windows.count))
        return [np.ascontiguousarray(cut) for cut in cuts]


class ConditionedPhoto:
    """A photo's L as the network sees it, computed once; made by :meth:`BaseColorizer.condition`.

    Samples of a photo longer than 2:1 are blended from windows. What asks for one latent code
    (:meth:`encode`, :meth:`log_prob`, :meth:`transfer`, :meth:`mix`) sees the whole photo squeezed to a
    square, and :meth:`decode` accepts such codes too. What an engine cannot do raises
    :class:`~cinn_colorize.errors.EngineError`: ONNX files hold g alone, and gradients do not reach a network
    in another process.

    Attributes:
        temperature: of samples unless said otherwise.
        latent_shapes: of each level of a code, (C, r, r); longer than wide for a photo longer than 2:1.
    """

    def __init__(self, network: Network, photo: NetworkInput, temperature: PerLevel) -> None:
        self.temperature = temperature
        self.latent_shapes: Shapes = photo.windows.shapes(network.latent_shapes)
        self._network, self._photo = network, photo
        self._conditions = [network.condition(L) for L in photo.parts()]

    @property
    def whole(self) -> ConditionedPhoto:
        """The whole photo squeezed to a square, which has one latent code; of most photos it is the same."""
        return self if self._photo.panorama is None else self._squeezed

    @cached_property
    def _squeezed(self) -> ConditionedPhoto:
        return ConditionedPhoto(self._network, NetworkInput(self._photo.square), self.temperature)

    def sample(self, n: int = 1, temperature: PerLevel | None = None, seed: int = 0) -> list[Sample]:
        """Draw n colorizations with the seeds seed, seed + 1, ...

        A sample depends on its own seed and the temperature alone, however many are drawn.

        Args:
            n: how many, 1 or more.
            temperature: standard deviation of the noise, 0 or more, of all levels or by level; 1 is the
                model's distribution. That of the registry by default.
            seed: of the first sample, 0 or more.

        Raises:
            ValueError: an argument is out of its range.
        """
        seeds = seeds_from(seed, n)
        temperature = self.temperature if temperature is None else temperature
        noise = draw(self.latent_shapes, seeds, temperature)
        return self._samples(noise, seeds, temperature, {"method": "sample"})

    def transfer(
        self,
        reference: Reference,
        n: int = 1,
        noise: PerLevel | None = None,
        temperature: PerLevel = TEMPERATURE,
        seed: int = 0,
    ) -> list[Sample]:
        """Give the photo the colours of another (paper Fig. 15): its code, mixed with noise, decoded here.

        Args:
            reference: the other photo's code, see :meth:`BaseColorizer.reference`.
            n: how many variants; they differ by their noise.
            noise: share s in [0, 1] of the noise in z = sqrt(1 - s) z_reference + sqrt(s) noise, in all
                levels or by level; :func:`transfer_noise` by default.
            temperature: of the noise.
            seed: of the first variant's noise.

        Raises:
            ValueError: an argument is out of its range.
        """
        return transfer(self, reference, n, noise, temperature, seed)

    def mix(self, seeds: tuple[int, int], mask: Mask, temperature: PerLevel | None = None) -> Sample:
        """Join two samples: one inside a mask, the other outside.

        The colours of both, put together by the mask, are encoded, which gives the coarse levels; finer ones
        are those of either sample, so that the photo's edges decide where between them the border lies.

        Args:
            seeds: of the sample inside and of that outside.
            mask: see :meth:`BaseColorizer.mask`.
            temperature: of both; see :meth:`sample`.

        Raises:
            ValueError: an argument is out of its range.
            EngineError: the engine cannot encode.
        """
        return mix(self, seeds, mask, temperature)

    def samples_of(
        self, latent: Latent, seeds: Sequence[int], temperature: PerLevel, method: Mapping[str, str]
    ) -> list[Sample]:
        """Decode codes that were found in whatever way.

        Args:
            latent: N codes.
            seeds: of their noise, N.
            temperature: of their noise.
            method: what their recipes say of how they were found.
        """
        return self._samples(latent.arrays(), seeds, temperature, method)

    def decode(self, latent: Latent) -> Floats:
        """g(z; c): ab (N, 2, 64, 64) of N latent codes, longer for a photo longer than 2:1."""
        return self._decode(latent.arrays())[0]

    def encode(self, ab: NDArray[np.floating]) -> Latent:
        """f(x; c): the latent code of a colorization.

        Args:
            ab: (2, 64, 64), stretched to the square as L is.

        Raises:
            EngineError: the engine cannot encode.
        """
        from cinn_colorize.latents.latent import Latent

        return Latent.from_arrays(self._encode(ab)[0])

    def log_prob(self, ab: NDArray[np.floating]) -> float:
        """Log density of x = ab / 15 given L, in nats over all 8192 dimensions.

        Args:
            ab: (2, 64, 64), stretched to the square as L is.

        Raises:
            EngineError: the engine cannot encode.
        """
        return self._encode(ab)[1]

    @contextmanager
    def differentiable(self) -> Iterator[Callable[[Latent, int], Tensor]]:
        """Context that gives g(z; c) with gradients with respect to z; ``backward`` belongs inside it too.

        Yields:
            a function of one code and the index of a window, 0 for most photos: ab (2, 64, 64) of that window
            on the device of the network.

        Raises:
            EngineError: the engine computes no gradients.
        """
        with self._network.differentiable() as decode:
            yield lambda latent, window: decode(
                self._photo.windows.latents(latent.levels, window), self._conditions[window]
            )

    def _samples(
        self, latents: LatentLevels, seeds: Sequence[int], temperature: PerLevel, method: Mapping[str, str]
    ) -> list[Sample]:
        ab, log_prob = self._decode(latents)
        return [
            Sample(
                ab=ab[i],
                levels={r: z[i : i + 1] for r, z in latents.items()},
                log_prob=float(log_prob[i]),
                seed=seed,
                temperature=temperature,
                method=method,
            )
            for i, seed in enumerate(seeds)
        ]

    def _encode(self, ab: NDArray[np.floating]) -> tuple[LatentLevels, float]:
        (condition,) = self.whole._conditions
        return self._network.encode(np.asarray(ab, np.float32), condition)

    def _decode(self, latents: LatentLevels) -> tuple[Floats, NDArray[np.float64]]:
        if self._photo.panorama is not None and not self._covered_by(latents):
            return self._squeezed._decode(latents)
        windows = self._photo.windows
        decoded = [
            self._network.decode(windows.latents(latents, k), condition)
            for k, condition in enumerate(self._conditions)
        ]
        if len(decoded) == 1:
            return decoded[0]
        # Sample by sample: numpy sums a column of several in another order than one alone.
        log_prob = [np.mean(of_windows) for of_windows in zip(*(p for _, p in decoded), strict=True)]
        return windows.blend([ab for ab, _ in decoded]), np.array(log_prob)

    def _covered_by(self, latents: LatentLevels) -> bool:
        """Whether codes are of all windows, and not of the whole photo squeezed to a square."""
        return all(latents[r].shape[1:] == shape for r, shape in self.latent_shapes.items())
