"""Assembles the commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from cinn_colorize import __version__
from cinn_colorize.cli.colorize import colorize
from cinn_colorize.cli.evaluate import evaluate
from cinn_colorize.cli.train import train

DEFAULT_COMMAND = "colorize"


class _DefaultGroup(TyperGroup):
    """A first argument that names no command, or is an option of none, starts the default command."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0] not in self.commands and args[0] not in own:
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)  # type: ignore[arg-type]


app = typer.Typer(
    cls=_DefaultGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cinn-colorize {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Draw many plausible colorizations of a gray photo.

    [b]cinn-colorize photo.jpg -n 8[/b] is short for [b]cinn-colorize colorize photo.jpg -n 8[/b];
    a photo that is called like a command is written ./train
    """


app.command()(colorize)
app.command()(train)
app.command()(evaluate)


def main() -> None:
    """Entry point of the console script."""
    try:
        app(prog_name="cinn-colorize")
    except KeyboardInterrupt:
        sys.exit(130)
