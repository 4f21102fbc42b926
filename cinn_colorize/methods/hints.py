"""Hints: colours that the user wants at places of a photo, and how samples are made to follow them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cinn_colorize.imaging.options import HintReach
from cinn_colorize.methods.base import Entries, Files, PhotoColorizer, SampleMethod
from cinn_colorize.methods.hint import METHOD, settings
from cinn_colorize.methods.hint import Hint as Hint
from cinn_colorize.methods.hint import HintLike as HintLike
from cinn_colorize.methods.hint import parse_hints as parse_hints

if TYPE_CHECKING:
    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.noise import Floats
    from cinn_colorize.methods.contact_sheet import Tile
    from cinn_colorize.methods.samples import Sample


@dataclass(frozen=True)
class Hinted(SampleMethod):
    """Samples that follow hints."""

    points: tuple[Hint, ...]  # hints at single pixels
    strokes: Path | None = None  # picture that is transparent where there is no hint
    reach: HintReach = HintReach.thing
    first: bool = False  # whether to draw only the sample that is the most typical one without hints
    progress: Callable[[int, int], None] | None = None  # called with the number of samples drawn, and of all
    _things: "dict[Photo, Floats]" = field(default_factory=dict, init=False, repr=False, compare=False)

    name: ClassVar[str] = METHOD
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

    def check(self, colorizer: PhotoColorizer, photo: "Photo") -> None:
        from cinn_colorize.methods.hint_map import HintMap

        HintMap.of(photo, self.points, self.strokes)

    def samples(self, colorizer: PhotoColorizer, photo: "Photo") -> "list[Sample]":
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

    def first_tiles(self, colorizer: PhotoColorizer, photo: "Photo") -> "list[Tile]":
        """Return the photo in gray with the hints on it, and the outlines of their things."""
        from PIL import ImageDraw

        from cinn_colorize.methods.contact_sheet import gray_tile
        from cinn_colorize.methods.hint_map import read_strokes  # scipy is slow to import
        from cinn_colorize.methods.things import outlined

        picture, label = gray_tile(photo)
        if self.strokes is not None:
            painted = read_strokes(self.strokes).resize(picture.size)
            picture.paste(painted, mask=painted)
        draw = ImageDraw.Draw(picture)
        for hint in self.points:
            x, y = (hint.x + 0.5) / photo.width, (hint.y + 0.5) / photo.height
            draw.circle((x * picture.width, y * picture.height), 7, fill=hint.rgb, outline="white", width=2)
        if photo in self._things:
            outlined(picture, photo, self._things[photo])
        return [(picture, label.replace("gray", "hints"))]
