"""A photo's way from its file to its results; what computes is imported when there is a photo."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.plan import Event, Existing, Failure, Finished, Plan, Result, State, Task
from cinn_colorize.batch.result_files import ExistingResults, ResultStates, check_names, make_folder
from cinn_colorize.errors import ExistsError, OutputError, PhotoError, printable_name
from cinn_colorize.files.signals import ctrl_c_later

if TYPE_CHECKING:
    from cinn_colorize.batch.model_server import ModelClient
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.engines.choice import ModelSpec
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.levels import PerLevel
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Colorization, Sample

_COMPOSED_AT_ONCE = 2**28  # bytes of pictures made in one pass through a photo
_MOMENT = 0.1  # seconds between two looks whether Ctrl-C was pressed


class Job:
    """Photos colorized one after the other; the first one is opened while onnxruntime loads the network."""

    def __init__(self, source: ModelSpec | ModelClient, plan: Plan) -> None:
        self.plan, self._source = plan, source
        self._colorizer: BaseColorizer | None = None
        self._loading: Future[BaseColorizer] | None = None

    def load(self) -> BaseColorizer:
        """Return the colorizer, when its network is loaded; one that cannot be is a WeightsError."""
        if not self._colorizer:
            self._colorizer = self._loading.result() if self._loading else _load(self._source)
        return self._colorizer

    def events(self, item: Task | Event) -> Iterator[Event]:
        """Do a task; yield its results, and how it ended, whatever happens. Events are passed on."""
        if not isinstance(item, Task):
            yield item
            return
        path, written, results = item.input.path, 0, self.colorize(item)
        try:
            for result in results:
                written += not result.existed
                yield result
        except LeftOutError:
            yield Finished(path, left_out=True)
        except Exception as error:  # whatever it is, the batch continues
            yield Failure.of(path, error)
        else:
            yield Finished(path, written)

    def colorize(self, task: Task) -> Iterator[Result]:
        """Load the network, and return what draws and writes the wanted results of a photo, one by one."""
        if not self._loading and not self._colorizer:
            if getattr(self._source, "graphs", None):
                pool = ThreadPoolExecutor(1, "cinn-colorize-loading")
                self._loading = pool.submit(_load, self._source)
                pool.shutdown(wait=False)
            else:
                self.load()
        return _Colorizing(self, task).results()


def _load(source: ModelSpec | ModelClient) -> BaseColorizer:
    network = source.load()
    from cinn_colorize.colorizer import BaseColorizer  # which another thread may be importing meanwhile

    return BaseColorizer(*network)


class LeftOutError(Exception):
    """A photo of a folder is a picture made by this program."""


def opened(task: Task, plan: Plan, *, is_sought: bool = True) -> Photo:
    """Open the photo of a task, with its frame; see :meth:`Plan.framed`."""
    path = task.input.path
    photo = plan.open(path if task.content is None else task.content, printable_name(path))
    photo.mode &= plan.method.mode
    if photo.recipe and not task.input.named:
        raise LeftOutError
    photo = plan.framed(photo, is_sought=is_sought)
    plan.check(photo, task.outputs[plan.method.seed])
    return photo


def _status(task: Task) -> tuple[int, float | None, int]:
    """Return what changes when a task's photo does: size, time and number of its file."""
    if task.content is not None:
        return len(task.content), None, 0
    from cinn_colorize.imaging.vips import raising_photo_errors

    with raising_photo_errors(printable_name(task.input.path)):
        status = task.input.path.stat()
    return status.st_size, status.st_mtime, status.st_ino


class _Colorizing:
    def __init__(self, job: Job, task: Task) -> None:
        self._job, self._plan, self._task = job, job.plan, task

    def results(self) -> Iterator[Result]:
        self._status = _status(self._task)
        from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tile

        self._last = time.perf_counter()
        try:
            plan, task = self._plan, self._task
            photo = opened(task, plan)
            self._colorizer, self._photo = self._job.load(), photo
            self._existing = ExistingResults(task, plan, self._colorizer, photo)
            states, samples = self._planned()
            yield from self._unlisted(states, samples)
            outputs = states.outputs(task)
            if not outputs:
                return
            check_names(outputs)
            photo.log_notes(pages_chosen=plan.pages is not None)
            tiles: dict[int, Tile] = {}
            parts = plan.method.parts(self._colorizer, photo, states.composed)
            for part in [samples] if plan.picks else parts:
                for colorization, state in self._saved(part, states):
                    seed, sample = colorization.seed, colorization.sample
                    if state is State.OTHER:
                        continue
                    if seed in states.missing:
                        output, existed = task.outputs[seed], state is State.RIGHT
                        yield self._result(output, seed, sample.temperature, sample.log_prob, existed=existed)
                    if states.sheet is State.MISSING:
                        tiles[seed] = tile(colorization)
            if task.sheet and tiles:
                first = plan.method.first_tiles(self._colorizer, photo)
                recipe = self._existing.sheet_recipe(tiles)
                save_sheet(contact_sheet([*first, *tiles.values()]), task.sheet, recipe, mode=photo.mode)
                yield self._result(task.sheet)
        except OutputError:
            raise
        except Exception:
            self._check_unchanged()  # what is being written looks damaged
            raise

    def _check_unchanged(self) -> None:
        if _status(self._task) != self._status:
            name = printable_name(self._task.input.path)
            raise PhotoError(f"{name}: changed while being read; run again when it is complete")

    def _planned(self) -> tuple[ResultStates, list[Sample]]:
        """Return the state of every result, and the samples if it takes these to know which are kept."""
        if not self._plan.picks:
            return self._existing.states(self._plan.seeds), []
        picked = self._existing.picked()
        if len(picked) == self._plan.method.kept:
            states = self._existing.states(picked)
            if not states.outputs(self._task):
                return states, []
        samples = self._plan.method.samples(self._colorizer, self._photo)
        return self._existing.states([sample.seed for sample in samples]), samples

    def _unlisted(self, states: ResultStates, samples: list[Sample]) -> Iterator[Result]:
        """Yield the results that are right, but not in the manifest."""
        log_probs = {sample.seed: sample.log_prob for sample in samples}
        temperature = self._plan.method.temperature
        for seed in states.right:
            output = self._task.outputs[seed]
            if output not in self._task.listed:
                yield self._result(output, seed, temperature, log_probs.get(seed), existed=True)
        if self._task.sheet and self._task.sheet not in self._task.listed and states.sheet is State.RIGHT:
            yield self._result(self._task.sheet, existed=True)

    def _saved(self, part: list[Sample], states: ResultStates) -> Iterator[tuple[Colorization, State]]:
        """Make pictures, as many at a time as memory may hold, save those missing, and yield all in turn.

        Each comes with the state that its file had before; another process may have written it meanwhile.
        """
        from cinn_colorize.imaging.bands import threads

        plan = self._plan
        at_once = max(1, _COMPOSED_AT_ONCE // (self._photo.together * self._photo.picture_bytes))
        required = [sample for sample in part if sample.seed in states.composed]
        for i in range(0, len(required), at_once):
            for folder in {output.parent for output in self._task.unlisted}:
                make_folder(folder, plan.folder)
            composed = self._colorizer.compose(self._photo, required[i : i + at_once], plan.request.rendering)
            self._check_unchanged()
            new = [colorization for colorization in composed if colorization.seed in states.missing]
            pool = ThreadPoolExecutor(threads())
            with ctrl_c_later() as pressed, ExitStack() as stack:  # what has begun is finished, and counts
                stack.callback(pool.shutdown, cancel_futures=True)
                begun = (one for one in new if not pressed)
                saving = {one.seed: pool.submit(self._save, one, self._other_pages(one)) for one in begun}
                for colorization in composed:
                    seed, state = colorization.seed, State.RIGHT
                    while seed in saving and not pressed and not wait([saving[seed]], _MOMENT).done:
                        pass
                    if pressed:
                        pool.shutdown(cancel_futures=True)
                    if seed in states.missing:
                        if seed not in saving or saving[seed].cancelled():
                            break
                        is_new = saving.pop(seed).result()  # a future kept here would keep its error alive
                        state = State.MISSING if is_new else self._existing.appeared(seed)
                    yield colorization, state

    def _save(self, colorization: Colorization, other_pages: list[Colorization]) -> bool:
        """Write a file; return whether it did not exist, or was to be replaced."""
        try:
            colorization.save(
                self._task.outputs[colorization.seed],
                **vars(self._plan.encoding),
                more=other_pages,
                overwrite=self._plan.existing is Existing.OVERWRITE,
            )
        except ExistsError:
            return False
        return True

    def _other_pages(self, colorization: Colorization) -> list[Colorization]:
        """Colorize the pages that go into a file with the first one, with the same seed."""
        plan, photo = self._plan, self._photo
        method = replace(plan.method, number=1, seed=colorization.seed)
        return [
            method.draw(self._colorizer, plan.page(photo, number))
            for number in range(photo.page + 1, photo.page + photo.together)
        ]

    def _result(
        self,
        output: Path,
        seed: int | None = None,
        temperature: PerLevel | None = None,
        log_prob: float | None = None,
        *,
        existed: bool = False,
    ) -> Result:
        last, self._last = self._last, time.perf_counter()
        size, mtime, _ = self._status
        ms = round(1000 * (self._last - last))
        return Result(self._task.input.path, output, size, mtime, ms, seed, temperature, log_prob, existed)
