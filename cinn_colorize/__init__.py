"""Draw many plausible colorizations of a gray photo from a conditional invertible neural network.

Exports are imported when they are first used, so that ``--help`` and ``--version`` do not wait for them;
``__init__.pyi`` declares their types.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "Colorization": "cinn_colorize.colorizer",
    "Colorizer": "cinn_colorize.colorizer",
    "load_model": "cinn_colorize.models",
    "read_recipe": "cinn_colorize.imaging.photo",
}
__all__ = ["__version__", *_HOMES]


def __dir__() -> list[str]:
    return [name for name in {*globals(), *__all__} if name != "import_module"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cinn_colorize' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
