"""Compute a model's flow in onnxruntime; torch is never imported.

Samples equal those of :class:`cinn_colorize.Colorizer` except for rounding.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import EngineError, WeightsError
from cinn_colorize.files import printable_name
from cinn_colorize.latents.noise import Shapes
from cinn_colorize.models import MODELS, PhotoModelInfo
from cinn_colorize.onnx.files import AB, CONDITION, LATENT, LOG_DET, LUMINANCE, SAMPLE
from cinn_colorize.samples import Floats, LatentLevels

Tensors = dict[str, Floats]  # by their names in the files


class OnnxColorizer(BaseColorizer):
    """Draws colorizations of gray photos as :class:`cinn_colorize.Colorizer` does, from ONNX files.

    Args:
        model: name of the model in the registry.
        sha256: SHA-256 of the weights that the files were made from.
        folder: folder with the files.

    Raises:
        WeightsError: the files are missing or damaged.
    """

    def __init__(self, model: str, sha256: str, folder: Path) -> None:
        info = MODELS[model]
        assert isinstance(info, PhotoModelInfo)
        super().__init__(info, sha256, "fp32", OnnxNetwork(folder))


class OnnxNetwork:
    """Computes a model in onnxruntime: only g, because the files do not hold f.

    See :class:`cinn_colorize.conditioned.Network`.

    Args:
        folder: folder with the files.

    Raises:
        WeightsError: the files are missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._condition, self._sample = _session(folder / CONDITION), _session(folder / SAMPLE)
        self._size = tuple(self._condition.get_inputs()[0].shape[2:])
        self._shared = [output.name for output in self._condition.get_outputs()]
        codes = (input for input in self._sample.get_inputs() if input.name not in self._shared)
        self.latent_shapes: Shapes = {
            int(code.name.removeprefix(LATENT)): tuple(code.shape[1:]) for code in codes
        }

    def condition(self, L: Floats) -> Tensors:
        """See :meth:`Network.condition`; the result is by the names in the files."""
        if L.shape != self._size:
            raise ValueError(f"L must have the shape {self._size}, not {L.shape}")
        batch = np.ascontiguousarray(L, np.float32)[None, None]
        values = self._condition.run(self._shared, {LUMINANCE: batch})
        return dict(zip(self._shared, values, strict=True))

    def decode(self, latents: LatentLevels, condition: Tensors) -> tuple[Floats, NDArray[np.float64]]:
        """See :meth:`Network.decode`; the files decode one code at a time."""
        number = len(next(iter(latents.values())))
        codes = ({r: z[k : k + 1] for r, z in latents.items()} for k in range(number))
        decoded = [self._decode_one(code, condition) for code in codes]
        return np.concatenate([ab for ab, _ in decoded]), np.array([log_prob for _, log_prob in decoded])

    def encode(self, ab: Floats, condition: Tensors) -> NoReturn:
        """See :meth:`Network.encode`.

        Raises:
            EngineError: always.
        """
        raise EngineError("onnxruntime cannot encode colours; use --engine torch")

    def differentiable(self) -> NoReturn:
        """See :meth:`Network.differentiable`.

        Raises:
            EngineError: always.
        """
        raise EngineError("onnxruntime computes no gradients; use --engine torch")

    def _decode_one(self, latents: LatentLevels, condition: Tensors) -> tuple[Floats, float]:
        codes = {f"{LATENT}{r}": np.ascontiguousarray(z) for r, z in latents.items()}
        ab, log_det = self._sample.run([AB, LOG_DET], {**codes, **condition})
        squares = sum(float(np.square(z, dtype=np.float64).sum()) for z in codes.values())
        size = sum(z.size for z in codes.values())
        return ab, -0.5 * (squares + size * math.log(2 * math.pi)) - float(log_det[0])


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread, as with torch: the number of threads must not change the last bits.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no public base class
        raise WeightsError(
            f"{printable_name(path)}: missing, damaged or not supported by this onnxruntime; remove it, so "
            "that it is written again"
        ) from error
