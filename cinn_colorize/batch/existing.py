"""The results of a photo that are there before it is colorized: which are right, going by their recipes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from cinn_colorize.batch.plan import Existing, Plan, Task
from cinn_colorize.errors import PhotoError
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.files.messages import printable_name
from cinn_colorize.latents.levels import format_levels
from cinn_colorize.methods.differences import differences, recipe_at
from cinn_colorize.methods.samples import in_file

if TYPE_CHECKING:
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.imaging.photo import Photo

log = logging.getLogger(__name__)

State = Enum("State", ["MISSING", "RIGHT", "OTHER"])


@dataclass(frozen=True)
class Todo:
    """What is to be done for a photo.

    Attributes:
        states: for each sample that is kept, by its seed, whether its picture is missing (or to be replaced),
            right, or of another kind and left alone.
        sheet: the same for the contact sheet; None if none is wanted.
    """

    states: Mapping[int, State]
    sheet: State | None

    @property
    def missing(self) -> frozenset[int]:
        """Seeds of the pictures to write."""
        return frozenset(seed for seed, state in self.states.items() if state is State.MISSING)

    @property
    def right(self) -> list[int]:
        """Seeds of the pictures that are there."""
        return [seed for seed, state in self.states.items() if state is State.RIGHT]

    @property
    def composed(self) -> frozenset[int]:
        """Seeds of the samples that are required at full size."""
        return self.missing | frozenset(self.right if self.sheet is State.MISSING else ())

    def outputs(self, task: Task, plan: Plan) -> list[Path]:
        """Return the paths of what is to be written, the sheet last."""
        sheet = [task.sheet] if task.sheet and self.sheet is State.MISSING else []
        return [*(task.output(seed, plan) for seed in sorted(self.missing)), *sheet]

    def without(self, seeds: Collection[int]) -> Todo:
        """Return the same without some samples."""
        return replace(self, states={seed: s for seed, s in self.states.items() if seed not in seeds})

    @property
    def anything(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.missing) or self.sheet is State.MISSING


class There:
    """What is there of a photo's results.

    Args:
        task: the photo and its results.
        plan: how they are made.
        colorizer: draws them.
        photo: the photo, opened, with its frame.
    """

    def __init__(self, task: Task, plan: Plan, colorizer: BaseColorizer, photo: Photo) -> None:
        self._task, self._plan, self._colorizer, self._photo = task, plan, colorizer, photo
        self._recipes: dict[int, dict[str, str]] = {}  # by how many pages after the photo
        self._wanted, self._existing = frozenset(task.wanted), frozenset(task.existing)

    def todo(self, seeds: Iterable[int]) -> Todo:
        """Return what is to be done.

        Args:
            seeds: seeds of the samples that are kept.

        Raises:
            PhotoError: a result is there that was made in another way, and is not to be skipped; or the photo
                cannot be colorized with what the call says of it.
        """
        states = {seed: self._sample(seed) for seed in seeds}
        todo = Todo(states, None)
        shown = len(todo.missing) + len(todo.right)
        return replace(todo, sheet=self._sheet(todo)) if self._task.sheet and shown else todo

    def appeared(self, seed: int) -> State:
        """Return the state of a picture that another process has written meanwhile.

        Raises:
            PhotoError: it was made in another way, and is not to be skipped.
        """
        self._existing |= {self._task.output(seed, self._plan)}
        return self._sample(seed)

    def right(self) -> list[int]:
        """Return the seeds of the pictures that are there and right, whichever samples are kept."""
        plan, there = self._plan, []
        for seed in plan.seeds:
            output = self._task.output(seed, plan)
            listed = output not in self._wanted  # in the manifest
            if listed or (output in self._existing and self._differences(output, seed) == {}):
                there.append(seed)
        return there

    def sheet_recipe(self, todo: Todo) -> dict[str, str]:
        """Return what the file of the contact sheet says of it."""
        seeds = " ".join(map(str, sorted([*todo.missing, *todo.right])))
        return {**self._shared(), "sheet": "true", "order": self._plan.method.order, "seeds": seeds}

    def _sample(self, seed: int) -> State:
        output = self._task.output(seed, self._plan)
        if output not in self._wanted:  # the manifest says that it is right
            return State.RIGHT
        if output not in self._existing:
            return State.MISSING
        others = self._differences(output, seed)
        if others == {}:
            return State.RIGHT
        self._leave(output, others or {})
        return State.OTHER

    def _differences(self, output: Path, seed: int) -> dict[str, str] | None:
        """Return what to say of how a picture differs from that wanted; None if a page has no recipe."""
        for page in range(self._photo.together):
            found = recipe_at(output, self._plan.max_pixels, page + 1)
            wanted = {**self._shared(page), "seed": str(seed)}
            others = differences(found, in_file(wanted, format_of_name(output), self._plan.encoding))
            if not found or others:
                return others if found else None
        return {}

    def _sheet(self, todo: Todo) -> State:
        """Return the state of the sheet; one that shows something else, or an older picture, is missing."""
        sheet = self._task.sheet
        assert sheet
        if sheet in self._wanted - self._existing:
            return State.MISSING
        found = recipe_at(sheet)
        if "sheet" not in found:
            self._leave(sheet, {})
            return State.OTHER
        listed = sheet not in self._wanted  # in the manifest
        same = not todo.missing and (listed or not differences(found, self.sheet_recipe(todo)))
        return State.RIGHT if same else State.MISSING

    def _shared(self, page: int = 0) -> dict[str, str]:
        """Return what the recipes of all samples of the photo, or of a page after it, say."""
        if page not in self._recipes:
            plan, photo = self._plan, self._photo
            drawn = {**plan.method.entries, "temperature": format_levels(plan.temperature)}
            photo = plan.page(photo, photo.page + page) if page else photo
            self._recipes[page] = self._colorizer.recipe(drawn, plan.rendering, photo)
        return self._recipes[page]

    def _leave(self, output: Path, others: Mapping[str, str]) -> None:
        """Say that a file is left alone which was made in another way, or not by this program.

        Raises:
            PhotoError: it says that, unless such files are skipped.
        """
        self._plan.method.check(self._colorizer, self._photo)
        if self._plan.existing is not Existing.SKIP:
            raise PhotoError(
                f"{printable_name(self._task.input.path)}: {_problem(output, others, self._plan.names)}"
            )
        made = f"it was made {' and '.join(others.values())}" if others else "it has no recipe"
        log.warning(f"{printable_name(output)}: left as it is; {made}")


def _problem(output: Path, others: Mapping[str, str], names: Mapping[str, str | int]) -> str:
    name = printable_name(output)
    if not others:
        return f"{name} exists; add --overwrite or --skip-existing, or choose another --output-dir"
    made = f"{name} exists, made {' and '.join(others.values())}"
    telling = next((key for key in names if key in others), "")
    if telling:
        return f"{made}; add --overwrite, choose another --output-dir, or put {{{telling}}} into --output"
    return f"{made}; add --overwrite, or choose another --output-dir"
