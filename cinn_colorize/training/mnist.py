"""MNIST, read from its own files, and the training of ``mnist`` on it."""

import gzip
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cinn_colorize.errors import DataError, printable_name
from cinn_colorize.methods.contact_sheet import save_sheet
from cinn_colorize.methods.digits import Digits, picture, principal_axes
from cinn_colorize.models import Loaded
from cinn_colorize.models.mnist import AXES, DIGITS, LEVEL, SIZE, Mnist, MnistConfig
from cinn_colorize.training.choices import ABLATIONS, Dataset
from cinn_colorize.training.crops import Batch, Loading, Order, shares
from cinn_colorize.training.task import FlowTask, TrainingConfig

DEV = 5_000  # the last of the training digits, held out to evaluate a run on
# Standard deviation of the noise in training and evaluation, for pixels in [0, 1], as in the paper's text
# (4.1). With the 0.15 of the authors' code, digits are grainy and fewer recognised (docs/training-log.md).
SIGMA = 0.02
_LARGEST = 2**26  # bytes of a file; the images of the training set have 47 million


class Part(NamedTuple):
    """A part of MNIST."""

    images: NDArray[np.float32]  # (N, 28, 28), in [0, 1]
    labels: NDArray[np.int64]  # (N,)


def read_mnist(folder: Path, part: str) -> Part:
    """Read ``train`` or ``t10k`` of MNIST's four files, gzipped or not, maybe in ``raw``; or a DataError."""
    images = _read_idx(folder, f"{part}-images-idx3-ubyte", 3)
    labels = _read_idx(folder, f"{part}-labels-idx1-ubyte", 1)
    if images.shape[1:] != (SIZE, SIZE) or len(images) != len(labels) or labels.max(initial=0) >= DIGITS:
        raise DataError(f"{printable_name(folder)}: the {part} files do not hold MNIST's digits and labels")
    return Part(images.astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _read_idx(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Read bytes in the IDX format: 0, 0, 8 (uint8), dimensions, sizes as big-endian int32, values."""
    names = [f"raw/{name}.gz", f"raw/{name}", f"{name}.gz", name]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{printable_name(folder)}: {name}.gz is missing; expected the four files of MNIST")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable_name(path)}: damaged ({error}); download it again") from error
    header = 4 + 4 * dimensions
    sizes = np.frombuffer(data[4:header], ">i4") if len(data) >= header else np.zeros(1)
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) != header + int(np.prod(sizes, dtype=np.int64)):
        raise DataError(f"{printable_name(path)}: not a file of MNIST, or truncated; download it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)


@dataclass(frozen=True)
class MnistTraining(TrainingConfig):
    """Hyper-parameters of ``mnist``."""

    photos: int = 300_000  # digits seen
    batch: int = 128
    learning_rate: float = 1e-3
    warmup: int = 10_000
    weight_decay: float = 0.01
    pixel_noise: float = SIGMA


class MnistTask(FlowTask[Mnist]):
    """Train a flow of digits given their labels, from the folder of :func:`read_mnist`."""

    model, config, evaluate_every = "mnist", MnistTraining, 50_000
    ablations = ABLATIONS[Dataset.mnist]

    def __init__(self, folder: Path) -> None:
        images, labels = read_mnist(folder, "train")
        self.images, self.labels = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
        self.test = read_mnist(folder, "t10k")
        self.distinct = len(images) - DEV
        if self.distinct < 1:
            name = printable_name(folder)
            raise DataError(f"{name}: has {len(images):,} digits for training, of which {DEV:,} are held out")

    def initial_model(self) -> Mnist:
        return self.built(Mnist, MnistConfig())

    def batches(self, config: MnistTraining, start: int, loading: Loading) -> Generator[Batch]:
        order = Order(self.distinct, config.seed)
        for positions in shares(start, config.photos, config.batch, loading):
            chosen = [order[p] for p in positions]
            yield Batch((self.labels[chosen], self.images[chosen]))

    def complete(self, model: Mnist) -> None:
        """Compute the principal axes of the test set's codes, without noise (paper 4.1, Fig. 4)."""
        z = self._digits(model, next(model.parameters()).device).encode(*self.test).levels[LEVEL].flatten(1)
        for buffer, values in zip((model.centre, model.axes), principal_axes(z, AXES), strict=True):
            buffer.copy_(values)

    def measure(self, model: Mnist) -> dict[str, float]:
        digits = self._digits(model, next(model.parameters()).device)
        images, labels = self.images[-DEV:, 0].numpy(), self.labels[-DEV:].numpy()
        return {"nll": nll_per_dimension(digits, Part(images, labels), SIGMA)}

    def draw(self, model: Mnist, device: torch.device, path: Path) -> bool:
        save_sheet(picture(self._digits(model, device).sample(8)), path)
        return True

    @staticmethod
    def _digits(model: Mnist, device: torch.device) -> Digits:
        return Digits(Loaded.of(model), device=str(device))


def nll_per_dimension(digits: Digits, part: Part, sigma: float) -> float:
    """Measure nats per dimension of pixels in [0, 1] with noise of deviation ``sigma`` from the seed 0."""
    noise = np.random.default_rng(0).standard_normal(part.images.shape, np.float32)
    return -float(digits.log_prob(part.images + np.float32(sigma) * noise, part.labels).mean()) / SIZE**2
