"""A number for each level of the latent code: ``0.8``, or ``32:0.6,16:0.7`` where levels differ.

Levels are named by the resolution of their values, finest first; 0 is a vector. Temperatures may also name
:data:`MEAN`. Imports no torch.
"""

import math
from collections.abc import Iterable, Mapping
from typing import SupportsFloat, TypeAlias

PerLevel: TypeAlias = float | Mapping[int, float]
Numbers: TypeAlias = SupportsFloat | Mapping[int, SupportsFloat]  # of other types, too, such as numpy's
SomeLevels: TypeAlias = Numbers | str  # as people give them: of some levels, too, and as text

MAX_TEMPERATURE = 2.0
MEAN = 1  # the coarsest level's average over the photo, much of its mood; only where that level is above 1


def by_level(
    values: Numbers, levels: Iterable[int], name: str = "value", largest: float = math.inf
) -> dict[int, float]:
    """Return one number per level of a model, in the order of ``levels``; messages say ``name`` for it.

    A TypeError if a value is not a number, a ValueError if it is not from 0 to ``largest``, or a level is
    missing or unknown.
    """
    levels = list(levels)
    if not isinstance(values, Mapping):
        values = dict.fromkeys(levels, values)
    for level in values:
        check_level(level, levels)
    if missing := set(levels) - set(values):
        raise ValueError(f"{name} is missing for level {max(missing)}")
    allowed = "a number of 0 or more" if math.isinf(largest) else f"a number from 0 to {largest:g}"
    for value in values.values():
        try:
            in_range = not math.isinf(value) and 0 <= float(value) <= largest
        except (TypeError, ValueError):
            kinds = f"{allowed}, a dict of these by level, or text such as 0.7,8:0.9"
            raise TypeError(f"{name} must be {kinds}, not {value!r:.80}") from None
        except OverflowError:
            raise ValueError(f"{name} must be {allowed}, not {value!r:.80}") from None
        if not in_range:
            raise ValueError(f"{name} must be {allowed}, not {value:g}")
    return {r: float(values[r]) for r in levels}


def parse_levels(
    values: SomeLevels, levels: Iterable[int], rest: Numbers, name: str = "value", largest: float = math.inf
) -> PerLevel:
    """Complete numbers by level as people give them: one for all levels, some by level, or text.

    >>> parse_levels("0.6,1:0.75", levels=(2, 1, 0), rest=0.8)
    {2: 0.6, 1: 0.75, 0: 0.6}
    >>> parse_levels({1: 0.75}, levels=(2, 1, 0), rest=0.8)
    {2: 0.8, 1: 0.75, 0: 0.8}

    Levels that are not named have the text's bare number or, without one, that of ``rest``. Returns a number
    if it is the same for all levels, else one for each. The other arguments and errors are those of
    :func:`by_level`.
    """
    levels = list(levels)
    named, rest = _read(values, rest)
    found = by_level({**by_level(rest, levels, name, largest), **named}, levels, name, largest)
    return found if len(set(found.values())) > 1 else next(iter(found.values()))


def _read(values: SomeLevels, rest: Numbers) -> tuple[Mapping[int, SupportsFloat], Numbers]:
    """Return the numbers of the levels that are named, and those of the rest."""
    if not isinstance(values, str):
        return (values, rest) if isinstance(values, Mapping) else ({}, values)
    parts, named = values.split(","), dict[int, float]()
    if sum(":" not in part for part in parts) > 1:
        raise ValueError(f"{values!r:.80} has more than one number for all levels")
    for part in parts:
        level, _, number = part.rpartition(":")
        is_named = level.strip().isdecimal()
        try:
            value = float(number if is_named else part)
        except ValueError:
            raise ValueError(f"{part!r:.80} is neither a number nor LEVEL:NUMBER") from None
        if not is_named:
            rest = value
        elif int(level) in named:
            raise ValueError(f"{values!r:.80} names level {int(level)} twice")
        else:
            named[int(level)] = value
    return named, rest


def named_levels(text: str) -> list[int]:
    """List the levels that a text names, see :func:`parse_levels`; what cannot be parsed is left out."""
    names = [part.rpartition(":")[0] for part in text.split(",")]
    return [int(name) for name in names if name.isdecimal()]


def parse_temperature(values: SomeLevels | None, levels: Iterable[int], rest: PerLevel) -> PerLevel:
    """Complete temperatures, 0 to :data:`MAX_TEMPERATURE`; None is ``rest``. See :func:`parse_levels`.

    :data:`MEAN` goes with the coarsest level where only that is named, and is left out where both are equal.
    """
    if values is None:
        return rest
    levels = list(levels)
    (named, others), coarsest = _read(values, rest), min(levels)
    found = temperatures(others, levels)
    if coarsest > MEAN and coarsest in named:
        del found[MEAN]
    found = temperatures({**found, **named}, levels)
    if coarsest > MEAN and found[MEAN] == found[coarsest]:
        del found[MEAN]
    return found if len(set(found.values())) > 1 else found[coarsest]


def temperatures(values: Numbers, levels: Iterable[int]) -> dict[int, float]:
    """Return one temperature per level, see :func:`by_level`, :data:`MEAN` among them."""
    levels = list(levels)
    if (coarsest := min(levels)) > MEAN:
        levels.append(MEAN)
        if isinstance(values, Mapping) and coarsest in values:
            values = {MEAN: values[coarsest], **values}
    return by_level(values, levels, "temperature", MAX_TEMPERATURE)


def parse_noise(values: SomeLevels | None, levels: Iterable[int], rest: PerLevel) -> PerLevel:
    """Complete shares of noise, from 0 to 1; None is ``rest``. See :func:`parse_levels`."""
    return rest if values is None else parse_levels(values, levels, rest, "the share of noise", 1)


def check_level(level: int, levels: Iterable[int]) -> None:
    """Raise a ValueError if a model does not have a level."""
    levels = list(levels)
    if level not in levels:
        raise ValueError(f"there is no level {level!r}; levels are {', '.join(map(str, levels))}")


def is_zero(values: PerLevel) -> bool:
    """Return whether the number is 0 for all levels."""
    return not any(values.values() if isinstance(values, Mapping) else [values])


def format_levels(values: PerLevel) -> str:
    """Format numbers so that :func:`parse_levels`, or ``parse_temperature``, reads exactly the same ones."""
    if isinstance(values, Mapping) and len(set(values.values())) > 1:
        return ",".join(f"{r}:{float(value)!r}" for r, value in values.items())
    return repr(float(next(iter(values.values())) if isinstance(values, Mapping) else values))


def short_levels(values: PerLevel) -> str:
    """Format numbers as people write them: that of most levels, then the others."""
    if not isinstance(values, Mapping):
        return f"{values:g}"
    numbers = list(values.values())
    most = max(numbers, key=numbers.count)
    apart = min(values) == MEAN  # unnamed, it would go with the coarsest level
    named = [f"{r}:{t:g}" for r, t in values.items() if t != most or (apart and r == MEAN)]
    return ",".join([f"{most:g}", *named])


def transfer_noise(levels: Iterable[int]) -> dict[int, float]:
    """Return the default share of noise in a transfer, and of fresh noise in a variation, by level.

    The levels of the reference up to r = 2 hold its mood. From r = 4 on its code says where things are, which
    is wrong for other photos. If all levels are finer, the coarsest one holds both, and a fifth of noise
    takes the edge off odd colours; chosen by looking at pairs of photos.
    """
    levels = list(levels)
    return {r: 0.0 if r <= 2 else 0.2 if r == min(levels) else 1.0 for r in levels}
