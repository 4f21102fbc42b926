"""Compute a model's flow in torch; see :class:`cinn_colorize.engines.interface.Network`."""

import copy
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cinn_colorize.engines.interface import DENSITY_SCALE, TOGETHER, Coarse, LoadedNetwork, chunks
from cinn_colorize.errors import WeightsError
from cinn_colorize.imaging.options import Precision, whole_number
from cinn_colorize.latents.latent import Latent, Shapes
from cinn_colorize.latents.noise import Floats, LatentLevels
from cinn_colorize.models import MODELS, Loaded, PhotoModelInfo, loaded_from
from cinn_colorize.models.base import ConditionalFlow, expanded, joined, one_thread

Module = TypeVar("Module", bound=nn.Module)

DEVICES = ("cpu", "cuda", "mps")
# Number of samples that go through the network at a time. It is fixed because a matrix product of another
# shape may round differently, and the bytes of a sample would depend on how many were asked for.
_CHUNK = {"cpu": 1, "cuda": 8, "mps": 8}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Have a model in eval mode; afterwards, all its modules are in the mode that they were in."""
    learning = [module for module in model.modules() if module.training]
    try:
        for module in learning:
            module.training = False
        yield
    finally:
        for module in learning:
            module.training = True


class TorchNetwork:
    """Computes a model of ab / ``config.chroma_scale`` in torch, or a copy of it if it is on another device.

    ``half`` lets the networks compute in bf16; latents and colours stay fp32. ``chunk`` samples go through
    the network at a time, by default as many as suit the device. With ``guidance`` above 0, samples follow
    the photo more closely than the data do.
    """

    def __init__(
        self,
        model: ConditionalFlow,
        luminance_size: int,
        device: torch.device,
        *,
        half: bool = False,
        chunk: int | None = None,
        guidance: float = 0.0,
    ) -> None:
        self.model, self.device = placed(model, device), device
        self.latent_shapes: Shapes = model.latent_shapes
        self.coarse_size: int | None = model.coarse_size
        self._size, self._half, self._guidance = luminance_size, half, guidance
        self._chunk, self._scale = chunk or _CHUNK[device.type], model.config.chroma_scale

    def condition(self, L: Floats) -> Any:
        """See :meth:`Network.condition`; L* of a multiple of the model's size is reduced by area means."""
        size = self._size
        if L.ndim != 2 or L.shape[0] != L.shape[1] or L.shape[0] % size or not L.size:
            raise ValueError(f"L must have the shape {(size, size)} or a multiple of it, not {L.shape}")
        own = np.array(L, np.float32, order="C")  # torch takes no array that is flipped or read-only
        batch = torch.from_numpy(own)[None, None].to(self.device)
        if L.shape[0] > size:
            batch = F.avg_pool2d(batch, L.shape[0] // size)
        with self.inference():
            return self.model.guided(self.model.condition(batch), self._guidance)

    def coarse(self, latents: LatentLevels, conditions: Sequence[Any]) -> Coarse:
        coarsest = min(latents)
        latent, ab, log_det = Latent.from_arrays({coarsest: latents[coarsest]}), [], []
        for chunk in chunks(len(latent), TOGETHER):
            with self.inference():
                under = joined([conditions[k] for k in chunk])
                x, of_chunk = self.model.begin(self._placed(latent[chunk].levels), under)
            ab.append(self._scale * x.float().cpu())
            log_det.append(of_chunk.cpu())
        log_prob = latent.log_prob() - torch.cat(log_det)[: len(latent)]
        return Coarse(torch.cat(ab)[: len(latent)].numpy(), log_prob.double().numpy())

    def decode(
        self, latents: LatentLevels, condition: Any, coarse: Coarse | None = None
    ) -> tuple[Floats, NDArray[np.float64]]:
        latent, number = Latent.from_arrays(latents), len(next(iter(latents.values())))
        of_coarse, begun = np.zeros(number), tuple[Tensor, ...]()
        if self.coarse_size:
            coarse_ab, of_coarse = coarse or self.coarse(latents, [condition] * number)
            begun = torch.as_tensor(coarse_ab) / self._scale, torch.zeros(number)
            latent = Latent({r: z for r, z in latent.levels.items() if r != min(latent.levels)})
        under, ab, log_prob = expanded(condition, self._chunk), [], []
        for chunk in chunks(number, self._chunk):
            code = latent[chunk]
            with self.inference():
                known = tuple(tensor[chunk].to(self.device) for tensor in begun)
                x, log_dets = self.model.finish(self._placed(code.levels), under, known)
            log_det = torch.stack(list(log_dets.values())).sum(0).cpu()
            ab.append(x.float().cpu() * self._scale)
            log_prob.append(code.log_prob() - log_det + self._rescaling)
        log_probs = torch.cat(log_prob)[:number].double().numpy() + of_coarse
        return torch.cat(ab)[:number].numpy(), log_probs

    def encode(self, ab: Floats, condition: Any) -> LatentLevels:
        return self._encoded(ab, condition)[0].arrays()

    def log_prob(self, ab: Floats, condition: Any) -> float:
        latent, log_det = self._encoded(ab, self.model.guided(condition, 0.0))
        return float(latent.log_prob() + log_det) + self._rescaling

    def _encoded(self, ab: Floats, condition: Any) -> tuple[Latent, Tensor]:
        """Compute f: the latent code, and the log-det (1,)."""
        x = torch.as_tensor(ab)[None] / self._scale
        with self.inference():
            z, log_dets = self.model(x.to(self.device), condition)
        latent = Latent(z).map(lambda level: level.float().cpu())
        return latent, torch.stack(list(log_dets.values())).sum(0).cpu()

    @property
    def _rescaling(self) -> float:
        """The log density of ab / 15 less that of what the model sees, ab / ``config.chroma_scale``."""
        dimensions = sum(map(math.prod, self.latent_shapes.values()))
        return dimensions * math.log(DENSITY_SCALE / self._scale)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Open the context of every network pass: no gradients, eval mode, the precision, one CPU thread.

        Sums are split among threads, so that their number changes the last bits.
        """
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)
        # Under the lock of one_thread, so that threads that share a model do not restore each other's mode.
        with one_thread(), torch.no_grad(), autocast, evaluating(self.model):
            yield

    def _placed(self, levels: Mapping[int, Tensor]) -> dict[int, Tensor]:
        return {r: z.to(self.device) for r, z in levels.items()}


def torch_network(
    model: str | Loaded,
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    guidance: SupportsFloat | None = None,
    chunk: SupportsIndex | None = None,
) -> LoadedNetwork:
    """Load a network into torch; arguments and errors are those of :class:`cinn_colorize.Colorizer`."""
    if precision not in list(Precision):
        raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(Precision)}")
    if chunk is not None:
        chunk = whole_number(chunk, "chunk", 1)
    chosen = choose_device(device)
    loaded = loaded_from(model, weights)
    info = loaded.info
    if not isinstance(info, PhotoModelInfo):
        others = ", ".join(name for name, other in MODELS.items() if isinstance(other, PhotoModelInfo))
        raise WeightsError(f"{info.name} does not colorize photos; choose {others}")
    weight, half = info.guidance_of(guidance), precision == Precision.bf16
    network = TorchNetwork(loaded.model, info.luminance_size, chosen, half=half, chunk=chunk, guidance=weight)
    return LoadedNetwork(info, loaded.sha256, precision, network, weight)


def placed(model: Module, device: torch.device) -> Module:
    """Return a model on a device: itself if it is there, or a copy, since others may use it where it is."""
    there = torch.empty(0, device=device).device
    is_there = all(tensor.device == there for tensor in (*model.parameters(), *model.buffers()))
    return model if is_there else copy.deepcopy(model).to(there)


def choose_device(name: str | torch.device) -> torch.device:
    """Return the device of a name, ``auto`` a GPU where there is one; a ValueError if it is not here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = torch.device("meta")
    if device.type not in DEVICES:
        raise ValueError(f"unknown device {name!r}; choose auto, cpu, cuda, cuda:1, ... or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r} here ({torch.cuda.device_count()} CUDA devices)")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("there is no device 'mps' here")
    return device
