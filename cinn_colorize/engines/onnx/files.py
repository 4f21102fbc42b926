"""The ONNX files of a model: names in them, the graphs that this package ships, and opening them.

docs/onnx.md lists what they take and give. The passes of an autoregressive level, if the model has one, are
in the order of g; without them, ``sample.onnx`` takes the code of every level.

The metadata name the model; those of exported files also the weights and the version of this package; those
of ``sample.onnx`` the number of ``passes``, and ``chroma_scale``; those of the passes the ``level``, the name
of its ``features``, for a pass that is guided that of those ``without`` a photo, and the ``order`` in which
places are taken, 1 or -1.

The files that this package ships are graphs without weights, which are taken from a weights file. Beside
them lies ``contents.json``: the ``architecture`` whose graphs they are, the ``defaults`` of what a weights
file may leave out of it, and for each of the ``files`` the shapes of the tensors that it lacks, by their
names in the weights file.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinn_colorize.errors import WeightsError, printable_name
from cinn_colorize.files import tensorfile

if TYPE_CHECKING:
    import onnxruntime

CONDITION, COARSE, SAMPLE = "condition.onnx", "coarse.onnx", "sample.onnx"
STEP = "step{}.onnx"
CONTENTS = "contents.json"
_FOLDER = Path(__file__).parent / "graphs"


def graphs_for(model: str, path: Path) -> Path | None:
    """Return the folder of the graphs that fit a model's weights file, or None; a WeightsError if damaged."""
    folder = _FOLDER / model
    if not folder.is_dir():
        return None
    config, shapes = tensorfile.head(path)
    about = contents(folder)
    architecture = config.get("architecture")
    if config.get("model") != model or not isinstance(architecture, dict):
        return None
    if about["defaults"] | architecture != about["architecture"]:
        return None
    # What is wrong with a file that has other tensors than its architecture, torch says.
    lacks = {name: tuple(shape) for file in about["files"].values() for name, shape in file.items()}
    return folder if all(shapes.get(name) == shape for name, shape in lacks.items()) else None


def contents(folder: Path) -> dict[str, Any]:
    """Return what the file beside shipped graphs says of them."""
    about: dict[str, Any] = json.loads((folder / CONTENTS).read_text())
    return about


class Sessions:
    """The files of a model in a folder, opened in onnxruntime, which is imported only now.

    ``weights`` are read from their file if the files hold none. ``steps`` are in the order of g, ``facts``
    are ``sample``'s metadata; without passes, ``coarse`` is None. WeightsError if one is missing or damaged.
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

    def _open(self, file: str) -> "onnxruntime.InferenceSession":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread, as with torch: the number of threads must not change the last bits.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        path = self._folder / file
        if self._weights:
            tensors = tensorfile.arrays(self._weights, self._lacks[file])
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(tensor) for tensor in tensors.values()]
            options.add_external_initializers([*tensors], values)
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no public base class
            again = "reinstall cinn-colorize" if self._weights else "export it again"
            problem = f"missing, damaged or not supported by this onnxruntime; {again}"
            raise WeightsError(f"{printable_name(path)}: {problem}") from error
