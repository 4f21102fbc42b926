"""The latent code of a colorization: one tensor of noise per level, and operations on codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cinn_colorize.errors import CinnError, LatentError, counted, printable_name
from cinn_colorize.files import tensorfile
from cinn_colorize.files.atomic import PUBLIC
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.latents.noise import Shapes as Shapes
from cinn_colorize.latents.noise import draw

_CODES_OF = "latent_codes_of"  # key of the configuration in a file of codes


@dataclass(frozen=True, eq=False, repr=False)
class Latent:
    """Latent variables by level, each (N, C, r, r) and standard normal under the model."""

    levels: Mapping[int, Tensor]

    @classmethod
    def draw(cls, shapes: Shapes, seeds: Iterable[int], temperature: PerLevel = 1.0) -> Latent:
        """Draw one code per seed; see :func:`cinn_colorize.latents.noise.draw`."""
        return cls.from_arrays(draw(shapes, seeds, temperature))

    @classmethod
    def from_arrays(cls, levels: Mapping[int, NDArray[np.float32]]) -> Latent:
        """Wrap arrays as tensors that share their memory."""
        return cls({r: torch.from_numpy(z) for r, z in levels.items()})

    def arrays(self) -> dict[int, NDArray[np.float32]]:
        """Return arrays, which share the memory of tensors on the CPU."""
        return {r: z.float().numpy(force=True) for r, z in self.levels.items()}

    @classmethod
    def join(cls, codes: Sequence[Latent]) -> Latent:
        return cls({r: torch.cat([code.levels[r] for code in codes]) for r in codes[0].levels})

    def map(self, function: Callable[[Tensor], Tensor]) -> Latent:
        return Latent({r: function(z) for r, z in self.levels.items()})

    def __len__(self) -> int:
        return len(next(iter(self.levels.values())))

    def __repr__(self) -> str:
        return f"<Latent of {counted(len(self), 'sample')}, levels {', '.join(map(str, self.levels))}>"

    def __getitem__(self, index: int | np.integer[Any] | slice | list[int]) -> Latent:
        """Return some of the samples, or one; an IndexError if there is none."""
        if isinstance(index, int | np.integer):
            i = range(len(self))[index]
            index = slice(i, i + 1)
        return self.map(lambda z: z[index])

    def expand(self, n: int) -> Latent:
        """Return views of one code as n samples."""
        return self.map(lambda z: z.expand(n, *z.shape[1:]))

    def log_prob(self) -> Tensor:
        """Return the log density under the standard normal, nats, (N,); not finite where the code is not."""
        normal = torch.distributions.Normal(0, 1, validate_args=False)
        parts = [normal.log_prob(z).flatten(1).sum(1) for z in self.levels.values()]
        return torch.stack(parts).sum(0)

    def replace(self, levels: Iterable[int], other: Latent) -> Latent:
        """Return this code with these levels taken from another."""
        taken = set(levels)
        return Latent({r: other.levels[r] if r in taken else z for r, z in self.levels.items()})

    def mixed(self, other: Latent, share: Mapping[int, float | Tensor]) -> Latent:
        """Return sqrt(1 - s) z + sqrt(s) z_other: standard normal if both are, and are independent.

        The share s in [0, 1] of the other code, by level, is a number or (r, r).
        """
        mixed = {}
        for r, z in self.levels.items():
            z_other, s = other.levels[r], torch.as_tensor(share[r])
            mixed[r] = (1 - s).sqrt() * z + s.sqrt() * z_other
        return Latent(mixed)

    def interpolated(self, other: Latent, t: float) -> Latent:
        """Return the code on the arc from this one (t = 0) to the other (t = 1).

        Level by level, the direction follows the great circle (Shoemake 1985,
        https://doi.org/10.1145/325165.325242) and the squared length is linear in t: the variance stays.
        """
        return Latent({r: _on_arc(z, other.levels[r], t) for r, z in self.levels.items()})

    def save(self, path: str | os.PathLike[str], model: str, weights_sha256: str, mode: int = PUBLIC) -> None:
        """Write the codes of a model as safetensors, one tensor per level; a LatentError if that fails."""
        config = {_CODES_OF: model, "weights": weights_sha256}
        try:
            tensorfile.save(Path(path), config, {str(r): z for r, z in self.levels.items()}, mode)
        except OSError as error:
            problem = error.strerror or error
            raise LatentError(f"{printable_name(path)}: cannot be written ({problem})") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: str, shapes: Shapes) -> tuple[Latent, str]:
        """Read codes that :meth:`save` wrote for a model, and the SHA-256 of the weights.

        A LatentError if the file does not exist, or holds something else; a WeightsError if it is damaged.
        """
        name = printable_name(path)
        if not Path(path).is_file():
            raise LatentError(f"{name}: no such file of latent codes; --save-z writes them")
        config, tensors = tensorfile.load(Path(path))
        if _CODES_OF not in config:
            raise LatentError(f"{name}: not a file of latent codes; --save-z writes them")
        if config[_CODES_OF] != model:
            raise LatentError(f"{name}: latent codes of the model {config[_CODES_OF]!r}, not of {model!r}")
        found = {r: tuple(z.shape[1:]) for r, z in tensors.items()}
        if found != {str(r): shape for r, shape in shapes.items()}:
            hint = "those of photos longer than 2:1 have other sizes"
            raise LatentError(f"{name}: its codes do not fit the photo: {hint}")
        numbers = {len(z) for z in tensors.values()}
        if len(numbers) > 1 or 0 in numbers or not all(z.is_floating_point() for z in tensors.values()):
            raise LatentError(f"{name}: holds no latent codes that can be used; --save-z writes them")
        return cls({r: tensors[str(r)].float() for r in shapes}), str(config.get("weights"))

    def is_saved(self, path: str | os.PathLike[str], model: str, weights_sha256: str) -> bool:
        """Return whether a file has these very codes, of the same model and weights; see :meth:`save`."""
        try:
            config, found = tensorfile.load(Path(path))
        except (OSError, CinnError):
            return False
        return (
            config == {_CODES_OF: model, "weights": weights_sha256}
            and found.keys() == set(map(str, self.levels))
            and all(torch.equal(z, found[str(r)]) for r, z in self.levels.items())
        )


def pooled(mask: Tensor, shapes: Shapes) -> dict[int, Tensor]:
    """Return the share (r, r) of a mask (h, w), in [0, 1], in each place of each level, by area."""
    return {r: F.adaptive_avg_pool2d(mask[None], shape[1:])[0] for r, shape in shapes.items()}


def _on_arc(a: Tensor, b: Tensor, t: float) -> Tensor:
    a, b = a.double(), b.double()
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    length_a, length_b = flat_a.norm(dim=1, keepdim=True), flat_b.norm(dim=1, keepdim=True)
    cosine = ((flat_a * flat_b).sum(1, keepdim=True) / (length_a * length_b)).nan_to_num().clamp(-1, 1)
    angle = cosine.acos()
    # Where directions agree there is no arc; where one length is 0, the direction is that of the other.
    straight = angle.sin() < 1e-6
    weight_a = torch.where(straight, 1 - t, ((1 - t) * angle).sin() / angle.sin())
    weight_b = torch.where(straight, t, (t * angle).sin() / angle.sin())
    direction = weight_a * flat_a / length_a.clamp(min=1e-12) + weight_b * flat_b / length_b.clamp(min=1e-12)
    length = ((1 - t) * length_a**2 + t * length_b**2).sqrt()
    alone = (length_a == 0) | (length_b == 0)
    direction = torch.where(alone, F.normalize(direction, dim=1), direction)
    return (length * direction).view_as(a).float()
