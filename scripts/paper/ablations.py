"""Train and measure the ablations (paper 4.4, Fig. 10; 4.2, Fig. 16).

    python scripts/paper/ablations.py mnist|lsun|photos DATA [--runs FOLDER]

Trains a data set's model as it is, with three seeds, and once without each part of the recipe that
`train --ablate` supports for it (for photos only the conditioning network), all with Adam at 1e-3 and equally
long. Runs lie in FOLDER/DATASET-N; the command continues where it was stopped. Prints the table of
docs/paper.md, of the averaged weights on the same photos or digits; in the end draws its curves, except for
photos, into docs/images.
"""

import argparse
import csv
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from check_mnist import classify, train_classifier
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import evenly_spaced, find_photos
from cinn_colorize.errors import DivergedError, ending_in_a_line
from cinn_colorize.evaluation import evaluate
from cinn_colorize.evaluation.calibration import rendered
from cinn_colorize.files.atomic import writing
from cinn_colorize.methods.digits import Digits
from cinn_colorize.training.bedrooms import BedroomsTask, find_lsun
from cinn_colorize.training.loop import Evaluation, Progress, RunOptions
from cinn_colorize.training.mnist import DEV, SIGMA, MnistTask, Part, nll_per_dimension
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.run import run_training
from cinn_colorize.training.task import FlowTask, Task

CPU = torch.device("cpu")
RATE = 1e-3  # Adam's, at its peak
SEEDS = 3  # of the full recipe
HELD_OUT = 500  # digits for the nll
SAMPLES, SAMPLED = 8, 32  # of each photo, and of how many
SHARES = ("recognised", "exploding")
COLUMNS = {"nll": "nll", "recognised": "recognised, %"}
COLUMNS |= {f"best_of_{SAMPLES}": f"best of {SAMPLES}", "variance": "variance", "exploding": "exploding, %"}
COLUMNS |= {"skipped": "steps skipped", "rollbacks": "returns"}
RESULT, DIVERGED = "result.json", "diverged.txt"  # in a run's folder; the second if the loop gave the run up
IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Rooms(BedroomsTask):
    """Bedrooms, without sheets of samples."""

    draw = Task.draw


class Photos(NaturalTask):
    """Natural photos, with Adam like all runs here, without sheets of samples."""

    draw, optimizer = Task.draw, Task.optimizer


class Numerals(MnistTask):
    """Digits, without principal axes and sheets of samples."""

    draw, complete = Task.draw, FlowTask.complete

    def measure(self, model: Any) -> dict[str, float]:
        digits = self._digits(model, CPU)
        some = slice(-DEV, None, DEV // HELD_OUT)
        part = Part(self.images[some, 0].numpy(), self.labels[some].numpy())
        return {"nll": nll_per_dimension(digits, part, SIGMA)}


class Run(NamedTuple):
    """The recipe, or the recipe without something. Its name is that of its folder, its curve and its row."""

    ablate: str = ""
    seed: int = 0
    clipped: bool = True  # gradients, which the paper does not mention

    @property
    def name(self) -> str:
        name = f"without {self.ablate}" if self.ablate else f"full, seed {self.seed}"
        return name if self.clipped else f"{name}, not clipped"


class Plan(NamedTuple):
    """All runs of a data set."""

    photos: int  # seen by each run
    batch: int
    held_out: int  # photos or digits that are measured
    runs: tuple[Run, ...]


OTHERS = tuple(Run(seed=seed) for seed in range(1, SEEDS))
UNCLIPPED = tuple(Run(part, clipped=False) for part in ("clamp", "haar"))
PLANS = {
    "mnist": Plan(50_000, 64, HELD_OUT, (Run(), *map(Run, Numerals.ablations), *OTHERS)),
    "lsun": Plan(4_000, 8, 48, (Run(), *map(Run, Rooms.ablations), *OTHERS, *UNCLIPPED)),
    "photos": Plan(16_000, 8, 24, (Run(), Run("conditioning"))),
}


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", choices=PLANS)
    parser.add_argument("data", type=Path, help="data, as for `train --dataset`")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    arguments = parser.parse_args()
    plan = PLANS[arguments.dataset]
    folder = arguments.runs / f"{arguments.dataset}-{plan.photos}"

    torch.set_num_threads(1)
    task = open_data(arguments.dataset, arguments.data, plan)
    show(arguments.dataset, plan, folder)
    for run in plan.runs:
        own = folder / run.name
        if not (own / RESULT).exists():
            if not (own / DIVERGED).exists():
                train(run, plan, task, own)
            measure(task, own)
            show(arguments.dataset, plan, folder)


def show(dataset: str, plan: Plan, folder: Path) -> None:
    """Print the table of the finished runs, and draw the curves if all are."""
    done = [run.name for run in plan.runs if (folder / run.name / RESULT).exists()]
    if done:
        print(table({name: json.loads((folder / name / RESULT).read_text()) for name in done}), flush=True)
    if len(done) == len(plan.runs) and dataset != "photos":
        plot({name: curve(folder / name) for name in done}).save(IMAGES / f"ablations-{folder.name}.png")


def open_data(dataset: str, data: Path, plan: Plan) -> Any:
    if dataset == "mnist":
        return Numerals(data)
    natural = dataset == "photos"
    photos, dev = (find_photos(data), find_photos(data / "photos-dev.zip")) if natural else find_lsun(data)
    return (Photos if natural else Rooms)(photos, evenly_spaced(dev, plan.held_out))


def train(run: Run, plan: Plan, task: Task[Any], folder: Path) -> None:
    task.ablate = (run.ablate,) if run.ablate else ()
    given: dict[str, Any] = {} if run.clipped else {"clip": math.inf}
    given |= {"seed": run.seed, "photos": plan.photos, "batch": plan.batch, "learning_rate": RATE}
    a_sixth = plan.photos // 6 // plan.batch * plan.batch  # in whole steps

    def report(found: Progress | Evaluation) -> None:
        print(f"{run.name}: {found.seen:,}  {found.listed()}", flush=True)

    said: dict[str, Any] = {"report": report, "report_evaluation": report, "evaluate_every": a_sixth}
    options = RunOptions(CPU, precision="auto", workers=0, resume=True, **said)
    try:
        run_training(task, folder, task.settings(**given), options)
    except DivergedError as error:
        (folder / DIVERGED).write_text(f"{error}\n")


def measure(task: Task[Any], folder: Path) -> None:
    """Write a run's row of the table; then delete its checkpoints, which are no longer needed."""
    progress, evaluations = rows(folder / "progress.csv"), rows(folder / "evaluation.csv")
    result: dict[str, Any] = {name: int(progress[-1][name]) for name in ("seen", "skipped", "rollbacks")}
    result["nll"] = float(evaluations[-1]["nll"]) if evaluations else math.nan
    result["diverged"] = (folder / DIVERGED).exists()
    weights = folder / f"{task.model}.safetensors"
    if not weights.exists():  # it diverged before the first evaluation
        pass
    elif isinstance(task, MnistTask):
        kept = folder.parent / "classifier.pt"
        if not kept.exists():
            torch.save(train_classifier(Part(task.images[:, 0].numpy(), task.labels.numpy()), 1), kept)
        drawn = Digits("mnist", weights=weights, device="cpu").sample(50).reshape(-1, 28, 28)
        right = classify(torch.load(kept, weights_only=False), drawn) == np.tile(np.arange(10), 50)
        result["recognised"] = float(right.mean())
    else:
        colorizer = Colorizer(task.model, weights=weights, device="cpu", guidance=0.0)
        report = evaluate(colorizer, evenly_spaced(task.dev, SAMPLED), samples=SAMPLES)  # type: ignore[attr-defined]
        (row,) = report.model
        result["exploding"] = row.exploding / (report.photos * report.samples)
        for name in (f"best_of_{SAMPLES}", "variance"):
            result[name] = row.measures[name].mean
    with writing(folder / RESULT) as file:
        file.write(json.dumps(result).encode())
    for checkpoint in folder.glob("checkpoint-*.pt"):
        checkpoint.unlink()


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def curve(folder: Path) -> list[tuple[int, float]]:
    """Return photos seen, and the nll of held-out ones."""
    return [(int(row["seen"]), float(row["nll"])) for row in rows(folder / "evaluation.csv")]


def table(results: dict[str, dict[str, Any]]) -> str:
    used = [key for key in COLUMNS if any(key in result for result in results.values())]
    lines = [["run", *(COLUMNS[key] for key in used)], ["---", *["---:"] * len(used)]]
    for name, result in results.items():
        ended = f", given up after {result['seen']:,}" if result["diverged"] else ""
        lines.append([name + ended, *(number(key, result.get(key, math.nan)) for key in used)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(key: str, value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{100 * value:.1f}" if key in SHARES else f"{value:{'.3f' if key == 'nll' else '.4g'}}"


def plot(curves: dict[str, list[tuple[int, float]]]) -> Image.Image:
    """Plot nll against samples seen: the full recipe in black, the names as the curves end."""
    start = max(points[0][1] for name, points in curves.items() if name.startswith("full") and points)
    low = min(points[-1][1] for points in curves.values() if points and math.isfinite(points[-1][1]))
    bottom, top = low - 0.05 * (start - low), start + 0.6 * (start - low)
    end = max(points[-1][0] for points in curves.values() if points)

    figure = Figure((9, 5.6), layout="constrained")
    axes = figure.subplots()
    labels = {"xlabel": "photos or digits seen", "ylabel": "nll of those held out (nats per dimension)"}
    axes.set(xlim=(0, end), ylim=(bottom, top), **labels)
    axes.grid(color="#e4e4e4")
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    colours, ends = iter(TABLEAU_COLORS), list[tuple[float, str, Line2D]]()
    for name, points in curves.items():
        black = {"color": "black", "linewidth": 2.5}
        style: dict[str, Any] = black if name.startswith("full") else {"color": next(colours)}
        (line,) = axes.plot(*np.reshape(points, (-1, 2)).T, **style)
        seen, nll = points[-1] if points else (0, math.nan)
        remark = ", given up" if seen < end else "" if nll <= top else f" ({nll:.3g})"
        ends.append((nll if math.isfinite(nll) else math.inf, name + remark, line))
    _, names, drawn = zip(*sorted(ends, key=lambda each: -each[0]), strict=True)
    place: dict[str, Any] = {"bbox_to_anchor": (1, 0.5), "frameon": False, "labelcolor": "linecolor"}
    axes.legend(drawn, names, loc="center left", **place)
    return rendered(figure)


if __name__ == "__main__":
    main()
