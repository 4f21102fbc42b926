"""``cinn-colorize download``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from cinn_colorize.cli.common import argument, completed, debug_option, quiet_option
from cinn_colorize.cli.console import fatal, print_path, say
from cinn_colorize.models.registry import MODELS

_PUBLISHED = [name for name, info in MODELS.items() if info.sha256]
_NAMES = f"Models whose weights to fetch: {', '.join(_PUBLISHED)}."


def _known(names: list[str]) -> list[str]:
    if unknown := [name for name in names if name not in MODELS]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(MODELS)}")
    return names


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Options of ``download``."""

    quiet: bool = quiet_option()
    debug: bool = debug_option()


def download(
    names: Annotated[
        list[str], argument("MODEL", _NAMES, callback=_known, autocompletion=completed(_PUBLISHED))
    ],
    options: DownloadOptions,
) -> None:
    """Fetch and verify the weights of models.

    They are then available offline. Weights that came with the installation are only verified; others are
    fetched from the Hugging Face hub. The paths go to stdout.

    Examples:
        cinn-colorize download natural
        cinn-colorize download bedrooms mnist
    """
    with fatal(options.debug):
        from cinn_colorize.models import own_weights
        from cinn_colorize.models.weights import find_packaged

        for name in names:
            info = MODELS[name]
            path = own_weights(info)
            if not options.quiet:
                origin = "part of this installation" if find_packaged(info.file) else f"from {info.hub}"
                say(f"{name}: {origin}, SHA-256 verified")
            print_path(path)
