"""Charts of one photo: a latent code at several temperatures (paper Fig. 14), and grids of raw samples."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from cinn_colorize.errors import LatentError, counted, printable_name
from cinn_colorize.imaging.options import Rendering, Upsampling, parse_seed
from cinn_colorize.latents.levels import MAX_TEMPERATURE, PerLevel, check_level, parse_temperature
from cinn_colorize.methods.base import Entries, Files, Method, PhotoColorizer, sha256_of

if TYPE_CHECKING:
    import PIL.Image

    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.latent import Latent
    from cinn_colorize.latents.noise import Floats, Shapes
    from cinn_colorize.methods.contact_sheet import Chart
    from cinn_colorize.methods.samples import Sample

log = logging.getLogger(__name__)

_STRIP_TILE, _GRID_TILE = 320, 160  # pixels on the longer side of a sample
_MOST_STEPS = 64  # more come from a mistyped step
MOST = 1024  # samples of a grid
_MOST_OF_A_SIDE = 32
_LONGEST = 24  # characters of a name in a label
RENDERING = Rendering(upsampling=Upsampling.bicubic)  # stretched to the photo, regardless of its edges


def parse_temperatures(text: str) -> tuple[float, ...]:
    """Parse the temperatures of a strip: a list, or a range that includes its end; or a ValueError."""
    try:
        if ":" in text:
            start, stop, step = map(float, text.split(":"))
            count = math.floor((stop - start) / step + 1e-9) + 1
            values = tuple(round(start + k * step, 9) for k in range(min(count, _MOST_STEPS + 1)))
        else:
            values = tuple(map(float, text.split(",", _MOST_STEPS)))
    except (ValueError, ZeroDivisionError, OverflowError):
        values = ()
    if not values or len(values) > _MOST_STEPS or not all(0 <= value <= MAX_TEMPERATURE for value in values):
        raise ValueError(
            f"{text!r:.80} is not a list such as 0,0.5,1 or a range such as 0:1.2:0.3 of up to {_MOST_STEPS} "
            f"numbers from 0 to {MAX_TEMPERATURE:g}"
        )
    if len({f"{abs(value):g}" for value in values}) < len(values):  # as files and labels show them
        raise ValueError(f"{text!r:.80} has the same number twice, to six digits")
    return values


def parse_scaled(text: str, levels: Iterable[int]) -> tuple[int, ...]:
    """Parse the levels that a strip scales; ValueError if one is no number, or the model does not have it."""
    levels = list(levels)
    parts = text.split(",", len(levels) + 1)
    for part in parts:
        if not re.fullmatch(r"[0-9]{1,4}", part):
            raise ValueError(f"{part!r:.80} is not a level")
    scaled = tuple(map(int, parts))
    parse_temperature(dict.fromkeys(scaled, 0.0), levels, 0.0)  # it knows the levels
    return scaled


@dataclass(frozen=True)
class Strip(Method):
    """One latent code at several temperatures."""

    temperatures: tuple[float, ...]  # from left to right
    scaled: tuple[int, ...] | None = None  # levels that have these, None for all; others have `temperature`

    name: ClassVar[str] = "temperatures"
    keys: ClassVar[Mapping[str, str]] = {"temperatures": "temperatures", "scaled": "scaled levels"}

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        scaled = entries["scaled"]
        return cls(
            parse_temperatures(entries["temperatures"]),
            None if scaled == "all" else parse_scaled(scaled, levels),
        )

    @property
    def entries(self) -> dict[str, str]:
        return {
            "method": self.name,
            "temperatures": ",".join(map(repr, self.temperatures)),
            "scaled": "all" if self.scaled is None else ",".join(map(str, self.scaled)),
        }

    def samples(self, colorizer: PhotoColorizer, photo: Photo) -> list[Sample]:
        """Draw a sample for each temperature; a ValueError if one is out of range, or a level is unknown."""
        conditioned = colorizer.condition(photo)
        levels = list(conditioned.latent_shapes)
        of_levels: list[PerLevel] = [*self.temperatures]
        if self.scaled is not None:
            named = (dict.fromkeys(self.scaled, t) for t in self.temperatures)
            of_levels = [parse_temperature(some, levels, self.temperature) for some in named]
        return [conditioned.sample(1, t, self.seed)[0] for t in of_levels]

    def draw(self, colorizer: PhotoColorizer, photo: Photo) -> Chart:
        from cinn_colorize.methods.contact_sheet import Chart, contact_sheet

        pictures = colorizer.compose(photo.small(_STRIP_TILE), self.samples(colorizer, photo), self.rendering)
        labels = [f"T = {t:g}" for t in self.temperatures]
        tiles = [(p.picture.thumbnail(_STRIP_TILE), label) for p, label in zip(pictures, labels, strict=True)]
        recipe = colorizer.recipe(self.drawn, self.rendering, photo)
        return Chart(contact_sheet(tiles, columns=len(tiles)), recipe, mode=photo.mode)


@dataclass(frozen=True)
class LatentSource:
    """Where codes come from: drawn for a model, or read from files that fit it."""

    colorizer: PhotoColorizer
    shapes: Shapes
    temperature: PerLevel

    def draw(self, seed: int, number: int = 1) -> Latent:
        from cinn_colorize.latents.latent import Latent

        return Latent.draw(self.shapes, range(seed, seed + number), self.temperature)

    def load(self, path: Path) -> Latent:
        from cinn_colorize.latents.latent import Latent

        codes, made_with = Latent.load(path, self.colorizer.info.name, self.shapes)
        if made_with != self.colorizer.sha256:
            log.warning(f"{printable_name(path)}: made with other weights, so the colours will differ")
        return codes


@dataclass(frozen=True)
class Successive:
    """Codes of successive seeds; or those of a file, the first ones, or all if ``number`` is None."""

    number: int | None
    load: Path | None = None

    def check(self, levels: Iterable[int]) -> None:
        if self.number is not None or not self.load:
            _check_number(self.number, 1, MOST)

    def codes(self, source: LatentSource, seed: int) -> tuple[Latent, list[str]]:
        if not self.load:
            number = self.number or 0
            return source.draw(seed, number), [f"seed {seed + k}" for k in range(number)]
        codes, name = source.load(self.load), printable_name(self.load)
        if self.number and self.number > len(codes):
            log.warning(f"{name}: has {counted(len(codes), 'code')}, not {self.number}")
        codes = codes[: self.number]
        if len(codes) > MOST:
            raise LatentError(f"{name}: has {len(codes)} codes; choose up to {MOST} with -n")
        return codes, [f"code {k + 1}" for k in range(len(codes))]


@dataclass(frozen=True)
class Interpolated:
    """Codes from one to another in ``number`` steps, or as many along each side between four in the corners.

    Ends and corners, row by row, are seeds, or files whose first code is used.
    """

    number: int
    between: tuple[int | Path, ...]

    def check(self, levels: Iterable[int]) -> None:
        if len(self.between) not in (2, 4):
            raise ValueError(f"an interpolation takes two or four codes, not {len(self.between)}")
        _check_number(self.number, 2, _MOST_OF_A_SIDE if len(self.between) == 4 else MOST)

    def codes(self, source: LatentSource, seed: int) -> tuple[Latent, list[str]]:
        from cinn_colorize.latents.latent import Latent

        ends = [source.load(end)[:1] if isinstance(end, Path) else source.draw(end) for end in self.between]
        names = [_short(end.stem) if isinstance(end, Path) else f"seed {end}" for end in self.between]
        steps = [k / (self.number - 1) for k in range(self.number)]
        if len(ends) == 2:
            labels = [names[0], *(f"{t:.2f}" for t in steps[1:-1]), names[1]]
            return Latent.join([ends[0].interpolated(ends[1], t) for t in steps]), labels
        rows = [[ends[i].interpolated(ends[i + 2], t) for t in steps] for i in (0, 1)]
        codes = [left.interpolated(right, t) for left, right in zip(*rows, strict=True) for t in steps]
        labels = [f"{row:.2f}, {column:.2f}" for row in steps for column in steps]
        for place, name in zip((0, self.number - 1, -self.number, -1), names, strict=True):
            labels[place] = name
        return Latent.join(codes), labels


@dataclass(frozen=True)
class Varied:
    """A code, drawn or the first of a file, and the same with the level ``vary`` redrawn."""

    number: int
    vary: int
    load: Path | None = None

    def check(self, levels: Iterable[int]) -> None:
        """Refuse a level that the model lacks, or another number of codes than a grid can have."""
        check_level(self.vary, levels)
        _check_number(self.number, 2, MOST)

    def codes(self, source: LatentSource, seed: int) -> tuple[Latent, list[str]]:
        from cinn_colorize.latents.latent import Latent

        kept, labels = Successive(1, self.load).codes(source, seed)
        # A drawn code uses the first seed itself; a loaded one leaves it to the variations.
        first, others = seed + (self.load is None), self.number - 1
        varied = kept.expand(others).replace([self.vary], source.draw(first, others))
        labels += [f"level {self.vary}: seed {first + k}" for k in range(others)]
        return Latent.join([kept, varied]), labels


Codes = Successive | Interpolated | Varied


@dataclass(frozen=True)
class Grid(Method):
    """Grid of the raw samples of some latent codes."""

    codes: Codes
    rendering: Rendering = field(default=RENDERING, kw_only=True)

    name: ClassVar[str] = "grid"
    keys: ClassVar[Mapping[str, str]] = {
        "number": "number",
        "load": "codes",
        "between": "codes at the ends",
        "vary": "varied level",
    }
    files: ClassVar[Mapping[str, str]] = {"load": "file of codes", "between": "file of codes"}

    @classmethod
    def of(
        cls,
        number: int | None,
        load: Path | None,
        between: tuple[int | Path, ...],
        vary: int | None,
        levels: Iterable[int],
    ) -> Self:
        """Return the grid of a recipe's parameters, of which those that do not apply are None or empty.

        A ValueError if they contradict each other, or would take forever.
        """
        if between and (vary is not None or load):
            raise ValueError("an interpolation takes neither a file of codes nor a level to vary")
        codes: Codes = Successive(number, load)
        if between:
            codes = Interpolated(number or 0, between)
        elif vary is not None:
            codes = Varied(number or 0, vary, load)
        codes.check(levels)
        return cls(codes)

    @classmethod
    def from_recipe(cls, entries: Entries, files: Files, levels: Iterable[int], max_pixels: int) -> Self:
        ends = entries["between"].split(",") if entries["between"] else []
        return cls.of(
            _parse_number(entries["number"]),
            files[entries["load"]] if entries["load"] else None,
            tuple(files[end] if end in files else parse_seed(end) for end in ends),
            _parse_number(entries["vary"]),
            levels,
        )

    @property
    def entries(self) -> dict[str, str]:
        return {"method": self.name, **{key: _entry(getattr(self.codes, key, None)) for key in self.keys}}

    def draw(self, colorizer: PhotoColorizer, photo: Photo) -> Chart:
        """Draw the samples, labelled; ``seed`` is that of the first code drawn, later codes count up."""
        from cinn_colorize.methods.contact_sheet import Chart, contact_sheet

        conditioned = colorizer.condition(photo)
        shapes = conditioned.latent_shapes
        self.codes.check(shapes)
        codes, labels = self.codes.codes(LatentSource(colorizer, shapes, self.temperature), self.seed)
        pictures = _pictures(photo, conditioned.decode(codes), self.rendering)
        columns = self.codes.number if isinstance(self.codes, Interpolated) else None
        sheet = contact_sheet(list(zip(pictures, labels, strict=True)), columns)
        return Chart(sheet, colorizer.recipe(self.drawn, self.rendering, photo), codes, photo.mode)


def _check_number(number: int | None, least: int, most: int) -> None:
    if not least <= (number or 0) <= most:
        raise ValueError(f"the number of codes must be from {least} to {most}, not {number}")


def _entry(value: Path | int | tuple[Path | int, ...] | None) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_entry, value))
    if isinstance(value, Path):
        return sha256_of(value, LatentError)
    return "" if value is None else str(value)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[1 - _LONGEST // 2 :]}"


def _parse_number(text: str) -> int | None:
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{text!r:.80} is not a number")
    return int(text) if text else None


def _pictures(photo: Photo, colours: Iterable[Floats], rendering: Rendering) -> Iterator[PIL.Image.Image]:
    """Render raw samples, each ab (2, h, w), under the photo's L."""
    from cinn_colorize.imaging.upsampling import GUIDE_SCALE, Upsampler
    from cinn_colorize.methods.samples import check_colors

    small = photo.small(_GRID_TILE)
    for ab in colours:
        check_colors(photo.name, ab)
        guide = small.luminance(GUIDE_SCALE * ab.shape[1], GUIDE_SCALE * ab.shape[2])
        upsampler = Upsampler(ab, guide, small.inside.size, rendering.upsampling)
        (picture,) = small.compose([upsampler])
        yield picture.thumbnail(_GRID_TILE)
