"""Options that mean the same in every command, each declared once.

A group of them is a dataclass, whose fields :mod:`cinn_colorize.cli.flatten` lists as options. Options that
recipes keep are declared in :mod:`cinn_colorize.imaging.options`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from cinn_colorize import request
from cinn_colorize.cli import values
from cinn_colorize.engines.choice import Engine, ModelSpec
from cinn_colorize.imaging import options
from cinn_colorize.imaging.options import MAX_PIXELS, OUTPUT, Encoding, Precision, option
from cinn_colorize.latents.levels import PerLevel, SomeLevels, parse_temperature
from cinn_colorize.models.registry import DEFAULT, MODELS, ModelInfo
from cinn_colorize.request import guidance_option

if TYPE_CHECKING:
    import torch

    from cinn_colorize.batch.plan import Existing, Plan
    from cinn_colorize.colorizer import Colorizer


NETWORK = "Network"


def model_option(names: Iterable[str] = values.PHOTO_MODELS, callback: Any = values.model) -> Any:
    """Declare ``--model`` of some models."""
    names = [*names]
    completion = values.completed(names)
    return option(
        DEFAULT,
        "|".join(names),
        "Model that draws.",
        panel=NETWORK,
        autocompletion=completion,
        callback=callback,
    )


def weights_option() -> Any:
    """Declare ``--weights``."""
    help = "Weights to use instead of the packaged ones."
    return option(None, "FILE|hf:OWNER/NAME", help, panel=NETWORK)


def device_option() -> Any:
    """Declare ``--device``."""
    help = "Device that computes; auto: a GPU if there is one."
    names = values.completed(values.DEVICES.replace("[:i]", "").split("|"))
    return option("auto", values.DEVICES, help, panel=NETWORK, autocompletion=names, callback=values.device)


def overwrite_option() -> Any:
    """Declare ``--overwrite``."""
    return option(False, None, "Replace results that exist.", panel=OUTPUT)


def debug_option() -> Any:
    """Declare ``--debug``."""
    return option(False, None, "Show the traceback of an error.", panel=None)


def quiet_option() -> Any:
    """Declare ``--quiet``."""
    return option(False, None, "Print only errors and results.", "-q --quiet", panel=None)


@dataclass(frozen=True)
class GeneralOptions:
    """What a command prints."""

    quiet: bool = quiet_option()
    verbose: bool = option(
        False,
        None,
        "Print every remark on every photo, and list which files of a folder are left out.",
        "-v --verbose",
    )
    debug: bool = debug_option()

    def __post_init__(self) -> None:
        """Refuse options that exclude each other."""
        if self.quiet and self.verbose:
            raise typer.BadParameter("--quiet and --verbose exclude each other")


@dataclass(frozen=True)
class PhotoOptions:
    """Limits of the photos read.

    Attributes:
        max_pixels: limit in millions of pixels.
    """

    max_pixels: float = option(
        MAX_PIXELS // 10**6,
        "MILLIONS",
        "Largest photo accepted, in millions of pixels; its file may have 8 bytes for each.",
        min=0,
    )

    @property
    def limit(self) -> int:
        """The limit as a number of pixels; infinity becomes more than any file can have."""
        return round(min(self.max_pixels, 1e12) * 1e6)


FOLDER = Path("colorized")  # of results, unless another is chosen


@dataclass(frozen=True)
class FolderOptions:
    """Where results go."""

    panel: ClassVar[str] = OUTPUT

    output_dir: Path = option(
        FOLDER, "FOLDER", "Folder for the results.", "-o --output-dir", callback=values.folder
    )
    overwrite: bool = overwrite_option()


@dataclass(frozen=True)
class OutputOptions(FolderOptions):
    """Where full-size pictures go, how they are written, and how they are printed."""

    format: str = option(
        "auto",
        "|".join(values.FORMATS),
        "File format of the results; auto: the photo's own.",
        autocompletion=values.completed(values.FORMATS),
        callback=values.format,
    )
    encoding: Encoding = Encoding()
    as_json: bool = option(False, None, "Print one JSON object per result instead of its path.", "--json")

    @property
    def existing(self) -> Existing:
        """What happens to results that exist."""
        from cinn_colorize.batch.plan import Existing

        return Existing.OVERWRITE if self.overwrite else Existing.REFUSE

    def plan(self, **drawn: Any) -> Plan:
        """Return the plan of a batch that writes with these options.

        Args:
            drawn: the other fields of :class:`cinn_colorize.batch.plan.Plan`: what is drawn, and its names.
        """
        from cinn_colorize.batch.plan import Plan

        return Plan(
            folder=self.output_dir,
            format=self.format,
            encoding=self.encoding,
            existing=self.existing,
            **drawn,
        )


@dataclass(frozen=True)
class BatchOutputOptions(OutputOptions):
    """The same for a batch, some of whose results may exist."""

    skip_existing: bool = option(False, None, "Leave alone, and name, results that were made in another way.")

    def check(self) -> None:
        """Refuse options that exclude each other."""
        if self.overwrite and self.skip_existing:
            raise typer.BadParameter("--overwrite and --skip-existing exclude each other")

    @property
    def existing(self) -> Existing:
        """What happens to results that exist."""
        from cinn_colorize.batch.plan import Existing

        return Existing.SKIP if self.skip_existing else super().existing


@dataclass(frozen=True)
class ModelOptions:
    """The network that draws."""

    panel: ClassVar[str] = NETWORK

    model: str = model_option()
    weights: str | None = weights_option()
    device: str = device_option()
    precision: Precision = option(Precision.fp32, None, "Precision of the networks; colours stay fp32.")
    guidance: float | None = guidance_option()

    @property
    def chosen_guidance(self) -> float:
        """The guidance; a value that the model does not allow is a usage error."""
        with usage_errors("--guidance"):
            return self.info.guidance_of(self.guidance)

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        return MODELS[self.model]

    def spec(self, encodes: bool = False, engine: Engine = Engine.auto) -> ModelSpec:
        """Return how the processes that draw load the network.

        Args:
            encodes: see :class:`ModelSpec`.
            engine: engine that computes it.

        Raises:
            WeightsError: the weights do not exist.
        """
        from cinn_colorize.models import find_weights

        file, digest = find_weights(self.model, self.weights)
        return ModelSpec(
            self.model, file, digest, self.device, self.precision, self.chosen_guidance, encodes, engine
        )

    @property
    def words(self) -> list[str]:
        """The options that differ from their defaults, as words of a command line, without guidance."""
        return request.words(self, without=["guidance"])

    def colorizer(self, chunk: int | None = None) -> Colorizer:
        """Load the model in this process, in torch; a device that this machine lacks is a usage error.

        Raises:
            WeightsError: the weights cannot be found or used.
        """
        from cinn_colorize.colorizer import Colorizer

        device_of(self.device)
        return Colorizer(
            self.model,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            guidance=self.chosen_guidance,
            chunk=chunk,
        )


@dataclass(frozen=True)
class AnyModelOptions(ModelOptions):
    """The same for a model that may draw something other than photos."""

    model: str = model_option(MODELS, values.any_model)


@contextlib.contextmanager
def usage_errors(option: str | None = None) -> Iterator[None]:
    """Report what the library says of a value as wrong usage of an option, or of several together."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def temperature_of(text: SomeLevels | None, info: ModelInfo, rest: PerLevel | None = None) -> PerLevel:
    """Parse ``--temperature``; what it leaves out is as in ``rest`` or the default of the model."""
    with usage_errors("--temperature"):
        return parse_temperature(text, info.levels, info.temperature if rest is None else rest)


def check_seeds(seed: int, number: int) -> None:
    """Refuse seeds that torch does not accept."""
    with usage_errors("--seed"):
        options.check_seeds(seed, number)


def device_of(name: str) -> torch.device:
    """Return the device of ``--device``; one that this machine lacks is a usage error."""
    from cinn_colorize.engines.pytorch import choose_device

    try:
        return choose_device(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from error
