"""The training loop, from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from cinn_colorize.errors import DataError, DivergedError
from cinn_colorize.models.natural import Natural
from cinn_colorize.sources import Source
from cinn_colorize.training.checkpoint import load_checkpoint, save_checkpoint
from cinn_colorize.training.data import batches
from cinn_colorize.training.objective import add_noise, level_nll, loss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of a run; lengths in photos seen."""

    photos: int = 100_000  # the whole run
    batch: int = 48
    learning_rate: float = 1e-3  # at its peak
    warmup: int = 5_000  # photos of linear rise before the cosine
    weight_decay: float = 0.05  # the prior on the parameters of Eq. 6
    ema: float = 0.998  # decay a step of the averaged weights, which are what is kept
    clip: float = 2.0  # largest gradient norm
    pixel_noise: float = 0.05  # paper 3.4, in units of x
    coarse_noise: float = 0.07
    finest_every: int = 2  # the finest level, half of the cost, learns from every second photo
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a run is, for whoever shows it."""

    seen: int
    total: int
    loss: float  # mean since the last report
    nll: float  # nats a dimension, over the levels trained
    photos_per_second: float
    gradient_norm: float
    skipped: int  # steps left out for a loss or gradient that was not finite


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """'auto' is bf16 on GPUs that know it and on processors with AMX, where alone it is faster, else fp32."""
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _has_amx()
        return torch.bfloat16 if fast else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def _has_amx() -> bool:
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def learning_rate(seen: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to zero at the end of the run."""
    rise = min(1.0, seen / max(config.warmup, 1))
    return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * min(seen / config.photos, 1)))


def train(
    model: Natural,
    photos: list[Source],
    config: TrainingConfig,
    run: Path,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    workers: int = 1,
    resume: bool = False,
    compile: bool = False,
    checkpoint_seconds: float = 300,
    report: Callable[[Progress], None] = lambda progress: None,
    report_seconds: float = 10,
    evaluate: Callable[[Natural, int], None] = lambda model, seen: None,
    evaluate_every: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
) -> Natural:
    """Train the flow and its heads on a frozen backbone (paper 4.2).

    Args:
        model: initialised, its backbone pretrained.
        photos: to train on.
        config: hyper-parameters.
        run: folder of the run; ``checkpoint.pt`` lies there.
        device: to train on.
        precision: of the autocast; parameters and latents stay fp32.
        workers: processes that decode photos.
        resume: go on from the run's checkpoint.
        compile: use torch.compile.
        checkpoint_seconds: between checkpoints.
        report: called every ``report_seconds``.
        report_seconds: between reports.
        evaluate: called with the averaged model and the photos seen, every ``evaluate_every`` photos and at
            the end.
        evaluate_every: photos between evaluations.
        stop: asked after each step; when true, a checkpoint is written and the run ends early.

    Returns:
        the averaged model, in eval mode.

    Raises:
        DataError: the photos or the checkpoint cannot be used.
        DivergedError: losses are no longer finite.
    """
    torch.manual_seed(config.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.backbone.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    average = AveragedModel(model, multi_avg_fn=_moving_average(config.ema))
    average.eval()
    averaged = cast(Natural, average.module)
    seen = 0
    checkpoint_path = run / "checkpoint.pt"
    if resume:
        state = load_checkpoint(checkpoint_path)
        if state["config"] != asdict(config):
            changed = [k for k, v in asdict(config).items() if state["config"].get(k) != v]
            raise DataError(f"{run}: the run to resume has other settings: {', '.join(changed)}")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]

    def checkpoint() -> None:
        state = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "config": asdict(config),
            "seen": seen,
        }
        save_checkpoint(checkpoint_path, state)

    nll_of = torch.compile(batch_nll) if compile else batch_nll
    sizes = {r: math.prod(shape) for r, shape in model.latent_shapes.items()}
    generator = torch.Generator(device)
    meter = _Meter(config.photos, seen)
    last_checkpoint = time.monotonic()
    failures = 0
    model.train()
    for L, ab in batches(photos, config.seed, seen, config.photos, config.batch, workers):
        # Noise and dropout depend on the position alone, so that a resumed run repeats them.
        generator.manual_seed(config.seed + seen)
        torch.manual_seed(config.seed + seen)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(seen, config)

        L = L.to(device, non_blocking=True)
        x = ab.to(device, non_blocking=True) / model.config.chroma_scale
        x = add_noise(x, config.pixel_noise, config.coarse_noise, generator)
        features = frozen_features(model, L, precision)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            nll = nll_of(model, x, L, features, config.finest_every)
        objective = loss(nll, sizes)
        optimizer.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)

        seen += len(L)
        if torch.isfinite(norm) and torch.isfinite(objective):
            failures = 0
            optimizer.step()
            average.update_parameters(model)
            meter.add(len(L), nll, sizes, objective.item(), norm.item())
        else:
            failures += 1
            meter.skipped += 1
            log.warning(
                "step at photo %d skipped: loss %s, gradient norm %s", seen, objective.item(), norm.item()
            )
            if failures == 10:
                raise DivergedError(f"{run}: ten steps in a row were not finite; lower the learning rate")

        if time.monotonic() - meter.since > report_seconds:
            report(meter.progress())
        if seen // evaluate_every > (seen - len(L)) // evaluate_every or seen >= config.photos:
            evaluate(averaged, seen)
        if time.monotonic() - last_checkpoint > checkpoint_seconds or stop():
            checkpoint()
            last_checkpoint = time.monotonic()
            if stop():
                break
    checkpoint()
    return averaged


def frozen_features(model: Natural, L: Tensor, precision: torch.dtype) -> dict[int, Tensor]:
    """Backbone features without gradient.

    On a CPU four photos at a time: their activations stay in the cache, which takes a third of the time that
    a whole batch takes.
    """
    chunk = 4 if L.device.type == "cpu" else len(L)
    with torch.no_grad(), torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
        parts = [model.features(part) for part in L.split(chunk)]
    return {stride: torch.cat([part[stride] for part in parts]) for stride in parts[0]}


def batch_nll(
    model: Natural, x: Tensor, L: Tensor, features: dict[int, Tensor], finest_every: int
) -> dict[int, Tensor]:
    """Nll by level, nats: the finest level's of every ``finest_every``-th photo, the others' of all."""
    finest, second = sorted(model.resolutions, reverse=True)[:2]
    share = len(x) // finest_every
    parts = []
    for chosen, levels_to in ((slice(share), finest), (slice(share, None), second)):
        if len(x[chosen]):
            condition = model.condition(L[chosen], {s: f[chosen] for s, f in features.items()}, levels_to)
            parts.append(level_nll(*model(x[chosen], condition)))
    return {r: torch.cat([part[r] for part in parts if r in part]) for r in parts[0]}


def _moving_average(decay: float) -> Callable[..., None]:
    """Exponential moving average whose decay rises at first, so that initial weights are soon forgotten."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], updates: int | Tensor) -> None:
        rising = min(decay, (1 + float(updates)) / (10 + float(updates)))
        torch._foreach_lerp_(averages, currents, 1 - rising)

    return update


class _Meter:
    """Means since the last report."""

    def __init__(self, total: int, seen: int) -> None:
        self.total, self.seen, self.skipped = total, seen, 0
        self._clear()

    def _clear(self) -> None:
        self.since, self.photos, self.steps = time.monotonic(), 0, 0
        self.loss = self.nll = self.norm = 0.0

    def add(
        self, photos: int, nll: dict[int, Tensor], sizes: dict[int, int], loss: float, norm: float
    ) -> None:
        self.seen += photos
        self.photos += photos
        self.steps += 1
        self.loss += loss
        self.nll += sum(values.mean().item() for values in nll.values()) / sum(sizes.values())
        self.norm += norm

    def progress(self) -> Progress:
        """Report, and start anew."""
        n = max(self.steps, 1)
        rate = self.photos / (time.monotonic() - self.since)
        result = Progress(
            self.seen, self.total, self.loss / n, self.nll / n, rate, self.norm / n, self.skipped
        )
        self._clear()
        return result
