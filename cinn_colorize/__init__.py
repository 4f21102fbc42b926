"""Draw many plausible colorizations of a gray photo from a conditional invertible neural network.

Exports are imported when they are first used, so that ``--help`` and ``--version`` do not wait for them.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Colorization", "Colorizer", "__version__", "load_model", "read_recipe"]

if TYPE_CHECKING:
    from cinn_colorize.colorizer import Colorization, Colorizer
    from cinn_colorize.imaging.photo import read_recipe
    from cinn_colorize.models import load_model

_HOMES = {
    "Colorizer": "cinn_colorize.colorizer",
    "Colorization": "cinn_colorize.colorizer",
    "load_model": "cinn_colorize.models",
    "read_recipe": "cinn_colorize.imaging.photo",
}


def __dir__() -> list[str]:
    return [name for name in {*globals(), *__all__} if name not in ("Any", "TYPE_CHECKING")]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cinn_colorize' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
