"""What can be trained, by name, for whoever asks before anything is loaded. Light: imports no torch."""

from __future__ import annotations

from enum import StrEnum


class Dataset(StrEnum):
    """What there is to learn from; :func:`cinn_colorize.training.datasets.open_task` opens it."""

    photos = "photos"
    imagenet = "imagenet"
    mnist = "mnist"
    lsun = "lsun"


class Stage(StrEnum):
    """Stages of training; all but ``flow`` are of photos and ImageNet alone."""

    flow = "flow"
    features = "features"
    joint = "joint"


class Preset(StrEnum):
    """Architectures of ``imagenet-vgg``: :data:`cinn_colorize.models.imagenet_vgg.PRESETS` builds them."""

    paper = "paper"
    authors = "authors"
    narrow = "narrow"


class Precision(StrEnum):
    """Of the autocast; see :func:`cinn_colorize.training.precision.choose_precision`."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Ablation(StrEnum):
    """What training can do without, one by one: the ablations of the paper (4.4, Figs. 10 and 16)."""

    noise = "noise"  # none is added
    clamp = "clamp"  # the scales of the coupling blocks are not limited
    haar = "haar"  # the reshape of i-RevNet in place of Haar steps
    mixing = "mixing"  # no orthogonal matrices, no permutations
    initialisation = "initialisation"  # torch's own in place of Xavier's and of zeros
    conditioning = "conditioning"  # L itself in place of a conditioning network
    learning = "learning"  # the conditioning network stays as it was initialised


# What can be left out of the recipe of a data set's flow, learnt alone.
ABLATIONS: dict[Dataset, tuple[Ablation, ...]] = {
    Dataset.photos: (Ablation.conditioning,),
    Dataset.imagenet: (),
    Dataset.mnist: (Ablation.noise, Ablation.clamp, Ablation.mixing, Ablation.initialisation),
    Dataset.lsun: tuple(Ablation),
}
