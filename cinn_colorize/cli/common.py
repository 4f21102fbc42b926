"""Options that mean the same in every command, each declared once.

A group of them is a dataclass, whose fields :mod:`cinn_colorize.cli.flatten` lists as options. Options that
recipes keep are declared in :mod:`cinn_colorize.imaging.options`.
"""

from __future__ import annotations

import contextlib
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.engines.choice import Engine, ModelSpec
from cinn_colorize.files.atomic import leaves_folder
from cinn_colorize.files.messages import counted
from cinn_colorize.imaging import options
from cinn_colorize.imaging.options import MAX_PIXELS, OUTPUT, Encoding, Precision, option
from cinn_colorize.latents.levels import PerLevel, SomeLevels, parse_temperature, short_levels
from cinn_colorize.models.registry import DEFAULT, MODELS, ModelInfo
from cinn_colorize.request import Progress, Request, guidance_option

if TYPE_CHECKING:
    import torch

    from cinn_colorize.batch.plan import Existing, Plan
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.methods.base import SampleMethod

NETWORK = "Network"
FOLDER = Path("colorized")  # of results, unless another is chosen
BatchEngine = StrEnum("BatchEngine", ["auto", "torch", "onnx", "ray"])

_VERBOSE = "Print every remark on every photo, and list which files of a folder are left out."
_MAX_PIXELS = "Largest photo accepted, in millions of pixels; its file may have 8 bytes for each."
_FORMAT = "File format of the results; auto: the photo's own."
_FORMATS: dict[str, Any] = {"autocompletion": values.completed(values.FORMATS), "callback": values.format}


def argument(metavar: str, help: str, **settings: Any) -> Any:
    """Declare an argument, for ``Annotated``; settings are further ones of ``typer.Argument``."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, **settings)


def model_option(names: Iterable[str] = values.PHOTO_MODELS, callback: Any = values.model) -> Any:
    """Declare ``--model`` of some models."""
    names = [*names]
    value = {"autocompletion": values.completed(names), "callback": callback}
    return option(DEFAULT, "|".join(names), "Model that draws.", panel=NETWORK, **value)


def weights_option() -> Any:
    """Declare ``--weights``."""
    help = "Weights to use instead of the packaged ones."
    return option(None, "FILE|hf:OWNER/NAME", help, panel=NETWORK)


def device_option() -> Any:
    """Declare ``--device``."""
    help = "Device that computes; auto: a GPU if there is one."
    names = values.completed(values.DEVICES.replace("[:i]", "").split("|"))
    return option("auto", values.DEVICES, help, panel=NETWORK, autocompletion=names, callback=values.device)


def engine_option(kind: type[StrEnum] = Engine, more: str = "") -> Any:
    """Declare ``--engine``, of one photo or with more choices."""
    help = (
        "Engine of the network; onnx: onnxruntime on the CPU, which starts sooner; auto: onnx where it does "
        f"all that is needed, else torch{more}."
    )
    return option(kind("auto"), None, help, panel=NETWORK)


def recursive_option(results: str) -> Any:
    """Declare ``--recursive``."""
    return option(False, None, f"Include subfolders; {results}.", "-r --recursive")


def overwrite_option() -> Any:
    """Declare ``--overwrite``."""
    return option(False, None, "Replace results that exist.", panel=OUTPUT)


def sheet_option(help: str, default: bool = True) -> Any:
    """Declare ``--sheet``."""
    return option(default, None, help, "--sheet/--no-sheet", panel=OUTPUT)


def json_option() -> Any:
    """Declare ``--json``."""
    return option(False, None, "Print one JSON object per result instead of its path.", "--json")


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
    verbose: bool = option(False, None, _VERBOSE, "-v --verbose")
    debug: bool = debug_option()

    def __post_init__(self) -> None:
        """Refuse options that exclude each other."""
        if self.quiet and self.verbose:
            raise typer.BadParameter("--quiet and --verbose exclude each other")

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Print what the library logs, and report an error in one line; see :func:`fatal`."""
        show_log(self.quiet, self.verbose)
        with fatal(self.debug):
            yield


@dataclass(frozen=True)
class PhotoOptions:
    """Limits of the photos read; ``max_pixels`` is in millions of pixels."""

    max_pixels: float = option(MAX_PIXELS // 10**6, "MILLIONS", _MAX_PIXELS, min=0)

    @property
    def limit(self) -> int:
        """The limit as a number of pixels; infinity becomes more than any file can have."""
        return round(min(self.max_pixels, 1e12) * 1e6)


@dataclass(frozen=True)
class FolderOptions:
    """Where results go."""

    panel: ClassVar[str] = OUTPUT

    output_dir: Path = option(
        FOLDER, "FOLDER", "Folder for the results.", "-o --output-dir", callback=values.folder
    )
    overwrite: bool = overwrite_option()

    @property
    def existing(self) -> Existing:
        """What happens to results that exist."""
        from cinn_colorize.batch.plan import Existing

        skips = getattr(self, "skip_existing", False)
        return Existing.OVERWRITE if self.overwrite else Existing.SKIP if skips else Existing.REFUSE


@dataclass(frozen=True)
class ExistingOptions(FolderOptions):
    """The same, where some of the results may exist."""

    skip_existing: bool = option(False, None, "Leave alone, and name, results that were made in another way.")

    def __post_init__(self) -> None:
        """Refuse options that exclude each other."""
        if self.overwrite and self.skip_existing:
            raise typer.BadParameter("--overwrite and --skip-existing exclude each other")


@dataclass(frozen=True)
class OutputOptions(FolderOptions):
    """Where full-size pictures go, how they are written, and how they are printed."""

    format: str = option("auto", "|".join(values.FORMATS), _FORMAT, **_FORMATS)
    encoding: Encoding = Encoding()
    as_json: bool = json_option()

    def plan(self, request: Request, method: SampleMethod, reading: PhotoOptions, **names: Any) -> Plan:
        """Return the plan of a batch; ``names`` are the fields of :class:`Plan` that name files."""
        from cinn_colorize.batch.plan import Plan

        return Plan(
            request=request,
            method=method,
            folder=self.output_dir,
            format=self.format,
            encoding=self.encoding,
            existing=self.existing,
            max_pixels=reading.limit,
            **names,
        )


@dataclass(frozen=True)
class BatchOutputOptions(OutputOptions, ExistingOptions):
    """The same for a batch."""


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
        """Return how the processes that draw load the network; see :class:`ModelSpec`.

        Raises:
            WeightsError: the weights do not exist.
        """
        from cinn_colorize.models import find_weights

        file, digest = find_weights(self.model, self.weights)
        made_by = self.device, self.precision, self.chosen_guidance
        return ModelSpec(self.model, file, digest, *made_by, encodes, engine)


@dataclass(frozen=True)
class AnyModelOptions(ModelOptions):
    """The same for a model that may draw something other than photos."""

    model: str = model_option(MODELS, values.any_model)


@dataclass(frozen=True)
class BatchModelOptions(ModelOptions):
    """The network of a batch, and what computes it."""

    engine: BatchEngine = engine_option(BatchEngine, "; ray: a Ray cluster")

    def batch_spec(self, encodes: bool) -> ModelSpec:
        """Return how the processes that draw load the network; see :meth:`ModelOptions.spec`."""
        on_cluster = self.engine is BatchEngine.ray
        spec = self.spec(encodes, Engine.auto if on_cluster else Engine(self.engine))
        if self.device not in ("auto", "cpu") and not on_cluster:
            device_of(self.device)  # otherwise this process does not need torch
        return spec


def check_engine(engine: Engine | BatchEngine, device: str, precision: str) -> None:
    """Refuse an engine that is not installed, or a device or precision that it does not support."""
    problem = ""
    if engine == BatchEngine.ray:
        if device not in ("auto", "cpu", "cuda"):
            problem = f"ray requires --device auto, cpu or cuda, not {device}"
        elif not find_spec("ray"):
            problem = "ray requires Ray; pip install 'cinn-colorize[ray]'"
    elif engine == BatchEngine.onnx:
        if device not in ("auto", "cpu"):
            problem = f"onnx requires --device auto or cpu, not {device}"
        elif precision != Precision.fp32:
            problem = f"onnx requires --precision fp32, not {precision}"
        elif not find_spec("onnxruntime"):
            problem = "onnx requires onnxruntime; pip install onnxruntime"
    if problem:
        raise typer.BadParameter(problem, param_hint="--engine")


def colorizer_of(spec: ModelSpec) -> BaseColorizer:
    """Load a network in this process; a device that this machine lacks is a usage error.

    Raises:
        WeightsError: the weights cannot be used.
        ValueError: the guidance is not possible with these weights.
    """
    if not spec.graphs:
        device_of(spec.device)
    network = spec.load()
    from cinn_colorize.colorizer import BaseColorizer

    return BaseColorizer(*network)


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


def method_of(
    request: Request,
    info: ModelInfo,
    reading: PhotoOptions,
    option: str,
    rest: PerLevel | None = None,
    progress: Progress = None,
) -> SampleMethod:
    """Return what draws a request with a model; a value that cannot be used is a usage error.

    It is one of ``option``, if it is not the temperature, of which ``rest`` is the default.
    """
    request = request.at(temperature_of(request.temperature, info, rest))
    with usage_errors(option):
        return request.method(info, reading.limit, progress)


def check_seeds(seed: int, number: int) -> None:
    """Refuse seeds that torch does not accept."""
    with usage_errors("--seed"):
        options.check_seeds(seed, number)


def pattern_values(method: SampleMethod, number: int, model: str) -> dict[str, str | int]:
    """Return what ``--output`` may name beside stem, seed and suffix, for ``number`` samples."""
    temperature = short_levels(method.temperature).replace(":", "-")
    return {"temperature": temperature, "n": number, "model": model}


def check_pattern(
    pattern: str, fields: str, values: Mapping[str, str | int], seeds: range, things: str
) -> set[str]:
    """Refuse an ``--output`` that has other fields, leaves the folder, or gives several results one name.

    Args:
        pattern: the pattern.
        fields: those it may have, for the message.
        values: values of these, beside stem and seed.
        seeds: those of the results of an input.
        things: what these are.

    Returns:
        The names of the results.
    """
    try:
        specs = [spec for _, _, spec, _ in string.Formatter().parse(pattern) if spec]
        if any(re.search(r"[{]|\d{4}", spec) for spec in specs):  # which may take for ever
            raise typer.BadParameter(f"--output {pattern!r} has a field of more than 999 characters")
        found = {pattern.format(stem="photo", seed=seed, **values) for seed in seeds}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise typer.BadParameter(f"--output accepts {fields}, not {pattern!r}") from error
    problem = ""
    if not Path(pattern).is_absolute() and any(map(leaves_folder, found)):
        problem = "leaves the folder of -o; choose that folder, or an absolute --output"
    elif len(found) < len(seeds):
        problem = f"gives {len(seeds)} {things} {counted(len(found), 'name')}; add {{seed}}"
    if problem:
        raise typer.BadParameter(f"--output {pattern!r} {problem}")
    return found


def device_of(name: str) -> torch.device:
    """Return the device of ``--device``; one that this machine lacks is a usage error."""
    from cinn_colorize.engines.pytorch import choose_device

    with usage_errors("--device"):
        return choose_device(name)
