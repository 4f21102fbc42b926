"""Assemble the commands."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from cinn_colorize import __version__
from cinn_colorize.cli.console import open_streams, print_trace, say
from cinn_colorize.cli.flatten import flattened
from cinn_colorize.cli.interrupts import keeping, watch
from cinn_colorize.cli.named_files import named_files
from cinn_colorize.cli.usage import mistyped, problem_of
from cinn_colorize.files.messages import printable, printable_name
from cinn_colorize.files.originals import protecting
from cinn_colorize.files.signals import ENDING, handle_between_imports, ignore

DEFAULT_COMMAND = "colorize"
COMMANDS = {  # modules of this package, and the first line of their help, which the list shows without them
    "colorize": "Draw N colorizations of each photo.",
    "transfer": "Give photos the colours of another.",
    "temperature": "Show one sample at several temperatures.",
    "mix": "Join two samples of a photo by a mask.",
    "sample": "Draw raw samples; save, load and interpolate their codes.",
    "recreate": "Make a picture again from the recipe inside it.",
    "studio": "Colorize in the browser: look at samples, paint hints, save.",
    "train": "Train a model.",
    "evaluate": "Measure a model on colour photos.",
    "models": "List the models with their data, measures and licences.",
    "download": "Fetch and verify the weights of models.",
    "export": "Write a model as ONNX files for other programs and languages.",
}

# Typer exports only a subclass of it.
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])


class _Command(TyperCommand):
    """Protect the files given; in help, list options by panel and the examples of a docstring at its end.

    Plain text: importing what renders rich help takes longer than all the rest of ``--help``.
    """

    def __init__(self, *args: Any, help: str, **rest: Any) -> None:
        text, _, self._examples = inspect.cleandoc(help).partition("\n\nExamples:\n")
        super().__init__(*args, help=text, **rest)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse what is empty, as variables of a shell may be: it would name the current folder.

        Where a file is taken for an option, say how to name it.
        """
        options = args[: args.index("--")] if "--" in args else args
        empty = [arg for arg in args if not arg] + [arg for arg in options if re.fullmatch("--[a-z-]+=", arg)]
        if empty and not ctx.resilient_parsing:  # as while a shell completes a line
            problem = f"{empty[0] or 'an argument'} is empty; a variable of the shell may not be set"
            raise _UsageError(problem, ctx)
        given = [*options]
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            own = {"-"}.union(*((*p.opts, *p.secondary_opts) for p in self.get_params(ctx)))
            files = [arg for arg in given if arg.startswith("-") and arg not in own and os.path.lexists(arg)]
            if not files:
                raise
            file = printable(files[0])
            problem = f"{problem_of(error)}; if you mean the file {file}, write ./{file}"
            raise _UsageError(problem, ctx) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command; it replaces none of the files that it is given."""
        with protecting([*named_files(ctx.params)]):
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """List the arguments as the help names them, without Typer's braces around those required."""
        return [re.sub(r"^\{(.+)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, TyperArgument):
                panels.setdefault("Arguments", []).append((str(parameter.metavar), parameter.help or ""))
            elif record:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                panels.setdefault(panel, []).append((record[0], _in_words(record[1])))
        for panel in sorted(panels, key="Options".__eq__):  # options that every command has come last
            with formatter.section(panel):
                formatter.write_dl(panels[panel])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self._examples:
            with formatter.section("Examples"):
                for line in inspect.cleandoc(self._examples).splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _in_words(text: str) -> str:
    """Return the help of an option with its default and range in words, without a range that it states."""
    said, bracket, notes = text.rpartition("  [")
    if not bracket:
        return text
    notes = re.sub(r"^default: \((.*?)\)(?=;|$)", r"default: \1", notes.removesuffix("]"))
    notes = re.sub(r"x>=(\S+)$", r"\1 or more", notes)
    notes = re.sub(r"(\S+)<=x<=(\S+)$", r"\1 to \2", notes)
    others, _, last = notes.rpartition("; ")
    notes = others if last in said else notes
    return f"{said}  [{notes}]" if notes else said


class _DefaultGroup(TyperGroup):
    """Run the default command unless the first argument is a command or an option of the group."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if not args:
            args = ["--help"]
        elif args[0] not in self.commands and args[0] not in own:
            if problem := mistyped(args[0], self.commands):
                raise _UsageError(problem, ctx)
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is called, and no other."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, _made(name) if name in COMMANDS else listed, rest

    def invoke(self, ctx: Any) -> Any:
        """Parse the rest of the command line, and run the command; both answer Ctrl-C."""
        with keeping():
            return super().invoke(ctx)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and exit; report a usage error in one line, like every other error."""
        try:
            code = super().main(*args, **(extra | {"standalone_mode": False}))
        except _UsageError as error:
            context = error.ctx
            hint = f" (see {context.command_path} --help)" if context else ""
            say(f"{problem_of(error)}{hint}")
            code = 2
        sys.exit(code or 0)


def function_of(name: str) -> Callable[..., None]:
    """Import a command."""
    function: Callable[..., None] = getattr(import_module(f"cinn_colorize.cli.{name}"), name)
    return function


def _made(name: str) -> Any:
    """Return a command with its parameters."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(cls=_Command)(flattened(function_of(name)))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=_DefaultGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cinn-colorize {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Draw many plausible colorizations of a gray photo.

    colorize is the default command: cinn-colorize photo.jpg -n 8. Write ./train for a photo that has
    the name of a command.
    """


for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def main() -> None:
    """Run a command, and exit."""
    # These must not leave temporary files behind; train asks for a checkpoint instead.
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup ignores that of a terminal
            handle_between_imports(number, lambda number, _: sys.exit(128 + number))
    open_streams()
    try:
        with keeping():  # while Typer makes the commands, which answer Ctrl-C themselves
            watch()
            app(prog_name="cinn-colorize")
    except typer.Exit as stopped:
        sys.exit(stopped.exit_code)
    except Exception as error:
        (*_, last) = traceback.extract_tb(error.__traceback__)
        if isinstance(error, OSError) and last.name == typer.echo.__name__:
            say(f"stdout: cannot be written: {error.strerror}")
        elif isinstance(error, OSError) and error.filename and error.strerror and "--debug" not in sys.argv:
            say(f"{printable_name(str(error.filename))}: {error.strerror}; --debug shows where")
        else:
            print_trace(traceback.format_exc())
        sys.exit(1)
    finally:
        with contextlib.suppress(OSError):  # of what was not written, the interpreter would complain again
            sys.stdout.close()
        # All is said and written; Ctrl-C while the interpreter shuts down would end it by the signal.
        ignore(signal.SIGINT)
