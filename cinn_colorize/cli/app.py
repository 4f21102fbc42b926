"""Assemble the commands, and say in one line in plain words what is wrong with how one is called.

A command receives dataclasses, whose fields the command line lists as options, one by one. It replaces none
of the files that are named to it, whichever options they are given with.
"""

import difflib
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from cinn_colorize import __version__
from cinn_colorize.cli.console import say
from cinn_colorize.cli.interrupts import keeping
from cinn_colorize.errors import printable
from cinn_colorize.files.atomic import protecting
from cinn_colorize.imaging.options import flags_of
from cinn_colorize.models.registry import MODELS

# Choices may be written in any case; a file that cannot be read is refused by the command, which names it.
LENIENT: dict[str, Any] = {"case_sensitive": False, "readable": False}
_VERSION = "Print the version and exit."
_WORD = re.compile("[a-z][a-z-]*", re.IGNORECASE)
_CHOICES = re.compile(r"(?<= is not one of )'.*'$")
_KINDS = {"int": "whole number", "float": "number", "bool": "truth value"}
_DEFAULT = "colorize"
COMMANDS = {  # modules of this package, and the first line of their help, which the list shows without them
    "colorize": "Draw N colorizations of each photo.",
    "film": "Colorize films, with colours that move with things.",
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

_NOT_TYPER = ("flags", "kind")  # of what options declare
# Parameters that name what a call writes. Those of all others are taken for files that it reads, so that a
# new option needs no line here to protect its file.
_WRITTEN = frozenset({"output_dir", "output", "manifest", "save_z", "plot", "run", "cache"})

# Typer exports only a subclass of it.
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])


class _Command(TyperCommand):
    """In help, list options by panel and the examples of a docstring at its end.

    Plain text: importing what renders rich help takes longer than all the rest of ``--help``.
    """

    def __init__(self, *args: Any, help: str, **rest: Any) -> None:
        text, _, self._examples = inspect.cleandoc(help).partition("\n\nExamples:\n")
        super().__init__(*args, help=text, **rest)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse what is empty, which would name the current folder; say how to name files like options."""
        options = args[: args.index("--")] if "--" in args else args
        empty = [arg for arg in args if not arg] + [arg for arg in options if re.fullmatch("--[a-z-]+=", arg)]
        if empty and not ctx.resilient_parsing:  # as while a shell completes a line
            what = empty[0] or "an argument"
            raise _UsageError(f"{what} is empty; a variable of the shell may not be set", ctx)
        given = [*options]
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            own = {"-"}.union(*((*p.opts, *p.secondary_opts) for p in self.get_params(ctx)))
            files = [arg for arg in given if arg.startswith("-") and arg not in own and os.path.lexists(arg)]
            if not files:
                raise
            file = printable(files[0])
            problem = f"{_problem_of(error)}; if you mean the file {file}, write ./{file}"
            raise _UsageError(problem, ctx) from error

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


def _problem_of(error: Any) -> str:
    """Return the message of a usage error, without those of pydantic, by which newer Typers check values."""
    message = str(error.format_message()).rstrip(".").removeprefix("Invalid value: ")  # of no one option
    errors = getattr(error.__cause__, "errors", None)
    if errors:
        first = errors()[0]
        reason = _reason(first["type"], first["input"], first.get("ctx", {}))
        message = message.replace(first["msg"].rstrip("."), reason) if reason else message
    return _CHOICES.sub(lambda choices: choices[0].replace("'", ""), message)


def _reason(kind: str, value: object, context: dict[str, Any]) -> str:
    """Return why a value is refused; empty if the words of the library will do."""
    if kind == "value_error":
        return str(context["error"]).rstrip(".")
    if "ge" in context:
        return f"must be at least {context['ge']:g}, not {value!s:.80}"
    if "le" in context:
        return f"must be at most {context['le']:g}, not {value!s:.80}"
    name = _KINDS.get(kind.split("_")[0])
    return f"{value!r:.80} is not a {name}" if name else ""


def _mistyped(word: str, commands: Iterable[str]) -> str:
    """Return the message for a first argument that is no file, but nearly a command; empty for any other."""
    if not _WORD.fullmatch(word) or os.path.lexists(word):
        return ""
    close = difflib.get_close_matches(word.lower(), list(commands), n=1)
    return f"no such command or file: {word}; did you mean {close[0]}?" if close else ""


class _DefaultGroup(TyperGroup):
    """Run the default command unless the first argument is a command or an option of the group."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if not args:
            args = ["--help"]
        elif args[0] not in self.commands and args[0] not in own:
            if problem := _mistyped(args[0], self.commands):
                raise _UsageError(problem, ctx)
            args = [_DEFAULT, *args]
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
            say(f"{_problem_of(error)}{hint}")
            code = 2
        sys.exit(code or 0)


def function_of(name: str) -> Callable[..., None]:
    """Import a command."""
    function: Callable[..., None] = getattr(import_module(f"cinn_colorize.cli.{name}"), name)
    return function


def _made(name: str) -> Any:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(cls=_Command)(flattened(function_of(name)))
    return typer.main.get_command(alone)


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the fields of its dataclass parameters, nested ones too, as parameters.

    Each field is declared by :func:`.option`; a dataclass may have a ``panel``, the heading of the help for
    the fields it declares.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            parameters |= _parameters(hints[name])
        else:
            parameters[name] = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        with protecting([*_named_files(values)]):
            command(**{name: _built(name, kind, values) for name, kind in hints.items() if name != "return"})

    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return run


def _parameters(group: Any) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    found: dict[str, inspect.Parameter] = {}
    for declared in fields(group):
        if is_dataclass(hints[declared.name]):
            found |= _parameters(hints[declared.name])
        elif "flags" in declared.metadata:
            found[declared.name] = inspect.Parameter(
                declared.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if declared.default is MISSING else declared.default,
                annotation=Annotated[_kind(declared, hints[declared.name]), _option(group, declared)],
            )
    return found


def _option(group: Any, declared: Field[Any]) -> Any:
    settings = LENIENT | {key: value for key, value in declared.metadata.items() if key not in _NOT_TYPER}
    if parse := settings.pop("parse", None):
        settings["callback"] = _parsing(parse)
    declaring = next(kind for kind in group.__mro__ if declared.name in inspect.get_annotations(kind))
    panel = settings.pop("panel", getattr(declaring, "panel", None))
    return typer.Option(*flags_of(declared), rich_help_panel=panel, **settings)


def _kind(declared: Field[Any], hint: Any) -> Any:
    """Return the type that the command line parses, which may be one of several that the library takes."""
    if "kind" not in declared.metadata:
        return hint
    kind = declared.metadata["kind"]
    return kind | None if declared.default is None else kind


def _parsing(parse: Callable[[str], Any]) -> Callable[[str | None], Any]:
    def callback(value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return callback


def _built(name: str, kind: Any, values: dict[str, Any]) -> Any:
    if not is_dataclass(kind):
        return values[name]
    hints = get_type_hints(kind)
    parts = [part for part in fields(kind) if "flags" in part.metadata or is_dataclass(hints[part.name])]
    return kind(**{part.name: _built(part.name, hints[part.name], values) for part in parts})  # type: ignore[operator]


def _named_files(parameters: dict[str, Any]) -> Iterator[Path]:
    """Yield the files and folders that a call reads, as far as its parameters name them."""
    for name, value in parameters.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if name not in _WRITTEN and isinstance(text, (str, Path)):
                yield from _files_in(os.fspath(text))
    info = MODELS.get(parameters.get("model") or "")
    if info and not parameters.get("weights"):
        from cinn_colorize.models.weights import find_packaged

        if packaged := find_packaged(info.file):
            yield packaged


def _files_in(text: str) -> Iterator[Path]:
    """Yield a file, that of ``@LIST``, and those of a list such as ``--interpolate`` takes."""
    for name in {text, text.removeprefix("@"), *text.split(",")}:
        if name and os.path.lexists(name):
            yield Path(name)


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
        bool, typer.Option("-V", "--version", help=_VERSION, callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Draw many plausible colorizations of a gray photo.

    colorize is the default command: cinn-colorize photo.jpg -n 8. Write ./train for a photo that has
    the name of a command.
    """


for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)
