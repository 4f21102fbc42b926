"""Noise: the one place where it is drawn and temperature is applied. Imports no torch.

The noise of a seed is that of ``torch.randn`` on a CPU with a generator of that seed, level by level, up to
the last bits: a Mersenne twister (Matsumoto and Nishimura 1998, https://doi.org/10.1145/272991.272995)
and the transform of Box and Muller (1958, https://doi.org/10.1214/aoms/1177706645). Drawn here, it is the
same in every version of torch, and without it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.latents.levels import MEAN, PerLevel, temperatures

Floats = NDArray[np.float32]
Shapes: TypeAlias = Mapping[int, tuple[int, int, int]]
LatentLevels: TypeAlias = Mapping[int, Floats]  # (N, C, r, r) by level, see :class:`Latent`

_BLOCK = 16  # values that torch transforms at once, if there are as many


def draw(shapes: Shapes, seeds: Iterable[int], temperature: PerLevel = 1.0) -> dict[int, Floats]:
    """Draw noise for one sample per seed, (N, C, r, r) by level, given (C, r, r) of each level.

    As in torch's generators, only the lower 32 bits of a seed count. The temperature is the standard
    deviation, 0 to 2, that of :data:`MEAN` for the averages of the coarsest level's channels; see
    :func:`by_level` for errors.
    """
    of_levels, coarsest = temperatures(temperature, shapes), min(shapes)
    samples = []
    for seed in seeds:
        twister = np.random.RandomState(seed % 2**32)
        # Coarse first, so that adding finer levels would not change the noise of the coarse ones.
        samples.append({r: _normal(twister, shapes[r]) for r in sorted(shapes)})
    noise = {r: np.stack([sample[r] for sample in samples]) for r in shapes}
    drawn = {r: np.float32(of_levels[r]) * z for r, z in noise.items()}
    if coarsest > MEAN and (change := of_levels[MEAN] - of_levels[coarsest]):
        drawn[coarsest] += np.float32(change) * noise[coarsest].mean((2, 3), keepdims=True)
    return drawn


def draw_like(
    shapes: Shapes, like: int, seeds: Iterable[int], fresh: Mapping[int, float], temperature: PerLevel = 1.0
) -> dict[int, Floats]:
    """Draw noise near that of a seed, sqrt(1 - s) z_like + sqrt(s) z, which has the variance of noise.

    The share s in [0, 1] of the ``fresh`` noise z is by level; the seed itself among ``seeds``, those of z,
    gives its own noise. See :func:`draw` for the rest.
    """
    seeds = list(seeds)
    own, drawn = draw(shapes, [like], temperature), draw(shapes, seeds, temperature)
    # The sum is standard normal only if both parts are independent.
    others = [i for i, seed in enumerate(seeds) if not same_noise(seed, like)]
    for r, z in drawn.items():
        s = np.float32(fresh[r])
        z[others] = np.sqrt(1 - s) * own[r] + np.sqrt(s) * z[others]
    return drawn


def same_noise(seed: int, other: int) -> bool:
    """Return whether two seeds give the same noise."""
    return (seed - other) % 2**32 == 0


def _normal(twister: np.random.RandomState, shape: tuple[int, int, int]) -> Floats:
    size = math.prod(shape)
    if size < _BLOCK:
        return _one_by_one(twister, size).reshape(shape)
    rest = size % _BLOCK
    words = twister.randint(0, 2**32, size + (_BLOCK if rest else 0), np.uint32)
    uniform = (words & (2**24 - 1)).astype(np.float32) * np.float32(2**-24)  # in [0, 1), of 24 bits
    normal = np.empty(size, np.float32)
    normal[: size - rest] = _in_blocks(uniform[: size - rest])
    if rest:  # the last 16 are drawn again
        normal[-_BLOCK:] = _in_blocks(uniform[size:])
    return normal.reshape(shape)


def _in_blocks(uniform: Floats) -> Floats:
    """Transform blocks of 16, the first 8 into radii, the others into angles, in single precision."""
    u = uniform.reshape(-1, 2, _BLOCK // 2)
    logarithm = np.log((1 - u[:, 0]).astype(np.float64)).astype(np.float32)
    radius, angle = np.sqrt(-2 * logarithm), (np.float32(2 * np.pi) * u[:, 1]).astype(np.float64)
    parts = [radius * np.cos(angle).astype(np.float32), radius * np.sin(angle).astype(np.float32)]
    return np.stack(parts, axis=1).reshape(-1)


def _one_by_one(twister: np.random.RandomState, size: int) -> Floats:
    """Draw two at a time in double precision, of 53 bits each."""
    words = twister.randint(0, 2**32, 2 * size, np.uint32).astype(np.uint64).reshape(-1, 2)
    bits = (words[:, 0] << np.uint64(32) | words[:, 1]) & np.uint64(2**53 - 1)
    u = (bits * 2.0**-53).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, 1])), 2 * np.pi * u[:, 0]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1).astype(np.float32)
