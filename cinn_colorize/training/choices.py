"""The names of what can be trained, available without loading anything: this module does not import torch."""

from __future__ import annotations

from enum import StrEnum


class Dataset(StrEnum):
    """Data sets to train on; :func:`cinn_colorize.training.datasets.open_task` opens them."""

    photos = "photos"
    imagenet = "imagenet"
    mnist = "mnist"
    lsun = "lsun"


class Stage(StrEnum):
    """Stages of training; only photos and ImageNet have others than ``flow``."""

    flow = "flow"
    features = "features"
    coarse = "coarse"
    fine = "fine"
    joint = "joint"


class Preset(StrEnum):
    """Architectures of ``imagenet-vgg``: :data:`cinn_colorize.models.imagenet_vgg.PRESETS` builds them."""

    paper = "paper"
    authors = "authors"
    narrow = "narrow"


class Precision(StrEnum):
    """Precisions of the autocast; see :func:`cinn_colorize.training.precision.choose_precision`."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Ablation(StrEnum):
    """Parts that training can leave out: the ablations of the paper (4.4, Fig. 10; 4.2, Fig. 16)."""

    noise = "noise"  # do not add noise
    clamp = "clamp"  # do not limit the scales of the coupling blocks
    haar = "haar"  # use the reshape of i-RevNet instead of Haar steps
    mixing = "mixing"  # do not mix channels by orthogonal matrices or permutations
    initialisation = "initialisation"  # use torch's defaults instead of Xavier's and zeros
    conditioning = "conditioning"  # condition on L itself instead of a network's features
    learning = "learning"  # keep the conditioning network as it was initialised


# Parts that can be left out of the recipe of a data set's ``flow`` stage.
ABLATIONS: dict[Dataset, tuple[Ablation, ...]] = {
    Dataset.photos: (Ablation.conditioning,),
    Dataset.imagenet: (),
    Dataset.mnist: (Ablation.noise, Ablation.clamp, Ablation.mixing, Ablation.initialisation),
    Dataset.lsun: tuple(Ablation),
}
