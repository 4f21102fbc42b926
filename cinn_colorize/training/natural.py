"""The training of ``natural``: photos, a frozen backbone, noise at every scale, balanced levels."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from cinn_colorize.data.sources import Source
from cinn_colorize.errors import DataError
from cinn_colorize.models.conditioning import pretrained
from cinn_colorize.models.conditioning.backbone import DEEP
from cinn_colorize.models.natural import Natural, NaturalConfig
from cinn_colorize.training.ablation import without
from cinn_colorize.training.choices import ABLATIONS, Dataset
from cinn_colorize.training.crops import Batch, Loading, Parts, Prepare
from cinn_colorize.training.features import CACHED_PHOTOS, load_backbone
from cinn_colorize.training.muon import muon
from cinn_colorize.training.objective import Noise, add_noise, balanced_loss, level_nll
from cinn_colorize.training.old_film import some_as_film
from cinn_colorize.training.task import Groups, PhotoTask, TrainingConfig

# Names of layers and tables in ``natural``; see :func:`by_adam`.
_BY_ADAM = {"position", "embed", "to_affine", "to_colours"}


@dataclass(frozen=True)
class NaturalTraining(TrainingConfig):
    """Hyper-parameters of ``natural``."""

    coarse_noise: float = 0.03
    films: float = 0.2  # share of photos whose L is that of an old film
    # The finest levels, which cost most, learn from every n-th photo.
    learn_every: Mapping[int, int] = field(default_factory=lambda: {32: 2, 16: 2})
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
        """Build new heads and a new flow on the pretrained backbone."""
        model = Natural(without(NaturalConfig.default(), self.ablate))
        if not model.config.conditioning:
            return model
        if self.backbone:
            load_backbone(model.backbone, self.backbone)
        else:
            model.backbone.load_pretrained(pretrained.LITE2.state())
        return model

    def learning(self, model: Natural, config: NaturalTraining) -> Groups:
        """Return all parameters but the backbone's; if it learns, also its deep 1x1 convolutions.

        On a CPU, the weight gradient of a 5x5 depthwise convolution takes 5 to 20 times as long as the rest
        of its block, for 6 % of the parameters.
        """
        if not model.config.conditioning:
            return super().learning(model, config)
        model.backbone.requires_grad_(False)
        return [([p for p in model.parameters() if p.requires_grad], 1.0), *self._backbone(model, config)]

    @staticmethod
    def _backbone(model: Natural, config: NaturalTraining) -> Groups:
        deep = model.backbone.pointwise(DEEP) if config.backbone_rate else []
        for parameter in deep:
            parameter.requires_grad_(True)
        return [(deep, config.backbone_rate)] if deep else []

    def optimizer(self, model: Natural, groups: Groups, config: TrainingConfig) -> Optimizer:
        """Use Muon for matrices and convolutions inside the networks, and Adam for the rest.

        Jordan et al., "Muon" (2024, https://kellerjordan.github.io/posts/muon/), scaled so that a rate means
        the same as for Adam (Liu et al. 2025, https://arxiv.org/abs/2502.16982).
        """
        by_muon = {id(p) for name, p in model.named_parameters() if p.ndim > 1 and not by_adam(name)}
        parts = []
        for parameters, factor in groups:
            for use_muon in (True, False):
                if some := [p for p in parameters if (id(p) in by_muon) == use_muon]:
                    parts.append({"params": some, "factor": factor, "use_muon": use_muon})
        kind, rate = muon(next(model.parameters()).device), config.learning_rate
        return kind(parts, rate, betas=self.betas, weight_decay=config.weight_decay, nesterov=True)

    def crop(self, config: NaturalTraining) -> Prepare:
        """Let some crops have the L of old films."""
        return partial(some_as_film, share=config.films)

    def batches(self, config: NaturalTraining, start: int, loading: Loading) -> Generator[Batch]:
        """Refuse batches whose share of a process cannot be divided as some levels require."""
        _check_shares(config.batch // loading.processes, config.learn_every)
        return super().batches(config, start, loading)

    def prepare(
        self, model: Natural, batch: Parts, config: NaturalTraining, noise: Noise, precision: torch.dtype
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Return noisy x, L, and the features of the backbone."""
        L, ab = batch
        x = add_noise(ab / model.config.chroma_scale, config.pixel_noise, config.coarse_noise, noise)
        return x, L, features_in_chunks(model, L, precision)

    def nll(  # type: ignore[override]
        self, model: Natural, config: NaturalTraining, x: Tensor, L: Tensor, features: dict[int, Tensor]
    ) -> dict[int, Tensor]:
        """See :func:`batch_nll`."""
        return batch_nll(model, x, L, features, config.learn_every)

    def loss(self, nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
        """See :func:`balanced_loss`."""
        return balanced_loss(nll, sizes)


def by_adam(name: str) -> bool:
    """Tell whether a matrix or convolution learns by Adam.

    Muon is made for maps between hidden layers: position tables are no maps, and colours enter and leave the
    autoregressive passes by ``embed`` and ``to_affine``. So they do in the last layers of coupling blocks and
    of heads, but with Adam there a short run diverged at a rate of 2e-3.
    """
    return any(part in _BY_ADAM for part in name.split("."))


def features_in_chunks(model: Natural, L: Tensor, precision: torch.dtype) -> dict[int, Tensor]:
    """Compute features of the backbone, those of its deep layers with a gradient if they learn.

    On a CPU, the shallow layers process a few photos at a time, so that their activations stay in the cache;
    this takes a third of the time of a whole batch.
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
    """Compute the nll by level, nats, of every ``every[r]``-th photo; DataError if they cannot be divided so.

    Fine levels see fewer photos because they cost most and learn first.
    """
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
