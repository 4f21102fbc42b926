"""The stages of ``natural`` other than ``flow``: coarse colours, the details above them, and all jointly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import nll_by_level
from cinn_colorize.models.conditioning import FeaturePyramid
from cinn_colorize.models.natural import COARSE, CoarseLevel, Condition, Natural
from cinn_colorize.training.choices import Stage
from cinn_colorize.training.crops import CHROMA_SIZE, Parts
from cinn_colorize.training.natural import NaturalTask, NaturalTraining
from cinn_colorize.training.objective import Noise, level_nll, vividness
from cinn_colorize.training.task import Groups


@dataclass(frozen=True)
class CoarseTraining(NaturalTraining):
    """Hyper-parameters of the coarse stage: backbone, pyramid and the colours at 16 px."""

    photos: int = 250_000
    coarse_noise: float = 0.01  # docs/training-log.md has what more of it costs
    learn_every: Mapping[int, int] = field(default_factory=dict)
    backbone_rate: float = 0.2
    vivid: float = 0.75  # how much more vivid photos count than pale ones, see vividness
    colours: float = 0.05  # weight of the error of the colours that features tell alone


class CoarseTask(NaturalTask):
    """Train the autoregressive level, and what it is conditioned on, without the details above it.

    In training, the level knows the true colours of the places before each, and asks its features only for
    what these do not tell. Sampling begins without any, so features must also tell the colours alone: by a
    linear map, ``to_colours``, which belongs to the model during this stage only.
    """

    config, stage = CoarseTraining, Stage.coarse
    ablations = ()

    def learning(self, model: Natural, config: NaturalTraining) -> Groups:
        """Return the pyramid, the coarse level, and the backbone's 1x1 convolutions."""
        shared, _ = _pyramid_parts(model, "coarse")
        level = model.levels[str(COARSE)]
        assert isinstance(level, CoarseLevel)
        model.to_colours = Colours(level).to(level.unknown.device)
        return [_alone(model, [*shared, level, model.to_colours]), *self._backbone(model, config)]

    def prepare(  # type: ignore[override]
        self, model: Natural, batch: Parts, config: NaturalTraining, noise: Noise, precision: torch.dtype
    ) -> tuple[Tensor, Condition]:
        """Return noisy x, and the condition of the coarse level."""
        x, L, features = super().prepare(model, batch, config, noise, precision)
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            return x, model.condition(L, features, COARSE)

    def nll(  # type: ignore[override]
        self, model: Natural, config: NaturalTraining, x: Tensor, condition: Condition
    ) -> dict[int, Tensor]:
        """Compute the nll of the coarse level alone."""
        return level_nll(*model(x, condition))

    def objective(  # type: ignore[override]
        self,
        model: Natural,
        config: CoarseTraining,
        nll: dict[int, Tensor],
        sizes: Mapping[int, int],
        x: Tensor,
        condition: Condition,
    ) -> dict[str, Tensor]:
        """Let vivid photos count more; ``error`` is that of x at 16 px from features alone, squared."""
        assert isinstance(model.to_colours, Colours)
        error = model.to_colours.error(x, condition.prepared[COARSE].features)
        vivid = vividness(x, config.vivid)
        loss = self.loss({r: vivid * of_level for r, of_level in nll.items()}, sizes)
        return {"loss": loss + config.colours * (vivid * error).mean(), "error": error.mean()}

    def save(self, model: Natural, path: Path, training: dict[str, object]) -> None:
        """Write a weights file, fp16, without the map that only this stage needs."""
        bare = deepcopy(model)
        del bare.to_colours
        super().save(bare, path, training)

    def measure(self, model: Natural) -> dict[str, float]:
        """Measure the nll of the coarse colours of photos held out, nats per photo."""
        dev = self.dev[:: self.measured_every]
        condition = partial(model.condition, finest=COARSE)
        return {"nll_coarse": nll_by_level(model, dev, condition)[COARSE]} if dev else {}


class Colours(nn.Conv2d):
    """The colours at 16 px as a linear map of what the passes of the coarse level read; zero at first."""

    def __init__(self, level: CoarseLevel) -> None:
        super().__init__(len(level.to_passes) * level.refine.out_channels, 4 * 2, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def error(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Compute the mean squared error for x (N, 2, 64, 64), given features (N, C, 8, 8), as (N,)."""
        colours = F.pixel_shuffle(self(torch.cat([*features], dim=1)).float(), 2)
        return (colours - F.avg_pool2d(x, CHROMA_SIZE // (2 * COARSE))).square().mean((1, 2, 3))


@dataclass(frozen=True)
class FineTraining(NaturalTraining):
    """Hyper-parameters of the fine stage: the details above the autoregressive level."""

    photos: int = 60_000
    learn_every: Mapping[int, int] = field(default_factory=dict)


class FineTask(NaturalTask):
    """Train the details above an autoregressive level that is done, on the features that it reads."""

    config, stage = FineTraining, Stage.fine
    ablations = ()

    def initial_model(self) -> Natural:
        """Refuse to begin without the colours that the details refine."""
        raise DataError("--stage fine: requires --start, the weights that --stage coarse wrote")

    def learning(self, model: Natural, config: NaturalTraining) -> Groups:
        """Return the levels of the details, and the parts of the pyramid that only they read."""
        return [_alone(model, details_of(model))]

    def nll(  # type: ignore[override]
        self, model: Natural, config: NaturalTraining, x: Tensor, L: Tensor, features: dict[int, Tensor]
    ) -> dict[int, Tensor]:
        """Compute the nll of the details alone."""
        return level_nll(*model(x, model.condition(L, features, coarsest=2 * COARSE)))


@dataclass(frozen=True)
class JointTraining(NaturalTraining):
    """Hyper-parameters of the joint stage, which trains the backbone too."""

    backbone_rate: float = 0.1


class JointTask(NaturalTask):
    """Train the backbone too (paper 4.2: h and the flow, jointly)."""

    config, stage = JointTraining, Stage.joint
    ablations = ()


def details_of(model: Natural) -> list[nn.Module]:
    """Return the levels of the details, and the parts of the pyramid that only they read."""
    _, own = _pyramid_parts(model, "fine")
    return [*own, *(model.levels[str(r)] for r in model.resolutions)]


def _pyramid_parts(model: Natural, stage: str) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the parts of the pyramid that the autoregressive level reads, and those of the details alone."""
    pyramid = model.pyramid
    if not isinstance(pyramid, FeaturePyramid):
        raise DataError(f"--stage {stage}: the model to start from has no conditioning network")
    shared = pyramid.up_to(2 * COARSE)
    return shared, [module for module in pyramid.up_to(CHROMA_SIZE) if module not in shared]


def _alone(model: Natural, modules: Sequence[nn.Module]) -> tuple[list[nn.Parameter], float]:
    """Let some modules learn and no others; return their parameters, at the whole rate."""
    model.requires_grad_(False)
    for module in modules:
        module.requires_grad_(True)
    return [p for module in modules for p in module.parameters()], 1.0
