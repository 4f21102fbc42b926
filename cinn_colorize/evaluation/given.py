"""What an evaluation reads beside photos: earlier evaluations, and tables of what photos show."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from cinn_colorize.errors import DataError
from cinn_colorize.evaluation.metrics import Statistics, Term
from cinn_colorize.files.limits import read_table
from cinn_colorize.files.messages import printable_name
from cinn_colorize.latents.levels import short_levels

Subsets = Mapping[str, frozenset[str]]  # names of photos, by what these show

_COMPARED = ("tint", "tint*", "gray")  # beside the model


@dataclass(frozen=True)
class DrawnBy:
    """The network that drew the samples of an evaluation; ``weights`` is their SHA-256."""

    model: str
    weights: str
    guidance: float

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what ``evaluate --json`` wrote as ``network``; KeyError or ValueError if it is not that."""
        return cls(str(found["model"]), str(found["weights"]), float(found["guidance"]))

    def __str__(self) -> str:
        guided = f", guidance {self.guidance:g}" if self.guidance else ""
        return f"{self.model}, weights {self.weights[:8]}{guided}"


class Earlier(NamedTuple):
    """An earlier evaluation."""

    name: str  # of its file, for people
    rows: Mapping[str, Mapping[str, Statistics]]  # of each photo by its name, by label of the row
    network: DrawnBy | None  # None in results of versions that did not say so

    @property
    def photos(self) -> Collection[str]:
        """Names of the photos, which all rows share."""
        return next(iter(self.rows.values())).keys()


def read_earlier(path: Path, photos: Sequence[str], samples: int) -> Earlier:
    """Read what ``evaluate --json`` printed, to compare it with these photos and this number of samples.

    DataError if the file cannot be read, is something else, was made with another number of samples, or has
    none of the photos.
    """
    name = printable_name(path)
    try:
        content = read_table(path)
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from error
    try:
        found = json.loads(content.decode("utf-8"))
        evaluations = found if isinstance(found, list) else [found]
        made_with = {int(evaluation["samples"]) for evaluation in evaluations}
        rows = {}
        for evaluation in evaluations:
            label = "model"
            if len(evaluations) > 1:
                label = f"T = {short_levels(_temperature(evaluation['temperature']))}"
            rows[label] = statistics_by_name(evaluation["per_photo"], "model")
        first = evaluations[0]["per_photo"]
        rows |= {label: statistics_by_name(first, label) for label in _COMPARED if label in first}
        network = evaluations[0].get("network")
        drawn_by = DrawnBy.from_json(network) if network else None
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{name}: not a result with values of each photo; make it with evaluate --json"
        ) from error
    if made_with != {samples}:
        raise DataError(f"{name}: made with --samples {min(made_with)}; choose the same number")
    earlier = Earlier(name, rows, drawn_by)
    if not set(photos) & set(earlier.photos):
        raise DataError(f"{name}: has none of the {len(photos)} photos, such as {photos[0]}")
    return earlier


def statistics_by_name(per_photo: Any, row: str) -> dict[str, Statistics]:
    """Return the statistics of each photo in a row of ``per_photo`` of ``evaluate --json``, by its name.

    KeyError or ValueError if the row is missing or malformed.
    """
    names = [str(name) for name in per_photo["names"]]
    terms: dict[str, list[Term]] = {}
    for measure, found in per_photo[row].items():
        weights = found.get("weights", [1.0] * len(names))
        terms[measure] = [
            Term(_number(value), _number(weight))
            for value, weight in zip(found["values"], weights, strict=True)
        ]
    photos = [dict(zip(terms, of_photo, strict=True)) for of_photo in zip(*terms.values(), strict=True)]
    return dict(zip(names, photos, strict=True))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _temperature(value: Any) -> Any:
    return {int(level): float(t) for level, t in value.items()} if isinstance(value, dict) else float(value)


def read_subsets(path: Path, photos: Sequence[str]) -> Subsets:
    """Read which of the photos measured, given by name, show what, by words in their order.

    The table has the columns ``entry``, a photo's name in its zip or folder, and ``shows``, words separated
    by commas; others are ignored. DataError if it cannot be read, is malformed, or has a word for none of the
    photos.
    """
    shows = read_column(path, "shows", "words separated by commas")
    subsets: dict[str, set[str]] = {}
    for photo in photos:
        for word in filter(None, (part.strip() for part in shows.get(photo, "").split(","))):
            subsets.setdefault(word, set()).add(photo)
    if not shows.keys() & set(photos):
        raise names_none(path, photos)
    if not subsets:
        raise DataError(f"{printable_name(path)}: has a word for none of the {len(photos)} photos")
    return {word: frozenset(subsets[word]) for word in sorted(subsets)}


def read_column(path: Path, column: str, content: str) -> dict[str, str]:
    """Read a column of a table by the column ``entry``; DataError if it cannot be read or is malformed.

    ``content`` is what must be in it, for messages.
    """
    try:
        table = io.StringIO(read_table(path).decode("utf-8"), newline="")
        rows = [(row["entry"], row[column]) for row in csv.DictReader(table, delimiter="\t")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{printable_name(path)}: cannot be read ({error})") from error
    except KeyError as error:
        raise malformed(path, column, content) from error
    if any(value is None for _, value in rows):  # a short line
        raise malformed(path, column, content)
    return dict(rows)


def malformed(path: Path, column: str, content: str) -> DataError:
    """Return the error of a table without the columns that it requires."""
    required = f"it requires the columns entry and {column}, {content}"
    return DataError(f"{printable_name(path)}: not such a table; {required}")


def names_none(path: Path, photos: Sequence[str]) -> DataError:
    """Return the error of a table that does not know any of the photos."""
    return DataError(f"{printable_name(path)}: names none of the {len(photos)} photos, such as {photos[0]}")
