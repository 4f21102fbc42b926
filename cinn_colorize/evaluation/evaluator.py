"""Measuring a model on photos, one photo at a time."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cinn_colorize.data.sources import ColorReader, Source, readable
from cinn_colorize.engines.interface import DENSITY_SCALE, NetworkInput
from cinn_colorize.engines.pytorch import evaluating
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import table
from cinn_colorize.evaluation.calibration import Calibration
from cinn_colorize.evaluation.metrics import (
    SIGMAS,
    Estimate,
    Statistics,
    Term,
    Tinted,
    best,
    color_statistics,
    energy_scores,
    estimate,
    exploding,
    limited,
    picture_statistics,
)
from cinn_colorize.evaluation.photos import CHROMA_SIZE, Doubles, Square, read_square, to_rgb
from cinn_colorize.evaluation.realism import Measure
from cinn_colorize.evaluation.table import DrawnBy, ModelRow, Report, Row
from cinn_colorize.imaging.color import Floats
from cinn_colorize.latents.latent import Latent
from cinn_colorize.latents.levels import PerLevel
from cinn_colorize.models.base import PhotoFlow

_DIMENSIONS = 2 * CHROMA_SIZE**2
_NOISE = 0.05  # standard deviation in x = ab / 15
_BATCH = 8  # photos


class ConditionedModel(Protocol):
    """Draws samples for one L; see :class:`cinn_colorize.colorizer.ConditionedPhoto`."""

    def sample(self, n: int, temperature: PerLevel, seed: int) -> Sequence[Any]:
        """Draw n samples with the seeds seed, seed + 1, ..., whose ``ab`` is as it leaves the flow."""

    def log_prob(self, ab: NDArray[np.floating]) -> float:
        """Return the log density of x = ab / 15, nats."""


class Model(Protocol):
    """A model to be measured: a :class:`cinn_colorize.Colorizer`, or anything else that samples."""

    def condition(self, photo: NetworkInput) -> ConditionedModel:
        """Condition on L* of one square, (256, 256)."""


def evaluate(
    colorizer: Model,
    photos: Sequence[Source],
    *,
    samples: int = 8,
    temperatures: Sequence[PerLevel] = (1.0,),
    measures: Sequence[Measure] = (),
    calibration: Calibration | None = None,
    tints: bool = True,
    root: Path | None = None,
    network: DrawnBy | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Measure a model, and beside it random tints, a gray photo and the pipeline itself, on photos.

    Sample k of photo i has the seed ``samples`` * i + k, and the noise of its likelihood and its tints have
    the seed i, where i is the photo's place in ``photos``. The likelihood is that at temperature 1. What is
    drawn at the first temperature goes to ``calibration`` too; the tints of the row ``tint`` vary like that.
    The report names photos by their names in ``root``, and those that cannot be read, which are left out.
    After each photo, ``progress`` is called with the number done and the total.

    DataError if no photo can be read; ValueError without samples or temperatures, or for one below 0.
    """
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, not {samples}")
    if not temperatures:
        raise ValueError("there must be one temperature or more")
    rows = _Rows(samples, temperatures, measures, calibration, tints and samples > 1)
    read, names, failures = ColorReader(), [], []
    for i, source in enumerate(photos):
        try:
            photo = read_square(source, read)
        except DataError as error:
            failures.append(str(error))
        else:
            names.append(source.name_in(root) if root else str(source))
            rows.add(colorizer.condition(NetworkInput(photo.L)), photo, source, i)
        progress(i + 1, len(photos))
    if not names:
        raise DataError("; ".join([f"none of {len(photos)} photos can be measured", *failures[:1]]))
    return Report(tuple(names), samples, rows.model(), rows.references(), tuple(failures), network)


class _Rows:
    """The rows of a report, to which photos are added one by one."""

    def __init__(
        self,
        samples: int,
        temperatures: Sequence[PerLevel],
        measures: Sequence[Measure],
        calibration: Calibration | None,
        tints: bool,
    ) -> None:
        self.samples, self.temperatures, self.calibration = samples, temperatures, calibration
        self.of_model = [_Row(measures) for _ in temperatures]
        self.gray, self.truth = _Row(measures), _Row(measures)
        self.tint, self.saturations = list[Statistics](), list[Statistics]()
        self.by_sigma: dict[float, list[Statistics]] = {sigma: [] for sigma in SIGMAS if tints}

    def add(self, conditioned: ConditionedModel, photo: Square, source: Source, i: int) -> None:
        """Measure the photo at place ``i``."""
        n, nll = self.samples, -conditioned.log_prob(with_noise(photo.ab, i)) / _DIMENSIONS
        for temperature, row in zip(self.temperatures, self.of_model, strict=True):
            drawn = conditioned.sample(n=n, temperature=temperature, seed=n * i)
            ab = np.stack([sample.ab for sample in drawn])
            pictures = np.stack([to_rgb(photo.L, colors) for colors in ab])
            compared = {
                "nll": Term(nll),
                **picture_statistics(pictures, photo.rgb),
                **color_statistics(limited(ab), photo.ab),
            }
            row.add(compared, pictures, photo, source, exploding(ab))
            if row is not self.of_model[0]:
                continue
            if self.calibration:
                self.calibration.add(nll, ab, photo.ab)
            if self.by_sigma:
                (center,) = conditioned.sample(n=1, temperature=0.0, seed=n * i)
                tinted = Tinted(photo, center.ab, n, seed=i)
                self.tint.append(tinted.like(ab))
                self.saturations.append(tinted.in_saturations())
                for sigma, statistics in self.by_sigma.items():
                    statistics.append(tinted.isotropic(sigma))
        for ab, row in ((np.zeros_like(photo.ab), self.gray), (photo.ab, self.truth)):
            picture = to_rgb(photo.L, ab)[None]
            row.add(_one_picture(picture, ab, photo, n), picture, photo, source)

    def model(self) -> tuple[ModelRow, ...]:
        return tuple(
            ModelRow(*row.found(), temperature=temperature, exploding=row.exploding)
            for temperature, row in zip(self.temperatures, self.of_model, strict=True)
        )

    def references(self) -> Mapping[str, Row]:
        rows = {}
        if self.by_sigma:
            chosen, sigmas = best(self.by_sigma)
            rows[table.TINT] = Row(estimate(self.tint), tuple(self.tint))
            rows[table.BEST_TINT] = Row(estimate(chosen), tuple(chosen), sigmas=sigmas)
            rows[table.SATURATIONS] = Row(estimate(self.saturations), tuple(self.saturations))
        return {**rows, table.GRAY: Row(*self.gray.found()), table.TRUTH: Row(*self.truth.found())}


class _Row:
    """What is known of each photo for one row."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self.exploding = 0
        self.photos: list[Statistics] = []
        self._measures = [(measure, list[Floats]()) for measure in measures]

    def add(
        self, statistics: Statistics, pictures: Doubles, photo: Square, source: Source, exploding: int = 0
    ) -> None:
        self.photos.append(statistics)
        self.exploding += exploding
        for measure, found in self._measures:
            found.append(measure.of(pictures, photo, source))

    def found(self) -> tuple[dict[str, Estimate], tuple[Statistics, ...]]:
        measured = {measure.name: measure.estimate(found) for measure, found in self._measures}
        return estimate(self.photos) | measured, tuple(self.photos)


def _one_picture(picture: Doubles, ab: Floats, photo: Square, samples: int) -> Statistics:
    """Return statistics of a model that always draws the same picture: the best of several is that one."""
    rmse = picture_statistics(picture, photo.rgb)["best_of_1"]
    colors = color_statistics(limited(ab[None]), photo.ab)
    several = (f"best_of_{samples}", f"best_of_{samples}_image") if samples > 1 else ()
    energies = energy_scores(limited(ab[None]), photo.ab) if several else {}
    errors = dict.fromkeys((*several, "best_of_1"), rmse)
    return {**errors, **energies, **colors, f"hue_{samples}": colors["hue_1"]}


def mean_nll(model: PhotoFlow, photos: Sequence[Source]) -> float:
    """Compute the ``nll`` of an evaluation, nats per dimension; see :func:`nll_by_level`."""
    return sum(nll_by_level(model, photos).values()) / _DIMENSIONS


def nll_by_level(
    model: PhotoFlow, photos: Sequence[Source], condition: Callable[[torch.Tensor], Any] | None = None
) -> dict[int, float]:
    """Compute the nll of x = ab / 15 by level of the latent code, nats per photo, on average.

    Photos that cannot be read, or are gray, are left out and logged; DataError if none can be read.
    """
    device, condition = next(model.parameters()).device, condition or model.condition
    totals: dict[int, float] = {}
    rescaling, count = math.log(model.config.chroma_scale / DENSITY_SCALE), 0
    squares = readable(photos, partial(read_square, read=ColorReader()))
    with torch.no_grad(), evaluating(model):
        while batch := list(islice(squares, _BATCH)):
            count += len(batch)
            L = torch.from_numpy(np.stack([photo.L for _, photo in batch]))[:, None].to(device)
            ab = np.stack([with_noise(photo.ab, k) for k, photo in batch])
            x = torch.from_numpy(ab).to(device) / model.config.chroma_scale
            latents, log_dets = model(x, condition(L))
            for r, z in latents.items():
                log_prob = float((Latent({r: z}).log_prob() + log_dets[r]).sum())
                totals[r] = totals.get(r, 0.0) - log_prob + z.numel() * rescaling
    return {r: total / count for r, total in totals.items()}


def with_noise(ab: Floats, seed: int) -> Floats:
    """Add noise from a seed, which a density requires, to the ab (2, 64, 64) whose likelihood is measured."""
    noise = np.random.default_rng(seed).standard_normal(ab.shape, np.float32)
    return ab + np.float32(DENSITY_SCALE * _NOISE) * noise
