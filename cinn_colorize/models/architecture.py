"""Architectures as weights files hold them, read back within bounds, since a file may be crafted."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

Depth = Annotated[int, 32]  # blocks or layers, one after the other
Width = Annotated[int, 4096]  # channels
_RESOLUTION = 64  # the largest
_LENGTH = 16  # of lists
_LARGEST = 1e6  # of other numbers, but for infinity


def read(kind: type[T], values: Any) -> T:
    """Read a configuration from what ``dataclasses.asdict`` returned, after a round trip through JSON.

    It is a dataclass of numbers, of tuples of them, of other such dataclasses, and of mappings by resolution,
    which become sorted, finest first. Integers have the bounds of their annotation, :data:`Depth` or
    :data:`Width`; values that are left out have their defaults. TypeError if a key is unknown or missing,
    ValueError if a value is of another type or out of its bounds.
    """
    result: T = _read(kind, values, kind.__name__)
    return result


def _read(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        known = {field.name for field in fields(hint)}
        given = _expect(dict, value, name)
        return hint(**{key: _read(hints[key], v, key) if key in known else v for key, v in given.items()})  # type: ignore[operator]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _integer(value, name, arguments[1])
    if origin is Mapping:
        given = _expect(dict, value, name)
        numbered = {_integer(int(key), name, _RESOLUTION): v for key, v in given.items()}
        return {r: _read(arguments[1], numbered[r], name) for r in sorted(numbered, reverse=True)}
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) > _LENGTH:
            raise ValueError(f"{name} is not a list of up to {_LENGTH} values")
        return tuple(_read(arguments[0], v, name) for v in value)
    if hint is float:
        if type(value) not in (int, float) or not (0 <= value <= _LARGEST or value == math.inf):
            raise ValueError(f"{name} is not a number from 0 to {_LARGEST:g}")
        return float(value)
    return _expect(hint, value, name)


def _expect(kind: type, value: Any, name: str) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{name} is not of type {kind.__name__}")
    return value


def _integer(value: Any, name: str, most: int) -> int:
    if not 0 <= _expect(int, value, name) <= most:
        raise ValueError(f"{name} is not a whole number from 0 to {most}")
    return int(value)
