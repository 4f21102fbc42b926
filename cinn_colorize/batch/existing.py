"""The results of a photo that exist before it is colorized, compared with those wanted by their recipes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.plan import Existing, Plan, Task
from cinn_colorize.errors import PhotoError
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.files.messages import printable_name
from cinn_colorize.latents.levels import format_levels
from cinn_colorize.methods.recipe import differences, recipe_at
from cinn_colorize.methods.samples import in_file

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo

log = logging.getLogger(__name__)

# Not there (or to be replaced), as wanted, or made in another way and left alone.
State = Enum("State", ["MISSING", "RIGHT", "OTHER"])


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
        self._wanted, self._existing = frozenset(task.wanted), frozenset(task.existing)

    def states(self, seeds: Iterable[int]) -> ResultStates:
        """Return the states of the pictures of the samples that are kept, and of the sheet.

        Raises:
            PhotoError: a result was made in another way, and is not to be skipped; or the photo cannot be
                colorized with what the call says of it.
        """
        states = ResultStates({seed: self._picture(seed) for seed in seeds})
        shown = self._task.sheet and (states.missing or states.right)
        return replace(states, sheet=self._sheet(states)) if shown else states

    def appeared(self, seed: int) -> State:
        """Return the state of a picture that another process has written meanwhile.

        Raises:
            PhotoError: it was made in another way, and is not to be skipped.
        """
        return self._compared(self._task.output(seed, self._plan), seed)

    def picked(self) -> list[int]:
        """Return the seeds of the pictures that were picked from the samples that the plan would draw."""
        plan = self._plan
        outputs = {seed: self._task.output(seed, plan) for seed in plan.seeds}
        return [seed for seed, output in outputs.items() if self._is_picked(output, seed)]

    def _is_picked(self, output: Path, seed: int) -> bool:
        if output not in self._wanted:  # the manifest says that it is right
            return True
        if output not in self._existing or self._differences(output, seed) is not None:
            return False
        return recipe_at(output, self._plan.max_pixels).get("picked") == self._plan.picked

    def sheet_recipe(self, seeds: Iterable[int]) -> dict[str, str]:
        """Return what the file of a contact sheet of these samples says of it."""
        shown = " ".join(map(str, sorted(seeds)))
        return {**self._shared(), "sheet": "true", "order": self._plan.method.order, "seeds": shown}

    def _picture(self, seed: int) -> State:
        output = self._task.output(seed, self._plan)
        if output not in self._wanted:  # the manifest says that it is right
            return State.RIGHT
        return self._compared(output, seed) if output in self._existing else State.MISSING

    def _compared(self, output: Path, seed: int) -> State:
        different = self._differences(output, seed)
        if different is None:
            return State.RIGHT
        self._leave(output, different)
        return State.OTHER

    def _differences(self, output: Path, seed: int) -> dict[str, str] | None:
        """Return what to say of how a picture differs from that wanted.

        None if it does not; empty if a page has no recipe.
        """
        for page in range(self._photo.together):
            recipe = recipe_at(output, self._plan.max_pixels, page + 1)
            wanted = {**self._shared(page), "seed": str(seed)}
            different = differences(recipe, in_file(wanted, format_of_name(output), self._plan.encoding))
            if not recipe or different:
                return different if recipe else {}
        return None

    def _sheet(self, states: ResultStates) -> State:
        """Return the state of the sheet; one that shows something else, or an older picture, is missing."""
        sheet = self._task.sheet
        assert sheet
        if sheet in self._wanted - self._existing:
            return State.MISSING
        recipe = recipe_at(sheet)
        if "sheet" not in recipe:
            self._leave(sheet, {})
            return State.OTHER
        listed = sheet not in self._wanted  # in the manifest
        same = not states.missing and (listed or not differences(recipe, self.sheet_recipe(states.right)))
        return State.RIGHT if same else State.MISSING

    def _shared(self, page: int = 0) -> dict[str, str]:
        """Return what the recipes of all samples of the photo, or of a page after it, say."""
        if page not in self._recipes:
            plan, photo = self._plan, self._photo
            drawn = {**plan.method.entries, "temperature": format_levels(plan.temperature)}
            photo = plan.page(photo, photo.page + page) if page else photo
            self._recipes[page] = self._colorizer.recipe(drawn, plan.rendering, photo)
        return self._recipes[page]

    def _leave(self, output: Path, different: Mapping[str, str]) -> None:
        """Say that a file is left alone which was made in another way, or not by this program.

        Raises:
            PhotoError: it says that, unless such files are skipped.
        """
        self._plan.method.check(self._colorizer, self._photo)
        name, how = printable_name(output), " and ".join(different.values())
        if self._plan.existing is Existing.SKIP:
            reason = f"it was made {how}" if how else "it has no recipe"
            log.warning(f"{name}: left as it is; {reason}")
            return
        keys = [key for key in self._plan.names if key in different]
        if not different:
            problem = "exists; add --overwrite or --skip-existing, or choose another --output-dir"
        elif keys:
            problem = (
                f"exists, made {how}; add --overwrite, choose another --output-dir, or put {{{keys[0]}}} "
                "into --output"
            )
        else:
            problem = f"exists, made {how}; add --overwrite, or choose another --output-dir"
        raise PhotoError(f"{printable_name(self._task.input.path)}: {name} {problem}")
