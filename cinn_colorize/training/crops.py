"""Training photos: new random crops, decoded in worker processes."""

import math
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from cinn_colorize.data.sources import ColorReader, Source
from cinn_colorize.errors import DataError
from cinn_colorize.files.signals import ENDING, blocked_in_children
from cinn_colorize.imaging.color import pixels_to_lab

LUMINANCE_SIZE, CHROMA_SIZE = 256, 64
_STOPPING = signal.SIGINT, *ENDING
DEV = "photos-dev.zip"  # beside shards: photos held out, on which a run is evaluated
Lab = tuple[np.ndarray, np.ndarray]  # L* and ab
MIN_AREA = 0.35  # smallest share of a photo that a crop shows, before it is shrunk to fit a long one


def random_crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut out a crop (h, w, 3) of aspect ratio 1:2 to 2:1, which is squeezed later; mirror half of them."""
    height, width = image.shape[:2]
    aspect = 2 ** (rng.uniform() - rng.uniform())  # nearly square ones are the most frequent
    area = height * width * rng.uniform(MIN_AREA, 1)
    w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
    shrink = min(1, width / w, height / h)
    w, h = max(int(w * shrink), 1), max(int(h * shrink), 1)
    x, y = rng.integers(width - w + 1), rng.integers(height - h + 1)
    crop = image[y : y + h, x : x + w]
    return crop[:, ::-1] if rng.uniform() < 0.5 else crop


def squeezed(image: np.ndarray, size: int) -> np.ndarray:
    """Bring sRGB (h, w, 3) uint8 to a square (size, size, 3), by area means where it shrinks."""
    shrinks = min(image.shape[:2]) >= size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), np.uint8)


def to_network(image: np.ndarray, size: int = LUMINANCE_SIZE, chroma_size: int = CHROMA_SIZE) -> Lab:
    """Convert sRGB (h, w, 3) uint8 to L* (1, size, size) and ab (2, chroma_size, chroma_size), area means."""
    lab = pixels_to_lab(squeezed(image, size))
    small = (chroma_size, chroma_size)
    ab = np.stack([cv2.resize(plane, small, interpolation=cv2.INTER_AREA) for plane in lab[1:]])
    return lab[:1], ab


class Order:
    """Map positions of an endless run to n samples; every epoch is a new permutation."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self._epoch, self._permutation = -1, np.empty(0, np.int64)

    def __getitem__(self, position: int) -> int:
        epoch, index = divmod(position, self.n)
        if self._epoch != epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.n)
        return int(self._permutation[index])


class Loading(NamedTuple):
    """How a process loads its share of every batch."""

    workers: int = 0  # processes that decode
    rank: int = 0  # of this process
    processes: int = 1  # that share the run


def shares(start: int, stop: int, batch: int, loading: Loading) -> Iterator[range]:
    """Yield a process's share of each batch of consecutive positions: with n processes, every n-th."""
    for first in range(start, stop, batch):
        yield range(first + loading.rank, first + batch, loading.processes)


Parts = Sequence[Tensor]  # of a batch, (N, ...) each


class Batch(NamedTuple):
    """A batch of samples to learn from, or one sample, whose parts have no first dimension."""

    parts: Parts
    unreadable: Sequence[str] = ()  # errors of what could not be read; other samples replace it


# From a crop, sRGB (h, w, 3) uint8, and what is drawn for its position alone.
Prepare = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, ...]]


def for_network(crop: np.ndarray, rng: np.random.Generator, size: int = LUMINANCE_SIZE) -> Lab:
    """Prepare a crop as :func:`to_network` does."""
    return to_network(crop, size)


class Crops(Dataset[Batch]):
    """An endless sequence of crops, each a function of its position only.

    So a resumed run sees what an uninterrupted run sees, however many processes load the photos. A photo that
    cannot be read, or is gray, is replaced by the next one.
    """

    def __init__(self, photos: Sequence[Source], seed: int, prepare: Prepare = for_network) -> None:
        self.photos, self.seed, self.prepare = photos, seed, prepare
        self.reader = ColorReader()
        self._order = Order(len(photos), seed)

    def __getitem__(self, position: int) -> Batch:
        unreadable = []
        for step in range(len(self.photos)):
            try:
                image = self.reader(self.photos[self._order[position + step]])
                break
            except DataError as error:
                unreadable.append(str(error))
        else:
            none = f"none of {len(self.photos)} photos can be learnt from"
            raise DataError(f"{none}, for example {unreadable[0]}")
        rng = np.random.default_rng([self.seed, 1, position])
        parts = self.prepare(random_crop(image, rng), rng)
        return Batch(tuple(map(torch.from_numpy, parts)), tuple(unreadable))


def _start_worker(_: int) -> None:
    # Signals that stop a run reach the whole process group; the loop decides when the workers end.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def batches(samples: Dataset[Batch], start: int, stop: int, batch: int, loading: Loading) -> Generator[Batch]:
    """Load a process's share of the samples at the positions from start to stop, in batches.

    Closing the generator ends the processes that load. They ignore the signals by which Python would end them
    at exit, and an error that is on its way keeps torch from ending them, so that a run would never exit.
    DataError if there is nothing to learn from.
    """
    loader = DataLoader(
        _Batches(samples),
        batch_size=None,  # each item is one
        sampler=shares(start, stop, batch, loading),
        num_workers=loading.workers,
        worker_init_fn=_start_worker,
        # A forked worker inherits locks of OpenCV's and torch's threads, and may wait for them forever.
        multiprocessing_context="spawn" if loading.workers else None,
        prefetch_factor=4 if loading.workers else None,
        persistent_workers=False,
        pin_memory=torch.cuda.is_available(),
    )
    # Until _start_worker runs in them, new processes would end with a traceback.
    with blocked_in_children(*_STOPPING):
        loaded = iter(loader)
    try:
        for found in loaded:
            if isinstance(found, str):
                raise DataError(found)
            yield found
    finally:
        if loading.workers:
            loaded._shutdown_workers()  # type: ignore[attr-defined]


class _Batches(Dataset[Batch | str]):
    """Batches, or why there is none: what another process raises loses its type and gains a traceback."""

    def __init__(self, samples: Dataset[Batch]) -> None:
        self.samples = samples

    def __getitem__(self, positions: range) -> Batch | str:  # type: ignore[override]
        try:
            samples = [self.samples[position] for position in positions]
        except DataError as error:
            return str(error)
        parts = default_collate([sample.parts for sample in samples])
        return Batch(parts, [message for sample in samples for message in sample.unreadable])
