"""The backbone learns gray photos, before the flow is trained on it.

EfficientNet-Lite2 was trained on photos in colour. Two losses teach it what it lacks, together, without labels:

- *distillation*: of a gray photo its features and its ImageNet logits must be those that the original sees
  in colour (Hinton et al. 2015, https://arxiv.org/abs/1503.02531);
- *colour bins*: one linear map from its features classifies each place into bins of colour (paper 4.2).

Batch norms are folded into the convolutions: their statistics stay.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.conditioning.backbone import FEATURES, EfficientNetLite2, gray_input
from cinn_colorize.conditioning.bins import ColourBins, rarity
from cinn_colorize.errors import DataError
from cinn_colorize.sources import Source
from cinn_colorize.training.checkpoint import load_checkpoint, save_checkpoint
from cinn_colorize.training.data import Crops, batches, to_network_in_colour
from cinn_colorize.training.pretrained import lite2_state
from cinn_colorize.training.schedule import cosine

log = logging.getLogger(__name__)

BINS_SIZE = 32  # pixels of the grid that is classified into bins
_CHUNK = 4  # photos whose activations stay in a CPU's cache
_FEATURE_WEIGHT, _LOGIT_WEIGHT = 1.0, 1.0


@dataclass(frozen=True)
class FeaturesConfig:
    """Hyper-parameters of a run; lengths in photos seen."""

    photos: int = 200_000
    batch: int = 16
    learning_rate: float = 6e-5  # of the backbone; 3e-4 destroys what it knows
    head_learning_rate: float = 1e-3  # of the map to colour bins, which is new
    warmup: int = 1_000
    distil: float = 1.0  # weight of the distillation, 0 for none
    bins: float = 0.3  # weight of the colour bins, 0 for none
    seed: int = 0


class Classifier(nn.Module):
    """What follows EfficientNet-Lite2's features: ImageNet's 1000 classes."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        last = list(state.values())[
            -8:
        ]  # a convolution, its batch norm (5), the weight and bias of the classes
        weight, gamma, beta, mean, variance, _, fc_weight, fc_bias = last
        scale = gamma / torch.sqrt(variance + 1e-3)
        self.expand = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        self.classes = nn.Linear(fc_weight.shape[1], fc_weight.shape[0])
        with torch.no_grad():
            self.expand.weight.copy_(weight * scale[:, None, None, None])
            self.expand.bias.copy_(beta - mean * scale)
            self.classes.weight.copy_(fc_weight)
            self.classes.bias.copy_(fc_bias)

    def forward(self, coarsest: Tensor) -> Tensor:
        """Features at stride 32 (N, 352, h, w) -> logits (N, 1000)."""
        logits: Tensor = self.classes(F.relu6(self.expand(coarsest)).mean(dim=(2, 3)))
        return logits


class BinsHead(nn.Module):
    """One linear map of all features to the logits of the colour bins, (N, K, 32, 32)."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({str(s): nn.Conv2d(c, bins, 1) for s, c in FEATURES.items() if s > 4})

    def forward(self, features: Mapping[int, Tensor]) -> Tensor:
        """Features by stride -> logits; those of coarser strides are interpolated."""
        size = (BINS_SIZE, BINS_SIZE)
        parts = [
            F.interpolate(layer(features[int(stride)]), size, mode="bilinear", align_corners=False)
            for stride, layer in self.maps.items()
        ]
        return torch.stack(parts).sum(0)


class Losses(nn.Module):
    """The losses of a gray photo's features.

    ``feature_error`` is by stride the squared error over the variance of the original's features, mean over
    channels: 0 is perfect, 1 no better than the mean.
    """

    def __init__(self, teacher: EfficientNetLite2, classifier: Classifier, bins: ColourBins) -> None:
        super().__init__()
        self.teacher, self.classifier, self.bins = teacher, classifier, bins
        self.head = BinsHead(len(bins))
        self.variance: dict[int, Tensor] = {}
        self.rarity: Tensor | None = None

    @torch.no_grad()
    def measure(self, ab: Tensor, colour: Tensor) -> None:
        """Take the variance of the original's features and the rarity of colours from some photos."""
        targets = self.teacher(colour)
        self.variance = {s: f.var(dim=(0, 2, 3), keepdim=True) for s, f in targets.items()}
        counts = self.bins.counts(F.adaptive_avg_pool2d(ab, BINS_SIZE))
        self.rarity = rarity(counts / counts.sum())

    def forward(self, features: Mapping[int, Tensor], ab: Tensor, colour: Tensor) -> dict[str, Tensor]:
        """Losses by name, and how often the best class is the original's (``agreement``).

        Args:
            features: of the gray photos, by stride.
            ab: (N, 2, 64, 64).
            colour: the photos, (N, 3, 256, 256) in [-1, 1].
        """
        with torch.no_grad():
            targets = self.teacher(colour)
            classes = self.classifier(targets[32]).log_softmax(dim=1)
        logits = self.classifier(features[32]).log_softmax(dim=1)
        ab = F.adaptive_avg_pool2d(ab, BINS_SIZE)
        variance = {s: v.clamp(min=1e-6) for s, v in self.variance.items()}
        scaled_features = {s: f / variance[s].sqrt() for s, f in features.items()}
        return {
            **{
                f"features_{s}": ((f - targets[s]).square() / variance[s]).mean() for s, f in features.items()
            },
            "logits": F.kl_div(logits, classes, log_target=True, reduction="batchmean"),
            "bins": self.bins.cross_entropy(self.head(scaled_features), ab, self.rarity).mean(),
            "agreement": (logits.argmax(1) == classes.argmax(1)).float().mean(),
        }


def objective(losses: Mapping[str, Tensor], config: FeaturesConfig) -> Tensor:
    """The weighted sum that is minimised."""
    features = torch.stack([v for k, v in losses.items() if k.startswith("features")]).sum()
    return config.distil * (features + losses["logits"]) + config.bins * losses["bins"]


def train_features(
    photos: list[Source],
    config: FeaturesConfig,
    run: Path,
    *,
    device: torch.device,
    workers: int = 1,
    resume: bool = False,
    report: Callable[[int, dict[str, float], float], None] = lambda seen, losses, rate: None,
    report_seconds: float = 30,
    checkpoint_seconds: float = 300,
    stop: Callable[[], bool] = lambda: False,
) -> EfficientNetLite2:
    """Train the backbone on gray photos.

    Args:
        photos: to train on.
        config: hyper-parameters.
        run: folder of the run; ``features.pt`` lies there.
        device: to train on.
        workers: processes that decode photos.
        resume: go on from the run's checkpoint.
        report: called every ``report_seconds`` with the photos seen, mean losses and photos/s.
        report_seconds: between reports.
        checkpoint_seconds: between checkpoints.
        stop: asked after each step; when true, a checkpoint is written and the run ends early.

    Raises:
        DataError: the photos, the pretrained network or the checkpoint cannot be used.
    """
    torch.manual_seed(config.seed)
    state = lite2_state()
    student = EfficientNetLite2()
    student.load_pretrained(state)
    teacher = copy.deepcopy(student).eval().requires_grad_(False)
    losses = Losses(teacher, Classifier(state).requires_grad_(False), ColourBins())
    for module in (student, losses):
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [*student.parameters(), *losses.head.parameters()]
    peaks = (config.learning_rate, config.head_learning_rate)
    optimizer = torch.optim.Adam(
        [{"params": list(module.parameters())} for module in (student, losses.head)], fused=True
    )
    average = copy.deepcopy(student).eval().requires_grad_(False)
    path, seen = run / "features.pt", 0
    if resume:
        saved = load_checkpoint(path)
        if saved["config"] != asdict(config):
            raise DataError(f"{run}: the run to resume has other settings")
        student.load_state_dict(saved["student"])
        average.load_state_dict(saved["average"])
        losses.head.load_state_dict(saved["head"])
        optimizer.load_state_dict(saved["optimizer"])
        seen = saved["seen"]

    def checkpoint() -> None:
        save_checkpoint(
            path,
            {
                "student": student.state_dict(),
                "average": average.state_dict(),
                "head": losses.head.state_dict(),
                "optimizer": optimizer.state_dict(),
                "config": asdict(config),
                "seen": seen,
            },
        )

    _measure(losses, photos, config, device)
    sums: dict[str, float] = {}
    since, since_seen, last_checkpoint = time.monotonic(), seen, time.monotonic()
    crops = Crops(photos, config.seed, to_network_in_colour)
    for L, ab, colour in batches(crops, seen, config.photos, config.batch, workers):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = cosine(seen, config.photos, peak, config.warmup)
        optimizer.zero_grad(set_to_none=True)
        chunk = _CHUNK if device.type == "cpu" else len(L)
        for part in zip(L.split(chunk), ab.split(chunk), colour.split(chunk), strict=True):
            L_, ab_, colour_ = (t.to(device, non_blocking=True) for t in part)
            found = losses(student(gray_input(L_)), ab_, scaled(colour_))
            share = len(L_) / len(L)
            (share * objective(found, config)).backward()
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(L_)
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        seen += len(L)
        decay = min(0.998, (1 + seen / config.batch) / (10 + seen / config.batch))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(student.parameters()), 1 - decay)
        if time.monotonic() - since > report_seconds or seen >= config.photos:
            n, seconds = seen - since_seen, time.monotonic() - since
            report(seen, {name: value / n for name, value in sums.items()}, n / seconds)
            sums, since, since_seen = {}, time.monotonic(), seen
        if time.monotonic() - last_checkpoint > checkpoint_seconds or stop():
            checkpoint()
            last_checkpoint = time.monotonic()
            if stop():
                break
    checkpoint()
    return average


def scaled(colour: Tensor) -> Tensor:
    """SRGB uint8 (N, 3, H, W) as EfficientNet-Lite takes it: 2 sRGB - 1."""
    return colour.float() / 127.5 - 1


def _measure(losses: Losses, photos: list[Source], config: FeaturesConfig, device: torch.device) -> None:
    """Variances and rarities, of a fixed sample of crops of another seed."""
    first = next(iter(batches(Crops(photos, config.seed + 1, to_network_in_colour), 0, 128, 128, 0)))
    _, ab, colour = (t.to(device) for t in first)
    losses.measure(ab, scaled(colour))
