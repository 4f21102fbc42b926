"""Tasks: a data set, its model, what a step minimises (paper 3.2, Eq. 6), and the noise it adds (3.4)."""

import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cinn_colorize.colorizer import Colorizer
from cinn_colorize.data.sources import ColorReader, Source, evenly_spaced, readable
from cinn_colorize.errors import WeightsError, printable_name
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.files import tensorfile
from cinn_colorize.files.atomic import PUBLIC, mode_like
from cinn_colorize.flow.coupling import ConvSubnet, LinearSubnet
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tiles
from cinn_colorize.models import Loaded, save_model, weights
from cinn_colorize.models.base import ConditionalFlow, PhotoFlow
from cinn_colorize.models.bedrooms import PlainNetwork
from cinn_colorize.training.choices import Ablation, Stage
from cinn_colorize.training.crops import Batch, Crops, Loading, Parts, Prepare, batches, for_network

Model = TypeVar("Model", bound=nn.Module)
Flow = TypeVar("Flow", bound=ConditionalFlow)
Photos = TypeVar("Photos", bound=PhotoFlow)

Architecture = TypeVar("Architecture", bound=Any)

Groups = list[tuple[list[nn.Parameter], float]]  # parameters that learn, and the factor of their rate
# Fields of the architectures that have these parts, by the same names.
_SWITCHES = (Ablation.haar, Ablation.mixing, Ablation.conditioning)
EXPLODING = 20.0  # a gradient norm explodes above this multiple of its running median
SHEET_PHOTOS, SHEET_SAMPLES = 8, 3
_WAVES = 8  # nodes across a photo of the noise between pixels and the whole
_KEPT = 0.77  # share of the nodes' variance that bicubic interpolation keeps
_MEAN_CHROMA = 1.13  # of the photos in photos-train-*.zip, in units of x


def cosine(seen: float, photos: int, peak: float, warmup: int) -> float:
    """Compute the rate after ``seen`` photos: a linear warm-up, times a cosine from ``peak`` to zero."""
    rise = min(1.0, seen / max(warmup, 1))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * min(seen / photos, 1)))


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of a run; lengths are numbers of samples (photos or digits)."""

    photos: int = 100_000  # length of the run
    batch: int = 48
    learning_rate: float = 1e-3  # peak
    warmup: int = 5_000  # linear rise at the beginning, at most a tenth of the run
    weight_decay: float = 0.05  # the prior on the parameters of Eq. 6
    ema: float = 0.998  # decay per step of the averaged weights, which are the result
    clip: float = 2.0  # largest gradient norm
    pixel_noise: float = 0.05  # standard deviation (paper 3.4), in units of x
    seed: int = 0
    ablate: tuple[str, ...] = ()  # parts of the recipe left out, see :class:`Task`

    @property
    def steps(self) -> int:
        """Number of steps; batches are whole, so the run may see a few more than ``photos``."""
        return -(-self.photos // self.batch)

    @property
    def length(self) -> int:
        return self.steps * self.batch

    def rate(self, seen: int) -> float:
        """Compute the learning rate of the step that begins after ``seen`` photos: that of its middle."""
        middle = seen + self.batch / 2
        return cosine(middle, self.photos, self.learning_rate, min(self.warmup, self.photos // 10))


class Noise:
    """Draw standard normal noise for a process's share of a batch: its rows of the noise of the whole batch.

    The noise of a photo thus does not depend on how many processes share the batch, each with every
    ``count``-th photo. The generator is seeded for the step.
    """

    def __init__(self, generator: torch.Generator, rank: int = 0, count: int = 1) -> None:
        self.generator, self.rank, self.count = generator, rank, count

    def __call__(self, like: Tensor, *shape: int) -> Tensor:
        """Draw noise (N, *shape) of the type and on the device of ``like`` (N, ...)."""
        whole = (len(like) * self.count, *shape)
        noise = torch.randn(whole, generator=self.generator, device=like.device, dtype=like.dtype)
        return noise[self.rank :: self.count]


class Task(Generic[Model]):
    """A data set and how a model learns from it."""

    model: str  # name in the registry of the model that learns, and of the file that a run writes
    stage: ClassVar[Stage] = Stage.flow  # what of it learns
    config: ClassVar[type[TrainingConfig]]  # its hyper-parameters, by default those of the shipped model
    betas: tuple[float, float] = (0.9, 0.99)  # of Adam
    exploding: float = EXPLODING  # multiple of its running median above which a gradient norm explodes
    evaluate_every: ClassVar[int] = 10_000  # samples between evaluations, by default
    ablations: ClassVar[tuple[str, ...]] = ()  # names in Ablation that apply here
    ablate: tuple[str, ...] = ()  # those of them to leave out
    distinct: int  # number of samples to learn from
    unreadable: Sequence[str] = ()  # messages about parts of the data that could not be opened
    compiled: ClassVar[str]  # name of the method that torch.compile can make faster

    def settings(self, **given: Any) -> TrainingConfig:
        """Return the hyper-parameters of a run: those given, else defaults; no noise if it is ablated."""
        settings = self.config(**given, ablate=tuple(map(str, self.ablate)))  # checkpoints cannot hold enums
        noises = [name for name in vars(settings) if name.endswith("_noise") and "noise" in self.ablate]
        return replace(settings, **dict.fromkeys(noises, 0.0))  # type: ignore[arg-type]

    def initial_model(self) -> Model:
        """Build the model to start with, from torch's global random state."""
        raise NotImplementedError

    def learning(self, model: Model, config: Any) -> Groups:
        """Return the parameters that learn, in groups."""
        return [([p for p in model.parameters() if p.requires_grad], 1.0)]

    def optimizer(self, model: Model, groups: Groups, config: Any, precision: torch.dtype) -> Optimizer:
        """Build the optimiser, AdamW in any precision; its groups hold the factor of rates as ``factor``."""
        parts = [{"params": parameters, "factor": factor} for parameters, factor in groups]
        rate, decay = config.learning_rate, config.weight_decay
        return torch.optim.AdamW(parts, rate, betas=self.betas, weight_decay=decay, fused=True)

    def compile(self) -> None:
        setattr(self, self.compiled, torch.compile(getattr(self, self.compiled)))

    def batches(self, config: Any, start: int, loading: Loading) -> Generator[Batch]:
        """Load c and x of the samples from position ``start``, a multiple of the batch, to the run's end.

        They are a function of their positions. Whoever iterates closes the generator, see :func:`batches`.
        """
        raise NotImplementedError

    def losses(
        self, model: Model, batch: Parts, config: Any, noise: Noise, precision: torch.dtype
    ) -> dict[str, Tensor]:
        """Run the forward pass of a step, on a batch on the model's device, with the autocast's precision.

        Returns figures to report, averaged over the batch; the one called ``loss`` is minimised.
        """
        raise NotImplementedError

    def measure(self, model: Model) -> dict[str, float]:
        """Return figures on held-out data; none if no data is held out."""
        raise NotImplementedError

    def draw(self, model: Model, device: torch.device, path: Path) -> bool:
        """Write a picture of samples; return whether there is one."""
        return False

    def save(self, model: Model, path: Path, training: dict[str, object]) -> None:
        """Write the averaged model, with the record of its training."""
        raise NotImplementedError


class FlowTask(Task[Flow]):
    """Train a flow by maximum likelihood; there is a subclass for each ``--dataset``."""

    compiled = "nll"

    def built(self, kind: Callable[[Any], Flow], architecture: Any) -> Flow:
        """Build a model without the parts of :class:`Ablation` that are to be left out."""
        model = kind(without(architecture, self.ablate))
        if Ablation.initialisation in self.ablate:
            _initialise_as_torch(model)
        return model

    def prepare(
        self, model: Flow, batch: Parts, config: Any, noise: Noise, precision: torch.dtype
    ) -> tuple[Any, ...]:
        """Prepare the inputs of :meth:`nll`, without autocast: here c, and x with noise (paper 3.4)."""
        c, x = batch
        return c, x + config.pixel_noise * noise(x, *x.shape[1:])

    def nll(self, model: Flow, config: Any, c: Tensor, x: Tensor) -> dict[int, Tensor]:
        """Compute the negative log-likelihood by level, nats, of the samples that learn in this step."""
        return level_nll(*model(x, model.condition(c)))

    def loss(self, nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
        """Compute what a step minimises: Eq. 6, whose prior is the optimiser's weight decay."""
        return mean_loss(nll, sizes)

    def objective(
        self, model: Flow, config: Any, nll: dict[int, Tensor], sizes: Mapping[int, int], *inputs: Any
    ) -> dict[str, Tensor]:
        """Compute ``loss``, which a step minimises, and figures to report, from nll and its inputs."""
        return {"loss": self.loss(nll, sizes)}

    def losses(
        self, model: Flow, batch: Parts, config: Any, noise: Noise, precision: torch.dtype
    ) -> dict[str, Tensor]:
        inputs = self.prepare(model, batch, config, noise, precision)
        with torch.autocast(batch[0].device.type, precision, enabled=precision != torch.float32):
            nll = self.nll(model, config, *inputs)
            sizes = {r: math.prod(shape) for r, shape in model.latent_shapes.items()}
            figures = self.objective(model, config, nll, sizes, *inputs)
        learning = {r: sizes[r] for r in nll}
        return {"loss": figures["loss"], "nll": mean_loss(nll, learning), **figures}

    def complete(self, model: Flow) -> None:
        """Set buffers of the averaged model that are stored with the weights but not learnt."""

    def save(self, model: Flow, path: Path, training: dict[str, object]) -> None:
        """Write a weights file, fp16, with its architecture."""
        self.complete(model)
        save_model(path, model, training)


class CropsTask(Task[Model]):
    """Learn from random crops of photos; some others, ``dev``, are held out."""

    def __init__(self, photos: Sequence[Source], dev: Sequence[Source] = ()) -> None:
        self.photos, self.dev, self.distinct = photos, dev, len(photos)

    def crop(self, config: Any) -> Prepare:
        """Return what prepares a crop: here L* (1, 256, 256) and ab (2, 64, 64)."""
        return for_network

    def batches(self, config: Any, start: int, loading: Loading) -> Generator[Batch]:
        crops = Crops(self.photos, config.seed, self.crop(config))
        return batches(crops, start, config.photos, config.batch, loading)


class PhotoTask(CropsTask[Photos], FlowTask[Photos]):
    """Train a flow of photos; of those held out, every ``measured_every``-th is measured."""

    measured_every: ClassVar[int] = 1

    def prepare(
        self, model: Photos, batch: Parts, config: Any, noise: Noise, precision: torch.dtype
    ) -> tuple[Any, ...]:
        L, ab = batch
        x = ab / model.config.chroma_scale
        return L, add_noise(x, config.pixel_noise, config.coarse_noise, noise)

    def measure(self, model: Photos) -> dict[str, float]:
        return {"nll": mean_nll(model, self.dev[:: self.measured_every])} if self.dev else {}

    def draw(self, model: Photos, device: torch.device, path: Path) -> bool:
        if self.dev:
            photo_sheet(model, self.dev, device, path)
        return bool(self.dev)


def photo_sheet(model: PhotoFlow, photos: Sequence[Source], device: torch.device, path: Path) -> None:
    """Write a sheet of photos spread over the set, each followed by unguided samples at temperature 1."""
    colorizer = Colorizer(Loaded.of(model), device=str(device), guidance=0.0)
    chosen, shown, mode = evenly_spaced(photos, SHEET_PHOTOS), [], PUBLIC
    for k, pixels in readable(chosen, ColorReader()):
        photo, path_of_photo = open_photo(pixels), chosen[k].path
        if isinstance(path_of_photo, Path):
            mode &= mode_like(path_of_photo)
        shown += tiles(photo, colorizer.colorize(photo, SHEET_SAMPLES, temperature=1.0))
    save_sheet(contact_sheet(shown, columns=2 * (1 + SHEET_SAMPLES)), path, mode=mode)


def without(architecture: Architecture, ablate: Collection[str]) -> Architecture:
    """Leave parts of :class:`Ablation` out of an architecture; ignore those that do not concern it."""
    changed = replace(architecture, **{name: False for name in _SWITCHES if name in ablate})
    if Ablation.clamp not in ablate:
        return changed
    if hasattr(changed, "clamp"):
        return replace(changed, clamp=math.inf)
    stages = {r: replace(stage, clamp=math.inf) for r, stage in changed.stages.items()}
    return replace(changed, stages=stages)


def _initialise_as_torch(model: nn.Module) -> None:
    """Initialise the subnetworks of the coupling blocks and a plain conditioning network as torch does."""
    for network in model.modules():
        if isinstance(network, ConvSubnet | LinearSubnet | PlainNetwork):
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.reset_parameters()


def load_network(network: nn.Module, path: Path, model: str) -> None:
    """Load what a run of ``--stage features`` wrote; WeightsError if that is not of this network."""
    (config, tensors), name = tensorfile.load(weights.find(path)), printable_name(path)
    if config.get("model") != model:
        raise WeightsError(f"{name}: not a {model}; --stage features of the same --dataset writes one")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{name}: does not fit; train it anew with this version and --preset") from error


def level_nll(latents: Mapping[int, Tensor], log_dets: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Compute the nll by level, nats, (N,) each, with the constant of the normal; their sum is that of x."""
    constant = 0.5 * math.log(2 * math.pi)
    return {r: (0.5 * z.square() + constant).flatten(1).sum(1) - log_dets[r] for r, z in latents.items()}


def balanced_loss(nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
    """Compute the loss of ``natural``: each level's nll per dimension, weighted by the root of its share.

    Weighted by the share itself (Eq. 6 as it stands), the coarse colours, a sixteenth of all dimensions,
    would hardly count. Arguments are by level: nll (N,), and the number of dimensions in the whole model.
    """
    total = sum(sizes.values())
    parts = [values.mean() / sizes[r] * math.sqrt(sizes[r] / total) for r, values in nll.items()]
    return torch.stack(parts).sum()


def vividness(x: Tensor, exponent: float) -> Tensor:
    """Compute the weights, (N,), of photos x = ab / 15, (N, 2, H, W), in the density, by mean chroma."""
    chroma = x.norm(dim=1).mean((1, 2)) / _MEAN_CHROMA
    return chroma.clamp(0.3, 3.0) ** exponent


def mean_loss(nll: Mapping[int, Tensor], sizes: Mapping[int, int]) -> Tensor:
    """Compute the nll per dimension, Eq. 6 without the prior; see :func:`balanced_loss`."""
    return torch.stack([values.mean() for values in nll.values()]).sum() / sum(sizes.values())


def add_noise(x: Tensor, pixel: float, coarse: float, noise: Noise) -> Tensor:
    """Add noise at every scale to x (N, 2, 64, 64): to pixels, to the whole photo, and waves in between.

    Waves of 16 pixels and more, and the noise of the whole photo, deviate by ``coarse``. They keep the coarse
    levels from memorising their training photos. Waves are smooth: of blocks a model would learn the edges.
    """
    channels, height, width = x.shape[1:]
    nodes = noise(x, channels, _WAVES, _WAVES)
    waves = F.interpolate(nodes, (height, width), mode="bicubic", align_corners=False) / math.sqrt(_KEPT)
    pixels, whole = noise(x, channels, height, width), noise(x, channels, 1, 1)
    return x + pixel * pixels + coarse * (waves + whole)
