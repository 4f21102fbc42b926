"""Photos that are conditioned once and drawn many times.

:class:`ConditionedPhoto` is what users and methods call: it handles windows, seeds and temperatures, and does
not depend on the engine. Light: imports torch only where codes are mixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.interface import Coarse, Network, NetworkInput
from cinn_colorize.latents.levels import (
    PerLevel,
    SomeLevels,
    by_level,
    format_levels,
    parse_noise,
    parse_temperature,
    transfer_noise,
)
from cinn_colorize.latents.noise import Shapes, draw, draw_like
from cinn_colorize.methods.mix import Mask, mix
from cinn_colorize.methods.transfer import TEMPERATURE, Reference, transfer
from cinn_colorize.options import check_seeds, whole_number
from cinn_colorize.samples import Floats, LatentLevels, Sample, medoids, seeds_from

if TYPE_CHECKING:
    from torch import Tensor

    from cinn_colorize.latents.latent import Latent
else:  # for whoever reads annotations at run time
    Tensor = Latent = Any


class ConditionedPhoto:
    """A photo with what all its samples share, computed once; made by :meth:`BaseColorizer.condition`.

    >>> conditioned = colorizer.condition("photo.jpg")
    >>> samples = conditioned.sample(n=4, temperature="0.7,8:0.9", seed=10)
    >>> [sample.seed for sample in samples], samples[0].ab.shape
    ([10, 11, 12, 13], (2, 64, 64))

    Samples of a photo longer than 2:1 are blended from windows. Methods that require a single latent code
    (:meth:`encode`, :meth:`log_prob`, :meth:`transfer`, :meth:`mix`) see the whole photo squeezed to a
    square, and :meth:`decode` accepts such codes too. Methods that an engine does not support raise
    :class:`~cinn_colorize.errors.EngineError`: ONNX files hold only g.

    Attributes:
        temperature: default temperature of samples.
        latent_shapes: shape (C, r, r) of each level of a code; not square for a photo longer than 2:1.
    """

    def __init__(self, network: Network, photo: NetworkInput, temperature: PerLevel) -> None:
        self.temperature = temperature
        self.latent_shapes: Shapes = photo.windows.shapes(network.latent_shapes)
        self._network, self._photo = network, photo
        self._conditions = [network.condition(L) for L in photo.parts()]

    @property
    def whole(self) -> ConditionedPhoto:
        """The whole photo squeezed to a square, which has a single latent code; self for most photos."""
        return self if self._photo.panorama is None else self._squeezed

    @cached_property
    def _squeezed(self) -> ConditionedPhoto:
        return ConditionedPhoto(self._network, NetworkInput(self._photo.square), self.temperature)

    def sample(
        self,
        n: SupportsIndex = 1,
        temperature: SomeLevels | None = None,
        seed: SupportsIndex = 0,
        *,
        pick: SupportsIndex | None = None,
    ) -> list[Sample]:
        """Draw n colorizations with the seeds seed, seed + 1, ...

        A sample depends only on its own seed and the temperature, however many are drawn.

        Args:
            n: number of samples, 1 or more.
            temperature: standard deviation of the noise, 0 to 2; 1 is the model's distribution. A number for
                all levels, numbers by level, or text as ``--temperature`` takes it: ``{8: 0.9}``,
                ``"0.7,8:0.9"``. By default, and for levels that are not named, that in the registry.
            seed: seed of the first sample, 0 or more.
            pick: number of samples to return, typical ones that differ, the most typical first: the same as
                those of :func:`~cinn_colorize.samples.typical`, but where the network draws coarse colours
                first, only these samples get details. In a photo longer than 2:1, the samples of the whole
                photo squeezed to a square decide. None for all.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an argument is out of range.
        """
        seeds = seeds_from(seed, n)
        temperature = parse_temperature(temperature, self.latent_shapes, self.temperature)

        def noise(shapes: Shapes, seeds: Sequence[int]) -> LatentLevels:
            return draw(shapes, seeds, temperature)

        return self._drawn(noise, seeds, temperature, {"method": "sample"}, pick)

    def vary(
        self,
        like: SupportsIndex,
        n: SupportsIndex = 1,
        fresh: SomeLevels | None = None,
        temperature: SomeLevels | None = None,
        seed: SupportsIndex | None = None,
        *,
        pick: SupportsIndex | None = None,
    ) -> list[Sample]:
        """Draw n colorizations that resemble the sample of one seed.

        Args:
            like: the seed.
            n: number of variations, which differ by their fresh noise.
            fresh: share s in [0, 1] of the fresh noise in z = sqrt(1 - s) z_like + sqrt(s) noise, given like
                a temperature; by default, and for levels that are not named, :func:`transfer_noise`: a little
                in the coarse colours, while details are drawn anew.
            temperature: see :meth:`sample`; that of both noises.
            seed: seed of the first variation's noise, by default the one after ``like``. The variation with
                the seed ``like`` is the sample itself.
            pick: see :meth:`sample`.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an argument is out of range.
        """
        like = whole_number(like, "like", 0)
        check_seeds(like, 1)
        seeds, shapes = seeds_from(like + 1 if seed is None else seed, n), self.latent_shapes
        temperature = parse_temperature(temperature, shapes, self.temperature)
        share = by_level(parse_noise(fresh, shapes, transfer_noise(shapes)), shapes)
        recipe = {"method": "variation", "like": str(like), "fresh": format_levels(share)}

        def noise(shapes: Shapes, seeds: Sequence[int]) -> LatentLevels:
            return draw_like(shapes, like, seeds, share, temperature)

        return self._drawn(noise, seeds, temperature, recipe, pick)

    def transfer(
        self,
        reference: Reference,
        n: SupportsIndex = 1,
        noise: SomeLevels | None = None,
        temperature: SomeLevels = TEMPERATURE,
        seed: SupportsIndex = 0,
    ) -> list[Sample]:
        """Give the photo the colours of another (paper Fig. 15): decode its code, mixed with noise.

        Args:
            reference: code of the other photo, see :meth:`BaseColorizer.reference`.
            n: number of variants, which differ by their noise.
            noise: share s in [0, 1] of the noise in z = sqrt(1 - s) z_reference + sqrt(s) noise, given like a
                temperature; by default, and for levels that are not named, :func:`transfer_noise`.
            temperature: temperature of the noise, given as in :meth:`sample`; 0.5 where it is not.
            seed: seed of the first variant's noise.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an argument is out of range.
        """
        return transfer(self, reference, n, noise, temperature, seed)

    def mix(
        self, seeds: Iterable[SupportsIndex], mask: Mask, temperature: SomeLevels | None = None
    ) -> Sample:
        """Join two samples: one inside a mask, the other outside.

        The colours of both, joined by the mask, are encoded, which gives the coarse levels; finer levels are
        those of either sample, so that the photo's edges decide where the border between them lies.

        Args:
            seeds: seeds of the samples inside and outside.
            mask: see :meth:`BaseColorizer.mask`.
            temperature: temperature of both; see :meth:`sample`.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an argument is out of range.
            EngineError: the engine cannot encode.
        """
        return mix(self, seeds, mask, temperature)

    def samples_of(
        self, latent: Latent, seeds: Sequence[int], temperature: PerLevel, method: Mapping[str, str]
    ) -> list[Sample]:
        """Decode codes of any origin to samples.

        Args:
            latent: N codes.
            seeds: N seeds of their noise.
            temperature: temperature of their noise.
            method: entries of their recipes that say how they were found.
        """
        return _samples(latent.arrays(), self._decode(latent.arrays()), seeds, temperature, method)

    def decode(self, latent: Latent) -> Floats:
        """Decode N latent codes: return g(z; c), ab (N, 2, 64, 64), longer for a photo longer than 2:1.

        Raises:
            ValueError: the codes have other shapes than :attr:`latent_shapes`, here or of :attr:`whole`; or
                there are none, or more in one level than in another.
        """
        levels = latent.arrays()
        shapes = {r: z.shape[1:] for r, z in levels.items()}
        if shapes != self.latent_shapes and shapes != self.whole.latent_shapes:
            raise ValueError(f"codes of the shapes {shapes} do not fit; pass {self.latent_shapes}")
        if len(numbers := {len(z) for z in levels.values()}) > 1 or 0 in numbers:
            raise ValueError(f"as many codes are required in all levels, 1 or more, not {sorted(numbers)}")
        return self._decode(levels)[0]

    def encode(self, ab: NDArray[np.floating] | Tensor) -> Latent:
        """Encode a colorization: return its latent code f(x; c).

        Args:
            ab: chroma (2, 64, 64), stretched to the square as L is.

        Raises:
            EngineError: the engine cannot encode.
            ValueError: ab has another shape, or values that are not finite.
        """
        from cinn_colorize.latents.latent import Latent

        (condition,) = self.whole._conditions
        return Latent.from_arrays(self._network.encode(self._whole_ab(ab), condition))

    def log_prob(self, ab: NDArray[np.floating] | Tensor) -> float:
        """Return the log density of x = ab / 15 given L, in nats over all 8192 dimensions.

        It is that of the learnt distribution, without guidance.

        Most of these are the finest details, and the density of colours without noise in them is larger by
        far. To compare colours of different origin, such as a sample and a photo's own, add the same noise to
        both.

        Args:
            ab: chroma (2, 64, 64), stretched to the square as L is.

        Raises:
            EngineError: the engine cannot encode.
            ValueError: ab has another shape, or values that are not finite.
        """
        (condition,) = self.whole._conditions
        return self._network.log_prob(self._whole_ab(ab), condition)

    def _whole_ab(self, ab: NDArray[np.floating] | Tensor) -> Floats:
        """Check the shape of the whole photo's ab, which has as many values as its code."""
        size = math.isqrt(sum(map(math.prod, self.whole.latent_shapes.values())) // 2)
        if not isinstance(ab, np.ndarray) and hasattr(ab, "detach"):  # a tensor
            ab = ab.float().numpy(force=True)
        ab = np.array(ab, np.float32, order="C")  # torch takes no array that is flipped or read-only
        if ab.shape != (2, size, size):
            raise ValueError(f"ab of the shape {ab.shape} does not fit; pass (2, {size}, {size})")
        if not np.isfinite(ab).all():
            raise ValueError("ab has values that are not finite")
        return ab

    def _drawn(
        self,
        noise: Callable[[Shapes, Sequence[int]], LatentLevels],
        seeds: Sequence[int],
        temperature: PerLevel,
        method: Mapping[str, str],
        pick: SupportsIndex | None,
    ) -> list[Sample]:
        """Decode the codes that a function of their shapes and seeds gives, or those of typical samples."""
        if pick is None:
            latents = noise(self.latent_shapes, seeds)
            return _samples(latents, self._decode(latents), seeds, temperature, method)
        network, whole = self._network, self.whole
        latents = noise(whole.latent_shapes, seeds)
        coarse = network.coarse(latents, whole._conditions[0]) if network.coarse_size else None
        ab, log_prob = coarse or whole._decode(latents)
        chosen = medoids(ab, whole_number(pick, "pick", 1))
        seeds = [seeds[i] for i in chosen]
        if whole is not self:
            return self._drawn(noise, seeds, temperature, method, None)
        latents = {r: z[chosen] for r, z in latents.items()}
        decoded = ab[chosen], log_prob[chosen]
        if coarse:
            decoded = network.decode(latents, self._conditions[0], coarse.some(chosen))
        return _samples(latents, decoded, seeds, temperature, method)

    def _decode(self, latents: LatentLevels) -> tuple[Floats, NDArray[np.float64]]:
        if self._photo.panorama is not None and not self._covered_by(latents):
            return self._squeezed._decode(latents)
        windows = self._photo.windows
        if windows.count == 1:
            return self._network.decode(latents, self._conditions[0])
        coarse = self._coarse(latents)
        decoded = [
            self._network.decode(windows.latents(latents, k), condition, coarse[k] if coarse else None)
            for k, condition in enumerate(self._conditions)
        ]
        # Sample by sample: numpy sums several columns in another order than one.
        log_prob = [np.mean(of_windows) for of_windows in zip(*(p for _, p in decoded), strict=True)]
        return windows.blend([ab for ab, _ in decoded]), np.array(log_prob)

    def _coarse(self, latents: LatentLevels) -> list[Coarse] | None:
        """Return the coarse colours of each window, where the network has such.

        They are cut from the whole photo's, so that the windows agree on the colours of things.
        """
        size, windows = self._network.coarse_size, self._photo.windows
        if size is None:
            return None
        shapes, coarsest, number = self._network.latent_shapes, min(latents), len(latents[min(latents)])
        safest = {r: np.zeros((number, *shape), np.float32) for r, shape in shapes.items()}
        whole, _ = self._squeezed._decode(safest | {coarsest: latents[coarsest]})
        height, width = windows.size(whole.shape[-1])
        planes = [cv2.resize(plane, (width, height)) for sample in whole for plane in sample]
        wide = np.stack(planes).reshape(number, 2, height, width)
        cells = number, 2, size, whole.shape[-1] // size, size, whole.shape[-1] // size
        return [
            Coarse(windows.cut(wide, k).reshape(cells).mean((3, 5)), np.zeros(number))
            for k in range(windows.count)
        ]

    def _covered_by(self, latents: LatentLevels) -> bool:
        """Return whether codes cover all windows, instead of the whole photo squeezed to a square."""
        return all(latents[r].shape[1:] == shape for r, shape in self.latent_shapes.items())


def _samples(
    latents: LatentLevels,
    decoded: tuple[Floats, NDArray[np.float64]],
    seeds: Sequence[int],
    temperature: PerLevel,
    method: Mapping[str, str],
) -> list[Sample]:
    """Make samples of N codes and of ab and the log densities that they were decoded to."""
    ab, log_prob = decoded
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
