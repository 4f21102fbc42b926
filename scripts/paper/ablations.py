"""Train and measure the ablations (paper 4.4, Figs. 10 and 16).

    python scripts/paper/ablations.py mnist|lsun|photos DATA [--runs FOLDER]

Trains a data set's model as it is, with three seeds, and once without each part of the recipe that
`train --ablate` supports for it, all with Adam at 1e-3 and equally long. For photos, that is only the run
without conditioning network. Runs lie in FOLDER/DATASET-N; finished runs are skipped and unfinished ones
resumed, so after a stop, run the same command again. Then measures the averaged weights of each run on the
same photos or digits, with the same noise for all; draws docs/images/ablations-DATASET-N.png, except for
photos; and prints the table of docs/ablations.md. `scripts/paper/figures.py 16` shows samples of the two
models of photos.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from check_mnist import classify, train_classifier
from PIL import Image, ImageDraw, ImageFont

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import evenly_spaced, find_photos
from cinn_colorize.digits import Digits
from cinn_colorize.errors import DivergedError
from cinn_colorize.evaluation import evaluate
from cinn_colorize.files import replacing
from cinn_colorize.training.bedrooms import BedroomsTask, find_lsun
from cinn_colorize.training.mnist import DEV, SIGMA, MnistTask, Part, nll_per_dimension
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.options import RunOptions
from cinn_colorize.training.progress import Evaluation, Progress
from cinn_colorize.training.run import run_training
from cinn_colorize.training.task import Task

CPU = torch.device("cpu")
RATE = 1e-3  # Adam's, at its peak
SEEDS = 3  # of the full recipe
HELD_OUT = 500  # digits for the nll
SAMPLES = 8  # of each photo
RESULT, DIVERGED = "result.json", "diverged.txt"  # in a run's folder; the second if the loop gave the run up
IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Watched:
    """A task evaluated only by its figures."""

    def draw(self, model: Any, device: torch.device, path: Path) -> bool:
        """Draw nothing."""
        return False


class Rooms(Watched, BedroomsTask):
    """Bedrooms."""


class Photos(Watched, NaturalTask):
    """Natural photos, with Adam like all runs here."""

    optimizer = Task.optimizer


class Numerals(Watched, MnistTask):
    """Digits."""

    def complete(self, model: Any) -> None:
        """Skip the principal axes, which are not needed."""

    def measure(self, model: Any) -> dict[str, float]:
        """Measure some of the held-out digits."""
        digits = self._digits(model, CPU)
        some = slice(-DEV, None, DEV // HELD_OUT)
        part = Part(self.images[some, 0].numpy(), self.labels[some].numpy())
        return {"nll": nll_per_dimension(digits, part, SIGMA)}


@dataclass(frozen=True)
class Run:
    """The recipe, or the recipe without something."""

    ablate: str = ""
    seed: int = 0
    clipped: bool = True  # gradients, which the paper does not mention

    @property
    def name(self) -> str:
        """The name of its folder, its curve and its row."""
        name = f"without {self.ablate}" if self.ablate else f"full, seed {self.seed}"
        return name if self.clipped else f"{name}, not clipped"

    def is_in(self, folder: Path) -> bool:
        """Return whether it is finished."""
        return (folder / self.name / RESULT).exists()


@dataclass(frozen=True)
class Plan:
    """All runs of a data set."""

    photos: int  # seen by each run
    batch: int
    held_out: int  # photos or digits for the nll
    runs: tuple[Run, ...]

    @property
    def evaluate_every(self) -> int:
        """A sixth of the run, in whole steps."""
        return max(self.batch, self.photos // 6 // self.batch * self.batch)


OTHERS = tuple(Run(seed=seed) for seed in range(1, SEEDS))
PLANS = {
    "mnist": Plan(50_000, 64, HELD_OUT, (Run(), *map(Run, Numerals.ablations), *OTHERS)),
    "lsun": Plan(
        4_000,
        8,
        48,
        (
            Run(),
            *map(Run, Rooms.ablations),
            *OTHERS,
            *(Run(part, clipped=False) for part in ("clamp", "haar")),
        ),
    ),
    "photos": Plan(3_000, 8, 24, (Run(), Run("conditioning"))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=PLANS)
    parser.add_argument("data", type=Path, help="data, as for `train --dataset`")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--photos", type=int, help="photos or digits that each run sees")
    parser.add_argument("--samples-of", type=int, default=32, help="photos to draw samples of")
    arguments = parser.parse_args()
    plan = PLANS[arguments.dataset]
    if arguments.photos:
        plan = replace(plan, photos=arguments.photos)
    folder = arguments.runs / f"{arguments.dataset}-{plan.photos}"

    torch.set_num_threads(1)
    task = open_data(arguments.dataset, arguments.data, plan)
    show(arguments.dataset, plan, folder)
    for run in plan.runs:
        if not run.is_in(folder):
            if not (folder / run.name / DIVERGED).exists():
                train(run, plan, task, folder / run.name)
            measure(run, task, folder / run.name, arguments.samples_of)
            show(arguments.dataset, plan, folder)


def show(dataset: str, plan: Plan, folder: Path) -> None:
    """Print the table and draw the curves of the finished runs."""
    done = [run.name for run in plan.runs if run.is_in(folder)]
    if done:
        print(table({name: folder / name / RESULT for name in done}), flush=True)
    if done and dataset != "photos":
        plot({name: curve(folder / name) for name in done}).save(IMAGES / f"ablations-{folder.name}.png")


def open_data(dataset: str, data: Path, plan: Plan) -> Any:
    if dataset == "mnist":
        return Numerals(data)
    if dataset == "lsun":
        photos, dev = find_lsun(data)
        return Rooms(photos, evenly_spaced(dev, plan.held_out))
    return Photos(find_photos(data), evenly_spaced(find_photos(data / "photos-dev.zip"), plan.held_out))


def train(run: Run, plan: Plan, task: Task[Any], folder: Path) -> None:
    """Train, or resume."""
    task.ablate = (run.ablate,) if run.ablate else ()
    given: dict[str, Any] = {"seed": run.seed, "photos": plan.photos, "batch": plan.batch}
    if not run.clipped:
        given["clip"] = math.inf

    def report(progress: Progress) -> None:
        facts = f"{progress.listed()}  {progress.photos_per_second:.1f}/s"
        print(f"{run.name}: {progress.seen:,}  {facts}", flush=True)

    def report_evaluation(evaluation: Evaluation) -> None:
        print(f"{run.name}: {evaluation.seen:,}, held out: {evaluation.listed()}", flush=True)

    options = RunOptions(
        CPU,
        precision="auto",
        workers=0,
        resume=True,
        evaluate_every=plan.evaluate_every,
        report=report,
        report_evaluation=report_evaluation,
    )
    try:
        run_training(task, folder, task.settings(learning_rate=RATE, **given), options)
    except DivergedError as error:
        (folder / DIVERGED).write_text(f"{error}\n")


def measure(run: Run, task: Task[Any], folder: Path, photos: int) -> None:
    """Write a run's row of the table; then delete its checkpoints, which are no longer needed."""
    progress, evaluations = rows(folder / "progress.csv"), rows(folder / "evaluation.csv")
    result: dict[str, Any] = {
        "nll": float(evaluations[-1]["nll"]) if evaluations else math.nan,
        "seen": int(progress[-1]["seen"]),
        "skipped": int(progress[-1]["skipped"]),
        "rollbacks": int(progress[-1]["rollbacks"]),
        "diverged": (folder / DIVERGED).exists(),
    }
    weights = folder / f"{task.model}.safetensors"
    if not weights.exists():  # it diverged before the first evaluation
        pass
    elif isinstance(task, MnistTask):
        drawn = Digits("mnist", weights=weights, device="cpu").sample(50).reshape(-1, 28, 28)
        right = classify(classifier(task, folder.parent), drawn) == np.tile(np.arange(10), 50)
        result["recognised"] = float(right.mean())
    else:
        colorizer = Colorizer(task.model, weights=weights, device="cpu")
        report = evaluate(colorizer, evenly_spaced(task.dev, photos), samples=SAMPLES)  # type: ignore[attr-defined]
        (row,) = report.model
        result["exploding"] = row.exploding / (report.photos * report.samples)
        for name in (f"best_of_{SAMPLES}", "variance"):
            result[name] = row.measures[name].mean
    with replacing(folder / RESULT) as descriptor, open(descriptor, "w", closefd=False) as file:
        json.dump(result, file)
    for checkpoint in folder.glob("checkpoint-*.pt"):
        checkpoint.unlink()


def classifier(task: MnistTask, folder: Path) -> torch.nn.Module:
    """Load the classifier of real digits, trained once for all runs."""
    path = folder / "classifier.pt"
    if not path.exists():
        torch.save(train_classifier(Part(task.images[:, 0].numpy(), task.labels.numpy()), 1), path)
    model: torch.nn.Module = torch.load(path, weights_only=False)
    return model


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def curve(folder: Path) -> list[tuple[int, float]]:
    """Return photos seen, and the nll of held-out ones."""
    return [(int(row["seen"]), float(row["nll"])) for row in rows(folder / "evaluation.csv")]


def table(files: dict[str, Path]) -> str:
    """Format the last numbers of each finished run as Markdown."""
    results = {name: json.loads(path.read_text()) for name, path in files.items()}
    columns = {
        "nll": "nll",
        "recognised": "recognised, %",
        f"best_of_{SAMPLES}": f"best of {SAMPLES}",
        "variance": "variance",
        "exploding": "exploding, %",
        "skipped": "steps skipped",
        "rollbacks": "returns",
    }
    used = [key for key in columns if any(key in result for result in results.values())]
    lines = [
        f"| run | {' | '.join(columns[key] for key in used)} |",
        f"|---|{'---:|' * len(used)}",
    ]
    for name, result in results.items():
        cells = [number(key, result.get(key, math.nan)) for key in used]
        ended = f", given up after {result['seen']:,}" if result["diverged"] else ""
        lines.append(f"| {name}{ended} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if name in ("recognised", "exploding"):
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if name == "nll" else f"{value:.4g}"


WIDTH, HEIGHT, SCALE = 900, 560, 3  # pixels, and the supersampling for smooth lines
LEFT, TOP, RIGHT, BOTTOM = 60, 20, 240, 60
PAPER, INK, RULE, RECIPE = "#ffffff", "#333333", "#e4e4e4", "#000000"
COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#e377c2", "#bcbd22"]


def plot(curves: dict[str, list[tuple[int, float]]]) -> Image.Image:
    """Plot nll against samples seen: the full recipe in black; curves beyond the frame are named on top."""
    first = [points[0][1] for name, points in curves.items() if name.startswith("full") and points]
    last = [points[-1][1] for points in curves.values() if points and math.isfinite(points[-1][1])]
    low, start = min(last), max(first)
    bottom, top = low - 0.05 * (start - low), start + 0.6 * (start - low)
    end = max(points[-1][0] for points in curves.values() if points)

    image = Image.new("RGB", (SCALE * WIDTH, SCALE * HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14 * SCALE)

    def place(seen: float, nll: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * seen / end
        y = TOP + (HEIGHT - TOP - BOTTOM) * (top - nll) / (top - bottom)
        return SCALE * x, SCALE * y

    step = nice(end / 5)
    for seen in np.arange(0, end + 1, step):
        x, y = place(float(seen), bottom)
        draw.line([(x, y), (x, SCALE * TOP)], RULE, SCALE)
        draw.text((x, y + 10 * SCALE), f"{seen:,.0f}", INK, font, anchor="mt")
    step = nice((top - bottom) / 6)
    for nll in np.arange(math.ceil(bottom / step) * step, top, step):
        x, y = place(0, float(nll))
        draw.line([(x, y), (SCALE * (WIDTH - RIGHT), y)], RULE, SCALE)
        draw.text((x - 8 * SCALE, y), f"{round(float(nll), 9) + 0:g}", INK, font, anchor="rm")
    title = "nll of those held out, nats a dimension, against how many were seen"
    draw.text((SCALE * LEFT, SCALE * (HEIGHT - 22)), title, INK, font)

    colours, labels = iter(COLOURS), list[tuple[float, str, str]]()
    for name, points in curves.items():
        colour = RECIPE if name.startswith("full") else next(colours)
        for (seen, nll), (later, after) in pairwise(points):
            ends = [
                place(seen + share * (later - seen), nll + share * (after - nll))
                for share in within(nll, after, top)
            ]
            draw.line(ends, colour, (3 if colour == RECIPE else 2) * SCALE)
        beyond = not points or not points[-1][1] <= top
        y = SCALE * TOP if beyond else place(*points[-1])[1]
        if not points or points[-1][0] < end:
            name = f"{name}, given up"
        elif beyond:
            name = f"{name} ({points[-1][1]:.3g})"
        labels.append((y, name, colour))
    line, lowest = 17 * SCALE, place(0, bottom)[1]
    for i, (y, name, colour) in enumerate(sorted(labels)):
        labels[i] = (max(y, labels[i - 1][0] + line if i else y), name, colour)
    for i in reversed(range(len(labels))):
        y, name, colour = labels[i]
        lowest = min(y, lowest)
        draw.text((SCALE * (WIDTH - RIGHT + 8), lowest), name, colour, font, anchor="lm")
        lowest -= line
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).quantize(256)


def within(nll: float, after: float, top: float) -> list[float]:
    """Return the part of a line below the top as two shares of it, or nothing."""
    if not (math.isfinite(nll) and math.isfinite(after)) or min(nll, after) > top:
        return []
    crossing = (top - nll) / (after - nll) if max(nll, after) > top else 0.0
    return [crossing if nll > top else 0.0, crossing if after > top else 1.0]


def nice(step: float) -> float:
    """Round a step to 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(step))
    return power * min((1, 2, 5, 10), key=lambda each: abs(each - step / power))


if __name__ == "__main__":
    main()
