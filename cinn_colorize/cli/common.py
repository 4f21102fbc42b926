"""Options that mean the same in every command, each declared once.

A group of them is a dataclass, whose fields :mod:`cinn_colorize.cli.app` lists as options. Options that
recipes keep are declared in :mod:`cinn_colorize.imaging.options`.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from cinn_colorize.cli.app import LENIENT
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.engines.choice import Engine, ModelSpec
from cinn_colorize.errors import counted
from cinn_colorize.files.atomic import leaves_folder
from cinn_colorize.files.formats import OUTPUT_FORMATS, OUTPUT_SUFFIXES, format_of_name
from cinn_colorize.imaging import options
from cinn_colorize.imaging.options import MAX_PIXELS, OUTPUT, Encoding, Pages, Precision, option
from cinn_colorize.latents.levels import PerLevel, SomeLevels, parse_temperature, short_levels
from cinn_colorize.models.registry import DEFAULT, MODELS, ModelInfo, PhotoModelInfo
from cinn_colorize.request import Progress, Request, guidance_option

if TYPE_CHECKING:
    import torch

    from cinn_colorize.batch.plan import Existing, Plan
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.methods.base import SampleMethod

NETWORK = "Network"
FOLDER, PATTERN = Path("colorized"), "{stem}_{seed:03d}{ext}"  # of results, unless others are chosen
FORMATS = ["auto", *OUTPUT_FORMATS]
PHOTO_MODELS = [name for name, info in MODELS.items() if isinstance(info, PhotoModelInfo)]
_DEVICES = "auto|cpu|cuda[:i]|mps"
BatchEngine = StrEnum("BatchEngine", ["auto", "torch", "onnx", "ray"])

_VERBOSE = "Print every remark on every photo, and list which files of a folder are left out."
_MAX_PIXELS = "Largest photo accepted, in millions of pixels; its file may have 8 bytes for each."
_FORMAT = "File format of the results; auto: the photo's own."

weights_option = partial(
    option,
    None,
    "FILE|hf:OWNER/NAME[@REVISION]",
    "Weights to use instead of the packaged ones.",
    panel=NETWORK,
)
overwrite_option = partial(option, False, None, "Replace results that exist.", panel=OUTPUT)
json_option = partial(option, False, None, "Print one JSON object per result instead of its path.", "--json")
debug_option = partial(option, False, None, "Show the traceback of an error.", panel=None)
quiet_option = partial(option, False, None, "Print only errors and results.", "-q --quiet", panel=None)


def argument(metavar: str, help: str, **settings: Any) -> Any:
    """Declare an argument, for ``Annotated``; settings are further ones of ``typer.Argument``."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, **settings, **LENIENT)


def completed(names: Iterable[str]) -> Callable[[], list[str]]:
    """Return what a shell completes a value from."""
    return lambda: [*names]


def model_option(names: Iterable[str] = PHOTO_MODELS) -> Any:
    """Declare ``--model`` of some models."""
    names = [*names]

    def parse(text: str) -> str:
        name = text.lower()
        if name in MODELS and name not in names:
            raise ValueError(f"{name} does not colorize photos; choose {', '.join(names)}")
        return _one_of(names, name, text)

    settings: dict[str, Any] = {"autocompletion": completed(names), "parse": parse}
    return option(DEFAULT, "|".join(names), "Model that draws.", panel=NETWORK, **settings)


def _one_of(names: Iterable[str], name: str, text: str) -> str:
    if name not in names:
        raise ValueError(f"{text!r} is not one of {', '.join(names)}")
    return name


def device_option() -> Any:
    """Declare ``--device``."""
    help = "Device that computes; auto: a GPU if there is one."
    names = completed(_DEVICES.replace("[:i]", "").split("|"))
    return option("auto", _DEVICES, help, panel=NETWORK, autocompletion=names, parse=_device)


def _device(text: str) -> str:
    """Parse the name of a device; one that no machine has is refused before torch is imported."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", text.lower()):
        raise ValueError(f"{text!r} is not one of {_DEVICES}")
    return text.lower()


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


def folder_option(default: Any, help: str) -> Any:
    """Declare ``--output-dir``."""
    return option(default, "FOLDER", help, "-o --output-dir", panel=OUTPUT, callback=_folder)


def _folder(context: typer.Context, path: Path) -> Path:
    """Refuse the name of a picture or graph, of which a folder would be made."""
    if path.suffix.lower() not in {*OUTPUT_SUFFIXES, ".onnx"} or path.exists():
        return path
    names = any(parameter.name == "output" for parameter in context.command.params)
    written = shlex.join(["-o", str(path.parent), "--output", path.name])
    instead = f"; write {written} for that file" if names else ""
    raise typer.BadParameter(f"{str(path)!r} is the name of a file, not of a folder{instead}")


def sheet_option(help: str, default: bool = True) -> Any:
    """Declare ``--sheet``."""
    return option(default, None, help, "--sheet/--no-sheet", panel=OUTPUT)


@dataclass(frozen=True)
class GeneralOptions:
    """What a command prints."""

    quiet: bool = quiet_option()
    verbose: bool = option(False, None, _VERBOSE, "-v --verbose")
    debug: bool = debug_option()

    def __post_init__(self) -> None:
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
    """Limits of the photos read."""

    max_pixels: float = option(MAX_PIXELS // 10**6, "MILLIONS", _MAX_PIXELS, min=0)

    @property
    def limit(self) -> int:
        """The limit as a number of pixels; infinity becomes more than any file can have."""
        return round(min(self.max_pixels, 1e12) * 1e6)


@dataclass(frozen=True)
class FolderOptions:
    """Where results go."""

    panel: ClassVar[str] = OUTPUT

    output_dir: Path = folder_option(FOLDER, "Folder for the results.")
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

    skip_existing: bool = option(False, None, "Keep and list results that were made in another way.")

    def __post_init__(self) -> None:
        if self.overwrite and self.skip_existing:
            raise typer.BadParameter("--overwrite and --skip-existing exclude each other")


def _format(text: str) -> str:
    """Parse a file format, or a suffix such as tif or .jpeg."""
    named = format_of_name(f"a.{text.lower().removeprefix('.')}") or text.lower()
    return _one_of(FORMATS, named, text)


@dataclass(frozen=True)
class OutputOptions(FolderOptions):
    """Where full-size pictures go, how they are written, and how they are printed."""

    format: str = option("auto", "|".join(FORMATS), _FORMAT, autocompletion=completed(FORMATS), parse=_format)
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
        """Return how the processes that draw load the network; without weights, raise a WeightsError."""
        from cinn_colorize.models import find_weights

        file, digest = find_weights(self.model, self.weights)
        made_by = self.device, self.precision, self.chosen_guidance
        return ModelSpec(self.model, file, digest, *made_by, encodes, engine)


@dataclass(frozen=True)
class AnyModelOptions(ModelOptions):
    """The same for a model that may draw something other than photos."""

    model: str = model_option(MODELS)


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
    """Load a network in this process; a device that this machine lacks is a usage error."""
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


def pages_of(text: str | None) -> Pages | None:
    """Parse ``--pages``."""
    with usage_errors("--pages"):
        return None if text is None else Pages.parse(text)


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
    """Refuse an ``--output`` of other fields, other folders, or one name for several; return the names."""
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
