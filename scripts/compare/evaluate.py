"""Make the paper's Table 1 and the table of its Fig. 9 with the models of ``train.py``.

    python scripts/compare/evaluate.py table-1|photos|shipped|upsampling PHOTOS --reference ZIP --labels TSV
    python scripts/compare/evaluate.py rooms|shipped-rooms ROOMS --reference ZIP

Each row is measured once and kept in a file under --run, by what it is measured with and on. Measures are
those of ``cinn-colorize evaluate``, of samples at temperature 1 without guidance; a second table has
differences from the first row, photo by photo. ``shipped`` and ``shipped-rooms`` measure the packaged
weights, so that new ones leave the tables of the methods as they are; ``table-1`` has the rows of ``photos``
in the paper's columns.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from couplings import Couplings
from features import SHA256, backbone
from methods import Sampler
from train import CINNS, METHODS

from cinn_colorize import Colorizer, evaluation
from cinn_colorize.colorizer import NetworkInput, Sample
from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.evaluator import Model
from cinn_colorize.evaluation.metrics import difference
from cinn_colorize.evaluation.table import statistics_by_name
from cinn_colorize.files import tensorfile
from cinn_colorize.files.atomic import sha256
from cinn_colorize.imaging.options import Upsampling
from cinn_colorize.imaging.upsampling import Upsampler
from cinn_colorize.models import MODELS, Loaded

CPU = torch.device("cpu")
SAMPLES = 8
ERRORS = ("best_of_8", "best_of_8_image", "best_of_1")
PAIRED = (*ERRORS, "objects", "hue_8")  # differences photo by photo
COLUMNS = (*ERRORS, "variance", "calibration", "objects", "hue_8", "kid_lite0", "top5_lite0")
PAPER = ("best_of_8", "variance", "kid_lite0", "top5_lite0")  # as its Table 1, with KID for its FID
TINTS = {
    "tint": "in random tints",
    "tint*": "in the best random tints",
    "saturations": "in eight saturations",
}
TABLES = ("table-1", "photos", "shipped", "rooms", "shipped-rooms", "upsampling")
COMPUTE = ("ms a photo", "M parameters")  # of a training step; that learnt
DIGITS = {"variance": 1, "kid_lite0": 4, "top5_lite0": 1}


class Row(NamedTuple):
    """A model to measure."""

    title: str
    name: str  # of the file that keeps it
    open: Callable[[], Model]
    differ: bool = True  # whether a photo has more than one colorization
    tints: tuple[str, ...] = ()  # which of TINTS are shown

    @property
    def samples(self) -> int:  # equal ones only where they are to be tinted
        return SAMPLES if self.differ or self.tints else 1

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the model and its tints, by their names in an evaluation."""
        return {"model": self.title} | {name: f"{self.title} {TINTS[name]}" for name in self.tints}


class Upsampled:
    """The shipped model with its samples upsampled by one of the methods before they are measured."""

    def __init__(self, method: str) -> None:
        self.colorizer, self.method = learnt(), method

    def condition(self, photo: NetworkInput) -> Any:
        conditioned, L = self.colorizer.condition(photo), photo.square
        size = (L.shape[0], L.shape[1])

        def sample(n: int, temperature: Any, seed: int) -> list[Sample]:
            drawn = conditioned.sample(n, temperature, seed)
            return [replace(s, ab=Upsampler(s.ab, L, size, self.method).rows(0, len(L), L)) for s in drawn]

        return SimpleNamespace(sample=sample, log_prob=conditioned.log_prob)


def rows(arguments: argparse.Namespace) -> Iterable[Row]:
    """Return the rows of a table, under the folder ``run``."""
    run: Path = arguments.run
    of_papers, own = (run / name / f"{name}.safetensors" for name in CINNS)
    rooms = shipped("cINN, bedrooms", "bedrooms", partial(Colorizer, "bedrooms"))
    if arguments.table in ("photos", "table-1"):
        yield Row("cINN", "couplings", partial(couplings, of_papers), tints=tuple(TINTS))
        yield Row("cINN, autoregressive", "natural", partial(learnt, own))
        yield from (method_row(name, run) for name in METHODS if name != "colorgan")
    elif arguments.table == "shipped":
        yield shipped("cINN as shipped", "natural", learnt)
    elif arguments.table == "rooms":
        yield from (rooms, method_row("colorgan", run))
    elif arguments.table == "shipped-rooms":
        yield from (rooms, shipped("cINN, natural", "natural", learnt))
    elif arguments.table == "upsampling":
        for method in Upsampling:
            yield Row(method, f"upsampled-{method}-{MODELS['natural'].sha256}", partial(Upsampled, method))


def method_row(name: str, run: Path) -> Row:
    method = METHODS[name]
    network = None if name == "colorgan" else backbone()
    path = run / name / f"{name}.safetensors"
    # The CNN's mean in random tints is what the spread of any other method must beat.
    tints = ("tint*",) if name == "regression" else ()
    load = partial(Sampler.load, path=path, backbone=network)
    return Row(method.title, name, lambda: load(method()), method.samples_differ, tints)


def shipped(title: str, model: str, load: Callable[[], Model]) -> Row:
    return Row(title, f"{model}-{MODELS[model].sha256}", load, tints=("tint*", "saturations"))


def learnt(path: Path | None = None) -> Colorizer:
    """Load weights of ``natural``, by default the shipped ones, without guidance."""
    return Colorizer("natural", weights=path, guidance=0.0)


def couplings(path: Path) -> Colorizer:
    """Load weights of :class:`Couplings`."""
    model = Couplings()
    model.load_state_dict(tensorfile.load(path)[1])
    levels = tuple(model.latent_shapes)
    info = replace(MODELS["natural"], name=model.name, levels=levels, temperature=1.0, guidance=None)
    return Colorizer(Loaded(model.eval().requires_grad_(False), info, sha256(path)))


def measured(row: Row, arguments: argparse.Namespace, measures: list[evaluation.Measure]) -> dict[str, Any]:
    """Return what ``cinn-colorize evaluate --json`` prints, from the row's file or measured now."""
    kept = arguments.run / "evaluation" / f"{row.name}-{_digest(row, arguments)}.json"
    if not kept.exists():
        photos = find_photos(arguments.photos, pattern=None)[:: arguments.every]
        if not measures:
            reference = find_photos(arguments.reference, pattern=None)[:1000]
            measures.append(evaluation.KidLite0(reference, CPU, lambda done, total: None))
            if arguments.labels:
                labels = evaluation.read_labels(arguments.labels, photos, arguments.photos)
                measures.append(evaluation.Top5("lite0", labels, CPU))
        options: dict[str, Any] = {"samples": row.samples, "tints": bool(row.tints), "root": arguments.photos}
        report = evaluation.evaluate(row.open(), photos, measures=measures, **options)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(report.to_json())
    found: dict[str, Any] = json.loads(kept.read_text())
    if not row.differ and not row.tints:  # the best of eight equal pictures
        equal = {f"best_of_{SAMPLES}": "best_of_1", f"best_of_{SAMPLES}_image": "best_of_1"}
        equal[f"hue_{SAMPLES}"] = "hue_1"
        per_photo = (part for name, part in found["per_photo"].items() if name != "names")
        for part in (found, found["gray"], found["truth"], *per_photo):
            part.update({label: part[one] for label, one in equal.items() if one in part})
        found["variance"] = {"mean": 0.0, "se": 0.0}
    return found


def _digest(row: Row, arguments: argparse.Namespace) -> str:
    """Return what differs where a row would: the photos, all that they are compared with, and the weights."""
    read = (arguments.photos, arguments.reference, arguments.labels)
    places = [str(path and path.resolve()) for path in read]
    digests = sorted(sha256(path) for path in (arguments.run / row.name).glob("*.safetensors"))
    of_all = [*places, str(arguments.every), str(row.samples), SHA256, *digests]
    return hashlib.sha256("\n".join(of_all).encode()).hexdigest()[:12]


def differences(found: dict[Row, dict[str, Any]]) -> list[list[str]]:
    """Make the table of differences from the first row, of the photos that both have."""
    table = [["difference from the first row", *PAIRED]]
    first = statistics_by_name(next(iter(found.values()))["per_photo"], "model")
    for row, report in found.items():
        for name, title in row.titles.items():
            own = statistics_by_name(report["per_photo"], name)
            both = [
                [{m: of[photo][m] for m in PAIRED if m in of[photo]} for photo in first if photo in own]
                for of in (own, first)
            ]
            cells = (difference(*both).get(measure) for measure in PAIRED)
            table.append([title, *("-" if c is None else f"{c.mean:+.2f} ± {c.se:.2f}" for c in cells)])
    return [table[0], *table[2:]]  # without the first row itself


def cell(value: dict[str, Any] | None, digits: int) -> str:
    if value is None or value["mean"] is None:
        return "-"
    text = " ± ".join(f"{value[k]:.{digits}f}" for k in ("mean", "se") if value[k] is not None)
    return text + (f" ({value['sigma']:g})" if "sigma" in value else "")


def compute(row: Row, run: Path) -> dict[str, str]:
    """Return the cost of training by the titles of :data:`COMPUTE`; empty if not trained here."""
    path = run / row.name / "compute.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    values = (f"{1000 * found['processor_seconds_a_photo']:.0f}", f"{found['parameters'] / 1e6:.1f}")
    return dict(zip(COMPUTE, values, strict=True))


def measures_of(found: dict[Row, dict[str, Any]], arguments: argparse.Namespace) -> list[list[str]]:
    """Make the table of measures: each row with its tints, and the references."""
    papers = arguments.table == "table-1"  # the best tints alone, and no costs
    first = next(iter(found.values()))
    told = PAPER[1:] if arguments.table == "photos" else ()  # by table-1
    columns = [c for c in (PAPER if papers else COLUMNS) if c in first and c not in told]
    lines: list[tuple[str, dict[str, Any], dict[str, str]]] = []
    for row, report in found.items():
        lines.append((row.title, report, {} if papers else compute(row, arguments.run)))
        tints = [name for name in row.tints if not papers or name == "tint*"]
        lines += [(row.titles[name], report[name], {}) for name in tints]
    lines += [(label, first[label], {}) for label in ("gray", "truth")]
    trained = [title for title in COMPUTE if any(title in cost for *_, cost in lines)]
    table = [["", *columns, *trained]]
    for title, measures, cost in lines:
        cells = (cell(measures.get(c), DIGITS.get(c, 2)) for c in columns)
        table.append([title, *cells, *(cost.get(t, "-") for t in trained)])
    return table


def printed(table: list[list[str]], remark: str) -> str:
    head, *rows = (f"| {' | '.join(cells)} |" for cells in table)
    return "\n".join([head, "|---" * len(table[0]) + "|", *rows]) + f"\n\n{remark}"


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("photos", type=Path, help="colour photos to measure on")
    parser.add_argument("--reference", type=Path, required=True, help="photos for kid_lite0, the first 1000")
    parser.add_argument("--labels", type=Path, help="ImageNet classes for top5_lite0")
    parser.add_argument("--every", type=int, default=1, help="use only every n-th photo")
    parser.add_argument("--run", type=Path, default=Path("runs/compare"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measures: list[evaluation.Measure] = []
    found = {row: measured(row, arguments, measures) for row in rows(arguments)}
    number = next(iter(found.values()))["photos"]
    over = f"{number} photos; ± is one standard error over photos."
    print(printed(measures_of(found, arguments), over))
    if arguments.table != "table-1":
        print("\n" + printed(differences(found), "Differences photo by photo; ± is their standard error."))


if __name__ == "__main__":
    main()
