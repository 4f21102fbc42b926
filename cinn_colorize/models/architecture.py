"""Architectures as weights files hold them, read back within bounds, since a file may be crafted."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

Depth = Annotated[int, 32]  # blocks or layers, one after the other
Width = Annotated[int, 4096]  # channels
_RESOLUTION = 64  # the largest
_LENGTH = 16  # of lists
_DEPTH = 3  # of mappings: an architecture, its levels, a level
_LARGEST = 1e6  # of other numbers, but for infinity


def read(kind: type[T], values: Any) -> T:
    """Read a configuration from what ``dataclasses.asdict`` returned, after a round trip through JSON.

    Args:
        kind: a dataclass of numbers, of tuples of them, and of mappings by resolution, which become sorted,
            finest first. Integers have the bounds of their annotation, :data:`Depth` or :data:`Width`. Keys
            that it names as ``retired``, which mean nothing any more, are ignored.
        values: the values by name; those left out have their defaults.

    Raises:
        TypeError: a key is unknown or missing.
        ValueError: a value is of another type, or out of its bounds.
    """
    result: T = _read(kind, without_keys(values, retired_keys(kind)), kind.__name__)
    return result


def retired_keys(kind: type) -> frozenset[str]:
    """Return the keys that configurations of this kind once had, and that files may still hold."""
    return frozenset(getattr(kind, "retired", ()))


def without_keys(values: Any, keys: Container[str], depth: int = _DEPTH) -> Any:
    """Return a configuration without some keys, down to a depth; what is no mapping stays as it is."""
    if not depth or not isinstance(values, Mapping):
        return values
    return {key: without_keys(value, keys, depth - 1) for key, value in values.items() if key not in keys}


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
    if origin is UnionType:
        return None if value is None else _read(arguments[0], value, name)
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
