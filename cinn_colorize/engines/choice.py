"""How a network is loaded, by torch or onnxruntime, which starts sooner; imports neither before."""

import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.errors import WeightsError, printable_name
from cinn_colorize.imaging.options import Precision

if TYPE_CHECKING:
    from cinn_colorize.engines.interface import LoadedNetwork

Engine = StrEnum("Engine", ["auto", "torch", "onnx"])

# What drivers of GPUs that torch may use show: of NVIDIA, of its Jetson, of AMD, and of both in WSL.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
_GPU_LIBRARIES = ("nvcuda", "amdhip64", "amdhip64_6", "amdhip64_7")  # on Windows


@dataclass(frozen=True)
class ModelSpec:
    """How a process loads the network; see :class:`cinn_colorize.Colorizer`."""

    model: str
    weights: Path
    sha256: str
    device: str = "auto"
    precision: str = Precision.fp32
    guidance: float | None = None
    encodes: bool = False  # whether what is drawn requires f, see :attr:`Method.encodes`
    engine: Engine = Engine.auto  # auto is onnxruntime where it does all that is required

    @property
    def graphs(self) -> Path | None:
        """Folder of the graphs that onnxruntime computes, None for torch; or a WeightsError."""
        if self.engine is Engine.torch or (self.engine is Engine.auto and not self._suits_onnxruntime):
            return None
        from cinn_colorize.engines.onnx.files import graphs_for

        graphs = graphs_for(self.model, self.weights)
        if self.engine is Engine.onnx and not graphs:
            problem = "onnxruntime has no graph of this architecture; use --engine torch"
            raise WeightsError(f"{printable_name(self.weights)}: {problem}")
        return graphs

    @property
    def _suits_onnxruntime(self) -> bool:
        torch = find_spec("torch") is not None  # which the program without Python does not have
        on_cpu = self.device == "cpu" or (self.device == "auto" and not (torch and has_gpu()))
        can = on_cpu and self.precision == Precision.fp32 and not (torch and self.encodes)
        return can and find_spec("onnxruntime") is not None

    def load(self) -> "LoadedNetwork":
        """Load the network; WeightsError if that fails, ValueError for a wrong guidance or device."""
        if graphs := self.graphs:
            from cinn_colorize.engines.onnx.files import Sessions

            # First: in a thread of its own, while another one imports what the next line needs.
            sessions = Sessions(graphs, self.weights)
            from cinn_colorize.engines.onnx.engine import onnx_network

            return onnx_network(self.model, self.sha256, sessions, self.guidance)
        from cinn_colorize.engines.pytorch import torch_network

        return torch_network(self.model, self.weights, self.device, self.precision, self.guidance)


def has_gpu() -> bool:
    """Return whether torch may find a GPU here. It knows better, but takes seconds to be imported."""
    if sys.platform == "win32":
        import ctypes.util

        return any(map(ctypes.util.find_library, _GPU_LIBRARIES))
    if sys.platform == "linux":
        return any(Path(device).exists() for device in _GPU_DEVICES)
    import platform

    return not (sys.platform == "darwin" and platform.machine() == "x86_64")
