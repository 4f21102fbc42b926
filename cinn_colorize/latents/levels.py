"""A number for each level of the latent code: ``0.8``, or ``32:0.6,16:0.7`` where levels differ.

Levels are named by the resolution of their values, 0 is the base. Light: imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

PerLevel: TypeAlias = float | Mapping[int, float]


def by_level(
    values: PerLevel, levels: Iterable[int], name: str = "value", largest: float = math.inf
) -> dict[int, float]:
    """One number a level, in the order of ``levels``.

    Args:
        values: a number for all levels, or one for each.
        levels: of the model.
        name: of the numbers, for messages.
        largest: allowed; the smallest is 0.

    Raises:
        ValueError: a level is missing or unknown, or a number out of range.
    """
    levels = list(levels)
    if not isinstance(values, Mapping):
        values = dict.fromkeys(levels, values)
    if unknown := set(values) - set(levels):
        raise ValueError(f"there is no level {min(unknown)}; levels are {', '.join(map(str, levels))}")
    if missing := set(levels) - set(values):
        raise ValueError(f"{name} is missing for level {max(missing)}")
    for value in values.values():
        if not 0 <= value <= largest or math.isinf(value):
            allowed = "a number of 0 or more" if math.isinf(largest) else f"a number from 0 to {largest:g}"
            raise ValueError(f"{name} must be {allowed}, not {value:g}")
    return {r: float(values[r]) for r in levels}


def parse_levels(
    text: str,
    levels: Iterable[int],
    rest: PerLevel,
    name: str = "value",
    largest: float = math.inf,
) -> PerLevel:
    """Numbers by level from what people write.

    Args:
        text: numbers and ``LEVEL:NUMBER`` with commas between; a number alone holds for all levels that are
            not named.
        levels: of the model.
        rest: what levels have that the text does not name, if there is no number alone.
        name: see :func:`by_level`.
        largest: see :func:`by_level`.

    Returns:
        A number if it is the same for all levels, else one for each.

    Raises:
        ValueError: it can't be read, or see :func:`by_level`.
    """
    levels, named = list(levels), {}
    parts = text.split(",")
    if sum(":" not in part for part in parts) > 1:
        raise ValueError(f"{text!r} has more than one number for all levels")
    for part in parts:
        level, colon, number = part.rpartition(":")
        try:
            if colon:
                named[int(level)] = float(number)
            else:
                rest = float(number)
        except ValueError:
            raise ValueError(f"{part!r} is no number and no LEVEL:NUMBER") from None
    values = by_level({**by_level(rest, levels, name, largest), **named}, levels, name, largest)
    return values if len(set(values.values())) > 1 else next(iter(values.values()))


def format_levels(values: PerLevel) -> str:
    """What :func:`parse_levels` reads again, exactly."""
    if not isinstance(values, Mapping):
        return repr(float(values))
    return ",".join(f"{r}:{float(value)!r}" for r, value in values.items())


def short_levels(values: PerLevel) -> str:
    """As people write it: the number of most levels, then the others."""
    if not isinstance(values, Mapping):
        return f"{values:g}"
    numbers = list(values.values())
    most = max(numbers, key=numbers.count)
    return ",".join([f"{most:g}", *(f"{r}:{value:g}" for r, value in values.items() if value != most)])


def transfer_noise(levels: Iterable[int]) -> dict[int, float]:
    """The share of noise by level that a transfer takes unless told otherwise.

    The three coarsest levels of the reference hold its mood. From r = 4 on its code says where in the
    reference things are, which is wrong for other photos; chosen by looking at pairs of photos.
    """
    return {r: 0.0 if r <= 2 else 1.0 for r in levels}
