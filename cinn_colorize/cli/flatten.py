"""Options in groups: a command receives a dataclass, the command line lists its fields one by one.

A command replaces none of the files that are named to it, whichever options they are given with.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import ParameterInfo

from cinn_colorize.files.atomic import protecting
from cinn_colorize.imaging.options import flags_of
from cinn_colorize.models.registry import MODELS

_NOT_TYPER = ("flags", "kind")  # of what options declare
# Parameters that name what a call writes. Those of all others are taken for files that it reads, so that a
# new option needs no line here to protect its file.
_WRITTEN = frozenset({"output_dir", "output", "manifest", "save_z", "plot", "run", "cache"})


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the fields of its dataclass parameters, nested ones too, as parameters.

    Each field is declared by :func:`cinn_colorize.imaging.options.option`; a dataclass may have a ``panel``,
    the heading of the help for the fields it declares. Choices may be written in any case. A file that cannot
    be read is not refused here, but by the command, which names it.

    Args:
        command: called with the dataclasses, which are built from the values given.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            parameters |= _parameters(hints[name])
        else:
            parameters[name] = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
    for parameter in parameters.values():
        for info in get_args(parameter.annotation):
            if isinstance(info, ParameterInfo):
                info.case_sensitive = False
                info.readable = False

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
    """Return Typer's option of a field."""
    settings = {key: value for key, value in declared.metadata.items() if key not in _NOT_TYPER}
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


def _named_files(parameters: Mapping[str, Any]) -> Iterator[Path]:
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
