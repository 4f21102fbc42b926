"""The results of one opened photo: what is to be done, then drawn, then saved."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.events import Result, Status
from cinn_colorize.batch.existing import ExistingResults, ResultStates, State
from cinn_colorize.batch.plan import Existing, Plan, Task
from cinn_colorize.batch.result_files import check_names, make_folder
from cinn_colorize.errors import ExistsError
from cinn_colorize.imaging.bands import threads
from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tile

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.levels import PerLevel
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Colorization, Sample

_COMPOSED_AT_ONCE = 2**28  # bytes of pictures made in one pass through a photo


class Colorizing:
    """One photo, opened and with its frame, on its way to its results.

    ``status`` is that of its file before it was opened, at ``start`` by ``time.perf_counter``.
    """

    def __init__(
        self, colorizer: BaseColorizer, plan: Plan, task: Task, photo: Photo, status: Status, start: float
    ) -> None:
        self._colorizer, self._plan, self._task, self._photo = colorizer, plan, task, photo
        self._status, self._last = status, start
        self._existing = ExistingResults(task, plan, colorizer, photo)

    def results(self) -> Iterator[Result]:
        """Make all results that are missing; see :meth:`Job.colorize`."""
        states, samples = self._planned()
        yield from self._unlisted(states, samples)
        outputs = states.outputs(self._task, self._plan)
        if not outputs:
            return
        check_names(outputs)
        self._photo.log_notes(pages_chosen=self._plan.pages is not None)
        tiles: dict[int, Tile] = {}
        for colorization, state in self._saved(self._composed(states, samples), states.missing):
            seed, sample = colorization.seed, colorization.sample
            if state is State.OTHER:
                continue
            if seed in states.missing:
                output, existed = self._task.output(seed, self._plan), state is State.RIGHT
                yield self._result(output, seed, sample.temperature, sample.log_prob, existed=existed)
            if states.sheet is State.MISSING:
                tiles[seed] = tile(colorization)
        if self._task.sheet and tiles:
            self._save_sheet(self._task.sheet, tiles)
            yield self._result(self._task.sheet)

    def _planned(self) -> tuple[ResultStates, list[Sample]]:
        """Return the state of every result, and the samples if it takes these to know which are kept."""
        if not self._plan.picks:
            return self._existing.states(self._plan.seeds), []
        picked = self._existing.picked()
        if len(picked) == self._plan.method.kept:
            states = self._existing.states(picked)
            if not states.outputs(self._task, self._plan):
                return states, []
        samples = self._plan.method.samples(self._colorizer, self._photo)
        return self._existing.states([sample.seed for sample in samples]), samples

    def _unlisted(self, states: ResultStates, samples: list[Sample]) -> Iterator[Result]:
        """Yield the results that are right, but not in the manifest."""
        log_probs = {sample.seed: sample.log_prob for sample in samples}
        for seed in states.right:
            output = self._task.output(seed, self._plan)
            if output in self._task.wanted:
                yield self._result(output, seed, self._plan.temperature, log_probs.get(seed), existed=True)
        if self._task.sheet in self._task.wanted and states.sheet is State.RIGHT:
            assert self._task.sheet
            yield self._result(self._task.sheet, existed=True)

    def _composed(self, states: ResultStates, samples: list[Sample]) -> Iterator[list[Colorization]]:
        """Yield the samples that are required at full size, as many at a time as memory may hold."""
        plan, composed = self._plan, states.composed
        at_once = max(1, _COMPOSED_AT_ONCE // (self._photo.together * self._photo.picture_bytes))
        parts = plan.method.parts(self._colorizer, self._photo, composed)
        for part in [samples] if plan.picks else parts:
            required = [sample for sample in part if sample.seed in composed]
            for i in range(0, len(required), at_once):
                for folder in {output.parent for output in self._task.wanted}:
                    make_folder(folder, plan.folder)
                yield self._colorizer.compose(self._photo, required[i : i + at_once], plan.rendering)

    def _saved(
        self, composed: Iterable[list[Colorization]], missing: Collection[int]
    ) -> Iterator[tuple[Colorization, State]]:
        """Save those that are missing, several at the same time, and yield all in turn when they are saved.

        Each comes with the state that its file had before; another process may have written it meanwhile.
        """
        for colorizations in composed:
            self._status.check(self._task)
            new = [colorization for colorization in colorizations if colorization.seed in missing]
            with _thread_pool() as pool:
                written = pool.map(self._save, new, map(self._other_pages, new))
                for colorization in colorizations:
                    state = State.RIGHT
                    if colorization.seed in missing:
                        state = State.MISSING if next(written) else self._existing.appeared(colorization.seed)
                    yield colorization, state

    def _save(self, colorization: Colorization, other_pages: list[Colorization]) -> bool:
        """Write a file; return whether it did not exist, or was to be replaced."""
        try:
            colorization.save(
                self._task.output(colorization.seed, self._plan),
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

    def _save_sheet(self, path: Path, tiles: dict[int, Tile]) -> None:
        plan, photo = self._plan, self._photo
        first = plan.method.first_tiles(self._colorizer, photo)
        sheet = contact_sheet([*first, *tiles.values()])
        save_sheet(sheet, path, self._existing.sheet_recipe(tiles), mode=photo.mode)

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


@contextmanager
def _thread_pool() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of the threads of a photo; if one of them fails, pending work is cancelled."""
    pool = ThreadPoolExecutor(threads())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
