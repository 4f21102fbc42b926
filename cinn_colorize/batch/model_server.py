"""One network for several processes: that of a GPU, which has no room for many.

The processes send what the network sees of a photo, 256 x 256 luminances, and get samples.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from typing import TYPE_CHECKING, Any, cast

from cinn_colorize.batch.processes import CONTEXT, ModelSpec, block_sigint_in_children, end_with_parent
from cinn_colorize.colorizer import Colorizer, Conditioned
from cinn_colorize.samples import NetworkInput, PhotoLike

if TYPE_CHECKING:
    from cinn_colorize.models import PhotoModelInfo


class _Model:
    """The network in its own process; one photo goes through it at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def load(self, spec: ModelSpec) -> None:
        """Get it."""
        self._colorizer = spec.colorizer()

    def facts(self) -> tuple[PhotoModelInfo, str, str]:
        """What recipes say of it."""
        return self._colorizer.info, self._colorizer.sha256, self._colorizer.precision

    def ask(self, reduced: NetworkInput, method: str, *args: Any, **options: Any) -> bytes:
        """Call a method of the conditioned photo; its answer is pickled, for torch would share its memory."""
        with self._turn:
            conditioned = self._colorizer.condition_reduced(reduced)
            return pickle.dumps(getattr(conditioned, method)(*args, **options))


class _Manager(BaseManager):
    pass


_Manager.register("Model", _Model)


@dataclass(frozen=True)
class ModelClient:
    """A way to the network, which can be sent to other processes."""

    model: Any

    def colorizer(self) -> Colorizer:
        """A colorizer whose samples come from there."""
        return _Remote(self.model)


class ModelServer:
    """The process that has the network.

    Args:
        spec: how it is had.

    Raises:
        WeightsError: it can't be.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._manager = _Manager(ctx=CONTEXT)
        with block_sigint_in_children():
            self._manager.start(end_with_parent)
        model = self._manager.Model()  # type: ignore[attr-defined]
        model.load(spec)
        self.network = ModelClient(model)

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return bool(self._manager._process.is_alive())  # type: ignore[attr-defined]

    def end(self) -> None:
        """End it."""
        self._manager.shutdown()


class _Remote(Colorizer):
    def __init__(self, model: _Model) -> None:
        self._model = model
        self.info, self.sha256, self.precision = model.facts()

    def condition(self, photo: PhotoLike) -> Conditioned:
        return cast(Conditioned, _RemoteConditioned(self._model, self.reduce(photo)))


class _RemoteConditioned:
    """Its methods are those of :class:`Conditioned`."""

    def __init__(self, model: _Model, reduced: NetworkInput) -> None:
        self._model, self._reduced = model, reduced

    @property
    def whole(self) -> _RemoteConditioned:
        """See :attr:`Conditioned.whole`."""
        return _RemoteConditioned(self._model, self._reduced._replace(panorama=None))

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *args, **options: pickle.loads(self._model.ask(self._reduced, method, *args, **options))
