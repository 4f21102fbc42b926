"""Files of tensors: safetensors with their configuration as a JSON string in the metadata."""

import contextlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinn_colorize.errors import WeightsError, os_errors_as, printable_name
from cinn_colorize.files.atomic import PUBLIC, open_input, sha256, writing
from cinn_colorize.files.signals import ctrl_c_later

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

CONFIG_KEY = "cinn_colorize"
Check = Callable[[dict[str, Any], Mapping[str, tuple[int, ...]]], None]
_LONGEST_CONFIG = 2**20  # characters
_OF_NUMPY = ("F16", "F32", "F64")  # safetensors' names of types


def identify(path: Path) -> str:
    """Return the SHA-256 of a weights file; one that cannot be read is a WeightsError."""
    with os_errors_as(WeightsError, path, "cannot be read"):
        return sha256(path)


def load(path: Path, check: Check | None = None) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Read a weights file: its configuration and its tensors by name, in the type they are stored in.

    ``check`` is called with the configuration and the shapes of the tensors before any is read. A file that
    is damaged, or of another program, is a WeightsError here and below.
    """
    with _opened(path, "pt") as (file, config):
        if check:
            check(config, _shapes(file))
        with ctrl_c_later():
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def arrays(path: Path, names: Iterable[str]) -> "dict[str, NDArray[np.float32]]":
    """Read some tensors of a weights file by their names, in single precision, without torch."""
    with _opened(path, "numpy") as (file, _), ctrl_c_later():
        return {name: file.get_tensor(name).astype("float32") for name in names}


def head(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Read the configuration of a weights file, and the shapes of its tensors of numpy's floats."""
    with _opened(path, "numpy") as (file, config):
        return config, _shapes(file, _OF_NUMPY)


def _shapes(file: Any, types: Container[str] | None = None) -> dict[str, tuple[int, ...]]:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    known = {name: part for name, part in slices.items() if types is None or part.get_dtype() in types}
    return {name: tuple(part.get_shape()) for name, part in known.items()}


@contextlib.contextmanager
def _opened(path: Path, framework: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with open_input(path):  # safetensors says of a file that may not be read that there is none
            pass
        with safe_open(path, framework=framework) as file:
            config = _config((file.metadata() or {}).get(CONFIG_KEY, ""))
            if config is None:
                problem = "a safetensors file, but not one of cinn-colorize (no configuration)"
                raise WeightsError(f"{printable_name(path)}: {problem}")
            yield file, config
    except SafetensorError as error:
        raise WeightsError(f"{printable_name(path)}: damaged, or not a safetensors file") from error
    except OSError as error:
        raise WeightsError(f"{printable_name(path)}: cannot be read ({error.strerror or error})") from error


def _config(text: str) -> dict[str, Any] | None:
    try:
        config = json.loads(text) if len(text) <= _LONGEST_CONFIG else None
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def save(path: Path, config: Mapping[str, Any], tensors: "Mapping[str, Tensor]", mode: int = PUBLIC) -> None:
    """Write a weights file atomically."""
    from safetensors.torch import save as serialise

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content = serialise(contiguous, metadata={CONFIG_KEY: json.dumps(config, sort_keys=True)})
    with writing(path, mode) as file:
        file.write(content)
