"""LSUN's bedrooms, and the training of ``bedrooms`` on them."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cinn_colorize.data.sources import LmdbPhotos, Source, find_photos, is_lmdb
from cinn_colorize.errors import DataError
from cinn_colorize.models.bedrooms import SIZE, Bedrooms, BedroomsConfig
from cinn_colorize.training.choices import ABLATIONS, Dataset
from cinn_colorize.training.crops import Batch, Loading, Prepare, for_network
from cinn_colorize.training.task import Groups, PhotoTask, TrainingConfig

LSUN_TRAIN, LSUN_VAL = "bedroom_train_lmdb", "bedroom_val_lmdb"


def find_lsun(root: Path) -> tuple[Sequence[Source], Sequence[Source]]:
    """Find the photos to train on, and those held out to evaluate a run on (often none).

    ``root`` is a folder with LSUN's ``bedroom_train_lmdb`` and perhaps ``bedroom_val_lmdb``; one LMDB; or a
    folder or zip of photos.
    """
    if is_lmdb(root):
        return LmdbPhotos(root), []
    if is_lmdb(root / LSUN_TRAIN):
        dev = LmdbPhotos(root / LSUN_VAL) if is_lmdb(root / LSUN_VAL) else []
        return LmdbPhotos(root / LSUN_TRAIN), dev
    return find_photos(root, pattern=None), []


@dataclass(frozen=True)
class BedroomsTraining(TrainingConfig):
    """Hyper-parameters of ``bedrooms``."""

    photos: int = 24_000
    warmup: int = 1_000
    coarse_noise: float = 0.07  # as for natural: without it, a small set is soon memorised


class BedroomsTask(PhotoTask[Bedrooms]):
    """Train the flow and its conditioning network from scratch (paper 4.3)."""

    model, config = "bedrooms", BedroomsTraining
    ablations = ABLATIONS[Dataset.lsun]

    def initial_model(self) -> Bedrooms:
        return self.built(Bedrooms, BedroomsConfig.default())

    def learning(self, model: Bedrooms, config: BedroomsTraining) -> Groups:
        model.network.requires_grad_("learning" not in self.ablate)
        return super().learning(model, config)

    def crop(self, config: BedroomsTraining) -> Prepare:
        return partial(for_network, size=SIZE)

    def batches(self, config: BedroomsTraining, start: int, loading: Loading) -> Generator[Batch]:
        """Refuse batches of which a process has one photo: batch norm knows no variance of it."""
        if config.batch // loading.processes < 2:
            raise DataError("batch norm requires two photos of each batch in a process; raise --batch")
        return super().batches(config, start, loading)
