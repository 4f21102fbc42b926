"""A hint: the colour wanted at a pixel of a photo."""

import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cinn_colorize.imaging.options import whole_number
from cinn_colorize.methods.base import sha256_of

METHOD = "hints"  # its name in recipes
_MOST = 1000  # hints at single pixels
_HINT = re.compile(r"(\d{1,9}),(\d{1,9}),(.{1,40}?)(?:,(\d{1,2}(?:\.\d{1,9})?))?", re.ASCII)
_HEXADECIMAL = re.compile("[0-9a-fA-F]{3}|[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Hint:
    """Colour wanted at a pixel of the photo as displayed.

    Attributes:
        x: column, from 0 at the left.
        y: row, from 0 at the top.
        rgb: sRGB, 0 to 255 each. Its luminance is ignored: the photo keeps its own.
        size: factor of the odds that a place belongs to the hint's thing, 0.01 to 99; more than 1 grows it.
    """

    x: int
    y: int
    rgb: tuple[int, int, int]
    size: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that are no integers, by a TypeError, or out of range, by a ValueError."""
        numbers = {name: whole_number(getattr(self, name), name, 0) for name in ("x", "y")}
        colour = tuple(whole_number(value, "a colour", 0) for value in self.rgb)
        if len(colour) != 3 or max(colour) > 255:
            raise ValueError(f"a colour must be three numbers from 0 to 255, not {self.rgb!r:.80}")
        if not 0.01 <= self.size <= 99:
            raise ValueError(f"the size of a hint must be from 0.01 to 99, not {self.size:g}")
        for name, value in {**numbers, "rgb": colour}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, given: "HintLike") -> "Hint":
        """Return a hint: one as it is, text as :meth:`parse` takes it, or x, y, the colour and the size.

        >>> Hint.of((310, 120, "red")) == Hint.of((310, 120, (255, 0, 0))) == Hint.of("310,120,#f00")
        True

        A TypeError if it is nothing of this, a ValueError if a number or the colour cannot be used.
        """
        if isinstance(given, Hint):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        try:
            x, y, color, *size = given
            color = color if isinstance(color, str) else f"#{bytes(map(operator.index, color)).hex()}"
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{given!r:.80} is not a hint; give (x, y, color), where color is '#a02832', 'red' or three "
                "integers from 0 to 255"
            ) from None
        return cls.parse(",".join(map(str, (x, y, color, *size))))

    @classmethod
    def parse(cls, text: str) -> "Hint":
        """Parse ``x,y,color`` or ``x,y,color,size``; other text is a ValueError.

        The colour is ``#rrggbb``, ``#rgb``, either without ``#``, or a name of CSS such as ``red``.

        >>> Hint.parse("310,120,#a02832")
        Hint(x=310, y=120, rgb=(160, 40, 50), size=1.0)
        """
        found = _HINT.fullmatch(text.replace(" ", ""))
        if not found:
            raise ValueError(f"{text!r:.80} is not a hint; write x,y,color as in 310,120,#a02832")
        from PIL import ImageColor

        color = f"#{found[3]}" if _HEXADECIMAL.fullmatch(found[3]) else found[3]
        try:
            red, green, blue, *alpha = ImageColor.getrgb(color)
            if alpha:
                raise ValueError("has alpha")
        except ValueError:
            problem = f"{found[3]!r} in the hint {text!r:.80} is not a colour"
            raise ValueError(f"{problem}; write #a02832, or a name such as red") from None
        return cls(int(found[1]), int(found[2]), (red, green, blue), float(found[4] or 1))

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        size = "" if self.size == 1 else f",{self.size:g}"
        return f"{self.x},{self.y},#{bytes(self.rgb).hex()}{size}"


_Color: TypeAlias = str | Sequence[int]
HintLike: TypeAlias = Hint | str | tuple[int, int, _Color] | tuple[int, int, _Color, float]


def parse_hints(given: str | Iterable[HintLike]) -> tuple[Hint, ...]:
    """Return hints, given as :meth:`Hint.of` takes them, whose errors it has, or as text with spaces."""
    if isinstance(given, str):
        given = ",".join(part.strip() for part in given.split(",")).split()
    elif not isinstance(given, Iterable):
        raise TypeError(f"hints must be a list of (x, y, color), not {given!r:.80}")
    hints = list(given)
    if len(hints) > _MOST:
        raise ValueError(f"{len(hints)} are more than {_MOST} hints; paint them")
    return tuple(map(Hint.of, hints))


def settings(points: Iterable[Hint], strokes: Path | None) -> dict[str, str]:
    """Return what recipes say of hints; PhotoError if the picture of strokes cannot be read."""
    return {"hints": " ".join(map(str, points)), "strokes": sha256_of(strokes) if strokes else ""}
