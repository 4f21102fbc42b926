"""Options of how pictures are made, each declared once for the command line and for recipes.

An option is a field of a dataclass, declared by :func:`option`. Light: imports neither torch nor typer.
"""

import operator
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self, SupportsIndex, cast, get_type_hints

DRAWING, OUTPUT = "Drawing", "Output"  # headings of the help

MAX_PIXELS = 300_000_000  # default limit of a photo
MAX_SEED = 2**63 - 1  # the largest that torch accepts
_DECIMALS = r"(\.[0-9]{1,20})?(e-[0-9]{1,3})?"  # as repr writes them, small numbers with an exponent
TYPICAL_OF = 8  # samples of which the most typical is drawn where a single one is wanted, of no given seed

Precision = StrEnum("Precision", ["fp32", "bf16"])
Upsampling = StrEnum("Upsampling", ["jbu", "exact", "bicubic"])
Rank = StrEnum("Rank", {"typical": "typical", "log_prob": "log-prob"})
HintReach = StrEnum("HintReach", ["thing", "photo"])
Codec = StrEnum("Codec", ["h264", "h265", "av1", "ffv1", "prores"])

_UPSAMPLING = "Upsampling of colours: along the photo's edges, fast (jbu) or exact; or smooth (bicubic)."
_SATURATION = "Strength of the colours, 0 to 2: 1.2 makes them a fifth stronger, 0 is gray."
_WHITE_BALANCE = "Share of the light's tint that is removed from each sample, 0 to 1: 0.5 halves a warm cast."


def option(default: Any, metavar: str | None, help: str, flags: str = "", **settings: Any) -> Any:
    """Declare an option: a field of a dataclass that the command line lists, see ``cli/app.py``.

    Args:
        default: its default; ``...`` for none.
        metavar: what the help calls its value; None for flags and choices.
        help: a sentence or two.
        flags: its names, as in ``-n --number``; by default, the field's.
        settings: arguments of ``typer.Option``; ``panel``, a heading other than that of the dataclass;
            ``kind``, the type that the command line parses if the field may have others; ``parse``, which
            turns text into the value or raises a ValueError.
    """
    metadata = {"flags": flags, "metavar": metavar, "help": help, **settings}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def flags_of(declared: Field[Any]) -> list[str]:
    """Return the names of an option on the command line."""
    flags: list[str] = declared.metadata["flags"].split()
    return flags or [f"--{declared.name.replace('_', '-')}"]


@dataclass(frozen=True)
class Box:
    """Rectangle of pixels, from ``left`` and ``top`` up to, and without, ``right`` and ``bottom``."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``left,top,right,bottom``; other text is a ValueError.

        >>> Box.parse("20,15,1180,860").size
        (845, 1160)
        """
        found = re.fullmatch(",".join([r"(\d{1,9})"] * 4), text.replace(" ", ""), re.ASCII)
        left, top, right, bottom = map(int, found.groups()) if found else (0, 0, 0, 0)
        if left >= right or top >= bottom:
            advice = "write left,top,right,bottom in pixels as in 20,15,1180,860"
            raise ValueError(f"{text!r} is not a rectangle; {advice}")
        return cls(left, top, right, bottom)

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return f"{self.left},{self.top},{self.right},{self.bottom}"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def scaled(self, size: tuple[int, int], other: tuple[int, int]) -> "Box":
        """Return the same part of a picture of another height and width, given its own; a pixel or more."""
        y, x = other[0] / size[0], other[1] / size[1]
        left, top = min(round(self.left * x), other[1] - 1), min(round(self.top * y), other[0] - 1)
        return Box(left, top, max(round(self.right * x), left + 1), max(round(self.bottom * y), top + 1))


def parse_frame(frame: str | Iterable[int] | Box) -> Box | Literal["auto", "none"]:
    """Parse the frame of a scan: left, top, right and bottom of the picture inside, or ``auto`` or ``none``.

    A TypeError if it is neither text nor numbers, a ValueError if these are nothing of this.
    """
    if isinstance(frame, Box):
        return frame
    if not isinstance(frame, Iterable):
        raise TypeError(f"frame must be 'auto', 'none' or left, top, right, bottom, not {frame!r:.80}")
    text = frame if isinstance(frame, str) else ",".join(map(str, frame))
    if text in ("auto", "none"):
        return cast("Literal['auto', 'none']", text)
    try:
        return Box.parse(text)
    except ValueError as error:
        raise ValueError(f"{error}; or auto, or none") from None


@dataclass(frozen=True)
class Pages:
    """Pages of a file, from ``first`` to ``last``, counted from 1; a ``last`` of 0 is the file's last one."""

    first: int = 1
    last: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``all``, ``2``, ``2-5`` or ``2-``; other text is a ValueError.

        >>> list(Pages.parse("2-").of(4))
        [2, 3, 4]
        """
        found = re.fullmatch(r"(\d{1,6})(-?)(\d{0,6})", "1-" if text.lower() == "all" else text, re.ASCII)
        if found and (found[2] or not found[3]):
            first = int(found[1])
            last = int(found[3] or 0) if found[2] else first
            if first and (not found[3] or first <= last):
                return cls(first, last)
        raise ValueError(f"{text!r:.80} is not a choice of pages; write all, 2, 2-5 or 2-")

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last or ''}"

    def of(self, number: int) -> range:
        """Return the pages of a file that has so many; a ValueError if it has too few."""
        if max(self.first, self.last) > number:
            raise ValueError(f"it has {number} {'page' if number == 1 else 'pages'}, not {self}")
        return range(self.first, (self.last or number) + 1)


@dataclass(frozen=True)
class RecipeOptions:
    """Options that a recipe keeps, as text under their own names."""

    def entries(self) -> dict[str, str]:
        """Return the options as text, which :meth:`from_entries` reads back."""
        values = ((declared.name, getattr(self, declared.name)) for declared in fields(self))
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values}

    @classmethod
    def from_entries(cls, entries: Mapping[str, str]) -> Self:
        """Read the options from a recipe, which may lack some; ValueError for what is no value of one."""
        kinds, known = get_type_hints(cls), [known for known in fields(cls) if known.name in entries]
        return cls(**{one.name: _parse(one, kinds[one.name], entries[one.name]) for one in known})


@dataclass(frozen=True)
class Rendering(RecipeOptions):
    """How a sample becomes a picture of the photo's size; colours stay in the gamut, and L* as it is."""

    panel: ClassVar[str] = DRAWING

    upsampling: Upsampling = option(Upsampling.jbu, None, _UPSAMPLING)
    saturation: float = option(1.0, "FACTOR", _SATURATION, min=0, max=2)
    white_balance: float = option(0.0, "SHARE", _WHITE_BALANCE, min=0, max=1)

    def __post_init__(self) -> None:
        """Refuse what is no number, by a TypeError, or out of range, by a ValueError."""
        for declared in self.numbers():
            name, most, given = declared.name, declared.metadata["max"], getattr(self, declared.name)
            kind = f"{name} must be a number from 0 to {most}"
            try:
                object.__setattr__(self, name, number := float(given))  # as recipes write it
            except (TypeError, ValueError, OverflowError):
                raise TypeError(f"{kind}, not {given!r:.80}") from None
            if not 0 <= number <= most:
                raise ValueError(f"{kind}, not {number:g}")

    @classmethod
    def numbers(cls) -> list[Field[Any]]:
        """Return the options that are numbers, from 0 on; they have no effect at their defaults."""
        return [declared for declared in fields(cls) if isinstance(declared.default, float)]

    def entries(self) -> dict[str, str]:
        """See :meth:`RecipeOptions.entries`; numbers without effect are left out, as in older recipes."""
        unchanged = {number.name: str(number.default) for number in self.numbers()}
        return {k: value for k, value in super().entries().items() if unchanged.get(k) != value}


@dataclass(frozen=True)
class Encoding(RecipeOptions):
    """How a picture is written."""

    panel: ClassVar[str] = OUTPUT

    quality: int = option(95, "Q", "Quality of JPEG, WebP and AVIF files.", min=1, max=100)
    strip: bool = option(False, None, "Leave out all metadata except the colour profile and the recipe.")

    def __post_init__(self) -> None:
        """Refuse a quality or ``strip`` of another type, by a TypeError, or out of range, by a ValueError."""
        object.__setattr__(self, "quality", whole_number(self.quality, "quality", 1))  # as recipes write it
        if self.quality > 100:
            raise ValueError(f"quality must be 100 or less, not {self.quality}")
        numpy = sys.modules.get("numpy")  # which whoever has a bool of its own has imported
        if not isinstance(self.strip, (bool, numpy.bool_) if numpy else bool):
            raise TypeError(f"strip must be True or False, not {self.strip!r:.80}")
        object.__setattr__(self, "strip", bool(self.strip))


@dataclass(frozen=True)
class FilmEncoding(RecipeOptions):
    """How a film is written."""

    panel: ClassVar[str] = OUTPUT

    codec: Codec = option(Codec.h264, None, "Codec of the frames; ffv1 is lossless.")
    quality: int = option(65, "Q", "Quality of h264, h265 and av1.", min=1, max=100)


def whole_number(value: SupportsIndex, name: str, least: int) -> int:
    """Return an integer of any type, even numpy's; a TypeError if it is none, a ValueError if too small."""
    try:
        number = int(operator.index(value))  # of True, too
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r:.80}") from None
    if number < least:
        raise ValueError(f"{name} must be {least} or more, not {number}")
    return number


def parse_seed(text: str) -> int:
    """Parse a seed; a ValueError if the text is no number, or out of range."""
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > MAX_SEED:
        raise ValueError(f"{text!r:.80} is not a seed from 0 to {MAX_SEED}")
    return int(text)


def parse_time(text: str) -> float:
    """Parse a time in seconds, ``75``, ``1:15`` or ``0:01:15.5``; other text is a ValueError.

    >>> parse_time("1:15")
    75.0
    """
    if not re.fullmatch(r"(\d{1,3}:){0,2}\d{1,6}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError(f"{text!r:.80} is not a time; write seconds, M:S or H:M:S")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_number(name: str, text: str, largest: float) -> float:
    """Parse a number from 0 to ``largest``, which recipes and pages write without sign; else a ValueError."""
    if not re.fullmatch(r"[0-9]{1,2}" + _DECIMALS, text) or float(text) > largest:
        raise ValueError(f"{name} {text!r:.80} is not a number from 0 to {largest:g}")
    return float(text)


def check_seeds(seed: int, number: int) -> None:
    """Raise a ValueError if torch does not accept all of ``number`` seeds from ``seed`` on."""
    if seed + number - 1 > MAX_SEED:
        raise ValueError(f"no seed may exceed {MAX_SEED}")


def seeds_from(first: SupportsIndex, n: SupportsIndex) -> range:
    """Return the seeds of n samples; a TypeError if a number is no integer, a ValueError if out of range."""
    n, first = whole_number(n, "n", 1), whole_number(first, "seed", 0)
    check_seeds(first, n)
    return range(first, first + n)


def picked(number: int, seeds: Sequence[int], order: str = "typical") -> dict[str, str]:
    """Return what recipes say of samples that were picked from those of more seeds, and by what ``order``."""
    few = number < len(seeds)
    return {"picked": f"{number} of seeds {seeds[0]} to {seeds[-1]}, {order}"} if few else {}


def _parse(declared: Field[Any], kind: Any, text: str) -> Any:
    """Parse an entry, within the bounds that its option has on the command line."""
    name, bounds = declared.name, declared.metadata
    choices = ["true", "false"] if kind is bool else list(kind) if issubclass(kind, StrEnum) else []
    if choices:
        if text not in choices:
            raise ValueError(f"{name} {text!r:.80} is not one of {', '.join(choices)}")
        return text == "true" if kind is bool else kind(text)
    decimals, (least, most) = _DECIMALS if kind is float else "", (bounds["min"], bounds["max"])
    if not re.fullmatch(r"-?[0-9]{1,19}" + decimals, text) or not least <= kind(text) <= most:
        raise ValueError(f"{name} {text!r:.80} is not a number from {least} to {most}")
    return kind(text)
