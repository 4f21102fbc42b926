"""Open the ONNX files of a model in onnxruntime.

Light: imports only what this takes, so that other modules can be imported meanwhile.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime

from cinn_colorize.engines.onnx.names import COARSE, CONDITION, SAMPLE, STEP
from cinn_colorize.engines.onnx.shipped import contents
from cinn_colorize.errors import WeightsError
from cinn_colorize.files.messages import printable_name
from cinn_colorize.files.tensorfile import arrays


class Sessions:
    """The files of a model, opened; see :mod:`cinn_colorize.engines.onnx.names`.

    Args:
        folder: folder with the files.
        weights: weights file, if the files hold none; see :mod:`cinn_colorize.engines.onnx.shipped`.

    Attributes:
        condition, sample, coarse: sessions of these files; ``coarse`` is None without passes.
        steps: sessions of the steps of the passes, in the order of g.
        facts: metadata of ``sample``.

    Raises:
        WeightsError: the files or the weights are missing or damaged.
    """

    def __init__(self, folder: Path, weights: Path | None = None) -> None:
        self._folder, self._weights = folder, weights
        self._lacks: dict[str, dict[str, list[int]]] = contents(folder)["files"] if weights else {}
        with ThreadPoolExecutor(2) as pool:  # the first takes as long as all others
            condition, sample = (pool.submit(self._open, file) for file in (CONDITION, SAMPLE))
            self.sample = sample.result()
            self.facts: dict[str, str] = self.sample.get_modelmeta().custom_metadata_map
            steps = [pool.submit(self._open, STEP.format(k)) for k in range(int(self.facts["passes"]))]
            self.coarse = self._open(COARSE) if steps else None
            self.condition, self.steps = condition.result(), [step.result() for step in steps]

    def _open(self, file: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        # One thread, as with torch: the number of threads must not change the last bits.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        path = self._folder / file
        if self._weights:
            tensors = arrays(self._weights, self._lacks[file])
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(tensor) for tensor in tensors.values()]
            options.add_external_initializers([*tensors], values)
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no public base class
            again = "reinstall cinn-colorize" if self._weights else "export it again"
            raise WeightsError(
                f"{printable_name(path)}: missing, damaged or not supported by this onnxruntime; {again}"
            ) from error
