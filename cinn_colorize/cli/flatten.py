"""Options in groups: a command receives a dataclass, the command line lists its fields one by one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import ParameterInfo

from cinn_colorize.imaging.options import flags_of

_NOT_TYPER = ("flags", "kind")  # of what options declare


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
            continue
        if not _is_option(declared):
            continue
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


def _is_option(declared: Field[Any]) -> bool:
    return "flags" in declared.metadata


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
    parts = [part for part in fields(kind) if _is_option(part) or is_dataclass(hints[part.name])]
    return kind(**{part.name: _built(part.name, hints[part.name], values) for part in parts})  # type: ignore[operator]
