"""Measures that require a network: are pictures like photos, and is what they show still recognised?

docs/evaluation.md defines them. ``st_lpips`` is shift-tolerant LPIPS with AlexNet (Ghildyal and Liu 2022,
https://arxiv.org/abs/2207.13686). All but ``kid_lite0`` are of the first sample, as ``best_of_1`` is. The
weights of Inception and VGG16 are downloaded when first used; the others come with packages of the extra
``evaluation``.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from cinn_colorize.data.sources import Reader, Source
from cinn_colorize.errors import DataError, printable_name
from cinn_colorize.evaluation.metrics import Estimate, mean_estimate, resampled
from cinn_colorize.evaluation.photos import Doubles, Square, read_square
from cinn_colorize.evaluation.table import malformed, names_none, read_column
from cinn_colorize.imaging.color import Floats
from cinn_colorize.models.conditioning import backbone

Progress = Callable[[int, int], None]  # of the reference photos done, and their number


class Measure:
    """A measure of pictures: computed photo by photo, then estimated over all."""

    name: str

    def of(self, pictures: Doubles, photo: Square, source: Source) -> Floats:
        """Compute what the estimate needs of a photo, from its pictures (n, 3, 256, 256), RGB in [0, 1]."""
        raise NotImplementedError

    def estimate(self, found: Sequence[Floats]) -> Estimate:
        """Estimate the measure from what :meth:`of` returned for each photo, here by its mean."""
        return mean_estimate(np.concatenate(found))


class _Lite0:
    """EfficientNet-Lite0 on pictures in RGB at 256 px, which it sees as 2 RGB - 1."""

    def __init__(self, device: torch.device) -> None:
        state = backbone.PRETRAINED_LITE0.state()
        network = backbone.EfficientNetLite(backbone.LITE0)
        network.load_pretrained(state)
        self._network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        classifier = backbone.Classifier(state).eval().to(device)
        self.penultimate = partial(self._each, classifier.penultimate)
        self.logits = partial(self._each, classifier)
        self._device = device

    @torch.inference_mode()
    def _each(self, last: Callable[[Tensor], Tensor], pictures: Doubles) -> Floats:
        # One at a time: the activations of one picture fit into a processor's cache.
        batch = (2 * torch.from_numpy(pictures).float() - 1).to(self._device)
        channels_last = (one.to(memory_format=torch.channels_last) for one in batch.split(1))
        return torch.cat([last(self._network(one)[32]) for one in channels_last]).cpu().numpy()


class KidLite0(Measure):
    """``kid_lite0``; DataError if a photo cannot be read, there is only one, or the weights are missing."""

    name = "kid_lite0"

    def __init__(self, reference: Sequence[Source], device: torch.device, progress: Progress) -> None:
        self._network = _Lite0(device)
        found = [self._network.penultimate(rgb) for rgb in _read_all(reference, progress)]
        self._reference = np.concatenate(found)

    def of(self, pictures: Doubles, photo: Square, source: Source) -> Floats:
        return self._network.penultimate(pictures)

    def estimate(self, found: Sequence[Floats]) -> Estimate:
        return kernel_distance(found, self._reference)


def kernel_distance(pictures: Sequence[Floats], reference: Floats | Doubles) -> Estimate:
    """Compute the unbiased kernel distance (KID, Binkowski et al. 2018, https://arxiv.org/abs/1801.01401).

    The squared maximum mean discrepancy with the kernel (x . y / d + 1)^3 between features (n, d) of each
    photo's n pictures and the reference's, (m, d): 0 on average if both are distributed alike, nan for a
    single photo. Pictures of one photo are not independent, so only pairs of different photos count. The
    standard error is from a bootstrap over photos, too large where the distance is near 0; the reference is
    not resampled.
    """
    n = len(pictures)
    if n < 2:
        return Estimate(float("nan"), float("nan"))
    every, reference = np.concatenate(pictures).astype(np.float64), reference.astype(np.float64)
    of_photo = np.repeat(np.arange(n), [len(features) for features in pictures])
    within, across = np.empty((n, n)), np.empty(n)
    for i, features in enumerate(pictures):
        columns = _kernel(features, every).mean(axis=0)
        within[i] = np.bincount(of_photo, columns) / np.bincount(of_photo)
        across[i] = _kernel(features, reference).mean()
    np.fill_diagonal(within, 0)
    of_reference = _kernel(reference, reference)
    m = len(reference)
    offset = (of_reference.sum() - np.trace(of_reference)) / (m * (m - 1))

    def distance(weights: Doubles) -> Doubles:
        pairs = weights.sum(axis=-1) ** 2 - np.square(weights).sum(axis=-1)
        with np.errstate(invalid="ignore"):  # where all photos drawn are the same
            same = ((weights @ within) * weights).sum(axis=-1) / pairs
        return np.asarray(same - 2 * weights @ across / weights.sum(axis=-1) + offset)

    return Estimate(float(distance(np.ones(n))), float(np.nanstd(distance(resampled(n)), ddof=1)))


def _kernel(x: Floats | Doubles, y: Doubles) -> Doubles:
    return np.asarray((x.astype(np.float64) @ y.T / x.shape[1] + 1) ** 3)


class Fid(Measure):
    """``fid``; without a standard error, since resampled photos would be closer to each other."""

    name = "fid"

    def __init__(self, reference: Sequence[Source], device: torch.device, progress: Progress) -> None:
        fidelity = _package("torch_fidelity", "fid")
        with _downloading("fid: the weights of Inception", "kid_lite0 needs no download"):
            network = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], verbose=False)
        self._network, self._device = network.to(device), device
        found = [self._features(rgb) for rgb in _read_all(reference, progress)]
        self._reference = self._statistics(found)

    def of(self, pictures: Doubles, photo: Square, source: Source) -> Floats:
        return self._features(pictures[:1])

    def estimate(self, found: Sequence[Floats]) -> Estimate:
        if len(found) < 2:
            return Estimate(float("nan"), float("nan"))
        metric = _package("torch_fidelity.metric_fid", "fid")
        distance = metric.fid_statistics_to_metric(self._statistics(found), self._reference, False)
        return Estimate(float(distance[metric.KEY_METRIC_FID]), float("nan"))

    @torch.inference_mode()
    def _features(self, pictures: Doubles) -> Floats:
        batch = torch.from_numpy(np.rint(255 * pictures).astype(np.uint8)).to(self._device)
        features: Tensor = self._network(batch)[0]
        return features.cpu().numpy()

    @staticmethod
    def _statistics(found: Sequence[Floats]) -> Mapping[str, Doubles]:
        features = np.concatenate(found).astype(np.float64)
        return {"mu": features.mean(axis=0), "sigma": np.cov(features, rowvar=False)}


class StLpips(Measure):
    """``st_lpips``; DataError if the package is missing."""

    name = "st_lpips"

    def __init__(self, device: torch.device) -> None:
        package = _package("stlpips_pytorch.stlpips", self.name)
        self._network = package.LPIPS(net="alex", variant="shift_tolerant", verbose=False).eval().to(device)
        self._device = device

    @torch.inference_mode()
    def of(self, pictures: Doubles, photo: Square, source: Source) -> Floats:
        both = [torch.from_numpy(a)[None].float().to(self._device) for a in (pictures[0], photo.rgb)]
        distance: Tensor = self._network(*both, normalize=True)
        return distance.flatten().cpu().numpy()


class Top5(Measure):
    """``top5_lite0`` and ``top5_vgg16``, of the photos in ``labels``; DataError if there are no weights."""

    def __init__(self, classifier: str, labels: Mapping[Source, int], device: torch.device) -> None:
        self.name, self._labels = f"top5_{classifier}", labels
        self._logits = _Lite0(device).logits if classifier == "lite0" else _vgg16(device)

    def of(self, pictures: Doubles, photo: Square, source: Source) -> Floats:
        if source not in self._labels:
            return np.empty(0, np.float32)
        likeliest = np.argsort(self._logits(pictures[:1])[0])[-5:]
        return np.full(1, 100 * (self._labels[source] in likeliest), np.float32)


def read_labels(path: Path, photos: Sequence[Source], root: Path) -> dict[Source, int]:
    """Read ImageNet classes of photos in a zip or folder; those that the table does not name have none.

    The table is tab-separated with the columns ``entry``, a photo's name in ``root``, and ``class``, from 0
    to 999; others are ignored. DataError if it cannot be read, is malformed, or names none of the photos.
    """
    content = "a number"
    try:
        classes = {entry: int(value) for entry, value in read_column(path, "class", content).items()}
    except ValueError as error:
        raise malformed(path, "class", content) from error
    if beyond := [c for c in classes.values() if not 0 <= c < 1000]:
        problem = f"{printable_name(path)}: {beyond[0]} is not a class of ImageNet; classes go from 0 to 999"
        raise DataError(problem)
    named = {source: source.name_in(root) for source in photos}
    labels = {source: classes[entry] for source, entry in named.items() if entry in classes}
    if not labels:
        raise names_none(path, list(named.values()))
    return labels


def _vgg16(device: torch.device) -> Callable[[Doubles], Floats]:
    from torchvision.models import VGG16_Weights, vgg16
    from torchvision.transforms.functional import center_crop, normalize

    weights = VGG16_Weights.IMAGENET1K_V1
    with _downloading("top5_vgg16: the weights of VGG16", "top5_lite0 needs no download"):
        state = weights.get_state_dict(progress=False)
    network = vgg16(init_weights=False)
    network.load_state_dict(state)
    network.eval().to(device)
    of_training = weights.transforms()

    @torch.inference_mode()
    def logits(pictures: Doubles) -> Floats:
        batch = center_crop(torch.from_numpy(pictures).float(), of_training.crop_size)
        batch = normalize(batch, of_training.mean, of_training.std)
        found: Tensor = network(batch.to(device))
        return found.cpu().numpy()

    return logits


def _read_all(reference: Sequence[Source], progress: Progress) -> Iterator[Doubles]:
    """Yield each photo in RGB, (1, 3, 256, 256)."""
    if len(reference) < 2:
        raise DataError(f"{reference[0]}: a distance requires more than one reference photo")
    read = Reader()
    for i, source in enumerate(reference):
        yield read_square(source, read).rgb[None]
        progress(i + 1, len(reference))


def _package(name: str, measure: str) -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        problem = f"{measure}: requires the package {error.name}; pip install 'cinn-colorize[evaluation]'"
        raise DataError(problem) from error


@contextmanager
def _downloading(what: str, otherwise: str) -> Iterator[None]:
    """Turn errors in downloading weights into a DataError in this context; print what is said on stderr."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except OSError as error:  # urllib's errors are OSErrors
        raise DataError(f"{what} cannot be downloaded ({error}); {otherwise}") from error
