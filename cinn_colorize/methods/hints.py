"""Hints: colours that the user wants at places of a photo.

:mod:`cinn_colorize.methods.things` and :mod:`cinn_colorize.methods.ensemble` make samples follow them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from cinn_colorize.imaging.options import HintReach, whole_number
from cinn_colorize.methods.base import Entries, Files, PhotoColorizer, SampleMethod, sha256_of

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.noise import Floats
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample

_MOST = 1000  # hints at single pixels
_HEXADECIMAL = re.compile("[0-9a-fA-F]{3}|[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Hint:
    """Colour wanted at a pixel of the photo as displayed.

    Attributes:
        x: column, from 0 at the left.
        y: row, from 0 at the top.
        rgb: sRGB, 0 to 255 each. Its luminance is ignored: the photo keeps its own.
    """

    x: int
    y: int
    rgb: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Refuse numbers that are no integers, by a TypeError, or out of range, by a ValueError."""
        numbers = {name: whole_number(getattr(self, name), name, 0) for name in ("x", "y")}
        colour = tuple(whole_number(value, "a colour", 0) for value in self.rgb)
        if len(colour) != 3 or max(colour) > 255:
            raise ValueError(f"a colour must be three numbers from 0 to 255, not {self.rgb!r:.80}")
        for name, value in {**numbers, "rgb": colour}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, given: HintLike) -> Hint:
        """Return a hint: one as it is, text as :meth:`parse` takes it, or x, y and the colour.

        >>> Hint.of((310, 120, "red")) == Hint.of((310, 120, (255, 0, 0))) == Hint.of("310,120,#f00")
        True

        A TypeError if it is nothing of this, a ValueError if a number or the colour cannot be used.
        """
        if isinstance(given, Hint):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        try:
            x, y, color = given
            color = color if isinstance(color, str) else f"#{bytes(map(operator.index, color)).hex()}"
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{given!r:.80} is not a hint; give (x, y, color), where color is '#a02832', 'red' or three "
                "integers from 0 to 255"
            ) from None
        return cls.parse(f"{x},{y},{color}")

    @classmethod
    def parse(cls, text: str) -> Hint:
        """Parse ``x,y,color``; other text is a ValueError.

        The colour is ``#rrggbb``, ``#rgb``, either without ``#``, or a name of CSS such as ``red``.

        >>> Hint.parse("310,120,#a02832")
        Hint(x=310, y=120, rgb=(160, 40, 50))
        """
        found = re.fullmatch(r"(\d{1,9}),(\d{1,9}),(.{1,40})", text.replace(" ", ""), re.ASCII)
        if not found:
            raise ValueError(f"{text!r:.80} is not a hint; write x,y,color as in 310,120,#a02832")
        from PIL import ImageColor

        color = f"#{found[3]}" if _HEXADECIMAL.fullmatch(found[3]) else found[3]
        try:
            red, green, blue, *alpha = ImageColor.getrgb(color)
            if alpha:
                raise ValueError("has alpha")
        except ValueError:
            raise ValueError(
                f"{found[3]!r} in the hint {text!r:.80} is not a colour; write #a02832, or a name such as red"
            ) from None
        return cls(int(found[1]), int(found[2]), (red, green, blue))

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return f"{self.x},{self.y},#{bytes(self.rgb).hex()}"


HintLike: TypeAlias = Hint | str | tuple[int, int, str | Sequence[int]]


def parse_hints(given: str | Iterable[HintLike]) -> tuple[Hint, ...]:
    """Return the hints of a photo, given as :meth:`Hint.of` takes them, or all as text with spaces between.

    Errors are those of :meth:`Hint.of`; too many are a ValueError.
    """
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


@dataclass(frozen=True)
class Hinted(SampleMethod):
    """Samples that follow hints."""

    points: tuple[Hint, ...]  # hints at single pixels
    strokes: Path | None = None  # picture that is transparent where there is no hint
    reach: HintReach = HintReach.thing
    first: bool = False  # whether to draw only the sample that is the most typical one without hints
    progress: Callable[[int, int], None] | None = None  # called with the number of samples drawn, and of all
    _things: dict[Photo, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    name: ClassVar[str] = "hints"
    keys: ClassVar[Mapping[str, str]] = {
        "hints": "hints",
        "strokes": "picture of hints",
        "reach": "hints that reach a",
    }
    absent: ClassVar[Mapping[str, str]] = {"reach": HintReach.photo}
    files: ClassVar[Mapping[str, str]] = {"strokes": "picture of hints"}

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        strokes, reach = entries["strokes"], entries["reach"]
        if reach not in list(HintReach):
            raise ValueError(f"reach {reach!r:.80} is not one of {', '.join(HintReach)}")
        return cls(parse_hints(entries["hints"]), files[strokes] if strokes else None, HintReach(reach))

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :attr:`SampleMethod.settings`; PhotoError if the strokes cannot be read."""
        return {**settings(self.points, self.strokes), "reach": self.reach}

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.strokes,) if self.strokes else ()

    @property
    def kept(self) -> int:
        return 1 if self.first else self.number

    def check(self, colorizer: PhotoColorizer, photo: Photo) -> None:
        from cinn_colorize.methods.hint_map import HintMap

        HintMap.of(photo, self.points, self.strokes)

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        """See :meth:`SampleMethod.samples`; PhotoError if a hint lies outside the photo, too."""
        from cinn_colorize.methods import things
        from cinn_colorize.methods.ensemble import move
        from cinn_colorize.methods.hint_map import HintMap

        hints = HintMap.of(photo, self.points, self.strokes, self.rendering.saturation)
        conditioned, pick = colorizer.condition(photo), 1 if self.first else None
        samples = conditioned.sample(self.number, self.temperature, self.seed, pick=pick)
        if self.reach is HintReach.photo:
            return move(conditioned, samples, hints, self.progress)
        self._things[photo] = things.find(things.drawn(conditioned, self.progress), hints)
        return things.follow(samples, self._things[photo], hints)

    def first_tiles(self, colorizer: PhotoColorizer, photo: Photo) -> list[Tile]:
        """Return the photo in gray with the hints on it, and the outlines of their things."""
        from PIL import ImageDraw

        from cinn_colorize.methods.contact_sheet import gray_tile
        from cinn_colorize.methods.hint_map import read_strokes  # scipy is slow to import
        from cinn_colorize.methods.things import outlines

        picture, label = gray_tile(photo)
        if self.strokes is not None:
            painted = read_strokes(self.strokes).resize(picture.size)
            picture.paste(painted, mask=painted)
        draw = ImageDraw.Draw(picture)
        for hint in self.points:
            x, y = (hint.x + 0.5) / photo.width, (hint.y + 0.5) / photo.height
            draw.circle((x * picture.width, y * picture.height), 7, fill=hint.rgb, outline="white", width=2)
        box = photo.inside.scaled((photo.height, photo.width), (picture.height, picture.width))
        for outline in outlines(self._things[photo], box.size) if photo in self._things else ():
            draw.polygon([(box.left + x, box.top + y) for x, y in outline], outline="white")
        return [(picture, label.replace("gray", "hints"))]
