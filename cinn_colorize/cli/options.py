"""Options that mean the same in every command, each declared once.

A group of them is a dataclass, whose fields :mod:`cinn_colorize.cli.groups` lists as options. Options that
recipes keep are declared in :mod:`cinn_colorize.options`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cinn_colorize import options
from cinn_colorize.cli import values
from cinn_colorize.engines import Engine, ModelSpec
from cinn_colorize.errors import WeightsError
from cinn_colorize.latents.levels import MAX_TEMPERATURE, PerLevel, parse_temperature, short_levels
from cinn_colorize.models.registry import DEFAULT, MAX_GUIDANCE, MODELS, ModelInfo
from cinn_colorize.options import DRAWING, MAX_PIXELS, OUTPUT, Encoding, Precision

if TYPE_CHECKING:
    import torch

    from cinn_colorize.batch.plan import Existing, Plan
    from cinn_colorize.colorizer import Colorizer


NETWORK = "Network"
LEVELS = (  # for the help, where LEVEL occurs
    f"LEVEL is a resolution of the latent code: {', '.join(map(str, MODELS[DEFAULT].levels[:-1]))} or "
    f"{MODELS[DEFAULT].levels[-1]}."
)


FrameOption = Annotated[
    str,
    typer.Option(
        "--frame",
        metavar="auto|none|L,T,R,B",
        callback=values.frame,
        help="Frame of a scan, which stays gray: found if there is one; none; or left, top, right and bottom "
        "of the picture inside, in pixels.",
        rich_help_panel=DRAWING,
    ),
]
PagesOption = Annotated[
    str | None,
    typer.Option(
        "--pages",
        metavar="all|N|A-B|A-",
        help="Pages of a TIFF; several give a TIFF of as many. Other files have a single page.",
        show_default="1",
        rich_help_panel=DRAWING,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="|".join(values.PHOTO_MODELS),
        autocompletion=values.completed(values.PHOTO_MODELS),
        callback=values.model,
        help="Model that draws.",
        rich_help_panel=NETWORK,
    ),
]
AnyModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="|".join(MODELS),
        autocompletion=values.completed(MODELS),
        callback=values.any_model,
        help="Model that draws.",
        rich_help_panel=NETWORK,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE|hf:OWNER/NAME",
        help="Weights to use instead of the packaged ones.",
        rich_help_panel=NETWORK,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar=values.DEVICES,
        autocompletion=values.completed(values.DEVICES.replace("[:i]", "").split("|")),
        callback=values.device,
        help="Device that computes; auto: a GPU if there is one.",
        rich_help_panel=NETWORK,
    ),
]
GuidanceOption = Annotated[
    float | None,
    typer.Option(
        "--guidance",
        metavar="G",
        help=f"How closely samples follow the photo, 0 to {MAX_GUIDANCE:g}: 0 is the distribution as it was "
        "learnt; more gives objects clearer colours, and samples differ less.",
        show_default=f"{MODELS[DEFAULT].guidance_of(None):g}",
        rich_help_panel=DRAWING,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision", help="Precision of the networks; colours stay fp32.", rich_help_panel=NETWORK
    ),
]
TemperaturesOption = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--temperature",
        metavar="T|LEVEL:T,...",
        help=f"Temperature, 0 to {MAX_TEMPERATURE:g}: 0 draws the safest colours, 1 the model's full "
        f"variety. 32:0.6,16:0.7 sets it by level. {LEVELS}",
        show_default=short_levels(MODELS[DEFAULT].temperature),
        rich_help_panel=DRAWING,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "-s",
        "--seed",
        metavar="SEED",
        min=0,
        help="Seed of the first sample; later samples count up from it.",
        rich_help_panel=DRAWING,
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=OUTPUT)
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print only errors and results.")]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        help="Print every remark on every photo, and list which files of a folder are left out.",
    ),
]

DEFAULT_MODEL = DEFAULT


@dataclass(frozen=True)
class GeneralOptions:
    """What a command prints."""

    quiet: QuietOption = False
    verbose: VerboseOption = False
    debug: DebugOption = False

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

    max_pixels: Annotated[
        float,
        typer.Option(
            "--max-pixels",
            metavar="MILLIONS",
            min=0,
            help="Largest photo accepted, in millions of pixels; its file may have 8 bytes for each.",
        ),
    ] = MAX_PIXELS // 10**6

    @property
    def limit(self) -> int:
        """The limit as a number of pixels; infinity becomes more than any file can have."""
        return round(min(self.max_pixels, 1e12) * 1e6)


FOLDER = Path("colorized")  # of results, unless another is chosen


@dataclass(frozen=True)
class FolderOptions:
    """Where results go."""

    output_dir: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output-dir",
            metavar="FOLDER",
            callback=values.folder,
            help="Folder for the results.",
            rich_help_panel=OUTPUT,
        ),
    ] = FOLDER
    overwrite: OverwriteOption = False


@dataclass(frozen=True)
class OutputOptions(FolderOptions):
    """Where full-size pictures go, how they are written, and how they are printed."""

    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(values.FORMATS),
            autocompletion=values.completed(values.FORMATS),
            callback=values.format,
            help="File format of the results; auto: the photo's own.",
            rich_help_panel=OUTPUT,
        ),
    ] = "auto"
    encoding: Encoding = Encoding()
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per result instead of its path.", rich_help_panel=OUTPUT
        ),
    ] = False

    @property
    def existing(self) -> Existing:
        """What happens to results that exist."""
        from cinn_colorize.batch.plan import Existing

        return Existing.OVERWRITE if self.overwrite else Existing.REFUSE

    def plan(self, **drawn: Any) -> Plan:
        """Return the plan of a batch that writes with these options.

        Args:
            drawn: the other fields of :class:`cinn_colorize.batch.plan.Plan`: what is drawn, and names.
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

    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave alone, and name, results that were made in another way.",
            rich_help_panel=OUTPUT,
        ),
    ] = False

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

    model: ModelOption = DEFAULT
    weights: WeightsOption = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = Precision.fp32
    guidance: GuidanceOption = None

    @property
    def chosen_guidance(self) -> float:
        """The guidance; a value that the model does not allow is a usage error."""
        with usage_errors("--guidance"):
            return self.info.guidance_of(self.guidance)

    @cached_property
    def info(self) -> ModelInfo:
        """What is known of the model with these weights; if they cannot be read, loading them says why."""
        from cinn_colorize.models import info_of

        try:
            return info_of(self.model, self.weights)
        except WeightsError:
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
        given = {
            "--model": self.model if self.model != DEFAULT else None,
            "--weights": self.weights,
            "--device": self.device if self.device != "auto" else None,
            "--precision": self.precision if self.precision != Precision.fp32 else None,
        }
        return [word for option, value in given.items() if value for word in (option, str(value))]

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

    model: AnyModelOption = DEFAULT


@contextlib.contextmanager
def usage_errors(option: str | None = None) -> Iterator[None]:
    """Report what the library says of a value as wrong usage of an option, or of several together."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def temperature_of(text: str | None, info: ModelInfo, rest: PerLevel | None = None) -> PerLevel:
    """Parse ``--temperature``; what it leaves out is as in ``rest`` or the default of the model."""
    with usage_errors("--temperature"):
        return parse_temperature(text, info.levels, info.temperature if rest is None else rest)


def check_seeds(seed: int, number: int) -> None:
    """Refuse seeds that torch does not accept."""
    with usage_errors("--seed"):
        options.check_seeds(seed, number)


def device_of(name: str) -> torch.device:
    """Return the device of ``--device``; one that this machine lacks is a usage error."""
    from cinn_colorize.devices import choose_device

    try:
        return choose_device(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from error
