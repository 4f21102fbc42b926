"""``cinn-colorize models``."""

import json
from dataclasses import dataclass

import typer

from cinn_colorize.cli.console import fatal, require_stdout
from cinn_colorize.imaging.options import option
from cinn_colorize.models.registry import DEFAULT, MODELS, ModelInfo
from cinn_colorize.models.weights import find_packaged


@dataclass(frozen=True, kw_only=True)
class ModelsOptions:
    """Options of ``models``."""

    as_json: bool = option(False, None, "Print one JSON object per model.", "--json")


def models(options: ModelsOptions) -> None:
    """List the models with their data, measures and licences.

    Examples:
        cinn-colorize models
        cinn-colorize models --json
    """
    with fatal(debug=False):
        require_stdout()
    for info in MODELS.values():
        facts = _facts(info)
        if options.as_json:
            typer.echo(json.dumps({"name": info.name, "default": info.name == DEFAULT} | facts))
            continue
        typer.echo(info.name + (" (default)" if info.name == DEFAULT else ""))
        for name, value in facts.items():
            typer.echo(f"  {name:<9} {value}")


def _facts(info: ModelInfo) -> dict[str, str]:
    if info.sha256 and (packaged := find_packaged(info.file)):
        size = f"{packaged.stat().st_size / 2**20:.1f} MiB, in this installation"
    elif info.sha256 and info.hub:
        size = f"fetch with cinn-colorize download {info.name} ({info.hub})"
    else:
        size = "no weights are published yet"
    return {
        "draws": info.summary,
        "weights": size,
        "data": info.data,
        "measured": info.measured,
        "licence": info.licence,
    }
