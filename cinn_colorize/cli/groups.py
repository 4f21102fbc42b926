"""Groups of options: a command receives a dataclass, the command line lists its fields one by one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from typer.models import ParameterInfo


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the fields of its dataclass parameters, nested ones too, as parameters.

    Typer makes an option of each parameter from its annotation and its default. Choices may be written in any
    case, and files that may not be read are not refused before the command sees them.

    Args:
        command: called with the dataclasses, which are built from the values given.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            parameters |= _fields(hints[name])
        else:
            parameters[name] = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
    for parameter in parameters.values():
        for info in get_args(parameter.annotation):
            if isinstance(info, ParameterInfo):
                info.case_sensitive = False
                info.readable = False  # a command says it in its own words and, of one of many, goes on

    @functools.wraps(command)
    def run(**values: Any) -> None:
        command(**{name: _taken(name, kind, values) for name, kind in hints.items() if name != "return"})

    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return run


def _fields(group: Any) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    found: dict[str, inspect.Parameter] = {}
    for field in fields(group):
        if is_dataclass(hints[field.name]):
            found |= _fields(hints[field.name])
        else:
            found[field.name] = inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
    return found


def _taken(name: str, kind: Any, values: dict[str, Any]) -> Any:
    if not is_dataclass(kind):
        return values[name]
    hints = get_type_hints(kind)
    return kind(**{field.name: _taken(field.name, hints[field.name], values) for field in fields(kind)})  # type: ignore[operator]
