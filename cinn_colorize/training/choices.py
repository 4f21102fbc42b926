"""The names of what can be trained, available without loading anything: this module does not import torch."""

from enum import StrEnum

Dataset = StrEnum("Dataset", ["photos", "imagenet", "mnist", "lsun"])
Stage = StrEnum("Stage", ["flow", "features", "coarse", "fine", "joint"])
Preset = StrEnum("Preset", ["paper", "authors", "narrow"])  # architectures of imagenet-vgg
Precision = StrEnum("Precision", ["auto", "fp32", "bf16"])  # of the autocast


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
