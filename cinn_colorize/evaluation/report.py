"""What an evaluation found, as JSON for programs and as a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cinn_colorize.evaluation.metrics import Estimate

Measures = Mapping[str, Estimate]


@dataclass(frozen=True)
class Report:
    """Measures of a model, beside those of a gray photo and of the photo itself.

    Attributes:
        photos: how many were measured.
        samples: of each photo.
        temperature: of the samples.
        model: measures by name, see :mod:`cinn_colorize.evaluation.metrics`.
        gray: of the photo without colour.
        truth: of the photo's own ab at 64 px: what the pipeline itself costs.
        exploding: samples of the model, of ``photos * samples``.
        failures: a line for each photo that could not be read.
    """

    photos: int
    samples: int
    temperature: float
    model: Measures
    gray: Measures
    truth: Measures
    exploding: int
    failures: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One object: the model's measures by name, and ``gray`` and ``truth`` with theirs.

        A measure is ``{"mean": ..., "se": ...}``, null where there is no number; ``exploding``, and what says
        how it was measured, are numbers.
        """
        report: dict[str, Any] = _as_objects(self.model)
        report |= {
            "exploding": self.exploding,
            "gray": _as_objects(self.gray),
            "truth": _as_objects(self.truth),
            "photos": self.photos,
            "samples": self.samples,
            "temperature": self.temperature,
            "failed": len(self.failures),
        }
        return json.dumps(report, indent=2, allow_nan=False)

    def to_markdown(self) -> str:
        """A table with the rows model, gray and truth, and a line on how to read it."""
        names = list(self.model)
        rows = [["", *names, "exploding"], ["---"] * (len(names) + 2)]
        for row, measures in (("model", self.model), ("gray", self.gray), ("truth", self.truth)):
            exploding = f"{self.exploding} of {self.photos * self.samples}" if row == "model" else "-"
            rows.append([row, *(_cell(measures.get(name)) for name in names), exploding])
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
        return (
            f"{table}\n\n"
            f"{self.photos} photos, samples of each: {self.samples}, temperature {self.temperature:g}; "
            "± is one standard error over photos."
        )


def _as_objects(measures: Measures) -> dict[str, Any]:
    return {name: {"mean": _number(m.mean), "se": _number(m.se)} for name, m in measures.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no other numbers


def _cell(measure: Estimate | None) -> str:
    if measure is None or not math.isfinite(measure.mean):
        return "-"
    return f"{measure.mean:.3f}" + (f" ± {measure.se:.3f}" if math.isfinite(measure.se) else "")
