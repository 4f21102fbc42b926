"""The results of a photo that exist before it is colorized.

A result is done if the manifest lists it, or else if its recipe is the one wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.plan import Plan, State, Task
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.files.messages import printable_name
from cinn_colorize.methods.recipe import differences, recipe_at
from cinn_colorize.methods.samples import in_file

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo


@dataclass(frozen=True)
class ResultStates:
    """The states of a photo's pictures, by seed, and of its contact sheet, if one is wanted."""

    pictures: Mapping[int, State]
    sheet: State | None = None

    @property
    def missing(self) -> frozenset[int]:
        """Seeds of the pictures to write."""
        return frozenset(seed for seed, state in self.pictures.items() if state is State.MISSING)

    @property
    def right(self) -> list[int]:
        """Seeds of the pictures that are as wanted."""
        return [seed for seed, state in self.pictures.items() if state is State.RIGHT]

    @property
    def composed(self) -> frozenset[int]:
        """Seeds of the samples that are required at full size."""
        return self.missing.union(self.right if self.sheet is State.MISSING else ())

    def outputs(self, task: Task, plan: Plan) -> list[Path]:
        """Return the paths of what is to be written, the sheet last."""
        sheet = [task.sheet] if task.sheet and self.sheet is State.MISSING else []
        return [*(task.output(seed, plan) for seed in sorted(self.missing)), *sheet]


class ExistingResults:
    """What exists of the results of a photo, which is opened and has its frame."""

    def __init__(self, task: Task, plan: Plan, colorizer: BaseColorizer, photo: Photo) -> None:
        self._task, self._plan, self._colorizer, self._photo = task, plan, colorizer, photo
        self._recipes: dict[int, dict[str, str]] = {}  # by how many pages after the photo
        self._found = cache(partial(recipe_at, max_pixels=plan.max_pixels))

    def states(self, seeds: Iterable[int]) -> ResultStates:
        """Return the states of the pictures of the samples that are kept, and of the sheet."""
        states = ResultStates({seed: self._picture(seed) for seed in seeds})
        shown = self._task.sheet and (states.missing or states.right)
        return replace(states, sheet=self._sheet(states)) if shown else states

    def appeared(self, seed: int) -> State:
        """Return the state of a picture that another process has written meanwhile; see :meth:`states`."""
        self._found.cache_clear()
        return self._compared(self._task.output(seed, self._plan), seed)

    def picked(self) -> list[int]:
        """Return the seeds of the pictures that were picked from the samples that the plan would draw."""
        return [seed for seed in self._plan.seeds if self._is_picked(seed)]

    def _is_picked(self, seed: int) -> bool:
        output = self._task.output(seed, self._plan)
        if output in self._task.listed:
            return True
        if not self._plan.keeps(output) or self._differences(output, seed) is not None:
            return False
        return self._found(output, page=1).get("picked") == self._plan.picked

    def sheet_recipe(self, seeds: Iterable[int]) -> dict[str, str]:
        """Return what the file of a contact sheet of these samples says of it."""
        shown = " ".join(map(str, sorted(seeds)))
        return {**self._shared(), "sheet": "true", "order": self._plan.method.order, "seeds": shown}

    def _picture(self, seed: int) -> State:
        output = self._task.output(seed, self._plan)
        if output in self._task.listed:
            return State.RIGHT
        return self._compared(output, seed) if self._plan.keeps(output) else State.MISSING

    def _compared(self, output: Path, seed: int) -> State:
        different = self._differences(output, seed)
        if different is None:
            return State.RIGHT
        self._leave(output, different)
        return State.OTHER

    def _differences(self, output: Path, seed: int) -> dict[str, str] | None:
        """Say how a picture differs from that wanted: None if it does not, empty if a page has no recipe."""
        for page in range(self._photo.together):
            recipe = self._found(output, page=page + 1)
            wanted = {**self._shared(page), "seed": str(seed)}
            different = differences(recipe, in_file(wanted, format_of_name(output), self._plan.encoding))
            if not recipe or different:
                return different if recipe else {}
        return None

    def _sheet(self, states: ResultStates) -> State:
        """Return the state of the sheet; one that shows other or older samples of the photo is missing."""
        sheet = self._task.sheet
        assert sheet
        listed = sheet in self._task.listed
        if not (listed or self._plan.keeps(sheet)):
            return State.MISSING
        recipe = recipe_at(sheet)
        wanted = {"original": self._photo.sha256}
        different = differences({key: recipe.get(key, "") for key in wanted}, wanted)
        if "sheet" not in recipe or different:
            self._leave(sheet, different if "sheet" in recipe else {})
            return State.OTHER
        same = not states.missing and (listed or not differences(recipe, self.sheet_recipe(states.right)))
        return State.RIGHT if same else State.MISSING

    def _shared(self, page: int = 0) -> dict[str, str]:
        """Return what the recipes of all samples of the photo, or of a page after it, say."""
        if page not in self._recipes:
            plan, photo = self._plan, self._photo
            if page:
                photo = plan.page(photo, photo.page + page).framed(plan.request.frame)
            self._recipes[page] = self._colorizer.recipe(plan.drawn, plan.request.rendering, photo)
        return self._recipes[page]

    def _leave(self, output: Path, different: Mapping[str, str]) -> None:
        """See :meth:`SamplesPlan.leave`; what no sample can be made of is told first."""
        self._plan.method.check(self._colorizer, self._photo)
        self._plan.leave(printable_name(self._task.input.path), output, different)
