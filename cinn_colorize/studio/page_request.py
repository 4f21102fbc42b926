"""What a page asks for: a photo and how to draw it, in the words of the command line and of recipes."""

import base64
import io
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cinn_colorize.files.formats import own_suffix, written_suffix
from cinn_colorize.imaging.options import Rendering, check_seeds, parse_number, parse_seed
from cinn_colorize.methods.hints import Hint, parse_hints
from cinn_colorize.models.registry import MAX_GUIDANCE, ModelInfo
from cinn_colorize.request import MixRequest, Request, SampleRequest, TransferRequest, words
from cinn_colorize.studio.library import Item, Shelf

if TYPE_CHECKING:
    import PIL.Image

SIZES = {"small": 480, "large": 1600, "full": 0}  # longer side of pictures on the page; 0 for the photo's
Row = Mapping[str, str]  # a line of a table of shots, by its columns
TYPICAL = "typical"  # instead of a seed: that of the picture which the command line gives
_PARSERS: dict[str, Callable[[str], object]] = {
    "seed": lambda text: None if text == TYPICAL else parse_seed(text),
    "hints": parse_hints,
    "guidance": partial(parse_number, "guidance", largest=MAX_GUIDANCE),
    "outside": parse_seed,
    "strength": partial(parse_number, "strength", largest=1),
}


@dataclass(frozen=True)
class PageRequest:
    """A photo and how to draw it, as options of the command line say it; files are known by their ids."""

    photo: str = ""
    seed: int | None = 0  # of the first sample; None for the most typical of several
    temperature: str = ""  # empty for the default
    frame: str = "auto"
    hints: tuple[Hint, ...] = ()
    guidance: float | None = None  # None for the default
    mask: str = ""  # which joins two samples, seed inside and outside outside; or empty
    outside: int = 0
    reference: str = ""  # the photo whose colours are transferred; or empty
    strength: float | None = None  # None for the default
    rendering: Rendering = Rendering()

    @classmethod
    def parse(cls, values: Mapping[str, object], seed: int | None = 0) -> Self:
        """Read what a page or a query says; the values are text, as on the command line.

        Those that are missing or empty have their defaults, ``seed`` that of the seed. What is out of range,
        and ways to draw that exclude each other, are a ValueError.
        """
        if None in values.values():
            raise ValueError(f"{min(key for key in values if values[key] is None):.80} is null; leave it out")
        given = {key: str(value) for key, value in values.items() if value != ""}
        if sum(key in given for key in ("hints", "mask", "reference")) > 1:
            raise ValueError("hints, mask and reference exclude each other")
        names = [field.name for field in fields(cls) if field.name in given and field.name != "rendering"]
        read: dict[str, Any] = {name: _PARSERS.get(name, str)(given[name]) for name in names}
        asked = cls(**{"seed": seed, **read}, rendering=Rendering.from_entries(given))
        check_seeds(asked.seed or 0, 64)
        return asked

    def request(self, library: Shelf, name: Callable[[Item], str | Path] = lambda item: item.path) -> Request:
        """Return what makes the pictures; ``name`` returns the path of a file."""
        shared: dict[str, Any] = {"rendering": self.rendering, "frame": self.frame}
        if self.temperature:
            shared["temperature"] = self.temperature
        if self.mask:
            mask = Path(name(library[self.mask]))
            return MixRequest(seeds=f"{self.seed or 0},{self.outside}", mask=mask, **shared)
        if self.reference:
            reference = Path(name(library[self.reference]))
            seed = self.seed or 0
            return TransferRequest(reference=reference, strength=self.strength, seed=seed, **shared)
        return SampleRequest(seed=self.seed, hint=self.hints or None, **shared)

    def items(self, library: Shelf) -> list[Item]:
        """Return the files that it names; one that is no longer there is a ForgottenError."""
        return [library[key] for key in (self.photo, self.mask, self.reference) if key]

    def others(self, library: Shelf) -> list[Item]:
        """Return the files made here that the picture requires: a mask, or a picture as a reference."""
        items = [library[key] for key in (self.mask, self.reference) if key]
        return [item for item in items if item.made]

    def name(self, library: Shelf, seed: int) -> str:
        """Return the file name that the command line would give the picture of a seed."""
        item = library[self.photo]
        photo, suffix = Path(item.name), written_suffix(own_suffix(item.path))
        if self.mask:
            return f"{photo.stem}_mix_{seed:03d}_{self.outside:03d}{suffix}"
        like = f"like_{Path(library[self.reference].name).stem}_" if self.reference else ""
        return f"{photo.stem}_{like}{seed:03d}{suffix}"

    def command(self, library: Shelf, info: ModelInfo, network: Sequence[str]) -> str:
        """Return the shell command that makes the same picture, with the words that choose the network."""
        request = self.request(library, lambda item: argument(item.name))
        arguments, more = [argument(library[self.photo].name)], list[str]()
        if isinstance(request, MixRequest):
            more = ["--no-sheet"]
        elif isinstance(request, TransferRequest):
            arguments.insert(0, str(request.reference))
        options = [*more, *words(request.at(request.method(info).temperature))]
        if self.guidance not in (None, info.guidance_of(None)):
            options += ["--guidance", repr(self.guidance)]
        return shell_command(request.command, *arguments, *options, *network)


def rows_of(asked: Mapping[str, Any]) -> list[Row]:
    """Return the shots of a film that a page names."""
    shots = asked.get("shots", [])
    if not (isinstance(shots, list) and all(isinstance(shot, dict) for shot in shots)):
        raise ValueError("shots must be a list of objects")
    return [{name: str(value) for name, value in shot.items()} for shot in shots]


def shell_command(*words: str) -> str:
    """Return a command of this program for a shell."""
    return " ".join(map(_quoted, ["cinn-colorize", *words]))


def data_url(picture: "PIL.Image.Image") -> str:
    """Return a picture as a JPEG in a URL."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _quoted(word: str) -> str:
    """Quote a word for a shell; one that is not UTF-8 by its bytes, since a page cannot copy them."""
    content = os.fsencode(word)
    try:
        return shlex.quote(content.decode("utf-8"))
    except UnicodeDecodeError:
        return "$'" + "".join(f"\\x{byte:02x}" for byte in content) + "'"


def argument(name: str | Path) -> str:
    """Return the name of a file for a shell, which must not be taken for an option or a list."""
    return str(name) if str(name)[0] not in "-@" else os.path.join(".", name)  # noqa: PTH118
