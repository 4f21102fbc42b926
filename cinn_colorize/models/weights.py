"""Weights files: find, download, verify, load and save them. Imports torch only to build a model.

A weights file (:mod:`cinn_colorize.files.tensorfile`) is a packaged one, a local path, or ``hf:owner/name``
on the Hugging Face hub, whose client honours ``HF_HOME`` and ``HF_HUB_OFFLINE``. A commit, branch or tag may
follow, ``hf:owner/name@v1``.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cinn_colorize.errors import WeightsError, printable_name
from cinn_colorize.files import tensorfile
from cinn_colorize.models.registry import DEFAULT, MODELS, ModelInfo

if TYPE_CHECKING:
    from cinn_colorize.models.base import ConditionalFlow

HUB_PREFIX = "hf:"
_PACKAGE = Path(__file__).parents[1]
# Packaged weights are inside an installed package, and beside the package in a checkout.
_FOLDERS = (_PACKAGE / "_weights", _PACKAGE.parent / "weights")


class Loaded(NamedTuple):
    """A model ready for use, and its origin."""

    model: "ConditionalFlow"
    info: ModelInfo
    sha256: str  # of the weights file

    @classmethod
    def of(cls, model: "ConditionalFlow", sha256: str = "") -> Self:
        return cls(model, MODELS[model.name], sha256)


def load_model(name: str = DEFAULT, source: str | os.PathLike[str] | None = None) -> Loaded:
    """Build a model and load its weights, fp32 on the CPU, in eval mode, whatever torch's defaults are.

    Recipes name the file that was loaded. If the model has been trained on since, make the colorizer of
    ``Loaded.of(model)``, whose recipes name none.

    Args: name: name of the model in the registry. source: its weights, a path or ``hf:owner/name``; None for
    the packaged ones, whose SHA-256 is verified.

    A WeightsError if the model is unknown, or they cannot be found, are damaged or belong to another model.
    """
    path, digest = find_weights(name, source)
    return Loaded.of(_build(path, name, trusted=digest == MODELS[name].sha256), digest)


def loaded_from(model: str | Loaded, source: str | os.PathLike[str] | None = None) -> Loaded:
    """Return a loaded model, or load one; TypeError if it is neither, ValueError for weights beside it."""
    if isinstance(model, Loaded):
        if source is not None:
            raise ValueError("a loaded model has its weights; give a name, or leave out weights")
        return model
    if not isinstance(model, str):
        kind = type(model).__name__
        raise TypeError(f"model must be a name or the result of load_model, not {kind}; a file is weights")
    return load_model(model, source)


def find_weights(name: str = DEFAULT, source: str | os.PathLike[str] | None = None) -> tuple[Path, str]:
    """Return path and SHA-256 of the file that :func:`load_model` would load; or a WeightsError."""
    if name not in MODELS:
        raise WeightsError(f"{name}: unknown model; choose {', '.join(MODELS)}")
    if source is not None:
        path = find(source)
        return path, tensorfile.identify(path)
    return own_weights(MODELS[name]), str(MODELS[name].sha256)


def own_weights(info: ModelInfo) -> Path:
    """Find and verify a model's own weights, here or on the hub; WeightsError if missing or damaged."""
    if info.sha256 is None:
        advice = "train the model and pass the file with --weights"
        raise WeightsError(f"{info.name}: no weights are published yet; {advice}")
    path = find_packaged(info.file) or (find(info.hub) if info.hub else None)
    if path is None:
        advice = "reinstall cinn-colorize, or pass a file with --weights"
        raise WeightsError(f"{info.file}: not in this installation; {advice}")
    verify(path, info.sha256)
    return path


def find_packaged(file: str) -> Path | None:
    """Return the path of a packaged weights file; None if this installation lacks it."""
    return next((folder / file for folder in _FOLDERS if (folder / file).is_file()), None)


def find(source: str | os.PathLike[str]) -> Path:
    """Return the path of a file or, downloaded, of ``hf:owner/name``; a WeightsError if it is not found."""
    name = os.fspath(source)
    if name.startswith(HUB_PREFIX):
        return _download(name.removeprefix(HUB_PREFIX))
    if not Path(name).is_file():
        advice = "pass a .safetensors file or hf:owner/name"
        raise WeightsError(f"{printable_name(name)}: no such weights file; {advice}")
    return Path(name)


def _download(repository: str) -> Path:
    """Fetch the one weights file of a hub repository; the client writes a temporary file and renames it."""
    name, _, revision = repository.partition("@")
    if name.count("/") != 1:
        problem = "not a hub repository; write hf:owner/name or hf:owner/name@revision"
        raise WeightsError(f"{HUB_PREFIX}{repository}: {problem}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # hides retries; a final failure is reported below
    filename = f"{name.split('/')[1]}.safetensors"
    try:
        return Path(hf_hub_download(name, filename, revision=revision or None))
    except HFValidationError as error:
        raise WeightsError(f"{HUB_PREFIX}{repository}: not a valid repository name") from error
    except LocalEntryNotFoundError as error:
        problem = "not in the local cache, and the hub cannot be reached"
        advice = "connect once, or copy the file here and pass its path with --weights"
        raise WeightsError(f"{HUB_PREFIX}{repository}: {problem}; {advice}") from error
    except Exception as error:  # HTTP errors, and those of the client's own library
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{HUB_PREFIX}{repository}/{filename}: cannot be downloaded ({reason})") from error


def verify(path: Path, expected: str) -> None:
    """Raise a WeightsError if the SHA-256 of a file is not the expected one, or it cannot be read."""
    actual = tensorfile.identify(path)
    if actual != expected:
        problem = f"SHA-256 is {actual[:12]}..., expected {expected[:12]}..."
        advice = "the file is damaged or of another version; reinstall cinn-colorize or download it again"
        raise WeightsError(f"{printable_name(path)}: {problem}; {advice}")


def model_class(name: str) -> "type[ConditionalFlow]":
    """Return the class of a model of the registry."""
    from cinn_colorize.models.bedrooms import Bedrooms
    from cinn_colorize.models.imagenet_vgg import ImagenetVgg
    from cinn_colorize.models.mnist import Mnist
    from cinn_colorize.models.natural import Natural

    classes: tuple[type[ConditionalFlow], ...] = (Natural, ImagenetVgg, Bedrooms, Mnist)
    return {model.name: model for model in classes}[name]


@contextmanager
def _building() -> Iterator[None]:
    """Let torch make tensors as it does without settings, and its random numbers go on as before."""
    import torch

    from cinn_colorize.models.base import one_thread

    # Taking turns, or what one thread restores would be another's; and in a single thread, since several wait
    # for each other at each of the many small tensors.
    with one_thread(), torch.device("cpu"), torch.random.fork_rng(devices=[]):
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)


def _build(path: Path, name: str, trusted: bool) -> "ConditionalFlow":
    def check(config: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
        if (found := config.get("model")) != name:
            raise WeightsError(f"{printable_name(path)}: holds weights of {found!r:.99}, not of {name!r}")
        if not trusted:
            _check(name, config["architecture"], shapes)

    try:
        with _building():
            config, tensors = tensorfile.load(path, check)
            model = model_class(name).from_architecture(config["architecture"])
            model.load_state_dict(tensors)
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        problem = f"does not fit this version of {name!r} ({reason:.200})"
        raise WeightsError(f"{printable_name(path)}: {problem}") from error
    return model.requires_grad_(False).eval()


def _check(name: str, architecture: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare shapes of tensors with a model that takes no memory: a file may be crafted to exhaust it."""
    import torch

    with torch.device("meta"):
        model = model_class(name).from_architecture(architecture)
    levels = MODELS[name].levels
    if tuple(model.latent_shapes) != levels:
        raise ValueError(f"its levels are not {', '.join(map(str, levels))}")
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    for key in sorted(expected.keys() | shapes.keys()):
        if expected.get(key) != shapes.get(key):
            raise ValueError(f"{key!r:.99} is {shapes.get(key, 'missing')}, not {expected.get(key, 'there')}")


def save_model(path: Path, model: "ConditionalFlow", training: dict[str, object]) -> None:
    """Write a model as a weights file, fp16, with its architecture and a record of its training."""
    config = {"model": model.name, "architecture": asdict(model.config), "training": training}
    state = model.state_dict().items()
    tensorfile.save(path, config, {key: t.half() if t.is_floating_point() else t for key, t in state})
