"""The backbone learns gray photos, before the flow is trained on it.

EfficientNet-Lite2 was trained on photos in colour. Two losses teach it what it lacks, together and without
labels:

- *distillation*: of a gray photo its features and its ImageNet classes must be those that the original sees
  in colour (Hinton et al. 2015, https://arxiv.org/abs/1503.02531);
- *colour bins*: a linear map from its features classifies each place into bins of colour (paper 4.2).

Batch norms are folded into the convolutions: their statistics stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize import weights
from cinn_colorize.conditioning import pretrained
from cinn_colorize.conditioning.backbone import FEATURES, Classifier, EfficientNetLite2, gray_input
from cinn_colorize.conditioning.bins import ColorBins, rarity
from cinn_colorize.data.sources import Reader, Source
from cinn_colorize.errors import WeightsError
from cinn_colorize.training.data import Batch, Crops, Loading, batches, to_network_in_colour
from cinn_colorize.training.objective import Noise
from cinn_colorize.training.task import Task, TrainingConfig

BINS_SIZE = 32  # pixels of the grid that is classified into bins
CACHED_PHOTOS = 4  # whose activations stay in a processor's cache
MEASURED_PHOTOS = 128  # that variances and rarities are taken from


@dataclass(frozen=True)
class FeaturesTraining(TrainingConfig):
    """Hyper-parameters of the backbone's stage."""

    photos: int = 200_000
    batch: int = 16
    learning_rate: float = 6e-5  # of the backbone; 3e-4 destroys what it knows
    warmup: int = 1_000
    weight_decay: float = 0.0
    clip: float = 5.0
    bins_rate: float = 16.0  # times the learning rate is that of the map to colour bins, which is new
    distillation: float = 1.0  # weights of the losses
    bins: float = 0.3


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


def distillation(
    features: Mapping[int, Tensor],
    targets: Mapping[int, Tensor],
    variance: Mapping[int, Tensor],
    classifier: Classifier,
) -> dict[str, Tensor]:
    """How far features are from those of the original.

    Args:
        features: of gray photos, by stride.
        targets: what the original sees of the same photos in colour.
        variance: of its features, by stride, (1, C, 1, 1).
        classifier: what follows the original.

    Returns:
        ``features_S``, by stride the squared error over the variance, 1 where a constant would do as well;
        ``classes``, the Kullback-Leibler divergence of the 1000 classes, nats; ``agreement``, how often the
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
    """The losses of a gray photo's features, and what they need: original, classes, bins."""

    def __init__(self, original: EfficientNetLite2, classifier: Classifier) -> None:
        super().__init__()
        self.original, self.classifier, self.bins = original, classifier, ColorBins()
        self.variance: dict[int, Tensor] = {}
        self.rarity: Tensor | None = None

    @torch.no_grad()
    def measure(self, ab: Tensor, colour: Tensor) -> None:
        """Take the variance of the original's features and the rarity of colours from some photos."""
        parts = [self.original(part) for part in colour.split(CACHED_PHOTOS)]
        targets = {s: torch.cat([part[s] for part in parts]) for s in parts[0]}
        self.variance = {s: f.var(dim=(0, 2, 3), keepdim=True).clamp(min=1e-6) for s, f in targets.items()}
        counts = self.bins.counts(F.adaptive_avg_pool2d(ab, BINS_SIZE))
        self.rarity = rarity(counts / counts.sum())

    def forward(
        self, features: Mapping[int, Tensor], to_bins: BinsHead, ab: Tensor, colour: Tensor
    ) -> dict[str, Tensor]:
        """Those of :func:`distillation`, and ``bins``, the cross entropy with rare colours weighted up.

        Args:
            features: of the gray photos, by stride.
            to_bins: from features of unit variance to bins.
            ab: (N, 2, 64, 64).
            colour: the photos, (N, 3, 256, 256) in [-1, 1].
        """
        with torch.no_grad():
            targets = self.original(colour)
        normalised = {s: f / self.variance[s].sqrt() for s, f in features.items()}
        ab = F.adaptive_avg_pool2d(ab, BINS_SIZE)
        return {
            **distillation(features, targets, self.variance, self.classifier),
            "bins": self.bins.cross_entropy(to_bins(normalised), ab, self.rarity).mean(),
        }


class GrayFeatures(nn.Module):
    """What learns: the backbone, and a linear map of its features to colour bins."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite2()
        self.bins = BinsHead(len(ColorBins()))


class FeaturesTask(Task[GrayFeatures]):
    """The backbone learns gray photos.

    Args:
        photos: to learn from.
        dev: to watch the run on, may be empty.

    Raises:
        DataError: the pretrained backbone is not installed.
    """

    model, config = "backbone", FeaturesTraining

    def __init__(self, photos: Sequence[Source], dev: Sequence[Source] = ()) -> None:
        self.photos, self.dev, self.distinct = photos, dev, len(photos)
        state = pretrained.LITE2.state()
        original = EfficientNetLite2()
        original.load_pretrained(state)
        self.objective = Losses(original, Classifier(state)).requires_grad_(False).eval()

    def initial_model(self) -> GrayFeatures:
        """The original, and a new map to colour bins."""
        model = GrayFeatures()
        model.backbone.load_state_dict(self.objective.original.state_dict())
        return model

    def learning(
        self, model: GrayFeatures, config: FeaturesTraining
    ) -> list[tuple[list[nn.Parameter], float]]:
        """The backbone, and the map with a rate of its own."""
        self.objective.to(next(model.parameters()).device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._measure_photos(config.seed)
        return [(list(model.backbone.parameters()), 1.0), (list(model.bins.parameters()), config.bins_rate)]

    def batches(self, config: FeaturesTraining, start: int, loading: Loading) -> Iterable[Batch]:
        """L* (batch, 1, 256, 256), ab (batch, 2, 64, 64) and sRGB (batch, 3, 256, 256) of random crops."""
        crops = Crops(self.photos, config.seed, to_network_in_colour)
        return batches(crops, start, config.photos, config.batch, loading)

    def chunk(self, device: torch.device) -> int | None:
        """On a processor, as many as stay in its cache."""
        return CACHED_PHOTOS if device.type == "cpu" else None

    def losses(
        self,
        model: GrayFeatures,
        batch: Sequence[Tensor],
        config: FeaturesTraining,
        noise: Noise,
        precision: torch.dtype,
    ) -> dict[str, Tensor]:
        """See :meth:`Task.losses`; the figures are those of :class:`Losses`."""
        L, ab, colour = batch
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            losses = self.objective(model.backbone(gray_input(L)), model.bins, ab, scaled(colour))
        distilled = torch.stack([loss for name, loss in losses.items() if name.startswith("features")]).sum()
        loss = config.distillation * (distilled + losses["classes"]) + config.bins * losses["bins"]
        return {"loss": loss, **losses}

    @torch.no_grad()
    def measure(self, model: GrayFeatures) -> dict[str, float]:
        """Of every second photo of the development set, without the bins."""
        read, found = Reader(), []
        device = next(model.parameters()).device
        for source in self.dev[::2]:
            L, _, colour = (torch.from_numpy(a)[None].to(device) for a in to_network_in_colour(read(source)))
            targets = self.objective.original(scaled(colour))
            features = model.backbone(gray_input(L))
            found.append(distillation(features, targets, self.objective.variance, self.objective.classifier))
        return {name: sum(float(f[name]) for f in found) / len(found) for name in (found or [{}])[0]}

    def save(self, model: GrayFeatures, path: Path, training: dict[str, object]) -> None:
        """The backbone alone, fp32."""
        config = {"model": self.model, "training": training}
        weights.save(path, config, {k: v.contiguous() for k, v in model.backbone.state_dict().items()})

    def _measure_photos(self, seed: int) -> None:
        """Variances and rarities, of some crops that the run does not see."""
        device = next(self.objective.parameters()).device
        crops = Crops(self.photos, seed + 1, to_network_in_colour)
        chosen = [crops[position] for position in range(min(MEASURED_PHOTOS, 2 * len(self.photos)))]
        ab, colour = (torch.stack([crop.parts[k] for crop in chosen]).to(device) for k in (1, 2))
        self.objective.measure(ab, scaled(colour))


def scaled(colour: Tensor) -> Tensor:
    """SRGB uint8 (N, 3, H, W) as EfficientNet-Lite takes it: 2 sRGB - 1."""
    return colour.float() / 127.5 - 1


def load_backbone(backbone: EfficientNetLite2, path: Path) -> None:
    """Take the weights that a run of this stage wrote.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    config, tensors = weights.load(path)
    if config.get("model") != FeaturesTask.model:
        raise WeightsError(f"{path}: not a backbone; 'cinn-colorize train --stage features' writes one")
    backbone.load_state_dict(tensors)
