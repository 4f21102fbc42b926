"""One network shared by several processes: on a GPU, whose memory does not hold many.

The processes send L* of windows, 256 x 256, and latent codes, and receive ab. The process that holds the
network caches conditions by their L*, so that a photo is conditioned once however many samples it gets.
"""

import signal
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.engines.interface import Coarse, LoadedNetwork
from cinn_colorize.files.processes import CONTEXT, end_with_parent
from cinn_colorize.files.signals import blocked_in_children
from cinn_colorize.latents.noise import Floats, LatentLevels, Shapes

if TYPE_CHECKING:
    from cinn_colorize.models import PhotoModelInfo

_CACHED = 64  # conditions, of 1 to 10 MiB each; a photo has 33 at most


class _Model:
    """The network in its own process, by the methods of :class:`Network`, one call at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._conditions = OrderedDict[bytes, Any]()

    def load(self, spec: ModelSpec) -> None:
        self._loaded = spec.load()

    def facts(self) -> "tuple[tuple[PhotoModelInfo, str, str, float], Shapes, int | None]":
        """Return what recipes say of the network, and the attributes of :class:`Network`."""
        info, sha256, precision, network, guidance = self._loaded
        return (info, sha256, precision, guidance), dict(network.latent_shapes), network.coarse_size

    def coarse(self, latents: LatentLevels, conditions: Sequence[Floats]) -> Coarse:
        with self._turn:
            return self._loaded.network.coarse(latents, [self._condition(L) for L in conditions])

    def decode(
        self, latents: LatentLevels, condition: Floats, coarse: Coarse | None = None
    ) -> tuple[Floats, NDArray[np.float64]]:
        with self._turn:
            return self._loaded.network.decode(latents, self._condition(condition), coarse)

    def encode(self, ab: Floats, condition: Floats) -> LatentLevels:
        with self._turn:
            return self._loaded.network.encode(ab, self._condition(condition))

    def log_prob(self, ab: Floats, condition: Floats) -> float:
        with self._turn:
            return self._loaded.network.log_prob(ab, self._condition(condition))

    def _condition(self, L: Floats) -> Any:
        key = L.tobytes()
        if key not in self._conditions:
            self._conditions[key] = self._loaded.network.condition(L)
            if len(self._conditions) > _CACHED:
                self._conditions.popitem(last=False)
        self._conditions.move_to_end(key)
        return self._conditions[key]


class _Manager(BaseManager):
    pass


_Manager.register("Model", _Model)


@dataclass(frozen=True)
class ModelClient:
    """A handle on the network, which can be sent to other processes."""

    model: Any

    def load(self) -> LoadedNetwork:
        """Return that network, as this process has it."""
        (info, sha256, precision, guidance), *attributes = self.model.facts()
        return LoadedNetwork(info, sha256, precision, _ServedNetwork(self.model, *attributes), guidance)


class ModelServer:
    """The process that holds the network; one that cannot be loaded is a WeightsError."""

    def __init__(self, spec: ModelSpec) -> None:
        self._manager = _Manager(ctx=CONTEXT)
        with blocked_in_children(signal.SIGINT):
            self._manager.start(end_with_parent)
        model = self._manager.Model()  # type: ignore[attr-defined]
        model.load(spec)
        self.network = ModelClient(model)

    @property
    def lives(self) -> bool:
        return bool(self._manager._process.is_alive())  # type: ignore[attr-defined]

    def end(self) -> None:
        self._manager.shutdown()


class _ServedNetwork:
    """The network of another process; see :class:`cinn_colorize.engines.interface.Network`."""

    def __init__(self, model: _Model, latent_shapes: Shapes, coarse_size: int | None) -> None:
        self.latent_shapes, self.coarse_size = latent_shapes, coarse_size
        self.coarse, self.decode = model.coarse, model.decode
        self.encode, self.log_prob = model.encode, model.log_prob

    def condition(self, L: Floats) -> Floats:
        """Return L* itself, by which the other process finds the condition."""
        return np.ascontiguousarray(L, np.float32)
