"""The stage in which the backbone learns what colour things have, before the flow is trained on it.

EfficientNet-Lite2 was pretrained on colour photos. Three losses, without labels, adapt it to gray ones, some
of them as an old film would have recorded them (:mod:`cinn_colorize.training.old_film`):

- *regression*: a small head on top of its features predicts ab by least squares;
- *colour bins*: the same head classifies each place into bins of colour, rare ones weighted up (paper 4.2);
- *distillation*: its features and ImageNet classes of a gray photo must match those of the original network
  for the colour photo (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).

Photos are small: a step at 160 px costs a third of one at 256 px. Only the 1x1 convolutions learn, 94 % of
the weights: a depthwise convolution's gradient takes most of a step on a CPU. Batch norms are folded in.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.data.sources import ColorReader, Source, readable
from cinn_colorize.files import tensorfile
from cinn_colorize.models.conditioning.backbone import (
    FEATURES,
    PRETRAINED_LITE2,
    Classifier,
    EfficientNetLite2,
    gray_input,
)
from cinn_colorize.models.conditioning.gamut import ColorBins, rarity
from cinn_colorize.models.conditioning.layers import conv
from cinn_colorize.training.choices import Stage
from cinn_colorize.training.crops import Crops, Parts, Prepare, squeezed
from cinn_colorize.training.old_film import some_as_film
from cinn_colorize.training.task import CropsTask, Groups, Noise, TrainingConfig

DISTILLED = (8, 16, 32)  # strides of the features that are distilled
CHROMA_SCALE = 15.0  # of x = ab / 15, as in ``natural``
CACHED_PHOTOS = 4  # photos whose activations stay in a processor's cache
HEAD_WIDTH = 160  # channels of the head that predicts colours
COLOR_STRIDE = 8  # pixels of a photo for one of the colours that are predicted
MEASURED_PHOTOS, COUNTED_PHOTOS = 128, 2_000  # crops from which variances and rarities are estimated


@dataclass(frozen=True)
class FeaturesTraining(TrainingConfig):
    """Hyper-parameters of the stage of the backbone."""

    photos: int = 500_000
    batch: int = 32
    learning_rate: float = 2e-4  # of the backbone's 1x1 convolutions
    warmup: int = 6_400
    weight_decay: float = 0.01
    ema: float = 0.999
    size: int = 160  # pixels of a photo's side, a multiple of 32
    films: float = 0.3  # share of photos whose L is that of an old film
    head_rate: float = 5.0  # factor of the learning rate for the head, which is new
    bins: float = 0.05  # weights of the losses; that of the regression is 1
    distillation: float = 0.1
    distilled: float = 0.25  # share of the photos that are distilled


class ColorHead(nn.Module):
    """Colours and their bins from features, coarse ones first; thrown away after the stage."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleDict({str(s): conv(FEATURES[s], HEAD_WIDTH, 1) for s in (32, 16, 8)})
        self.smooth = nn.ModuleDict({str(s): conv(HEAD_WIDTH, HEAD_WIDTH) for s in (32, 16, 8)})
        self.context = nn.Linear(HEAD_WIDTH, HEAD_WIDTH)
        self.to_ab, self.to_bins = conv(HEAD_WIDTH, 2, 1), conv(HEAD_WIDTH, bins, 1)
        nn.init.zeros_(self.to_ab.weight)

    def forward(self, features: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Predict x = ab / 15, (N, 2, h, w), and logits of the bins, (N, K, h, w), at stride 8."""
        coarse = self.lateral["32"](features[32])
        x = coarse + self.context(F.silu(coarse).mean(dim=(2, 3)))[:, :, None, None]
        for stride in ("32", "16", "8"):
            if stride != "32":
                above = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
                x = self.lateral[stride](features[int(stride)]) + above
            x = F.silu(x)
            x = x + F.silu(self.smooth[stride](x))
        return self.to_ab(x), self.to_bins(x)


def distillation(
    features: Mapping[int, Tensor],
    targets: Mapping[int, Tensor],
    variance: Mapping[int, Tensor],
    classifier: Classifier,
) -> dict[str, Tensor]:
    """Compare features of gray photos with the original network's in colour, ``targets``, by stride.

    ``features_S`` is the squared error at stride S over the ``variance`` of the original's (1, C, 1, 1);
    ``classes``, the Kullback-Leibler divergence of the 1000 classes, in nats; ``agreement``, how often the
    likeliest class is the same.
    """
    wanted = classifier(targets[32]).log_softmax(dim=1)
    seen = classifier(features[32]).log_softmax(dim=1)
    return {
        **{f"features_{s}": ((f - targets[s]).square() / variance[s]).mean() for s, f in features.items()},
        "classes": F.kl_div(seen, wanted, log_target=True, reduction="batchmean"),
        "agreement": (seen.argmax(1) == wanted.argmax(1)).float().mean(),
    }


class Losses(nn.Module):
    """The losses of a gray photo's features, with the original network, its classifier and the bins."""

    def __init__(self, original: EfficientNetLite2, classifier: Classifier) -> None:
        super().__init__()
        self.original, self.classifier, self.bins = original, classifier, ColorBins()
        self.variance: dict[int, Tensor] = {}
        self.rarity: Tensor | None = None

    def forward(
        self, features: Mapping[int, Tensor], head: ColorHead, ab: Tensor, color: Tensor
    ) -> dict[str, Tensor]:
        """Compute the losses of gray photos from their features by stride and ab at stride 8, (N, 2, h, w).

        ``regression`` is the mean squared error of x = ab / 15, ``bins`` the cross entropy in nats, rare
        colours weighted up; :func:`distillation` is of the first M, whose sRGB is ``color`` (M, 3, H, W).
        """
        with torch.no_grad():
            targets = self.original(color)
        x, logits = head(features)
        halved = F.avg_pool2d(ab, 2)  # bins at half the size: neighbours have the same
        entropy = self.bins.cross_entropy(F.avg_pool2d(logits.float(), 2), halved, self.rarity)
        first = {s: f[: len(color)] for s, f in features.items()}
        return {
            **distillation(first, targets, self.variance, self.classifier),
            "regression": (x.float() - ab / CHROMA_SCALE).square().mean(),
            "bins": entropy.mean(),
        }


class GrayFeatures(nn.Module):
    """What this stage trains: the backbone, and a head that predicts colours from its features."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite2()
        self.head = ColorHead(len(ColorBins()))


class FeaturesTask(CropsTask[GrayFeatures]):
    """Adapt the backbone to gray photos; DataError if the pretrained one is not installed."""

    model, stage, config, compiled = "backbone", Stage.features, FeaturesTraining, "features"

    def __init__(self, photos: Sequence[Source], dev: Sequence[Source] = ()) -> None:
        super().__init__(photos, dev)
        state = PRETRAINED_LITE2.state()
        original = EfficientNetLite2()
        original.load_pretrained(state)
        self.objective = Losses(original, Classifier(state)).requires_grad_(False).eval()

    def initial_model(self) -> GrayFeatures:
        model = GrayFeatures()
        model.backbone.load_state_dict(self.objective.original.state_dict())
        return model

    def learning(self, model: GrayFeatures, config: FeaturesTraining) -> Groups:
        """Return the backbone's 1x1 convolutions, and the head with a rate of its own."""
        self.objective.to(next(model.parameters()).device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._measure_photos(config)
        model.backbone.requires_grad_(False)
        pointwise = model.backbone.pointwise()
        for parameter in pointwise:
            parameter.requires_grad_(True)
        return [(pointwise, 1.0), (list(model.head.parameters()), config.head_rate)]

    def features(self, model: GrayFeatures, L: Tensor) -> dict[int, Tensor]:
        return model.backbone(gray_input(L))

    def crop(self, config: FeaturesTraining) -> Prepare:
        return partial(small, size=config.size, films=config.films)

    def losses(
        self, model: GrayFeatures, batch: Parts, config: Any, noise: Noise, precision: torch.dtype
    ) -> dict[str, Tensor]:
        L, ab, color = batch
        color = color[: math.ceil(config.distilled * len(color))]
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            losses = self.objective(self.features(model, L), model.head, ab, scaled(color))
        distilled = losses["classes"] + sum(losses[f"features_{s}"] for s in DISTILLED)
        loss = losses["regression"] + config.bins * losses["bins"] + config.distillation * distilled
        return {"loss": loss, **losses}

    @torch.no_grad()
    def measure(self, model: GrayFeatures) -> dict[str, float]:
        """Measure every second photo held out: the losses of :func:`distillation`, and ``structure``.

        This is the share of the variance of ab within photos that the head explains at stride 8.
        """
        found, errors, variances = [], 0.0, 0.0
        device, rng = next(model.parameters()).device, np.random.default_rng(0)
        for _, image in readable(self.dev[::2], ColorReader()):
            parts = small(image, rng, FeaturesTraining.size)
            L, ab, color = (torch.from_numpy(part)[None].to(device) for part in parts)
            features = model.backbone(gray_input(L))
            x, _ = model.head(features)
            errors, variances = errors + _within(ab - CHROMA_SCALE * x), variances + _within(ab)
            targets = self.objective.original(scaled(color))
            found.append(distillation(features, targets, self.objective.variance, self.objective.classifier))
        means = {name: sum(float(f[name]) for f in found) / len(found) for name in (found or [{}])[0]}
        return {"structure": 1 - errors / variances, **means} if found else {}

    def save(self, model: GrayFeatures, path: Path, training: dict[str, object]) -> None:
        tensorfile.save(path, {"model": self.model, "training": training}, model.backbone.state_dict())

    @torch.no_grad()
    def _measure_photos(self, config: FeaturesTraining) -> None:
        """Estimate variances of features and rarities of bins from crops that the run does not see."""
        objective, device = self.objective, next(self.objective.parameters()).device
        crops = Crops(self.photos, config.seed + 1, partial(small, size=config.size))
        color, counts = [], torch.zeros(len(objective.bins))
        for position in range(min(COUNTED_PHOTOS, 2 * len(self.photos))):
            _, ab, image = crops[position].parts
            counts += objective.bins.counts(ab[None].to(device)).cpu()
            if position < MEASURED_PHOTOS:
                color.append(image)
        images, counts = scaled(torch.stack(color).to(device)), counts.to(device)
        parts = [objective.original(part) for part in images.split(CACHED_PHOTOS)]
        features = {s: torch.cat([part[s] for part in parts]) for s in parts[0]}
        variance = {s: f.var(dim=(0, 2, 3), keepdim=True).clamp(min=1e-6) for s, f in features.items()}
        objective.variance, objective.rarity = variance, rarity(counts / counts.sum())


def small(
    crop: np.ndarray, rng: np.random.Generator, size: int, films: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Prepare L* (1, S, S), of old films for a share of crops, ab at stride 8, and sRGB (3, S, S) uint8."""
    square = squeezed(crop, size)
    L, ab = some_as_film(square, rng, films, size, size // COLOR_STRIDE)
    return L, ab, np.ascontiguousarray(square.transpose(2, 0, 1))


def _within(ab: Tensor) -> float:
    """Sum up the squares around the mean of each photo."""
    return float((ab - ab.mean(dim=(2, 3), keepdim=True)).square().sum())


def scaled(color: Tensor) -> Tensor:
    """Scale sRGB, uint8 (N, 3, H, W), to [-1, 1], as EfficientNet-Lite expects it."""
    return color.float() / 127.5 - 1
