"""The library's face, and the story of a photo: from its L to many plausible colourings of it.

Condition once, then ask many times::

    colorizer = Colorizer()
    conditioned = colorizer.condition("photo.jpg")
    samples = conditioned.sample(n=8, seed=0)
    like_another = conditioned.transfer(colorizer.reference("other.jpg"))
    sky_of_3_rest_of_7 = conditioned.mix((3, 7), colorizer.mask("sky.png"))

Each is at the model's size; :meth:`Colorizer.compose` brings them to the photo's. All in one,
``colorizer.colorize("photo.jpg", n=8)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cinn_colorize.devices import choose_device, one_thread
from cinn_colorize.errors import PhotoError, WeightsError
from cinn_colorize.imaging.upsampling import METHODS
from cinn_colorize.latents.latent import Latent, Shapes, pooled
from cinn_colorize.latents.levels import PerLevel, by_level, format_levels, transfer_noise
from cinn_colorize.latents.windows import Windows
from cinn_colorize.models import DEFAULT, MODELS, Loaded, PhotoModelInfo, load_model
from cinn_colorize.samples import BaseColorizer, Floats, NetworkInput, PhotoLike, as_photo, seeds_from
from cinn_colorize.samples import Colorization as Colorization
from cinn_colorize.samples import Sample as Sample
from cinn_colorize.samples import likeliest as likeliest

if TYPE_CHECKING:
    from cinn_colorize.models.base import Condition

PRECISIONS = ("fp32", "bf16")

TRANSFER_TEMPERATURE = 0.5  # of the noise beside a reference's code

# The finest level of a mix that holds the code of both samples' colours put together by the mask. Finer
# levels hold the code of one sample or the other, and follow the photo where the mask's border does not.
_JOINED = 8

# Samples go through the network this many at a time: a matrix product of another shape may round
# differently, and then the bytes of a sample would depend on how many were asked for.
_CHUNK = {"cpu": 1, "cuda": 8, "mps": 8}


@dataclass(frozen=True)
class Reference:
    """The colours of a photo as a latent code; made by :meth:`Colorizer.reference`."""

    latent: Latent
    sha256: str  # of the photo's file


@dataclass(frozen=True)
class Mask:
    """A part of a photo; made by :meth:`Colorizer.mask`.

    Attributes:
        share: (64, 64) in [0, 1], stretched to the square as L is; 1 is inside.
        sha256: of the mask's file.
    """

    share: Floats
    sha256: str


class Conditioned:
    """A photo's L as the network sees it, computed once; made by :meth:`Colorizer.condition`."""

    def __init__(self, colorizer: Colorizer, condition: Condition) -> None:
        self._colorizer, self._condition = colorizer, condition
        self.latent_shapes: Shapes = colorizer.model.latent_shapes

    @property
    def whole(self) -> Conditioned:
        """The whole photo squeezed to a square, which has one latent code; of most photos it is the same."""
        return self

    def sample(self, n: int = 1, temperature: PerLevel | None = None, seed: int = 0) -> list[Sample]:
        """Draw n colourings with the seeds seed, seed + 1, ...

        A sample depends on its own seed and the temperature alone, however many are drawn.

        Args:
            n: how many, 1 or more.
            temperature: standard deviation of the noise, 0 or more, of all levels or by level; 1 is the
                model's distribution. That of the registry by default.
            seed: of the first sample, 0 or more.

        Raises:
            ValueError: an argument is out of its range.
        """
        seeds, temperature = seeds_from(seed, n), self._colorizer.temperature(temperature)
        latent = Latent.draw(self.latent_shapes, seeds, temperature)
        return self._samples(latent, seeds, temperature, {"method": "sample"})

    def transfer(
        self,
        reference: Reference,
        n: int = 1,
        noise: PerLevel | None = None,
        temperature: PerLevel = TRANSFER_TEMPERATURE,
        seed: int = 0,
    ) -> list[Sample]:
        """Give the photo the colours of another (paper Fig. 15): its code, mixed with noise, decoded here.

        Args:
            reference: the other photo's code, see :meth:`Colorizer.reference`.
            n: how many variants; they differ by their noise.
            noise: share s in [0, 1] of the noise in z = sqrt(1 - s) z_reference + sqrt(s) noise, in all
                levels or by level; :func:`transfer_noise` by default.
            temperature: of the noise.
            seed: of the first variant's noise.

        Raises:
            ValueError: an argument is out of its range.
        """
        whole, seeds = self.whole, seeds_from(seed, n)
        levels = list(whole.latent_shapes)
        share = by_level(transfer_noise(levels) if noise is None else noise, levels, "noise", 1)
        drawn = Latent.draw(whole.latent_shapes, seeds, temperature)
        latent = reference.latent.expand(n).mixed(drawn, share)
        method = {"method": "transfer", "noise": format_levels(share), "reference": reference.sha256}
        return whole._samples(latent, seeds, temperature, method)

    def mix(self, seeds: tuple[int, int], mask: Mask, temperature: PerLevel | None = None) -> Sample:
        """Join two samples: one inside a mask, the other outside.

        The colours of both, put together by the mask, are encoded, which gives the coarse levels; finer ones
        are those of either sample, so that the photo's edges decide where between them the border lies.

        Args:
            seeds: of the sample inside and of that outside.
            mask: see :meth:`Colorizer.mask`.
            temperature: of both; see :meth:`sample`.

        Raises:
            ValueError: an argument is out of its range.
        """
        whole, temperature = self.whole, self._colorizer.temperature(temperature)
        inside, outside = (whole.sample(1, temperature, seed)[0] for seed in seeds)
        joined = whole.encode(mask.share * inside.ab + (1 - mask.share) * outside.ab)
        share = pooled(torch.as_tensor(mask.share), whole.latent_shapes)
        latent = outside.latent.mixed(inside.latent, share)
        latent = latent.replace((r for r in whole.latent_shapes if r <= _JOINED), joined)
        method = {"method": "mix", "outside_seed": str(seeds[1]), "mask": mask.sha256}
        (sample,) = whole._samples(latent, seeds[:1], temperature, method)
        return sample

    def decode(self, latent: Latent) -> Floats:
        """g(z; c): ab (N, 2, 64, 64) of N latent codes."""
        return self._decode(latent)[0]

    def differentiable(self, latent: Latent, window: int = 0) -> torch.Tensor:
        """g(z; c) of one code with gradients with respect to it: ab (2, 64, 64) on the device.

        To be called, as ``backward`` is, inside ``Colorizer.inference(gradients=True)``.

        Args:
            latent: one code.
            window: which, of a photo longer than 2:1.
        """
        model, device = self._colorizer.model, self._colorizer.device
        x, _ = model.inverse(latent.map(lambda z: z.to(device)).levels, self._condition)
        return x[0] * model.config.chroma_scale

    def encode(self, ab: NDArray[np.floating]) -> Latent:
        """f(x; c): the latent code of a colouring.

        Args:
            ab: (2, 64, 64), stretched to the square as L is.
        """
        return self._encode(ab)[0]

    def log_prob(self, ab: NDArray[np.floating]) -> float:
        """Log density of x = ab / 15 given L, in nats over all 8192 dimensions.

        Args:
            ab: (2, 64, 64).
        """
        return self._encode(ab)[1]

    def _samples(
        self, latent: Latent, seeds: Sequence[int], temperature: PerLevel, method: Mapping[str, str]
    ) -> list[Sample]:
        ab, log_prob = self._decode(latent)
        return [
            Sample(ab[i], latent[i : i + 1], float(log_prob[i]), seeds[i], temperature, method)
            for i in range(len(latent))
        ]

    def _encode(self, ab: NDArray[np.floating]) -> tuple[Latent, float]:
        scale = self._colorizer.model.config.chroma_scale
        x = torch.as_tensor(np.asarray(ab, np.float32))[None] / scale
        with self._colorizer.inference():
            z, log_dets = self._colorizer.model(x.to(self._colorizer.device), self._condition)
        latent = Latent(z).map(lambda level: level.float().cpu())
        log_det = torch.stack(list(log_dets.values())).sum(0).cpu()
        return latent, float(latent.log_prob() + log_det)

    def _decode(self, latent: Latent) -> tuple[Floats, NDArray[np.float64]]:
        model, device = self._colorizer.model, self._colorizer.device
        chunk = self._colorizer.chunk
        condition = self._condition.expand(chunk)
        ab, log_prob = [], []
        for start in range(0, len(latent), chunk):
            part = latent[start : start + chunk]
            with self._colorizer.inference():
                x, log_dets = model.inverse(
                    _filled(part, chunk).map(lambda z: z.to(device)).levels, condition
                )
            log_det = torch.stack(list(log_dets.values())).sum(0).cpu()
            ab.append((x.float().cpu() * model.config.chroma_scale)[: len(part)])
            log_prob.append(part.log_prob() - log_det[: len(part)])
        return torch.cat(ab).numpy(), torch.cat(log_prob).double().numpy()


def _filled(latent: Latent, size: int) -> Latent:
    """The latent with its last sample repeated up to a number of samples."""
    missing = size - len(latent)
    return latent.map(lambda z: torch.cat([z, z[-1:].expand(missing, *z.shape[1:])]))


class ConditionedWindows(Conditioned):
    """A photo longer than 2:1, whose samples are blended from windows.

    What asks for one latent (:meth:`encode`, :meth:`log_prob`, :meth:`transfer`, :meth:`mix`) sees the whole
    photo squeezed to a square, and :meth:`decode` takes such latents too.
    """

    def __init__(self, colorizer: Colorizer, whole: Condition, L: Floats, windows: Windows) -> None:
        """Condition all windows; ``L`` covers the photo, 256 x 256 in each window."""
        super().__init__(colorizer, whole)
        parts = (np.ascontiguousarray(windows.cut(L, k)) for k in range(windows.count))
        self._parts = [colorizer.condition_luminance(part) for part in parts]
        self._windows = windows
        self.latent_shapes = windows.shapes(self.latent_shapes)

    @property
    def whole(self) -> Conditioned:
        """The whole photo squeezed to a square."""
        return Conditioned(self._colorizer, self._condition)

    def differentiable(self, latent: Latent, window: int = 0) -> torch.Tensor:
        """See :meth:`Conditioned.differentiable`."""
        part = Latent(self._windows.latents(latent.levels, window))
        return self._parts[window].differentiable(part)

    def _decode(self, latent: Latent) -> tuple[Floats, NDArray[np.float64]]:
        if any(latent.levels[r].shape[1:] != shape for r, shape in self.latent_shapes.items()):
            return super()._decode(latent)
        latents = (Latent(self._windows.latents(latent.levels, k)) for k in range(self._windows.count))
        decoded = [part._decode(z) for part, z in zip(self._parts, latents, strict=True)]
        return self._windows.blend([ab for ab, _ in decoded]), np.mean([p for _, p in decoded], axis=0)


class Colorizer(BaseColorizer):
    """Draws colourings of gray photos.

    Args:
        model: a name of the registry, or what :func:`cinn_colorize.load_model` returned.
        weights: a path or ``hf:owner/name`` instead of the packaged weights.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``fp32``, or ``bf16`` for the networks (latents and colours stay fp32).
        chunk: how many samples go through the network at a time. Several are faster on a CPU, where it is one
            unless given, but their last bits are not those of samples drawn otherwise.

    Raises:
        WeightsError: the weights cannot be had or used.
        ValueError: unknown device or precision.
    """

    def __init__(
        self,
        model: str | Loaded = DEFAULT,
        *,
        weights: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "fp32",
        chunk: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.device = choose_device(device)
        self.chunk = chunk or _CHUNK[self.device.type]
        with one_thread():  # threads wait for each other at every one of the many small tensors
            loaded = load_model(model, weights) if isinstance(model, str) else model
        if not isinstance(loaded.info, PhotoModelInfo):
            colouring = ", ".join(name for name, info in MODELS.items() if isinstance(info, PhotoModelInfo))
            raise WeightsError(f"{loaded.info.name}: is no model that colours photos; choose {colouring}")
        self.model = loaded.model.to(self.device)
        self.info, self.sha256, self.precision = loaded.info, loaded.sha256, precision

    def colorize(
        self,
        photo: PhotoLike,
        n: int = 1,
        temperature: PerLevel | None = None,
        seed: int = 0,
        *,
        upsampling: str = "jbu",
    ) -> list[Colorization]:
        """Draw n colourings of a photo at its full size, depth and profile.

        Args:
            photo: a path, the bytes of a file, a PIL image, or pixels (H, W) or (H, W, 3 or 4), uint8, uint16
                or float in [0, 1]. A colour photo is treated as gray.
            n: how many.
            temperature: 0 for the centre of the latent space, 1 for the model's distribution; of all levels
                or by level. That of the registry by default.
            seed: of the first; the others follow.
            upsampling: ``jbu``, ``exact`` or ``bicubic``; see :mod:`cinn_colorize.imaging.upsampling`.

        Raises:
            PhotoError: the photo cannot be read.
            ValueError: an argument is out of its range.
        """
        if upsampling not in METHODS:
            raise ValueError(f"unknown upsampling {upsampling!r}; choose one of {', '.join(METHODS)}")
        photo = as_photo(photo)
        samples = self.condition(photo).sample(n, temperature, seed)
        return self.compose(photo, samples, upsampling=upsampling)

    def reference(self, photo: PhotoLike) -> Reference:
        """Encode the colours of a photo, for :meth:`Conditioned.transfer`.

        Raises:
            PhotoError: the photo cannot be read, or is gray.
        """
        photo, size = as_photo(photo), self.info.chroma_size
        if not photo.is_color:
            raise PhotoError(f"{photo.name}: is gray and has no colours to give; take a photo in colour")
        whole = self.condition(photo).whole
        return Reference(whole.encode(photo.lab(size, size)[1:]), photo.sha256)

    def mask(self, image: PhotoLike) -> Mask:
        """Read a mask for :meth:`Conditioned.mix`: white is inside, black outside, gray between.

        Args:
            image: of any size; it is stretched to the photo that it is used on.

        Raises:
            PhotoError: it cannot be read, or there is nothing in it.
        """
        image, size = as_photo(image), self.info.chroma_size
        share = np.clip(image.luminance(size, size) / 100, 0, 1).astype(np.float32)
        if share.max() < 0.5 or share.min() > 0.5:
            everything = "black" if share.max() < 0.5 else "white"
            raise PhotoError(f"{image.name}: is {everything} all over; paint white what one sample gives")
        return Mask(share, image.sha256)

    def condition(self, photo: PhotoLike) -> Conditioned:
        """Compute what all samples of a photo share: features and heads.

        Raises:
            PhotoError: the photo cannot be read.
        """
        return self.condition_reduced(self.reduce(photo))

    def condition_reduced(self, reduced: NetworkInput) -> Conditioned:
        """The same as :meth:`condition`, when the photo itself is elsewhere."""
        whole = self.condition_luminance(reduced.square)
        if reduced.panorama is None:
            return whole
        return ConditionedWindows(self, whole._condition, reduced.panorama, reduced.windows)

    def condition_luminance(self, L: NDArray[np.floating]) -> Conditioned:
        """The same from L* in [0, 100], the whole photo squeezed to a square.

        Args:
            L: (256, 256), or (64, 64) for the models that see so little; of a multiple, area means are taken.
        """
        size = self.info.luminance_size
        if L.ndim != 2 or L.shape[0] != L.shape[1] or L.shape[0] % size or not L.size:
            raise ValueError(f"L must have the shape {(size, size)} or a multiple of it, not {L.shape}")
        batch = torch.as_tensor(np.asarray(L, np.float32))[None, None].to(self.device)
        if L.shape[0] > size:
            batch = F.avg_pool2d(batch, L.shape[0] // size)
        with self.inference():
            return Conditioned(self, self.model.condition(batch))

    @contextmanager
    def inference(self, gradients: bool = False) -> Iterator[None]:
        """Context of every network pass: no gradients unless asked for, the precision, on a CPU one thread.

        Sums are split among threads, so their number shows in the last bits. One photo is little work, and
        several photos are better spread over several processes.
        """
        half = self.precision == "bf16"
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=half)
        with one_thread(), torch.set_grad_enabled(gradients), autocast:
            yield
