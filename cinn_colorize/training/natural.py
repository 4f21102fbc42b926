"""The training of ``natural`` in stages, with noise at every scale and balanced levels."""

from collections.abc import Callable, Generator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cinn_colorize.data.sources import Source
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import nll_by_level
from cinn_colorize.models.conditioning.backbone import DEEP, PRETRAINED_LITE2
from cinn_colorize.models.conditioning.pyramid import FeaturePyramid
from cinn_colorize.models.natural import CoarseLevel, Condition, Natural
from cinn_colorize.models.natural_config import COARSE, NaturalConfig
from cinn_colorize.training.choices import ABLATIONS, Dataset, Stage
from cinn_colorize.training.crops import CHROMA_SIZE, Batch, Loading, Parts, Prepare
from cinn_colorize.training.features import CACHED_PHOTOS, FeaturesTask
from cinn_colorize.training.old_film import some_as_film
from cinn_colorize.training.task import (
    Groups,
    Noise,
    PhotoTask,
    TrainingConfig,
    balanced_loss,
    level_nll,
    load_network,
    vividness,
)

# Names of layers and tables in ``natural``; see :func:`by_adam`.
_BY_ADAM = {"position", "embed", "to_affine", "to_colours"}


@dataclass(frozen=True)
class NaturalTraining(TrainingConfig):
    """Hyper-parameters of ``natural``."""

    coarse_noise: float = 0.01  # docs/training-log.md has what more of it costs
    films: float = 0.2  # share of photos whose L is that of an old film
    learn_every: Mapping[int, int] = field(default_factory=lambda: {32: 2, 16: 2})  # every n-th photo
    backbone_rate: float = 0.0  # factor of the learning rate for the backbone's deep layers; 0: frozen


class NaturalTask(PhotoTask[Natural]):
    """Train the flow and its heads on a frozen backbone (paper 4.2), by default the pretrained one."""

    model, config = "natural", NaturalTraining
    ablations: ClassVar[tuple[str, ...]] = ABLATIONS[Dataset.photos]
    measured_every = 2

    def __init__(
        self, photos: Sequence[Source], dev: Sequence[Source] = (), backbone: Path | None = None
    ) -> None:
        super().__init__(photos, dev)
        self.backbone = backbone

    def initial_model(self) -> Natural:
        model = self.built(Natural, NaturalConfig.default())
        if model.config.conditioning and self.backbone:
            load_network(model.backbone, self.backbone, FeaturesTask.model)
        elif model.config.conditioning:
            model.backbone.load_pretrained(PRETRAINED_LITE2.state())
        return model

    def learning(self, model: Natural, config: NaturalTraining) -> Groups:
        """Return all parameters but the backbone's; if it learns, also its deep 1x1 convolutions."""
        if not model.config.conditioning:
            return super().learning(model, config)
        model.backbone.requires_grad_(False)
        return [*super().learning(model, config), *self._backbone(model, config)]

    @staticmethod
    def _backbone(model: Natural, config: NaturalTraining) -> Groups:
        deep = model.backbone.pointwise(DEEP) if config.backbone_rate else []
        for parameter in deep:
            parameter.requires_grad_(True)
        return [(deep, config.backbone_rate)] if deep else []

    def optimizer(self, model: Natural, groups: Groups, config: Any, precision: torch.dtype) -> Optimizer:
        """Use Muon for matrices and convolutions inside the networks, and Adam for the rest.

        Muon is scaled so that a rate means the same as for Adam (Liu et al. 2025,
        https://arxiv.org/abs/2502.16982).
        """
        by_muon = {id(p) for name, p in model.named_parameters() if p.ndim > 1 and not by_adam(name)}
        parts = []
        for parameters, factor in groups:
            for use_muon in (True, False):
                if some := [p for p in parameters if (id(p) in by_muon) == use_muon]:
                    parts.append({"params": some, "factor": factor, "use_muon": use_muon})
        kind, rate = muon(next(model.parameters()).device, precision), config.learning_rate
        return kind(parts, rate, betas=self.betas, weight_decay=config.weight_decay, nesterov=True)

    def crop(self, config: NaturalTraining) -> Prepare:
        return partial(some_as_film, share=config.films)

    def batches(self, config: NaturalTraining, start: int, loading: Loading) -> Generator[Batch]:
        _check_shares(config.batch // loading.processes, config.learn_every)
        return super().batches(config, start, loading)

    def prepare(
        self, model: Natural, batch: Parts, config: NaturalTraining, noise: Noise, precision: torch.dtype
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        L, x = super().prepare(model, batch, config, noise, precision)
        return x, L, features_in_chunks(model, L, precision)

    def nll(  # type: ignore[override]
        self, model: Natural, config: NaturalTraining, x: Tensor, L: Tensor, features: dict[int, Tensor]
    ) -> dict[int, Tensor]:
        return batch_nll(model, x, L, features, config.learn_every)

    def loss(self, nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
        return balanced_loss(nll, sizes)


def by_adam(name: str) -> bool:
    """Tell whether a matrix or convolution learns by Adam.

    Muon is made for maps between hidden layers, which position tables, ``embed`` and ``to_affine`` are not.
    Last layers of coupling blocks and heads learn by it too: with Adam there, a short run at 2e-3 diverged.
    """
    return any(part in _BY_ADAM for part in name.split("."))


def features_in_chunks(model: Natural, L: Tensor, precision: torch.dtype) -> dict[int, Tensor]:
    """Compute features of the backbone, those of its deep layers with a gradient if they learn.

    On a CPU, the shallow layers process a few photos at a time, so that their activations stay in the cache.
    """
    if not model.config.conditioning:
        return {}
    chunk = CACHED_PHOTOS if L.device.type == "cpu" else len(L)
    learns = any(parameter.requires_grad for parameter in model.backbone.parameters())
    with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
        with torch.no_grad():
            parts = [model.backbone.shallow(model.seen(part)) for part in L.split(chunk)]
            shallow = {stride: torch.cat([part[stride] for part in parts]) for stride in parts[0]}
        with torch.set_grad_enabled(learns):
            return model.fitted({**shallow, **model.backbone.deep(shallow[8])})


def _check_shares(photos: int, every: Mapping[int, int]) -> None:
    if n := next((n for n in every.values() if photos % n), None):
        share = f"details learn from one in {n} of the {photos} photos that a process has in a batch"
        raise DataError(f"{share}; give a --batch that is a multiple of {n} times the number of processes")


def batch_nll(
    model: Natural, x: Tensor, L: Tensor, features: dict[int, Tensor], every: Mapping[int, int]
) -> dict[int, Tensor]:
    """Compute the nll of every ``every[r]``-th photo by level: the finest cost most and learn first."""
    _check_shares(len(x), every)
    parts, start = [], 0
    for r in sorted(model.latent_shapes, reverse=True):
        end = len(x) // every.get(r, 1)
        if end > start:
            chosen = slice(start, end)
            condition = model.condition(L[chosen], {s: f[chosen] for s, f in features.items()}, r)
            parts.append(level_nll(*model(x[chosen], condition)))
            start = end
    return {r: torch.cat([part[r] for part in parts if r in part]) for r in parts[0]}


def muon(device: torch.device, precision: torch.dtype) -> Callable[..., Optimizer]:
    """Return timm's optimiser Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    timm orthogonalises in bf16, which many processors emulate: a step of the coarse flow then spent two
    thirds of its time there. So a CPU takes the precision of the run. DataError if timm is not installed.
    """
    try:
        import timm.optim.muon as implementation  # timm takes seconds to import
    except ImportError as error:
        raise DataError("natural: training requires timm; pip install 'cinn-colorize[train]'") from error
    # No option of the class reaches it.
    original = implementation.zeropower_via_newtonschulz
    original = getattr(original, "func", original)
    chosen = partial(original, dtype=precision)
    implementation.zeropower_via_newtonschulz = chosen if device.type == "cpu" else original
    kind: Callable[..., Optimizer] = implementation.Muon
    return kind


@dataclass(frozen=True)
class CoarseTraining(NaturalTraining):
    """Hyper-parameters of the coarse stage: backbone, pyramid and the colours at 16 px."""

    photos: int = 250_000
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
        shared, _ = _pyramid_parts(model, "coarse")
        level = model.coarse
        model.to_colours = Colours(level).to(level.unknown.device)
        return [_alone(model, [*shared, level, model.to_colours]), *self._backbone(model, config)]

    def prepare(  # type: ignore[override]
        self, model: Natural, batch: Parts, config: NaturalTraining, noise: Noise, precision: torch.dtype
    ) -> tuple[Tensor, Condition]:
        x, L, features = super().prepare(model, batch, config, noise, precision)
        with torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            return x, model.condition(L, features, COARSE)

    def nll(  # type: ignore[override]
        self, model: Natural, config: NaturalTraining, x: Tensor, condition: Condition
    ) -> dict[int, Tensor]:
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
        """Write a weights file without the map that only this stage needs."""
        bare = deepcopy(model)
        del bare.to_colours
        super().save(bare, path, training)

    def measure(self, model: Natural) -> dict[str, float]:
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

    photos: int = 150_000
    learn_every: Mapping[int, int] = field(default_factory=dict)
    drawn: float = 0.25  # share of steps in which details learn above drawn colours


class FineTask(NaturalTask):
    """Train the details above an autoregressive level that is done, on the features that it reads.

    In some steps they learn above colours that the model has drawn. From true ones alone they learn to answer
    the odd ones of samples with far too large scales (exposure bias, https://arxiv.org/abs/1506.03099).
    """

    config, stage = FineTraining, Stage.fine
    ablations = ()

    def initial_model(self) -> Natural:
        raise DataError("--stage fine: requires --start, the weights that --stage coarse wrote")

    def learning(self, model: Natural, config: NaturalTraining) -> Groups:
        return [_alone(model, details_of(model))]

    def prepare(  # type: ignore[override]
        self, model: Natural, batch: Parts, config: FineTraining, noise: Noise, precision: torch.dtype
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        x, L, features = super().prepare(model, batch, config, noise, precision)
        if torch.rand(1, generator=noise.generator, device=x.device) >= config.drawn:
            return x, L, features
        with torch.no_grad(), torch.autocast(L.device.type, precision, enabled=precision != torch.float32):
            condition = model.condition(L, features, finest=16)
            at_16, _ = model.begin({COARSE: noise(x, *model.latent_shapes[COARSE])}, condition)
            at_32, _ = model.details(16).decode(at_16, noise(x, *model.latent_shapes[16]), condition)
        by_16 = F.interpolate(at_16 - F.avg_pool2d(x, 4), scale_factor=2)
        change = torch.where(noise(x, 1, 1, 1) > 0, by_16, at_32 - F.avg_pool2d(x, 2))
        x = x + F.interpolate(change, scale_factor=2)
        return x.clamp(*condition.gamut[CHROMA_SIZE]), L, features  # the leak would enlarge what lies beyond

    def nll(  # type: ignore[override]
        self, model: Natural, config: NaturalTraining, x: Tensor, L: Tensor, features: dict[int, Tensor]
    ) -> dict[int, Tensor]:
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
