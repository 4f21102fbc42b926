"""Handwritten digits from the model ``mnist`` (paper 4.1, Figs. 4, 6 and 7).

Images are light ink on black as in MNIST: (28, 28) float32 in [0, 1], upright, with the digit centred. The
model's samples are not clipped to [0, 1].
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cinn_colorize.data.sources import Reader, Source
from cinn_colorize.engines.pytorch import choose_device, placed
from cinn_colorize.errors import DataError, WeightsError, printable_name
from cinn_colorize.imaging.options import seeds_from, whole_number
from cinn_colorize.latents.latent import Latent
from cinn_colorize.latents.levels import by_level
from cinn_colorize.latents.noise import Floats
from cinn_colorize.models import Loaded, loaded_from
from cinn_colorize.models.base import one_thread
from cinn_colorize.models.mnist import DIGITS, LEVEL, SIZE, Mnist
from cinn_colorize.models.registry import MODELS

_OF_MODEL = MODELS["mnist"]
(TEMPERATURE,) = by_level(_OF_MODEL.temperature, _OF_MODEL.levels).values()
_BOX = 20  # side of the square that a digit of MNIST fits into, in pixels
_BATCH = 500
_REACH = 2.5  # of a walk, from the mean in both directions, in standard deviations
_USUAL = 20  # codes whose digits show how much each attribute varies within a digit


class Digits:
    """Draws, encodes and restyles digits; arguments and errors are those of :class:`.Colorizer`."""

    def __init__(
        self,
        model: str | Loaded = "mnist",
        *,
        weights: str | os.PathLike[str] | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        loaded = loaded_from(model, weights)
        if not isinstance(loaded.model, Mnist):
            raise WeightsError(f"{loaded.info.name} does not draw digits; choose mnist")
        self.device = choose_device(device)
        self.model = placed(loaded.model, self.device)
        self.info, self.sha256 = loaded.info, loaded.sha256

    def sample(self, n: int = 1, temperature: float = TEMPERATURE, seed: int = 0) -> Floats:
        """Draw all ten digits with each of n latent codes (Fig. 6), whose seeds count up: (n, 10, 28, 28).

        The temperature is the standard deviation of the codes, 0 to 2; 1 is the model's distribution. A
        TypeError if n or the seed is no integer, a ValueError if an argument is out of range.
        """
        return self.decode(Latent.draw(self.model.latent_shapes, seeds_from(seed, n), temperature))

    def decode(self, latent: Latent) -> Floats:
        """Decode N codes: return all ten digits of each, (N, 10, 28, 28)."""
        # Always ten at a time: a matrix product of another shape may round differently.
        with self._inference():
            condition = self.model.condition(torch.arange(DIGITS, device=self.device))
            codes = latent.levels[LEVEL].to(self.device, torch.float32)
            rows = [self.model.inverse({LEVEL: z.expand(DIGITS, *z.shape)}, condition)[0] for z in codes]
            return torch.stack(rows).squeeze(2).cpu().numpy()

    def encode(self, images: NDArray[np.floating], digits: Sequence[int] | NDArray[np.integer]) -> Latent:
        """Return the codes f(x; c) of images (N, 28, 28) in [0, 1]; TypeError or ValueError for others."""
        return Latent({LEVEL: self._forward(images, digits)[0]})

    def log_prob(
        self, images: NDArray[np.floating], digits: Sequence[int] | NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Return log densities given digits, nats over all 784 pixels, (N,); errors as of :meth:`encode`."""
        z, log_det = self._forward(images, digits)
        return (Latent({LEVEL: z}).log_prob() + log_det).double().numpy()

    def log_probs(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return log densities of images given each of the ten digits, in nats, (N, 10)."""
        return np.stack([self.log_prob(images, np.full(len(images), d)) for d in range(DIGITS)], axis=1)

    def transfer(self, images: NDArray[np.floating], digits: Sequence[int | None]) -> Floats:
        """Write all ten digits in the style of each image, (N, 10, 28, 28) (Fig. 7); None: the likeliest."""
        if len(digits) != len(images):
            raise ValueError(f"{len(images)} images must have as many digits, not {len(digits)}")
        likely = self.log_probs(images).argmax(1) if None in digits else [0] * len(images)
        shown = [int(guess) if d is None else d for d, guess in zip(digits, likely, strict=True)]
        return self.decode(self.encode(images, shown))

    def walks(self, steps: int = 7) -> "list[Walk]":
        """Walk along each principal component of the latent codes of MNIST's test digits (Fig. 4).

        Each has so many steps, 1 or more, from -2.5 standard deviations to 2.5.
        """
        steps = whole_number(steps, "steps", 1)
        positions = torch.linspace(-_REACH, _REACH, steps)
        drawn = self.sample(_USUAL)
        usual = {
            name: np.mean([np.std([measure(image) for image in drawn[:, d]]) for d in range(DIGITS)])
            for name, measure in ATTRIBUTES.items()
        }
        result = []
        for axis in self.model.axes.cpu():
            codes = self.model.centre.cpu() + positions[:, None] * axis
            images = self.decode(Latent({LEVEL: codes[..., None, None]}))
            changes = {}
            for name, measure in ATTRIBUTES.items():
                first, last = (np.mean([measure(image) for image in row]) for row in (images[0], images[-1]))
                changes[name] = float((last - first) / usual[name])
            result.append(Walk(images, changes))
        return result

    def _forward(
        self, images: NDArray[np.floating], digits: Sequence[int] | NDArray[np.integer]
    ) -> tuple[Tensor, Tensor]:
        pixels, labels = np.asarray(images), np.asarray(digits)
        if not (np.issubdtype(pixels.dtype, np.floating) and np.issubdtype(labels.dtype, np.integer)):
            types = f"{pixels.dtype} and {labels.dtype}"
            raise TypeError(f"images must be floats in [0, 1] and digits integers, not {types}")
        if pixels.shape[1:] != (SIZE, SIZE) or labels.shape != pixels.shape[:1] or not len(pixels):
            shapes = f"{pixels.shape} and {labels.shape}"
            raise ValueError(f"images must have the shape (N, {SIZE}, {SIZE}) and digits (N,), not {shapes}")
        if labels.min() < 0 or labels.max() >= DIGITS:
            raise ValueError(f"digits are 0 to {DIGITS - 1}, not {labels.min()} to {labels.max()}")
        x = torch.as_tensor(pixels.astype(np.float32))[:, None]
        c = torch.as_tensor(labels.astype(np.int64))
        parts = []
        with self._inference():
            for some, shown in zip(x.split(_BATCH), c.split(_BATCH), strict=True):
                condition = self.model.condition(shown.to(self.device))
                z, log_det = self.model(some.to(self.device), condition)
                parts.append((z[LEVEL].cpu(), log_det[LEVEL].cpu()))
        z, log_det = (torch.cat(part) for part in zip(*parts, strict=True))
        return z, log_det

    @contextmanager
    def _inference(self) -> Iterator[None]:
        with one_thread(), torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            yield


@dataclass(frozen=True)
class Walk:
    """Digits along one direction of the latent space."""

    images: Floats  # (steps, 10, 28, 28)
    changes: dict[str, float]  # by attribute, from end to end, in standard deviations over samples of a digit

    @property
    def attributes(self) -> list[str]:
        """Attributes that change by over a standard deviation, or the one that changes most; most first."""
        ordered = sorted(self.changes, key=lambda name: -abs(self.changes[name]))
        return [name for name in ordered if abs(self.changes[name]) > 1] or ordered[:1]


def _ink(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the strokes without the noise between them, in [0, 1]."""
    return np.clip((image.astype(np.float64) - 0.4) / 0.4, 0, 1)


def _moments(image: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return the variances of the ink along x and y, and their covariance, in squared pixels."""
    ink = _ink(image)
    ink /= max(float(ink.sum()), 1e-6)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    dx, dy = x - (x * ink).sum(), y - (y * ink).sum()
    return float((dx * dx * ink).sum()), float((dy * dy * ink).sum()), float((dx * dy * ink).sum())


def slant(image: NDArray[np.floating]) -> float:
    """Return how far strokes lean to the right, in pixels per pixel of height."""
    _, yy, xy = _moments(image)
    return -xy / max(yy, 1e-6)


def width(image: NDArray[np.floating]) -> float:
    """Return the standard deviation of the ink along x without the slant, in pixels."""
    xx, yy, xy = _moments(image)
    return float(np.sqrt(max(xx - xy**2 / max(yy, 1e-6), 0)))


def thickness(image: NDArray[np.floating]) -> float:
    """Return the mean width of the strokes in pixels: twice the ink over the length of its outline."""
    ink = _ink(image)
    # Steps along x and y sum to 4 / pi times the length of an outline that runs in all directions.
    outline = np.abs(np.diff(ink, axis=0)).sum() + np.abs(np.diff(ink, axis=1)).sum()
    return float(2 * ink.sum() / max(outline * np.pi / 4, 1e-6))


ATTRIBUTES = {"width": width, "thickness": thickness, "slant": slant}


def principal_axes(latents: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean of codes (N, D), and ``count`` principal components times deviations, (count, D)."""
    centre = latents.mean(0)
    _, deviations, axes = torch.linalg.svd(latents - centre, full_matrices=False)
    axes = axes[:count] * (deviations[:count, None] / (len(latents) - 1) ** 0.5)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return centre, axes * largest.sign()  # the sign depends only on the axis


def read_digit(path: str | os.PathLike[str]) -> Floats:
    """Read a digit from an image file and bring it to MNIST's form, (28, 28) in [0, 1].

    An image of 28 x 28 pixels is used as it is. In a larger image, the box of the ink is scaled to 20 pixels
    and placed with its centre of mass at the centre, as in MNIST. Dark ink on light paper is inverted. A
    DataError if the image cannot be read, or shows no digit.
    """
    image = Reader()(Source(Path(path))).mean(axis=2, dtype=np.float64)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if np.median(border) > 127:
        image = 255 - image
    if image.shape == (SIZE, SIZE):
        return (image / 255).astype(np.float32)
    image -= np.median([np.median(image), image.min()])  # the paper
    ink = np.clip(image, 0, None) / max(image.max(), 1e-6)
    rows, columns = np.nonzero((ink > 0.3).any(1))[0], np.nonzero((ink > 0.3).any(0))[0]
    if image.max() < 25 or not len(rows):
        problem = f"{printable_name(path)}: shows no digit; give an image of one digit in ink on plain paper"
        raise DataError(problem)
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _BOX / max(box.shape)
    size = [max(1, round(side * scale)) for side in box.shape[::-1]]
    small = cv2.resize(box, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    y, x = np.mgrid[: small.shape[0], : small.shape[1]]
    centre = [(axis * small).sum() / small.sum() for axis in (x, y)]
    shift = np.array([[1, 0, SIZE / 2 - centre[0]], [0, 1, SIZE / 2 - centre[1]]])
    return np.clip(cv2.warpAffine(small, shift, (SIZE, SIZE)), 0, 1).astype(np.float32)


def picture(
    images: NDArray[np.floating],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    scale: int = 2,
    gap: int = 4,
) -> Image.Image:
    """Arrange digits (rows, columns, 28, 28), black on white, in so many pixels each, with labels if any."""
    if not np.isfinite(images).all():
        raise WeightsError("the digits drawn are not finite; choose other weights, or a lower temperature")
    font = ImageFont.load_default(size=14)
    side = SIZE * scale + gap
    left = gap + round(max((font.getlength(label) + 2 * gap for label in rows), default=0))
    top = gap + (20 if columns else 0)
    page = Image.new("L", (left + images.shape[1] * side, top + images.shape[0] * side), 255)
    draw = ImageDraw.Draw(page)
    for row, label in enumerate(rows):
        draw.text((left - 2 * gap, top + row * side + side // 2), label, fill=60, font=font, anchor="rm")
    for column, label in enumerate(columns):
        draw.text((left + column * side + side // 2, top - gap), label, fill=60, font=font, anchor="mb")
    for row, column in np.ndindex(*images.shape[:2]):
        tone = 255 - np.round(np.clip(images[row, column], 0, 1) * 255).astype(np.uint8)
        large = Image.fromarray(tone).resize((SIZE * scale, SIZE * scale), Image.Resampling.NEAREST)
        page.paste(large, (left + column * side, top + row * side))
    return page.convert("RGB")


def samples_picture(
    digits: Digits, number: int = 8, temperature: float = TEMPERATURE, seed: int = 0, digit: int | None = None
) -> Image.Image:
    """Draw Fig. 6: a row of all ten digits for each code, or rows of ten codes for a single digit."""
    drawn = digits.sample(number, temperature, seed)
    if digit is None:
        return picture(drawn, [f"seed {seed + k}" for k in range(number)], [str(d) for d in range(DIGITS)])
    columns = min(number, 10)
    ones = np.zeros((-(-number // columns) * columns, SIZE, SIZE), np.float32)
    ones[:number] = drawn[:, digit]
    rows = ones.reshape(-1, columns, SIZE, SIZE)
    return picture(rows, [f"seed {seed + columns * k}" for k in range(len(rows))])


def transfer_picture(
    digits: Digits, paths: Sequence[str | os.PathLike[str]], digit: int | None = None
) -> Image.Image:
    """Draw Fig. 7: images of digits on the left, and all ten digits in the style of each.

    ``digit`` is what all of them show, see :meth:`Digits.transfer`; for errors see :func:`read_digit`.
    """
    images = np.stack([read_digit(path) for path in paths])
    rows = digits.transfer(images, [digit] * len(images))
    tiles = np.concatenate([images[:, None], rows], axis=1)
    return picture(tiles, columns=["image", *map(str, range(DIGITS))])


def walks_picture(digits: Digits, digit: int | None = None) -> Image.Image:
    """Draw Fig. 4: walks of one digit, or of 2 and 7, labelled by what each principal component changes."""
    walks = digits.walks()
    shown = (2, 7) if digit is None else (digit,)
    rows = np.concatenate([[walk.images[:, d] for d in shown] for walk in walks])
    labels = [""] * len(rows)
    labels[:: len(shown)] = [f"{k + 1}: {', '.join(walk.attributes)}" for k, walk in enumerate(walks)]
    return picture(rows, labels)
