"""A training run: its folder, its model, what it writes as it goes."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from cinn_colorize.colorizer import Colorizer
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.models import MODELS, Loaded, load_model, save_model
from cinn_colorize.models.natural import Natural, NaturalConfig
from cinn_colorize.photo import open_photo
from cinn_colorize.sheet import contact_sheet, save_sheet, tiles
from cinn_colorize.sources import Reader, Source, find_photos
from cinn_colorize.training.loop import Progress, TrainingConfig, train
from cinn_colorize.training.pretrained import lite2_state

log = logging.getLogger(__name__)

DEV = "photos-dev.zip"  # what a run is watched on, where the data has it
SHEET_PHOTOS, SHEET_SAMPLES = 8, 3


@dataclass(frozen=True)
class Evaluation:
    """The averaged model on photos that it does not learn from."""

    seen: int
    nll: float  # nats a dimension
    sheet: Path


def run_training(
    data: Sequence[Path],
    run: Path,
    config: TrainingConfig,
    *,
    device: torch.device,
    precision: torch.dtype,
    workers: int,
    resume: bool,
    start: Path | None,
    compile: bool,
    checkpoint_seconds: float,
    evaluate_every: int,
    report: Callable[[Progress], None],
    report_evaluation: Callable[[Evaluation], None],
    stop: Callable[[], bool],
) -> Path:
    """Train ``natural`` on photos and write its weights into the run's folder.

    The folder gets ``checkpoint.pt``, ``progress.csv``, ``evaluation.csv``, ``samples_*.jpg`` and
    ``natural.safetensors``, the averaged weights, after every evaluation and at the end.

    Args:
        data: each as :func:`cinn_colorize.sources.find_photos` takes it; a photos-dev.zip in one of them is
            what the run is watched on.
        run: the run's folder.
        config: hyper-parameters.
        device: to train on.
        precision: of the autocast.
        workers: processes that decode photos.
        resume: go on from the folder's checkpoint.
        start: weights to begin with, new ones on the pretrained backbone otherwise.
        compile: use torch.compile.
        checkpoint_seconds: between checkpoints.
        evaluate_every: photos between evaluations.
        report: called every few seconds.
        report_evaluation: called after an evaluation.
        stop: asked after each step; when true, the run ends early, to be resumed.

    Returns:
        path of the weights.

    Raises:
        CinnError: the data, the checkpoint or the weights cannot be used, or the run diverged.
    """
    photos = [photo for root in data for photo in find_photos(root)]
    if not resume and (run / "checkpoint.pt").exists():
        raise DataError(f"{run}: holds a run already; add --resume to go on, or choose another --run")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{run}: cannot be made ({error.strerror})") from error
    dev = [photo for root in data if (root / DEV).is_file() for photo in find_photos(root / DEV)]
    if not dev:
        log.warning("no %s there, so the run is not watched on photos it does not learn from", DEV)
    weights = run / "natural.safetensors"

    def on_report(progress: Progress) -> None:
        _append(run / "progress.csv", asdict(progress))
        report(progress)

    def on_evaluate(model: Natural, seen: int) -> None:
        save_model(weights, model, asdict(config) | {"seen": seen, "distinct_photos": len(photos)})
        if dev:
            evaluation = Evaluation(seen, mean_nll(model, dev[::2]), run / f"samples_{seen:08d}.jpg")
            _sample_sheet(model, dev, device, evaluation.sheet)
            _append(run / "evaluation.csv", {"seen": seen, "nll": evaluation.nll})
            report_evaluation(evaluation)

    train(
        _initial_model(config.seed, start),
        photos,
        config,
        run,
        device=device,
        precision=precision,
        workers=workers,
        resume=resume,
        compile=compile,
        checkpoint_seconds=checkpoint_seconds,
        report=on_report,
        evaluate=on_evaluate,
        evaluate_every=evaluate_every,
        stop=stop,
    )
    return weights


def _initial_model(seed: int, start: Path | None) -> Natural:
    if start is not None:
        return load_model("natural", start).model.requires_grad_(True)
    torch.manual_seed(seed)
    model = Natural(NaturalConfig.default())
    model.backbone.load_pretrained(lite2_state())
    return model


def _sample_sheet(model: Natural, dev: list[Source], device: torch.device, path: Path) -> None:
    """Some photos spread over the set, each followed by samples at temperature 1."""
    colorizer = Colorizer(Loaded(model, MODELS["natural"], sha256=""), device=str(device))
    read, shown = Reader(), []
    for source in dev[:: max(1, len(dev) // SHEET_PHOTOS)][:SHEET_PHOTOS]:
        photo = open_photo(read(source))
        shown += tiles(photo, colorizer.colorize(photo, SHEET_SAMPLES, temperature=1.0))
    save_sheet(contact_sheet(shown, columns=2 * (1 + SHEET_SAMPLES)), path)


def _append(path: Path, values: dict[str, object]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(values))
        if new:
            writer.writeheader()
        writer.writerow(values)
