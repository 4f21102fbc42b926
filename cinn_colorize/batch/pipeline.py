"""A photo's way from its file to its results."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from cinn_colorize.batch.events import Event, Failure, Finished, Result, Status
from cinn_colorize.batch.plan import Plan, Task
from cinn_colorize.errors import CinnError, OutputError
from cinn_colorize.files.atomic import mode_like
from cinn_colorize.files.messages import printable_name

if TYPE_CHECKING:
    from cinn_colorize.batch.model_server import ModelClient
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.engines.choice import ModelSpec
    from cinn_colorize.imaging.photo import Photo


class LeftOutError(Exception):
    """A photo of a folder is a picture made by this program."""


def load_colorizer(source: ModelSpec | ModelClient) -> BaseColorizer:
    """Load a network, or share the one of another process; return what draws with it.

    Raises:
        WeightsError: it cannot be loaded.
        ValueError: the guidance is not possible with these weights, or this machine lacks the device.
    """
    network = source.load()
    from cinn_colorize.colorizer import BaseColorizer  # which another thread may be importing meanwhile

    return BaseColorizer(*network)


def loading_colorizer(spec: ModelSpec) -> BaseColorizer | Future[BaseColorizer]:
    """Load a network, in onnxruntime while this thread does something else; see :func:`load_colorizer`."""
    if not spec.graphs:
        return load_colorizer(spec)
    pool = ThreadPoolExecutor(1, "cinn-colorize-loading")
    loaded = pool.submit(load_colorizer, spec)
    pool.shutdown(wait=False)
    return loaded


class Job:
    """Photos colorized one after the other; the first one is opened while the network is being loaded."""

    def __init__(self, colorizer: BaseColorizer | Future[BaseColorizer], plan: Plan) -> None:
        self._colorizer, self.plan = colorizer, plan

    @property
    def colorizer(self) -> BaseColorizer:
        """The colorizer, when it is loaded; raises what :func:`load_colorizer` does."""
        return self._colorizer.result() if isinstance(self._colorizer, Future) else self._colorizer

    def events(self, task: Task) -> Iterator[Event]:
        """Yield what :meth:`colorize` yields, and how it ended, whatever happens."""
        path, written = task.input.path, 0
        try:
            for result in self.colorize(task):
                written += not result.existed
                yield result
        except LeftOutError:
            yield Finished(path, left_out=True)
        except Exception as error:  # whatever it is, the batch continues
            unexpected = f"{printable_name(path)}: {error!r}; --debug shows where"
            message = str(error) if isinstance(error, CinnError) else unexpected
            yield Failure(path, message, isinstance(error, OutputError), traceback.format_exc())
        else:
            yield Finished(path, written)

    def colorize(self, task: Task) -> Iterator[Result]:
        """Draw and write the wanted samples of a photo, and its sheet; yield each result that is there.

        Raises:
            PhotoError: the photo cannot be read, or a result cannot be written, or exists and was made in
                another way.
            LeftOutError: the photo is a picture made by this program.
        """
        status = Status.of(task)
        try:
            from cinn_colorize.batch.colorizing import Colorizing

            start = time.perf_counter()
            photo = self._open(task)
            yield from Colorizing(self.colorizer, self.plan, task, photo, status, start).results()
        except OutputError:
            raise
        except Exception:
            status.check(task)  # what is being written looks damaged
            raise

    def _open(self, task: Task) -> Photo:
        plan, path = self.plan, task.input.path
        photo = plan.open(path if task.content is None else task.content, printable_name(path))
        photo.mode &= mode_like(*plan.method.paths)
        if photo.recipe and not task.input.named:
            raise LeftOutError
        photo = photo.framed(plan.request.frame)
        plan.check(photo, task.outputs[0])
        return photo
