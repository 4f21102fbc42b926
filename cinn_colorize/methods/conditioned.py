"""Photos that are conditioned once and drawn many times, with any engine; torch only encodes."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.engines.interface import Coarse, Network, NetworkInput
from cinn_colorize.imaging.options import picked, seeds_from, whole_number
from cinn_colorize.latents.levels import PerLevel, SomeLevels, parse_temperature
from cinn_colorize.latents.noise import Floats, LatentLevels, Shapes, draw
from cinn_colorize.methods.samples import Sample, medoids

if TYPE_CHECKING:
    from torch import Tensor

    from cinn_colorize.latents.latent import Latent
else:  # for whoever reads annotations at run time
    Tensor = Latent = Any


class Conditioned:
    """A photo with what all its samples share, computed once; it samples, encodes, decodes and scores.

    Samples of a photo longer than 2:1 are blended from windows. What requires a single latent code,
    :meth:`encode` and :meth:`log_prob`, sees the whole photo squeezed to a square, and :meth:`decode` accepts
    such codes too. Methods that an engine does not support raise
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
        self._last: tuple[Floats, Coarse] | None = None  # codes that were compared, and their coarse colours

    @property
    def whole(self) -> Self:
        """The whole photo squeezed to a square, which has a single latent code; self for most photos."""
        return self if self._photo.panorama is None else self._squeezed

    @cached_property
    def _squeezed(self) -> Self:
        return type(self)(self._network, NetworkInput(self._photo.square), self.temperature)

    def sample(
        self,
        n: SupportsIndex = 1,
        temperature: SomeLevels | None = None,
        seed: SupportsIndex = 0,
        *,
        pick: SupportsIndex | None = None,
    ) -> list[Sample]:
        """Draw n colorizations with the seeds seed, seed + 1, ...

        A sample depends only on its own seed and the temperature, however many are drawn. A TypeError if an
        argument is of a wrong type, a ValueError if one is out of range.

        Args:
            n: number of samples, 1 or more.
            temperature: standard deviation of the noise, 0 to 2; 1 is the model's distribution. A number for
                all levels, numbers by level, or text as ``--temperature`` takes it: ``{8: 0.9}``,
                ``"0.7,8:0.9"``. By default, and for levels that are not named, that in the registry.
            seed: seed of the first sample, 0 or more.
            pick: number of samples to return, those of :func:`.methods.samples.typical`; only these get
                details where coarse colours are drawn first. Of a photo longer than 2:1, samples squeezed to
                a square decide. None for all.
        """
        seeds = seeds_from(seed, n)
        temperature = parse_temperature(temperature, self.latent_shapes, self.temperature)

        def noise(shapes: Shapes, seeds: Sequence[int]) -> LatentLevels:
            return draw(shapes, seeds, temperature)

        return self.draw(noise, seeds, temperature, {"method": "sample"}, pick)

    def coarse(
        self, n: SupportsIndex = 1, temperature: SomeLevels | None = None, seed: SupportsIndex = 0
    ) -> Floats:
        """Return coarse colours of samples, ab (N, 2, s, s), of the whole photo; see :meth:`sample`."""
        temperature = parse_temperature(temperature, self.latent_shapes, self.temperature)
        return self.whole._compared(draw(self.whole.latent_shapes, seeds_from(seed, n), temperature))[0]

    def draw(
        self,
        noise: Callable[[Shapes, Sequence[int]], LatentLevels],
        seeds: Sequence[int],
        temperature: PerLevel,
        method: Mapping[str, str],
        pick: SupportsIndex | None,
    ) -> list[Sample]:
        """Decode codes to samples, all or the typical ones; see :meth:`sample`.

        ``noise`` returns the codes of some seeds, of the shapes it is given; ``method`` is what recipes say
        of how the samples were drawn.
        """
        if pick is None:
            latents = noise(self.latent_shapes, seeds)
            return _samples(latents, self._decode(latents), seeds, temperature, method)
        whole = self.whole
        latents = noise(whole.latent_shapes, seeds)
        coarse = whole._compared(latents)
        ab, log_prob = coarse
        chosen = medoids(ab, whole_number(pick, "pick", 1))
        method = {**method, **picked(len(chosen), seeds)}
        seeds = [seeds[i] for i in chosen]
        if whole is not self:
            return self.draw(noise, seeds, temperature, method, None)
        latents = {r: z[chosen] for r, z in latents.items()}
        decoded = ab[chosen], log_prob[chosen]
        if self._network.coarse_size:
            decoded = self._network.decode(latents, self._conditions[0], coarse.some(chosen))
        return _samples(latents, decoded, seeds, temperature, method)

    def samples_of(
        self, latent: Latent, seeds: Sequence[int], temperature: PerLevel, method: Mapping[str, str]
    ) -> list[Sample]:
        """Decode codes of any origin, as many as seeds, to samples; for ``method`` see :meth:`draw`."""
        return _samples(latent.arrays(), self._decode(latent.arrays()), seeds, temperature, method)

    def decode(self, latent: Latent) -> Floats:
        """Decode N latent codes: return g(z; c), ab (N, 2, 64, 64), longer for a photo longer than 2:1.

        A ValueError if the codes have other shapes than :attr:`latent_shapes`, here or of :attr:`whole`, or
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

        ``ab`` is (2, 64, 64), stretched to the square as L is. An EngineError if the engine cannot encode, a
        ValueError if ab has another shape, or values that are not finite.
        """
        from cinn_colorize.latents.latent import Latent

        (condition,) = self.whole._conditions
        return Latent.from_arrays(self._network.encode(self._whole_ab(ab), condition))

    def log_prob(self, ab: NDArray[np.floating] | Tensor) -> float:
        """Return the log density of x = ab / 15 given L without guidance, in nats over all 8192 dimensions.

        Most of these are the finest details, and the density of colours without noise in them is larger by
        far. To compare colours of different origin, such as a sample and a photo's own, add the same noise to
        both. The argument and the errors are those of :meth:`encode`.
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

    def _compared(self, latents: LatentLevels) -> Coarse:
        """Decode codes as far as it takes to compare them."""
        if not self._network.coarse_size:
            return Coarse(*self._decode(latents))
        z = latents[min(latents)]
        coarse = self._known(z) or self._network.coarse(latents, self._conditions * len(z))
        self._last = z, coarse
        return coarse

    def _known(self, z: Floats) -> Coarse | None:
        """Return the coarse colours of codes of the coarsest level, if these were the last to be compared."""
        return self._last[1] if self._last and np.array_equal(self._last[0], z) else None

    def _decode(self, latents: LatentLevels) -> tuple[Floats, NDArray[np.float64]]:
        covers = all(latents[r].shape[1:] == shape for r, shape in self.latent_shapes.items())
        if self._photo.panorama is not None and not covers:  # codes of the whole photo squeezed to a square
            return self._squeezed._decode(latents)
        windows = self._photo.windows
        if windows.count == 1:
            return self._network.decode(latents, self._conditions[0], self._known(latents[min(latents)]))
        cut = self._coarse(latents)
        decoded = [
            self._network.decode(windows.latents(latents, k), condition, cut[k] if cut else None)
            for k, condition in enumerate(self._conditions)
        ]
        # Sample by sample: numpy sums several columns in another order than one.
        log_prob = [np.mean(of_windows) for of_windows in zip(*(p for _, p in decoded), strict=True)]
        return windows.blend([ab for ab, _ in decoded]), np.array(log_prob)

    def _coarse(self, latents: LatentLevels) -> list[Coarse] | None:
        """Cut the coarse colours of each window, where the network has such, from the whole photo's."""
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


def drawn_alike(
    photos: Sequence[Conditioned], seeds: Sequence[int], temperature: SomeLevels | None = None
) -> Floats:
    """Draw the same noise under P photos, none longer than 2:1: return ab (P, N, 2, s, s).

    The colours are those of :meth:`Conditioned.sample`. The coarse ones of several photos are drawn together,
    which takes the time of one.
    """
    network, shapes = photos[0]._network, photos[0].latent_shapes
    latents = draw(shapes, seeds, parse_temperature(temperature, shapes, photos[0].temperature))
    conditions, n = [photo._conditions[0] for photo in photos], len(seeds)
    coarse = None
    if network.coarse_size:
        coarsest = min(latents)
        every = {coarsest: np.tile(latents[coarsest], (len(photos), 1, 1, 1))}
        coarse = network.coarse(every, [condition for condition in conditions for _ in seeds])
    return np.stack(
        [
            network.decode(latents, condition, coarse and coarse.some(range(k * n, (k + 1) * n)))[0]
            for k, condition in enumerate(conditions)
        ]
    )


def _samples(
    latents: LatentLevels,
    decoded: tuple[Floats, NDArray[np.float64]],
    seeds: Sequence[int],
    temperature: PerLevel,
    method: Mapping[str, str],
) -> list[Sample]:
    """Make samples of N codes and of ab and the log densities that they were decoded to."""
    ab, log_prob = decoded
    codes = ({r: z[i : i + 1] for r, z in latents.items()} for i in range(len(ab)))
    return [
        Sample(chroma, levels, float(density), seed, temperature, method)
        for chroma, levels, density, seed in zip(ab, codes, log_prob, seeds, strict=True)
    ]
