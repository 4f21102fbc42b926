"""ImageNet, and the training of ``imagenet-vgg`` on it, in three stages (paper 4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cinn_colorize.data.sources import ColorReader, FolderPhotos, Source, evenly_spaced, find_photos, readable
from cinn_colorize.errors import DataError
from cinn_colorize.files import tensorfile
from cinn_colorize.models.conditioning.gamut import ColorBins, rarity
from cinn_colorize.models.imagenet_vgg import PRESETS, WIDTHS, BinClassifier, ImagenetVgg, VggNetwork
from cinn_colorize.training.choices import Stage
from cinn_colorize.training.crops import DEV, Crops, Parts, to_network
from cinn_colorize.training.task import CropsTask, Groups, Noise, PhotoTask, TrainingConfig, load_network

DEV_PHOTOS = 500  # evenly chosen from ImageNet's 50,000 for validation, to evaluate a run on


def find_imagenet(root: Path) -> tuple[Sequence[Source], Sequence[Source]]:
    """Find the photos to train on, and those held out to evaluate a run on (often none).

    ``root`` is a folder with ImageNet's ``train/n01440764/*.JPEG`` and so on, perhaps with ``val``; a folder
    of zip shards, perhaps with ``photos-dev.zip``; or any folder or zip of photos.
    """
    if (root / "train").is_dir():
        val = FolderPhotos(root / "val") if (root / "val").is_dir() else []
        return FolderPhotos(root / "train"), evenly_spaced(val, DEV_PHOTOS)
    return find_photos(root), find_photos(root / DEV) if (root / DEV).is_file() else []


@dataclass(frozen=True)
class VggTraining(TrainingConfig):
    """Hyper-parameters of the conditioning network's pretraining: 450,000 steps of 40."""

    photos: int = 18_000_000
    batch: int = 40
    learning_rate: float = 3e-5
    warmup: int = 40_000
    weight_decay: float = 1e-3
    prior_photos: int = 1_000  # from which the rarity of colours is estimated


@dataclass(frozen=True)
class ImagenetTraining(TrainingConfig):
    """Hyper-parameters of the flow's stage, with the conditioning network frozen."""

    photos: int = 30_000 * 48  # steps from the text, batch from the authors' code
    learning_rate: float = 1e-4
    coarse_noise: float = 0.0


@dataclass(frozen=True)
class JointTraining(ImagenetTraining):
    """Hyper-parameters of the joint stage."""

    photos: int = 92_880 * 48  # steps up to the 122,880 of their code


class GrayToBins(nn.Module):
    """What the first stage trains: the conditioning network, and the classifier on top of it."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.network = VggNetwork(widths)
        self.classifier = BinClassifier(self.network.channels, len(ColorBins()))

    def forward(self, L: Tensor) -> Tensor:
        """Compute logits (N, K, 64, 64) of L* (N, 1, 256, 256) in [0, 100]."""
        return self.classifier(self.network(L / 50 - 1))


class VggTask(CropsTask[GrayToBins]):
    """Train the conditioning network of a preset to classify pixels into colour bins."""

    model, stage, config, compiled = "vgg", Stage.features, VggTraining, "logits"
    evaluate_every = 400_000

    def __init__(self, photos: Sequence[Source], dev: Sequence[Source] = (), preset: str = "paper") -> None:
        super().__init__(photos, dev)
        self.preset, self.bins = preset, ColorBins()
        self.rarity: Tensor | None = None

    def initial_model(self) -> GrayToBins:
        return GrayToBins(PRESETS[self.preset]().network)

    def learning(self, model: GrayToBins, config: VggTraining) -> Groups:
        """Return all parameters; estimate the rarity of colours from crops that the run does not see."""
        device, crops = next(model.parameters()).device, Crops(self.photos, config.seed + 1)
        counts = torch.zeros(len(self.bins))
        self.bins.cpu()
        for position in range(config.prior_photos):
            counts += self.bins.counts(crops[position].parts[1][None])
        self.rarity = rarity(counts / counts.sum()).to(device)
        self.bins.to(device)
        return super().learning(model, config)

    def logits(self, model: GrayToBins, L: Tensor) -> Tensor:
        return model(L)

    def losses(
        self, model: GrayToBins, batch: Parts, config: VggTraining, noise: Noise, precision: torch.dtype
    ) -> dict[str, Tensor]:
        """Compute the cross entropy with rare colours weighted up, nats per pixel."""
        L, ab = batch
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            logits = self.logits(model, L)
        return {"loss": self.bins.cross_entropy(logits.float(), ab, self.rarity).mean()}

    @torch.no_grad()
    def measure(self, model: GrayToBins) -> dict[str, float]:
        """Measure the cross entropy as in training, and the RMS error of the annealed mean in units of ab."""
        found, device = [], next(model.parameters()).device
        for _, image in readable(self.dev, ColorReader()):
            L, ab = (torch.from_numpy(array)[None].to(device) for array in to_network(image))
            logits = model(L)
            entropy = float(self.bins.cross_entropy(logits, ab, self.rarity).mean())
            found.append((entropy, float((self.bins.annealed_mean(logits) - ab).square().mean().sqrt())))
        return dict(zip(("bins", "error"), np.mean(found, axis=0).tolist(), strict=True)) if found else {}

    def save(self, model: GrayToBins, path: Path, training: dict[str, object]) -> None:
        """Write the network only, without the classifier, fp32."""
        tensorfile.save(path, {"model": self.model, "training": training}, model.network.state_dict())


class ImagenetTask(PhotoTask[ImagenetVgg]):
    """Train the flow of a preset and its heads on a frozen conditioning network, from :class:`VggTask`."""

    model, config = ImagenetVgg.name, ImagenetTraining
    evaluate_every = 96_000

    def __init__(
        self,
        photos: Sequence[Source],
        dev: Sequence[Source] = (),
        network: Path | None = None,
        preset: str = "paper",
    ) -> None:
        super().__init__(photos, dev)
        self.network, self.preset = network, preset

    def initial_model(self) -> ImagenetVgg:
        if self.network is None:
            train = "train one with --dataset imagenet --stage features and pass its file with --backbone"
            raise DataError(f"{self.model}: requires a pretrained conditioning network; {train}")
        model = ImagenetVgg(PRESETS[self.preset]())
        load_network(model.network, self.network, VggTask.model)
        return model

    def learning(self, model: ImagenetVgg, config: ImagenetTraining) -> Groups:
        model.network.requires_grad_(self.stage is Stage.joint)
        return super().learning(model, config)


class ImagenetJointTask(ImagenetTask):
    """Train the conditioning network too."""

    config, stage = JointTraining, Stage.joint
