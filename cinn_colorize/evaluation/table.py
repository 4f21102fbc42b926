"""Results of an evaluation, as JSON for programs and as tables for people, and what they are compared by."""

import csv
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from cinn_colorize.errors import DataError, counted, printable_name
from cinn_colorize.evaluation.metrics import Estimate, Statistics, Term, difference, estimate
from cinn_colorize.files.limits import read_table
from cinn_colorize.latents.levels import PerLevel, short_levels

Measures = Mapping[str, Estimate]
Subsets = Mapping[str, frozenset[str]]  # names of photos, by what these show

TINT, BEST_TINT, SATURATIONS, GRAY, TRUTH = "tint", "tint*", "saturations", "gray", "truth"
_MODEL, _COMPARED = "model", (TINT, BEST_TINT, SATURATIONS, GRAY)  # rows of earlier results
_DIGITS = {"kid_lite0": 5, "st_lpips": 4}  # after the point, where 3 are not enough
_SIGNIFICANT = 7  # digits of a photo's numbers in JSON
# Columns of the second, third and fourth table; the first has all others.
_CALIBRATION = ("calibration", "block_share", "band")
_OBJECTS = ("objects", "alignment", "structure", "hue", "chroma")
_SHARES = ("red", "green", "blue")
_LEGEND = {
    TINT: "the colours at temperature 0 with one random tint a sample, as different as the samples' means",
    BEST_TINT: "with tints of the standard deviation of a and b, in brackets, that is best for the measure",
    SATURATIONS: "the colours at temperature 0 times 0.25 to 2",
}


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
        return next(iter(self.rows.values())).keys()


@dataclass(frozen=True)
class Row:
    """Measures of a model, or of what it is compared with."""

    measures: Measures
    photos: tuple[Statistics, ...]
    sigmas: Mapping[str, float] = field(default_factory=dict)  # deviation of the tints by measure, of tint*


@dataclass(frozen=True, kw_only=True)
class ModelRow(Row):
    """Measures of a model at one temperature, and its number of exploding samples."""

    temperature: PerLevel
    exploding: int


@dataclass(frozen=True)
class Report:
    """Measures of a model, beside those of tints, of a gray photo and of the photo itself."""

    names: tuple[str, ...]  # of the photos measured
    samples: int  # per photo
    model: tuple[ModelRow, ...]  # one row per temperature
    references: Mapping[str, Row]  # tint, tint*, saturations, gray, and truth, the photo's own ab at 64 px
    failures: tuple[str, ...] = ()  # a line for each photo that could not be read
    network: DrawnBy | None = None  # what drew the samples; None if unknown

    @property
    def photos(self) -> int:
        return len(self.names)

    def to_json(self, earlier: Earlier | None = None, subsets: Subsets | None = None) -> str:
        """Return one object per temperature, in a list if there are several; see docs/evaluation.md."""
        rows = [self._as_json(row, earlier, subsets) for row in self.model]
        return rows[0] if len(rows) == 1 else "[\n" + ",\n".join(rows) + "\n]"

    def _as_json(self, row: ModelRow, earlier: Earlier | None, subsets: Subsets | None) -> str:
        found = {
            **_as_objects(row.measures),
            "exploding": row.exploding,
            **{name: _as_objects(other.measures, other.sigmas) for name, other in self.references.items()},
            "photos": self.photos,
            "samples": self.samples,
            "temperature": dict(row.temperature) if isinstance(row.temperature, Mapping) else row.temperature,
            "failed": len(self.failures),
            "network": self.network and asdict(self.network),
        }
        if earlier:
            found["differences"] = [
                {"to": label, "photos": len(self._both(earlier)), **_as_objects(measures)}
                for label, measures in self._differences(row, earlier)
            ]
        if subsets:
            found["subsets"] = {word: self._subset(row, photos) for word, photos in subsets.items()}
        rows = {_MODEL: row, **self.references}
        per_photo = {"names": self.names, **{name: _by_photo(other.photos) for name, other in rows.items()}}
        head = json.dumps(found, indent=2, allow_nan=False).removesuffix("\n}")
        return f'{head},\n  "per_photo": {json.dumps(per_photo, allow_nan=False)}\n}}'

    def to_markdown(self, earlier: Earlier | None = None, subsets: Subsets | None = None) -> str:
        """Return tables with a row for each, and lines on how to read them."""
        rows = {self._label(row): row for row in self.model} | dict(self.references)
        parts = [_table(rows, self.model[0].measures, self.photos * self.samples)]
        at = f", temperature {short_levels(self.model[0].temperature)}" if len(self.model) == 1 else ""
        drawn = f", drawn by {self.network}" if self.network else ""
        lines = [
            f"{counted(self.photos, 'photo')}, samples of each: {self.samples}{at}{drawn}; "
            "± is one standard error over photos.",
            *(f"{name}: {_LEGEND[name]}." for name in self.references if name in _LEGEND),
        ]
        parts.append("\n".join(lines))
        if earlier:
            compared = {
                f"{self._label(row)} - earlier {label}": Row(measures, ())
                for row in self.model
                for label, measures in self._differences(row, earlier)
            }
            parts.append(_table(compared, next(iter(compared.values())).measures, 0))
            drawn = f", drawn by {earlier.network}" if earlier.network else ""
            both = counted(len(self._both(earlier)), "photo")
            differences = f"Differences to {earlier.name}{drawn}, photo by photo, on {both}"
            parts.append(f"{differences}; ± is their standard error.")
        if subsets:
            within = {
                f"{word} ({len(photos & set(self.names))}), {label}": self._within(row, photos)
                for word, photos in subsets.items()
                for label, row in rows.items()
                if isinstance(row, ModelRow) or label == TINT
            }
            parts.append(_table(within, self.model[0].photos[0], 0))
            parts.append("Photos by what they show, with their number; one photo may show several things.")
        return "\n\n".join(parts)

    def _subset(self, row: ModelRow, photos: frozenset[str]) -> dict[str, Any]:
        within = self._within(row, photos)
        found = {"photos": len(within.photos), **_as_objects(within.measures)}
        if tint := self.references.get(TINT):
            found[TINT] = _as_objects(self._within(tint, photos).measures)
        return found

    def _within(self, row: Row, photos: frozenset[str]) -> Row:
        some = [found for name, found in zip(self.names, row.photos, strict=True) if name in photos]
        return Row(estimate(some), tuple(some))

    def _label(self, row: ModelRow) -> str:
        return _MODEL if len(self.model) == 1 else f"T = {short_levels(row.temperature)}"

    def _differences(self, row: ModelRow, earlier: Earlier) -> Iterable[tuple[str, Measures]]:
        """Yield the label of each earlier row, and by how much this row differs from it."""
        ours, both = dict(zip(self.names, row.photos, strict=True)), self._both(earlier)
        for label, theirs in earlier.rows.items():
            yield label, difference([ours[name] for name in both], [theirs[name] for name in both])

    def _both(self, earlier: Earlier) -> list[str]:
        return [name for name in self.names if name in earlier.photos]


def _table(rows: Mapping[str, Row], names: Iterable[str], drawn: int) -> str:
    """Format rows as tables of few columns: errors, calibration, objects, shares; ``drawn`` may explode."""
    kinds: dict[tuple[str, ...], list[str]] = {(): [], _CALIBRATION: [], _OBJECTS: [], _SHARES: []}
    for name in names:
        kinds[next((kind for kind in kinds if kind and name.startswith(kind)), ())].append(name)
    tables = []
    for columns in filter(None, kinds.values()):
        last = ["exploding"] if drawn and columns is kinds[()] else []
        cells = [["", *columns, *last], ["---"] * (len(columns) + len(last) + 1)]
        for label, row in rows.items():
            if not set(columns) & set(row.measures):
                continue
            count = f"{row.exploding} of {drawn}" if isinstance(row, ModelRow) else "-"
            cells.append([label, *(_cell(name, row) for name in columns), *([count] if last else [])])
        tables.append("\n".join(f"| {' | '.join(line)} |" for line in cells))
    return "\n\n".join(tables)


def _cell(name: str, row: Row) -> str:
    measure = row.measures.get(name)
    if measure is None or not math.isfinite(measure.mean):
        return "-"
    digits = _DIGITS.get(name, 3)
    spread = f" ± {measure.se:.{digits}f}" if math.isfinite(measure.se) else ""
    sigma = f" ({row.sigmas[name]:g})" if name in row.sigmas else ""
    return f"{measure.mean:z.{digits}f}{spread}{sigma}"


def _as_objects(measures: Measures, sigmas: Mapping[str, float] | None = None) -> dict[str, Any]:
    return {
        name: {"mean": _json_number(m.mean), "se": _json_number(m.se)}
        | ({"sigma": sigmas[name]} if sigmas and name in sigmas else {})
        for name, m in measures.items()
    }


def _by_photo(photos: Sequence[Statistics]) -> dict[str, dict[str, list[float | None]]]:
    found = {}
    for name in photos[0]:
        terms = [photo[name] for photo in photos]
        found[name] = {"values": [_json_number(term.value) for term in terms]}
        if any(term.weight != 1 for term in terms):
            found[name]["weights"] = [_json_number(term.weight) for term in terms]
    return found


def _json_number(value: float) -> float | None:
    # JSON has no other numbers.
    return float(f"{value:.{_SIGNIFICANT}g}") if math.isfinite(value) else None


def read_earlier(path: Path, photos: Sequence[str], samples: int) -> Earlier:
    """Read what ``evaluate --json`` printed of these photos and so many samples; DataError for all else."""
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
        problem = f"{name}: not a result with values of each photo; make it with evaluate --json"
        raise DataError(problem) from error
    if made_with != {samples}:
        raise DataError(f"{name}: made with --samples {min(made_with)}; choose the same number")
    earlier = Earlier(name, rows, drawn_by)
    if not set(photos) & set(earlier.photos):
        raise DataError(f"{name}: has none of the {len(photos)} photos, such as {photos[0]}")
    return earlier


def statistics_by_name(per_photo: Any, row: str) -> dict[str, Statistics]:
    """Return each photo's statistics in a row of ``per_photo``; KeyError or ValueError if it is malformed."""
    names = [str(name) for name in per_photo["names"]]
    terms: dict[str, list[Term]] = {}
    for measure, found in per_photo[row].items():
        weights = found.get("weights", [1.0] * len(names))
        pairs = zip(found["values"], weights, strict=True)
        terms[measure] = [Term(_float(value), _float(weight)) for value, weight in pairs]
    photos = [dict(zip(terms, of_photo, strict=True)) for of_photo in zip(*terms.values(), strict=True)]
    return dict(zip(names, photos, strict=True))


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _temperature(value: Any) -> Any:
    return {int(level): float(t) for level, t in value.items()} if isinstance(value, dict) else float(value)


def read_subsets(path: Path, photos: Sequence[str]) -> Subsets:
    """Read which of the photos measured, given by name, show what, by words in their order.

    The table has the columns ``entry``, a photo's name in its zip or folder, and ``shows``, words separated
    by commas. DataError if it cannot be read, is malformed, or has a word for none of the photos.
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
    """Read a column of a table by ``entry``; a DataError says what ``content`` it must have."""
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
