"""The result of an evaluation, as JSON for programs and as a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cinn_colorize.evaluation.metrics import Estimate
from cinn_colorize.latents.levels import PerLevel, short_levels

Measures = Mapping[str, Estimate]

_DIGITS = {"kid_lite0": 5, "st_lpips": 4}  # after the point, where 3 are not enough


@dataclass(frozen=True)
class Row:
    """Measures of a model at one temperature.

    Attributes:
        temperature: temperature of the samples, for all levels or by level.
        measures: estimates by name, see :mod:`cinn_colorize.evaluation.metrics` and
            :mod:`cinn_colorize.evaluation.realism`.
        exploding: number of exploding samples of all photos.
    """

    temperature: PerLevel
    measures: Measures
    exploding: int


@dataclass(frozen=True)
class Report:
    """Measures of a model, beside those of a gray photo and of the photo itself.

    Attributes:
        photos: number of photos measured.
        samples: number of samples per photo.
        model: one row per temperature.
        gray: measures of the photo without colour.
        truth: measures of the photo's own ab at 64 px, the loss of the pipeline itself.
        failures: a line for each photo that could not be read.
    """

    photos: int
    samples: int
    model: tuple[Row, ...]
    gray: Measures
    truth: Measures
    failures: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return one object per temperature, in a list if there are several.

        It contains the model's measures by name, and ``gray`` and ``truth`` with theirs. A measure is
        ``{"mean": ..., "se": ...}``, null where there is no number. ``exploding`` and the settings of the
        evaluation are numbers, except ``temperature``, which is an object by level where levels differ.
        """
        rows = [self._as_object(row) for row in self.model]
        return json.dumps(rows[0] if len(rows) == 1 else rows, indent=2, allow_nan=False)

    def _as_object(self, row: Row) -> dict[str, Any]:
        return {
            **_as_objects(row.measures),
            "exploding": row.exploding,
            "gray": _as_objects(self.gray),
            "truth": _as_objects(self.truth),
            "photos": self.photos,
            "samples": self.samples,
            "temperature": dict(row.temperature) if isinstance(row.temperature, Mapping) else row.temperature,
            "failed": len(self.failures),
        }

    def to_markdown(self) -> str:
        """Return a table with rows for the model, gray and truth, and a line on how to read it."""
        names = list(self.model[0].measures)
        cells = [["", *names, "exploding"], ["---"] * (len(names) + 2)]
        for row in self.model:
            label = "model" if len(self.model) == 1 else f"T = {short_levels(row.temperature)}"
            exploding = f"{row.exploding} of {self.photos * self.samples}"
            cells.append([label, *(_cell(name, row.measures.get(name)) for name in names), exploding])
        for label, measures in (("gray", self.gray), ("truth", self.truth)):
            cells.append([label, *(_cell(name, measures.get(name)) for name in names), "-"])
        table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        at = f", temperature {short_levels(self.model[0].temperature)}" if len(self.model) == 1 else ""
        return (
            f"{table}\n\n"
            f"{self.photos} photos, samples of each: {self.samples}{at}; "
            "± is one standard error over photos."
        )


def _as_objects(measures: Measures) -> dict[str, Any]:
    return {name: {"mean": _number(m.mean), "se": _number(m.se)} for name, m in measures.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no other numbers


def _cell(name: str, measure: Estimate | None) -> str:
    if measure is None or not math.isfinite(measure.mean):
        return "-"
    digits = _DIGITS.get(name, 3)
    spread = f" ± {measure.se:.{digits}f}" if math.isfinite(measure.se) else ""
    return f"{measure.mean:.{digits}f}{spread}"
