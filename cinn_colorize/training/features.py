"""The stage that adapts the backbone to gray photos, before the flow is trained on it.

EfficientNet-Lite2 was pretrained on colour photos. Two losses, without labels, adapt it to gray ones:

- *distillation*: its features and ImageNet classes of a gray photo must match those of the original network
  for the colour photo (Hinton et al. 2015, https://arxiv.org/abs/1503.02531);
- *colour bins*: a linear map of its features classifies each place into bins of colour (paper 4.2).

Batch norms are folded into the convolutions, so their statistics stay.
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
from cinn_colorize.training.data import Batch, Crops, Loading, batches, to_network_in_color
from cinn_colorize.training.objective import Noise
from cinn_colorize.training.task import Task, TrainingConfig

BINS_SIZE = 32  # side of the grid that is classified into bins
CACHED_PHOTOS = 4  # photos whose activations stay in a processor's cache
MEASURED_PHOTOS = 128  # crops from which variances and rarities are estimated


@dataclass(frozen=True)
class FeaturesTraining(TrainingConfig):
    """Hyper-parameters of the stage of the backbone."""

    photos: int = 200_000
    batch: int = 16
    learning_rate: float = 6e-5  # of the backbone; 3e-4 destroys what it has learnt
    warmup: int = 1_000
    weight_decay: float = 0.0
    clip: float = 5.0
    bins_rate: float = 16.0  # factor of the learning rate for the map to colour bins, which is new
    distillation: float = 1.0  # weights of the losses
    bins: float = 0.3


class BinsHead(nn.Module):
    """A linear map of all features to the logits of the colour bins, (N, K, 32, 32)."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({str(s): nn.Conv2d(c, bins, 1) for s, c in FEATURES.items() if s > 4})

    def forward(self, features: Mapping[int, Tensor]) -> Tensor:
        """Compute the logits of features by stride; those of coarser strides are interpolated."""
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
    """Compare features with those of the original.

    Args:
        features: features of gray photos, by stride.
        targets: features that the original computes for the same photos in colour, by stride.
        variance: variance of the original's features, by stride, (1, C, 1, 1).
        classifier: classifier on top of the original.

    Returns:
        ``features_S``, the squared error at stride S over the variance, 1 for a constant prediction;
        ``classes``, the Kullback-Leibler divergence of the 1000 classes, in nats; ``agreement``, how often
        the likeliest class is the same.
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

    @torch.no_grad()
    def measure(self, ab: Tensor, color: Tensor) -> None:
        """Estimate the variance of the original's features and the rarity of colours from some photos."""
        parts = [self.original(part) for part in color.split(CACHED_PHOTOS)]
        targets = {s: torch.cat([part[s] for part in parts]) for s in parts[0]}
        self.variance = {s: f.var(dim=(0, 2, 3), keepdim=True).clamp(min=1e-6) for s, f in targets.items()}
        counts = self.bins.counts(F.adaptive_avg_pool2d(ab, BINS_SIZE))
        self.rarity = rarity(counts / counts.sum())

    def forward(
        self, features: Mapping[int, Tensor], to_bins: BinsHead, ab: Tensor, color: Tensor
    ) -> dict[str, Tensor]:
        """Compute those of :func:`distillation`, and ``bins``, a cross entropy that weights rare colours up.

        Args:
            features: features of the gray photos, by stride.
            to_bins: map from features of unit variance to bins.
            ab: ab of the photos, (N, 2, 64, 64).
            color: the photos in colour, sRGB (N, 3, 256, 256) in [-1, 1].
        """
        with torch.no_grad():
            targets = self.original(color)
        normalised = {s: f / self.variance[s].sqrt() for s, f in features.items()}
        ab = F.adaptive_avg_pool2d(ab, BINS_SIZE)
        return {
            **distillation(features, targets, self.variance, self.classifier),
            "bins": self.bins.cross_entropy(to_bins(normalised), ab, self.rarity).mean(),
        }


class GrayFeatures(nn.Module):
    """What this stage trains: the backbone, and a linear map of its features to colour bins."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite2()
        self.bins = BinsHead(len(ColorBins()))


class FeaturesTask(Task[GrayFeatures]):
    """Adapt the backbone to gray photos.

    Args:
        photos: photos to train on.
        dev: photos held out to evaluate the run on; may be empty.

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
        """Build the original and a new map to colour bins."""
        model = GrayFeatures()
        model.backbone.load_state_dict(self.objective.original.state_dict())
        return model

    def learning(
        self, model: GrayFeatures, config: FeaturesTraining
    ) -> list[tuple[list[nn.Parameter], float]]:
        """Return the backbone, and the map with a rate of its own."""
        self.objective.to(next(model.parameters()).device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._measure_photos(config.seed)
        return [(list(model.backbone.parameters()), 1.0), (list(model.bins.parameters()), config.bins_rate)]

    def batches(self, config: FeaturesTraining, start: int, loading: Loading) -> Iterable[Batch]:
        """Load L* (batch, 1, 256, 256), ab (batch, 2, 64, 64) and sRGB (batch, 3, 256, 256) of crops."""
        crops = Crops(self.photos, config.seed, to_network_in_color)
        return batches(crops, start, config.photos, config.batch, loading)

    def chunk(self, device: torch.device) -> int | None:
        """Limit a chunk, on a CPU, to photos whose activations stay in its cache."""
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
        L, ab, color = batch
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            losses = self.objective(model.backbone(gray_input(L)), model.bins, ab, scaled(color))
        distilled = torch.stack([loss for name, loss in losses.items() if name.startswith("features")]).sum()
        loss = config.distillation * (distilled + losses["classes"]) + config.bins * losses["bins"]
        return {"loss": loss, **losses}

    @torch.no_grad()
    def measure(self, model: GrayFeatures) -> dict[str, float]:
        """Measure every second photo held out, without the bins."""
        read, found = Reader(), []
        device = next(model.parameters()).device
        for source in self.dev[::2]:
            L, _, color = (torch.from_numpy(a)[None].to(device) for a in to_network_in_color(read(source)))
            targets = self.objective.original(scaled(color))
            features = model.backbone(gray_input(L))
            found.append(distillation(features, targets, self.objective.variance, self.objective.classifier))
        return {name: sum(float(f[name]) for f in found) / len(found) for name in (found or [{}])[0]}

    def save(self, model: GrayFeatures, path: Path, training: dict[str, object]) -> None:
        """Write the backbone only, fp32."""
        config = {"model": self.model, "training": training}
        weights.save(path, config, {k: v.contiguous() for k, v in model.backbone.state_dict().items()})

    def _measure_photos(self, seed: int) -> None:
        """Estimate variances and rarities from crops that the run does not see."""
        device = next(self.objective.parameters()).device
        crops = Crops(self.photos, seed + 1, to_network_in_color)
        chosen = [crops[position] for position in range(min(MEASURED_PHOTOS, 2 * len(self.photos)))]
        ab, color = (torch.stack([crop.parts[k] for crop in chosen]).to(device) for k in (1, 2))
        self.objective.measure(ab, scaled(color))


def scaled(color: Tensor) -> Tensor:
    """Scale sRGB, uint8 (N, 3, H, W), to [-1, 1], as EfficientNet-Lite expects it."""
    return color.float() / 127.5 - 1


def load_backbone(backbone: EfficientNetLite2, path: Path) -> None:
    """Load the weights that a run of this stage wrote.

    Raises:
        WeightsError: the file is missing or damaged, or does not hold a backbone.
    """
    config, tensors = weights.load(path)
    if config.get("model") != FeaturesTask.model:
        raise WeightsError(f"{path}: not a backbone; 'cinn-colorize train --stage features' writes one")
    backbone.load_state_dict(tensors)
