"""Train the methods of the comparison.

    python scripts/compare/train.py all --data FOLDER --data FOLDER --rooms FOLDER

Each method has its own folder under --run; the command continues where it was stopped. ``features`` computes
what the methods share, ``natural`` trains the cINN as ``cinn-colorize train`` does, ``couplings`` the same
with coupling blocks at all levels, as in the paper.
"""

import argparse
import json
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from couplings import Couplings
from features import BACKBONE, BATCH, SEED, SHA256, Cache, backbone
from methods import Classification, ColorGan, Method, Pix2pix, Regression, Sampler, VaeMdn
from torch import Tensor, nn

from cinn_colorize import evaluation
from cinn_colorize.data.sources import Source, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.files import tensorfile
from cinn_colorize.models.conditioning.backbone import FEATURES, EfficientNetLite2
from cinn_colorize.training.bedrooms import BedroomsTask, BedroomsTraining
from cinn_colorize.training.choices import Precision
from cinn_colorize.training.crops import Batch, Loading
from cinn_colorize.training.datasets import open_task
from cinn_colorize.training.loop import Progress, RunOptions
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.run import run_training
from cinn_colorize.training.task import Noise, Task, TrainingConfig, load_network

ALL: list[type[Method]] = [Regression, Classification, VaeMdn, Pix2pix, ColorGan]
METHODS = {method.name: method for method in ALL}
CINNS = ("couplings", "natural")
NAMES = ("features", *METHODS, *CINNS)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class MethodTraining(TrainingConfig):
    """Hyper-parameters of a method."""

    batch: int = 16
    warmup: int = 1_000
    clip: float = 1000.0  # only against accidents


class MethodTask(Task[Method]):
    """Train a method on crops whose features are already computed, and measure it on ``dev``."""

    config = MethodTraining

    def __init__(self, method: type[Method], cache: Cache, dev: Sequence[Source]) -> None:
        self.method, self.cache, self.dev = method, cache, dev
        self.model, self.betas, self.distinct = method.name, method.betas, cache.count

    def initial_model(self) -> Method:
        method = self.method()
        method.prepare(self.cache.colours())
        return method

    def learning(self, model: Method, config: Any) -> list[tuple[list[nn.Parameter], float]]:
        return model.groups()

    def batches(self, config: MethodTraining, start: int, loading: Loading) -> Generator[Batch]:
        return self.cache.batches(start, config.photos, config.batch)

    def losses(
        self, model: Method, batch: Sequence[Tensor], config: Any, noise: Noise, precision: torch.dtype
    ) -> dict[str, Tensor]:
        L, ab, *features = batch
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            return model.losses(L, ab, dict(zip(FEATURES, features, strict=False)))

    def network(self) -> EfficientNetLite2 | None:
        return backbone()

    def measure(self, model: Method) -> dict[str, float]:
        """Measure every eighth held-out photo as ``cinn-colorize evaluate`` does."""
        if not self.dev:
            return {}
        samples, sampler = 8 if model.samples_differ else 1, Sampler(model, self.network())
        report = evaluation.evaluate(sampler, self.dev[::8], samples=samples, tints=False)
        return {name: measure.mean for name, measure in report.model[0].measures.items()}

    def save(self, model: Method, path: Path, training: dict[str, object]) -> None:
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        config = {"model": self.model, "training": training}
        tensorfile.save(path, config | ({"backbone": SHA256} if self.network() else {}), state)


class RoomsTask(MethodTask):
    """Train a method on rooms, as ``bedrooms``: L and ab at 64 px, no backbone."""

    exploding = math.inf  # a Wasserstein critic's gradients start near zero and grow with the generator's

    def __init__(self, method: type[Method], rooms: BedroomsTask) -> None:
        self.rooms, self.dev, self.method = rooms, rooms.dev, method
        self.model, self.betas, self.distinct = method.name, method.betas, rooms.distinct

    def initial_model(self) -> Method:
        return self.method()  # colorGAN requires no colours

    def batches(self, config: MethodTraining, start: int, loading: Loading) -> Generator[Batch]:
        shared = BedroomsTraining(photos=config.photos, batch=config.batch, seed=config.seed)
        return self.rooms.batches(shared, start, loading)

    def network(self) -> None:
        return None


class CouplingsTask(NaturalTask):
    """Train the paper's coupling blocks at all levels, as ``natural``."""

    model = Couplings.name

    def initial_model(self) -> Couplings:
        model = Couplings()
        load_network(model.backbone, BACKBONE, "backbone")
        return model

    draw = Task.draw  # no sheet of samples: the registry does not know the model


def cinn(name: str, data: Sequence[Path]) -> Task[Any]:
    backbone()  # which refuses another file
    task = open_task("photos", data, backbone=BACKBONE)
    assert isinstance(task, NaturalTask)
    return task if name == "natural" else CouplingsTask(task.photos, task.dev, BACKBONE)


def task_of(name: str, arguments: argparse.Namespace, cache: Cache) -> tuple[Task[Any], TrainingConfig]:
    given: dict[str, Any] = {"photos": arguments.photos, "seed": SEED}
    if name in CINNS:
        task = cinn(name, arguments.data)
        return task, task.config(**given)
    method, dev = METHODS[name], arguments.data[0] / "photos-dev.zip"
    config = MethodTraining(learning_rate=method.learning_rate, **given)
    if name == "colorgan":
        return RoomsTask(method, open_task("lsun", [arguments.rooms])), config  # type: ignore[arg-type]
    return MethodTask(method, cache, find_photos(dev, pattern=None) if dev.exists() else []), config


def run(name: str, arguments: argparse.Namespace) -> None:
    folder: Path = arguments.run / name
    cache = Cache(arguments.run / f"features-{SHA256[:8]}", -(-arguments.photos // BATCH) * BATCH)
    if name == "features":
        cache.fill(open_task("photos", arguments.data).photos)  # type: ignore[attr-defined]
        return
    task, config = task_of(name, arguments, cache)
    compute = folder / "compute.json"
    figures: dict[str, Any] = json.loads(compute.read_text()) if compute.exists() else {}
    kind: dict[str, Any] = {"backbone": SHA256, "photos": arguments.photos}
    if (figures | kind).items() != (kind | figures).items():
        raise SystemExit(f"{folder}: trained with another backbone or number of photos; choose another --run")
    if "parameters" in figures:  # written last
        return
    begun: list[float] = []  # position and CPU time at the first report of this process

    def report(progress: Progress) -> None:
        print(f"{name}: {progress.seen:,} photos  {progress.listed()}", flush=True)
        begun.extend([progress.seen, time.process_time()] if not begun else [])
        if progress.seen > begun[0] or not figures:
            seconds = (time.process_time() - begun[1]) / max(progress.seen - begun[0], 1)
            figures["processor_seconds_a_photo"] = seconds
            compute.write_text(json.dumps(kind | figures))

    given: dict[str, Any] = {"precision": arguments.precision, "resume": True, "checkpoint_seconds": 120}
    given |= {"workers": 1 if name in (*CINNS, "colorgan") else 0, "evaluate_every": config.photos}
    given["report_evaluation"] = lambda evaluation: print(name, evaluation.figures, flush=True)
    run_training(task, folder, config, RunOptions(CPU, report=report, **given))
    groups = task.learning(task.initial_model(), config)
    learnt = sum(parameter.numel() for parameters, _ in groups for parameter in parameters)
    compute.write_text(json.dumps({"parameters": learnt, **kind, **figures}))


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = f"all, or {', '.join(NAMES)}"
    parser.add_argument("names", nargs="+", choices=["all", *NAMES], metavar="NAME", help=names)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder with zips")
    parser.add_argument("--rooms", type=Path, help="photos for colorGAN, as for train --dataset lsun")
    parser.add_argument("--run", type=Path, default=Path("runs/compare"))
    parser.add_argument("--photos", type=int, default=20_000, help="number of photos that each method sees")
    parser.add_argument("--precision", choices=[each.value for each in Precision], default="auto")
    arguments = parser.parse_args()
    if not arguments.rooms and {"all", "colorgan"} & {*arguments.names}:
        parser.error("colorgan requires --rooms")
    torch.set_num_threads(1)
    for name in NAMES if "all" in arguments.names else arguments.names:
        run(name, arguments)


if __name__ == "__main__":
    main()
