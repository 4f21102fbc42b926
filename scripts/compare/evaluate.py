"""Make the paper's Table 1 and the table of its Fig. 9 with the models of ``train.py``.

    python scripts/compare/evaluate.py photos PHOTOS --reference ZIP --labels TSV
    python scripts/compare/evaluate.py rooms ROOMS --reference ZIP --bedrooms WEIGHTS
    python scripts/compare/evaluate.py upsampling PHOTOS --reference ZIP

Each row is measured once and kept in a file under --run; the table is printed when all exist. Measures are
those of ``cinn-colorize evaluate``, by the same code.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from features import backbone
from numpy.typing import NDArray
from sampler import Colorized, Sampler
from train import METHODS

from cinn_colorize import Colorizer, evaluation
from cinn_colorize.colorizer import ConditionedPhoto, NetworkInput
from cinn_colorize.data.sources import find_photos
from cinn_colorize.evaluation.evaluate import Model
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.upsampling import Upsampler
from cinn_colorize.options import Upsampling

CPU = torch.device("cpu")
SAMPLES = 8
COLUMNS = ("best_of_8", "best_of_8_image", "best_of_1", "variance", "calibration", "kid_lite0", "top5_lite0")
COMPUTE = ("ms a photo", "M parameters")  # of a training step; that learnt
DIGITS = {"variance": 1, "kid_lite0": 4, "top5_lite0": 1}


class Row(NamedTuple):
    """A model to measure."""

    title: str
    name: str  # of the file that keeps it
    open: Callable[[], Model]
    samples: int = SAMPLES


class Upsampled:
    """The model with its samples upsampled by one of the methods before they are measured."""

    def __init__(self, colorizer: Colorizer, method: str) -> None:
        self.colorizer, self.method = colorizer, method

    def condition(self, photo: NetworkInput) -> UpsampledSamples:
        """Condition on L* of one square, (256, 256)."""
        return UpsampledSamples(self.colorizer.condition(photo), photo.square, self.method)


class UpsampledSamples:
    """The upsampled samples of one photo."""

    def __init__(self, conditioned: ConditionedPhoto, L: Floats, method: str) -> None:
        self.conditioned, self.L, self.method = conditioned, L, method

    def sample(self, n: int, temperature: Any, seed: int) -> list[Colorized]:
        """Draw samples whose ab are as large as L."""
        drawn = self.conditioned.sample(n, temperature, seed)
        size = (self.L.shape[0], self.L.shape[1])
        enlarged = (Upsampler(sample.ab, self.L, size, self.method) for sample in drawn)
        return [Colorized(upsampler.rows(0, size[0], self.L)) for upsampler in enlarged]

    def log_prob(self, ab: NDArray[Any]) -> float:
        """Return the log-density of the model itself."""
        return self.conditioned.log_prob(ab)


def method_row(name: str, run: Path) -> Row:
    """Make the row of a method that ``train.py`` trained."""
    method = METHODS[name]
    network = None if name == "colorgan" else backbone()
    path = run / name / f"{name}.safetensors"
    samples = SAMPLES if method.samples_differ else 1
    return Row(method.title, name, lambda: Sampler.load(method(), path, network), samples)


def rows(arguments: argparse.Namespace) -> Iterable[Row]:
    """Make the rows of the requested table."""
    run = arguments.run
    if arguments.table == "photos":
        own = run / "natural" / "natural.safetensors"
        yield Row("cINN", "natural", lambda: Colorizer("natural", weights=own))
        for name in METHODS:
            if name != "colorgan":
                yield method_row(name, run)
        yield Row("cINN as shipped", "natural-shipped", lambda: Colorizer("natural"))
    elif arguments.table == "rooms":
        yield Row("cINN, bedrooms", "bedrooms", lambda: Colorizer("bedrooms", weights=arguments.bedrooms))
        yield method_row("colorgan", run)
    else:
        for method in Upsampling:
            yield Row(method, f"upsampled-{method}", partial(upsampled, method))


def upsampled(method: str) -> Upsampled:
    """Make the rows of the shipped model."""
    return Upsampled(Colorizer("natural"), method)


def measured(row: Row, arguments: argparse.Namespace, measures: list[evaluation.Measure]) -> dict[str, Any]:
    """Return what ``cinn-colorize evaluate --json`` prints, from the row's file or measured now."""
    kept: Path = arguments.run / "evaluation" / arguments.photos.stem / f"{row.name}-{arguments.every}.json"
    if not kept.exists():
        photos = find_photos(arguments.photos, pattern=None)[:: arguments.every]
        if not measures:
            reference = find_photos(arguments.reference, pattern=None)[:1000]
            measures.append(evaluation.KidLite0(reference, CPU, lambda done, total: None))
            if arguments.labels:
                labels = evaluation.read_labels(arguments.labels, photos, arguments.photos)
                measures.append(evaluation.Top5("lite0", labels, CPU))
        model = row.open()
        tints = not isinstance(model, Sampler)  # a method has no temperature 0, whose colours would be tinted
        report = evaluation.evaluate(model, photos, samples=row.samples, measures=measures, tints=tints)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(report.to_json())
    found: dict[str, Any] = json.loads(kept.read_text())
    if row.samples == 1:  # the best of eight equal pictures
        for label in (f"best_of_{SAMPLES}", f"best_of_{SAMPLES}_image"):
            for part in (found, found["gray"], found["truth"]):
                part[label] = part["best_of_1"]
        found["variance"] = {"mean": 0.0, "se": 0.0}
    return found


def cell(measures: dict[str, Any], name: str) -> str:
    """Format a measure and its standard error."""
    value = measures.get(name)
    if value is None or value["mean"] is None:
        return "-"
    digits = DIGITS.get(name, 2)
    se = "" if value["se"] is None else f" ± {value['se']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{se}"


def compute(row: Row, run: Path) -> dict[str, str]:
    """Return the cost of training by the titles of :data:`COMPUTE`; empty if not trained here."""
    path = run / row.name / "compute.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    values = (f"{1000 * found['processor_seconds_a_photo']:.0f}", f"{found['parameters'] / 1e6:.1f}")
    return dict(zip(COMPUTE, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=["photos", "rooms", "upsampling"])
    parser.add_argument("photos", type=Path, help="colour photos to measure on")
    parser.add_argument("--reference", type=Path, required=True, help="photos for kid_lite0, the first 1000")
    parser.add_argument("--labels", type=Path, help="ImageNet classes for top5_lite0")
    parser.add_argument("--bedrooms", type=Path, help="weights of bedrooms (default: the packaged ones)")
    parser.add_argument("--every", type=int, default=1, help="use only every n-th photo")
    parser.add_argument("--run", type=Path, default=Path("runs/compare"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measures: list[evaluation.Measure] = []
    found = {row: measured(row, arguments, measures) for row in rows(arguments)}
    first = next(iter(found.values()))
    columns = [name for name in COLUMNS if name in first]
    trained = [title for title in COMPUTE if any(title in compute(row, arguments.run) for row in found)]
    table = [["", *columns, *trained], ["---"] * (1 + len(columns) + len(trained))]
    for row, report in found.items():
        took = compute(row, arguments.run)
        table.append(
            [row.title, *(cell(report, name) for name in columns), *(took.get(t, "-") for t in trained)]
        )
    for label in ("gray", "truth"):
        table.append([label, *(cell(first[label], name) for name in columns), *("-" for _ in trained)])
    print("\n".join(f"| {' | '.join(cells)} |" for cells in table))
    print(f"\n{first['photos']} photos; ± is one standard error over photos.")


if __name__ == "__main__":
    main()
