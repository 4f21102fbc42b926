"""What a page asks for: a photo and how to draw it, in the words of the command line and of recipes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cinn_colorize.files.formats import own_suffix, written_suffix
from cinn_colorize.imaging.options import Rendering, check_seeds, parse_number, parse_seed
from cinn_colorize.latents.levels import PerLevel, format_levels, parse_temperature
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.hint import Hint, parse_hints
from cinn_colorize.methods.hints import Hinted
from cinn_colorize.methods.mix import Mix
from cinn_colorize.methods.sample import Sampling
from cinn_colorize.methods.transfer import TEMPERATURE, Transfer
from cinn_colorize.models.registry import MAX_GUIDANCE, ModelInfo
from cinn_colorize.studio.library import Item, Library

SIZES = {"small": 480, "large": 1600, "full": 0}  # longer side of pictures on the page; 0 for the photo's


@dataclass(frozen=True)
class Wish:
    """A photo and how to draw it.

    Attributes:
        photo: id of the photo.
        frame: see :meth:`Photo.framed`.
        seed: seed of the first sample.
        temperature: temperature as ``--temperature`` takes it; empty for the default.
        guidance: see :class:`Colorizer`; None for the default.
        hints: hints that the samples follow.
        mask: id of the mask that joins two samples, ``seed`` inside and ``outside`` outside; or empty.
        outside: seed of the sample outside the mask.
        reference: id of the photo whose colours are transferred; or empty.
        strength: see ``transfer --strength``; None for the default.
        rendering: how samples become pictures.
    """

    photo: str = ""
    frame: str = "auto"
    seed: int = 0
    temperature: str = ""
    guidance: float | None = None
    hints: tuple[Hint, ...] = ()
    mask: str = ""
    outside: int = 0
    reference: str = ""
    strength: float | None = None
    rendering: Rendering = Rendering()

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """Read what a page or a query says; the values are text, as on the command line.

        Raises:
            ValueError: a value is out of range, or ways to draw that exclude each other are asked for.
        """
        if None in values.values():
            raise ValueError(f"{min(key for key in values if values[key] is None):.80} is null; leave it out")
        given = {key: str(value) for key, value in values.items() if value != ""}
        if sum(key in given for key in ("hints", "mask", "reference")) > 1:
            raise ValueError("hints, mask and reference exclude each other")
        seed = parse_seed(given.get("seed", "0"))
        check_seeds(seed, 64)

        def number(name: str, largest: float) -> float | None:
            return parse_number(name, given[name], largest) if name in given else None

        return cls(
            photo=given.get("photo", ""),
            frame=given.get("frame", "auto"),
            seed=seed,
            temperature=given.get("temperature", ""),
            guidance=number("guidance", MAX_GUIDANCE),
            hints=parse_hints(given.get("hints", "")),
            mask=given.get("mask", ""),
            outside=parse_seed(given.get("outside", "0")),
            reference=given.get("reference", ""),
            strength=number("strength", 1),
            rendering=Rendering.from_entries(given),
        )

    def temperatures(self, info: ModelInfo) -> PerLevel:
        """Return the temperature by level.

        Raises:
            ValueError: it cannot be parsed, or is out of range.
        """
        default = TEMPERATURE if self.reference else info.temperature
        return parse_temperature(self.temperature or None, info.levels, default)

    def method(self, library: Library, max_pixels: int) -> SampleMethod:
        """Return the method that draws.

        Args:
            library: where the files are known.
            max_pixels: largest mask or reference accepted, in pixels.

        Raises:
            PhotoError: the mask or the reference is no longer there.
        """
        if self.hints:
            return Hinted(self.hints)
        if self.mask:
            return Mix(library[self.mask].path, self.outside, max_pixels)
        if self.reference:
            noise = None if self.strength is None else 1 - self.strength
            return Transfer(library[self.reference].path, noise, max_pixels)
        return Sampling()

    def name(self, library: Library) -> str:
        """Return the file name that the command line would give the picture."""
        item = library[self.photo]
        photo, suffix = Path(item.name), written_suffix(own_suffix(item.path))
        if self.mask:
            return f"{photo.stem}_mix_{self.seed:03d}_{self.outside:03d}{suffix}"
        like = f"like_{Path(library[self.reference].name).stem}_" if self.reference else ""
        return f"{photo.stem}_{like}{self.seed:03d}{suffix}"

    def command(self, library: Library, info: ModelInfo, network: Sequence[str]) -> str:
        """Return the shell command that makes the same picture.

        Args:
            library: where the files are known.
            info: the model.
            network: options that say which network draws, without guidance.
        """
        photo = _argument(library[self.photo])
        temperature = ["-t", format_levels(self.temperatures(info))]
        seed = ["--seed", str(self.seed)]
        if self.mask:
            seeds, mask = f"{self.seed},{self.outside}", _argument(library[self.mask])
            words = ["mix", photo, "--seeds", seeds, "--mask", mask, *temperature, "--no-sheet"]
        elif self.reference:
            strength = [] if self.strength is None else ["--strength", repr(self.strength)]
            words = ["transfer", _argument(library[self.reference]), photo, *seed, *temperature, *strength]
        else:
            hints = [word for hint in self.hints for word in ("--hint", str(hint))]
            engine = ["--engine", "torch"]  # the studio's own, which encodes too
            words = ["colorize", photo, *engine, *seed, *temperature, *hints]
        if self.frame != "auto":
            words += ["--frame", self.frame]
        for name, value in self.rendering.entries().items():
            if value != Rendering().entries().get(name):
                words += [f"--{name}", value]
        if self.guidance not in (None, info.guidance_of(None)):
            words += ["--guidance", repr(self.guidance)]
        return " ".join(map(_quoted, ["cinn-colorize", *words, *network]))


def _quoted(word: str) -> str:
    """Quote a word for a shell; one that is not UTF-8 by its bytes, since a page cannot copy them."""
    content = os.fsencode(word)
    try:
        return shlex.quote(content.decode("utf-8"))
    except UnicodeDecodeError:
        return "$'" + "".join(f"\\x{byte:02x}" for byte in content) + "'"


def _argument(item: Item) -> str:
    """Return the name of a file for a shell, which must not be taken for an option or a list."""
    return item.name if item.name[0] not in "-@" else os.path.join(".", item.name)  # noqa: PTH118
