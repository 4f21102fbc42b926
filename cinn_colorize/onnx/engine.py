"""The network in onnxruntime in place of torch, which is never imported.

Samples are those of :mod:`cinn_colorize.colorizer` but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnxruntime

from cinn_colorize.errors import WeightsError
from cinn_colorize.files import printable_name
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.latents.noise import Shapes, draw
from cinn_colorize.latents.windows import Windows
from cinn_colorize.models import MODELS, PhotoModelInfo
from cinn_colorize.onnx.files import AB, CONDITION, LATENT, LOG_DET, LUMINANCE, SAMPLE
from cinn_colorize.samples import BaseColorizer, Floats, PhotoLike, Sample, seeds_from

if TYPE_CHECKING:
    from cinn_colorize.latents.latent import Latent


class OnnxColorizer(BaseColorizer):
    """Draws colourings of gray photos as :class:`cinn_colorize.Colorizer` does, with ``sample`` alone.

    Args:
        model: a name of the registry.
        sha256: of the weights that the files were made of.
        folder: with the files.

    Raises:
        WeightsError: the files are missing or damaged.
    """

    def __init__(self, model: str, sha256: str, folder: Path) -> None:
        info = MODELS[model]
        assert isinstance(info, PhotoModelInfo)
        self.info, self.sha256, self.precision = info, sha256, "fp32"
        self._condition, self._sample = _session(folder / CONDITION), _session(folder / SAMPLE)
        self._shared = [output.name for output in self._condition.get_outputs()]
        codes = (input for input in self._sample.get_inputs() if input.name not in self._shared)
        self.latent_shapes: Shapes = {
            int(code.name.removeprefix(LATENT)): tuple(code.shape[1:]) for code in codes
        }

    def condition(self, photo: PhotoLike) -> OnnxConditioned:
        """Compute what all samples of a photo share.

        Raises:
            PhotoError: the photo cannot be read.
        """
        reduced = self.reduce(photo)
        windows = reduced.windows
        parts = [reduced.square]
        if reduced.panorama is not None:
            parts = [windows.cut(reduced.panorama, k) for k in range(windows.count)]
        return OnnxConditioned(self, windows, [self.shared(part) for part in parts])

    def shared(self, L: Floats) -> dict[str, Floats]:
        """What all samples share under L* (256, 256), by name."""
        values = self._condition.run(
            self._shared, {LUMINANCE: np.ascontiguousarray(L, np.float32)[None, None]}
        )
        return dict(zip(self._shared, values, strict=True))

    def decode(self, latents: Mapping[int, Floats], shared: Mapping[str, Floats]) -> tuple[Floats, float]:
        """Ab (2, 64, 64) of one code, (1, C, r, r) by level, and its log density in nats."""
        codes = {f"{LATENT}{r}": np.ascontiguousarray(z) for r, z in latents.items()}
        ab, log_det = self._sample.run([AB, LOG_DET], {**codes, **shared})
        squares = sum(float(np.square(z, dtype=np.float64).sum()) for z in codes.values())
        size = sum(z.size for z in codes.values())
        return ab[0], -0.5 * (squares + size * math.log(2 * math.pi)) - float(log_det[0])


class OnnxConditioned:
    """A photo as the network sees it, in one window or several; made by :meth:`OnnxColorizer.condition`."""

    def __init__(self, colorizer: OnnxColorizer, windows: Windows, shared: list[dict[str, Floats]]) -> None:
        self._colorizer, self._windows, self._shared = colorizer, windows, shared

    def sample(self, n: int = 1, temperature: PerLevel | None = None, seed: int = 0) -> list[Sample]:
        """See :meth:`cinn_colorize.colorizer.Conditioned.sample`."""
        seeds, temperature = seeds_from(seed, n), self._colorizer.temperature(temperature)
        noise = draw(self._windows.shapes(self._colorizer.latent_shapes), seeds, temperature)
        samples = []
        for k, own in enumerate(seeds):
            levels = {r: z[k : k + 1] for r, z in noise.items()}
            ab, log_prob = self._decode(levels)
            samples.append(Sample(ab, cast("Latent", _Code(levels)), log_prob, own, temperature))
        return samples

    def _decode(self, levels: Mapping[int, Floats]) -> tuple[Floats, float]:
        decoded = [
            self._colorizer.decode(self._windows.latents(levels, k), shared)
            for k, shared in enumerate(self._shared)
        ]
        if len(decoded) == 1:
            return decoded[0]
        return self._windows.blend([ab for ab, _ in decoded]), float(np.mean([p for _, p in decoded]))


class _Code:
    """The code of a sample: a :class:`Latent` when it is asked for as one, which takes torch."""

    def __init__(self, levels: Mapping[int, Floats]) -> None:
        self._levels = levels

    def __getattr__(self, name: str) -> Any:
        import torch

        from cinn_colorize.latents.latent import Latent

        return getattr(Latent({r: torch.from_numpy(z) for r, z in self._levels.items()}), name)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread, as with torch: the number of threads must not show in the last bits.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime's own kinds, which have no base that is public
        raise WeightsError(
            f"{printable_name(path)}: missing, damaged or of no use for this onnxruntime; remove it, and it "
            "is written anew"
        ) from error
