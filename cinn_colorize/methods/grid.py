"""Grids of raw samples: drawn, loaded, interpolated, or with one level of their code redrawn."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from cinn_colorize.errors import LatentError
from cinn_colorize.files.messages import counted, printable_name
from cinn_colorize.imaging.options import Rendering, Upsampling, parse_seed
from cinn_colorize.latents.levels import PerLevel, check_level, format_levels
from cinn_colorize.methods.base import Files, Method, sha256_of

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from cinn_colorize.imaging.photo import Photo
    from cinn_colorize.latents.latent import Latent
    from cinn_colorize.latents.noise import Shapes
    from cinn_colorize.methods.base import PhotoColorizer
    from cinn_colorize.methods.contact_sheet import Chart

log = logging.getLogger(__name__)

_TILE = 160  # pixels on the longer side of a sample
MOST = 1024  # samples
_MOST_OF_A_SIDE = 32
_LONGEST = 24  # characters of a name in a label
RENDERING = Rendering(upsampling=Upsampling.bicubic)  # stretched to the photo, regardless of its edges


@dataclass(frozen=True)
class Grid(Method):
    """Grid of raw samples.

    Attributes:
        number: number of samples; with ``between``, of steps including both ends, along each side between
            four codes. None for all codes of a file.
        load: file of codes to show.
        between: two ends of an interpolation, or four corners row by row: seeds, or files whose first code is
            used.
        vary: level that is redrawn for each sample except the first.
    """

    number: int | None
    load: Path | None = None
    between: tuple[int | Path, ...] = ()
    vary: int | None = None

    name: ClassVar[str] = "grid"
    keys: ClassVar[Mapping[str, str]] = {
        "number": "number",
        "load": "codes",
        "between": "codes at the ends",
        "vary": "varied level",
    }
    files: ClassVar[Mapping[str, str]] = {"load": "file of codes", "between": "file of codes"}

    @classmethod
    def from_recipe(
        cls, entries: Mapping[str, str], files: Files, levels: Iterable[int], max_pixels: int
    ) -> Self:
        """See :meth:`Method.from_recipe`."""
        ends = entries["between"].split(",") if entries["between"] else []
        grid = cls(
            number=_parse_number(entries["number"]),
            load=files[entries["load"]] if entries["load"] else None,
            between=tuple(files[end] if end in files else parse_seed(end) for end in ends),
            vary=_parse_number(entries["vary"]),
        )
        grid.check(levels)
        return grid

    def check(self, levels: Iterable[int]) -> None:
        """Refuse parameters that contradict each other, or would take forever.

        Args:
            levels: levels of the model's latent code.

        Raises:
            ValueError: they do.
        """
        if self.between and len(self.between) not in (2, 4):
            raise ValueError(f"an interpolation takes two or four codes, not {len(self.between)}")
        if self.between and (self.vary is not None or self.load):
            raise ValueError("an interpolation takes neither a file of codes nor a level to vary")
        if self.vary is not None:
            check_level(self.vary, levels)
        least = 2 if self.between or self.vary is not None else 1
        most = _MOST_OF_A_SIDE if len(self.between) == 4 else MOST
        needed = self.load is None or self.vary is not None
        if not (self.number is None and not needed) and not least <= (self.number or 0) <= most:
            raise ValueError(f"the number of codes must be from {least} to {most}, not {self.number}")

    def draw(
        self,
        colorizer: PhotoColorizer,
        photo: Photo,
        temperature: PerLevel,
        seed: int,
        rendering: Rendering,
    ) -> Chart:
        """Draw the samples in a labelled grid.

        Args:
            colorizer: colorizer that draws.
            photo: photo to colorize.
            temperature: temperature of the codes drawn.
            seed: seed of the first code drawn; later codes count up from it.
            rendering: rendering of grids, :data:`RENDERING`.

        Raises:
            LatentError: a file cannot be used.
            ValueError: a parameter is out of its range.
        """
        from cinn_colorize.methods.contact_sheet import Chart, contact_sheet

        conditioned = colorizer.condition(photo)
        codes, labels = self.codes(colorizer, conditioned.latent_shapes, temperature, seed)
        pictures = _pictures(photo, conditioned.decode(codes), rendering)
        columns = self.number if self.between else None
        drawn = {
            "method": self.name,
            "number": "" if self.number is None else str(self.number),
            "load": sha256_of(self.load, LatentError) if self.load else "",
            "between": ",".join(
                sha256_of(end, LatentError) if isinstance(end, Path) else str(end) for end in self.between
            ),
            "vary": "" if self.vary is None else str(self.vary),
            "seed": str(seed),
            "temperature": format_levels(temperature),
        }
        recipe = colorizer.recipe(drawn, rendering, photo)
        sheet = contact_sheet(list(zip(pictures, labels, strict=True)), columns)
        return Chart(sheet, recipe, codes, photo.mode)

    def codes(
        self, colorizer: PhotoColorizer, shapes: Shapes, temperature: PerLevel, seed: int
    ) -> tuple[Latent, list[str]]:
        """Return the codes, and a label for each.

        Raises:
            LatentError: a file cannot be used.
            ValueError: a parameter is out of its range.
        """
        from cinn_colorize.latents.latent import Latent

        self.check(shapes)

        def load(path: Path) -> Latent:
            codes, made_with = Latent.load(path, colorizer.info.name, shapes)
            if made_with != colorizer.sha256:
                log.warning(f"{printable_name(path)}: made with other weights, so the colours will differ")
            return codes

        def draw(first: int, number: int = 1) -> Latent:
            return Latent.draw(shapes, range(first, first + number), temperature)

        if self.between:
            return self._between(
                [load(end)[:1] if isinstance(end, Path) else draw(end) for end in self.between]
            )
        if self.load:
            codes = load(self.load)
            if self.vary is None and self.number and self.number > len(codes):
                has = counted(len(codes), "code")
                log.warning(f"{printable_name(self.load)}: has {has}, not {self.number}")
            codes = codes[: self.number]
            if len(codes) > MOST:
                name = printable_name(self.load)
                raise LatentError(f"{name}: has {len(codes)} codes; choose up to {MOST} with -n")
            labels = [f"code {k + 1}" for k in range(len(codes))]
        else:
            assert self.number is not None, "drawn codes require a number"
            codes = draw(seed, self.number)
            labels = [f"seed {seed + k}" for k in range(self.number)]
        if self.vary is None:
            return codes, labels
        assert self.number is not None, "variations require a number"
        # A drawn code uses the first seed itself; a loaded one leaves it to the variations.
        first = seed + (self.load is None)
        varied = codes[:1].expand(self.number - 1).replace([self.vary], draw(first, self.number - 1))
        labels = [labels[0], *(f"level {self.vary}: seed {first + k}" for k in range(self.number - 1))]
        return Latent.join([codes[:1], varied]), labels

    def _between(self, ends: list[Latent]) -> tuple[Latent, list[str]]:
        from cinn_colorize.latents.latent import Latent

        assert self.number is not None, "steps require a number"
        steps = [k / (self.number - 1) for k in range(self.number)]
        names = [_short(end.stem) if isinstance(end, Path) else f"seed {end}" for end in self.between]
        if len(ends) == 2:
            labels = [names[0], *(f"{t:.2f}" for t in steps[1:-1]), names[1]]
            return Latent.join([ends[0].interpolated(ends[1], t) for t in steps]), labels
        rows = [[ends[i].interpolated(ends[i + 2], t) for t in steps] for i in (0, 1)]
        codes = [left.interpolated(right, t) for left, right in zip(*rows, strict=True) for t in steps]
        labels = [f"{row:.2f}, {column:.2f}" for row in steps for column in steps]
        for place, name in zip((0, self.number - 1, -self.number, -1), names, strict=True):
            labels[place] = name
        return Latent.join(codes), labels


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[1 - _LONGEST // 2 :]}"


def _parse_number(text: str) -> int | None:
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{text!r:.80} is not a number")
    return int(text) if text else None


def _pictures(
    photo: Photo, colours: Iterable[NDArray[np.float32]], rendering: Rendering
) -> Iterator[PIL.Image.Image]:
    """Render raw samples, each ab (2, h, w), under the photo's L."""
    from cinn_colorize.imaging.upsampling import GUIDE_SCALE, Upsampler

    small = photo.small(_TILE)
    for ab in colours:
        guide = small.luminance(GUIDE_SCALE * ab.shape[1], GUIDE_SCALE * ab.shape[2])
        upsampler = Upsampler(ab, guide, small.inside.size, rendering.upsampling)
        (picture,) = small.compose([upsampler])
        yield picture.thumbnail(_TILE)
