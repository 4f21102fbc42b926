"""What makes the pictures of a photo: one request, whoever asks.

The command line lists the fields of a request as options, the library and the pages of the studio fill them,
and recipes keep what they come to (:mod:`cinn_colorize.methods.recipe`). Each option is declared here, or in
:mod:`cinn_colorize.imaging.options`, and nowhere else. Light: imports neither torch nor typer.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from cinn_colorize.imaging.options import (
    DRAWING,
    MAX_PIXELS,
    TYPICAL_OF,
    Box,
    HintReach,
    Rank,
    Rendering,
    Upsampling,
    check_seeds,
    flags_of,
    option,
    parse_frame,
    parse_seed,
    parse_time,
    seeds_from,
    whole_number,
)
from cinn_colorize.latents.levels import (
    MAX_TEMPERATURE,
    PerLevel,
    SomeLevels,
    format_levels,
    parse_noise,
    parse_temperature,
    short_levels,
    transfer_noise,
)
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.hints import Hinted, HintLike, parse_hints
from cinn_colorize.methods.mix import Mix, mask_of
from cinn_colorize.methods.sample import Sampling, Variation
from cinn_colorize.methods.transfer import TEMPERATURE, Transfer
from cinn_colorize.models.registry import DEFAULT, MAX_GUIDANCE, MODELS, ModelInfo

_DEFAULT = MODELS[DEFAULT]
LEVELS = (  # for the help, where LEVEL occurs
    f"LEVEL is a resolution of the latent code: {', '.join(map(str, _DEFAULT.levels[:-1]))} or "
    f"{_DEFAULT.levels[-1]}."
)
Progress = Callable[[int, int], None] | None

_SEED = "Seed of the first sample; later samples count up from it."
_TYPICAL = f"0; with -n 1, the most typical of 0 to {TYPICAL_OF - 1}; with --like, the one after it"
_LIKE = "Draw samples like the one with this seed: its colours varied a little, details drawn anew."
_RANK = "Sort the samples, in the sheet too: the most typical first, or the likeliest."
_PICK = "Keep only K of the N samples: typical but different ones or, by --rank log-prob, the likeliest."
_HINT = (
    "Colour wanted at a pixel of the photo: #a02832, #a23 or red, say; SIZE 2 grows the thing there, 0.5 "
    "shrinks it. May be repeated."
)
_STROKES = "Picture of the colours wanted, painted over the photo on a transparent layer."
_REACH = "What hints recolour: only the things that they lie on, or the mood of the whole photo too."
_VERSION = "Seed of the first version; later versions count up from it."
_TYPICAL_VERSION = f"0; with -n 1, of 0 to {TYPICAL_OF - 1}, the most typical over all shots"
_NOISE = f"Temperature of the noise, 0 to {MAX_TEMPERATURE:g}; 32:0.6,16:0.7 sets it by level. {LEVELS}"
_MIXED = "Seeds or results inside and outside the mask."
_MASK = "Picture that is white inside and black outside, or a pixel of the thing inside."


def temperature_option() -> Any:
    """Declare the temperature of samples."""
    help = (
        f"Temperature, 0 to {MAX_TEMPERATURE:g}: 0 draws the safest colours, 1 the model's full "
        f"variety. 32:0.6,16:0.7 sets it by level, 1:0.8 for the mood of the whole. {LEVELS}"
    )
    default = short_levels(_DEFAULT.temperature)
    return option(
        None, "T|LEVEL:T,...", help, "-t --temperature", panel=DRAWING, kind=str, show_default=default
    )


def seed_option(help: str = _SEED) -> Any:
    """Declare a seed that has a default."""
    return option(0, "SEED", help, "-s --seed", panel=DRAWING, min=0)


def frame_option() -> Any:
    """Declare the frame of a scan."""
    help = (
        "Frame of a scan, which stays gray: found if there is one; none; or left, top, right and bottom "
        "of the picture inside, in pixels."
    )
    settings: dict[str, Any] = {"kind": str, "parse": lambda text: str(parse_frame(text.lower()))}
    return option("auto", "auto|none|L,T,R,B", help, panel=DRAWING, **settings)


def pages_option() -> Any:
    """Declare the pages of a TIFF."""
    help = "Pages of a TIFF; several are written to one TIFF. Other files have a single page."
    return option(None, "all|N|A-B|A-", help, panel=DRAWING, show_default="1")


def guidance_option() -> Any:
    """Declare the guidance of the network."""
    help = (
        f"How closely samples follow the photo, 0 to {MAX_GUIDANCE:g}: 0 is the distribution as it was "
        "learnt; more gives objects clearer colours."
    )
    default = f"{_DEFAULT.guidance_of(None):g}"
    return option(None, "G", help, panel=DRAWING, show_default=default)


class Request(ABC):
    """What makes the pictures of a photo; the fields are options, whose helps tell what they are."""

    command: ClassVar[str]  # that takes such requests
    panel: ClassVar[str] = DRAWING

    temperature: SomeLevels | None  # None for the default
    rendering: Rendering
    frame: str | Iterable[int] | Box  # see :meth:`Photo.framed`

    def at(self, temperature: SomeLevels) -> Self:
        """Return the request at another temperature."""
        return replace(self, temperature=temperature)  # type: ignore[type-var]

    @abstractmethod
    def method(
        self, info: ModelInfo, max_pixels: int = MAX_PIXELS, progress: Progress = None
    ) -> SampleMethod:
        """Return what draws the pictures with a model; files beside photos have up to ``max_pixels``.

        A TypeError if a value is of a wrong type, a ValueError if one is out of range, or excludes another.
        """


@dataclass(frozen=True, kw_only=True)
class SampleRequest(Request):
    """Samples of a photo."""

    command: ClassVar[str] = "colorize"

    number: int = option(1, "N", "Number of samples per photo.", "-n --number", min=1)
    temperature: SomeLevels | None = temperature_option()
    seed: int | None = option(None, "SEED", _SEED, "-s --seed", min=0, show_default=_TYPICAL)
    rendering: Rendering = Rendering()
    frame: str | Iterable[int] | Box = frame_option()
    pages: str | None = pages_option()
    like: int | None = option(None, "SEED", _LIKE, min=0, show_default=False)
    rank: Rank | None = option(None, None, _RANK, show_default="by seed")
    pick: int | None = option(None, "K", _PICK, min=1)
    hint: str | Iterable[HintLike] | None = option(
        None, "X,Y,COLOR[,SIZE]", _HINT, kind=list[str], show_default=False
    )
    strokes: str | os.PathLike[str] | None = option(
        None, "FILE", _STROKES, "--hints", kind=Path, show_default=False
    )
    hint_reach: HintReach = option(HintReach.thing, None, _REACH)

    @property
    def is_hinted(self) -> bool:
        """Whether samples follow hints."""
        return bool(self.hint) or self.strokes is not None

    def method(
        self, info: ModelInfo, max_pixels: int = MAX_PIXELS, progress: Progress = None
    ) -> SampleMethod:
        """See :meth:`Request.method`; without a seed, one sample is the most typical of several."""
        like, seed = self.like, self.seed
        if like is not None:
            like = whole_number(like, "like", 0)
            check_seeds(like, 1)
            seed = like + 1 if seed is None else seed
        seeds = seeds_from(seed or 0, self.number)
        n = len(seeds)
        kept = None if self.pick is None else whole_number(self.pick, "pick", 1)
        if kept and kept > n:
            raise ValueError(f"pick must be at most n, {n}, not {kept}")
        is_typical = n == 1 and seed is None
        points, strokes = parse_hints(() if self.hint is None else self.hint), self.strokes
        if not (strokes is None or isinstance(strokes, str | os.PathLike)):
            raise TypeError(f"strokes must be the path of a picture, not {type(strokes).__name__}")
        drawn: dict[str, Any] = {
            "number": TYPICAL_OF if is_typical else n,
            "seed": seeds[0],
            "temperature": parse_temperature(self.temperature, info.levels, info.temperature),
            "rendering": self.rendering,
        }
        if points or strokes is not None:
            if self.rank or kept or like is not None:
                raise ValueError("hints exclude like and pick; leave these out")
            if self.rendering.white_balance:  # which would change their colours
                raise ValueError("hints exclude white balance; leave it out")
            painted = None if strokes is None else Path(strokes)
            return Hinted(points, painted, self.hint_reach, first=is_typical, progress=progress, **drawn)
        if like is not None:
            return Variation(self.rank, kept, like=like, fresh=transfer_noise(info.levels), **drawn)
        return Sampling(self.rank, 1 if is_typical else kept, **drawn)


@dataclass(frozen=True)
class FilmRendering(Rendering):
    """How samples become frames; of upsampling, films have one way."""

    upsampling: Upsampling = Upsampling.jbu


@dataclass(frozen=True, kw_only=True)
class FilmRequest(Request):
    """Samples of a film."""

    command: ClassVar[str] = "film"

    number: int = option(1, "N", "Number of versions of each film.", "-n --number", min=1)
    temperature: SomeLevels | None = temperature_option()
    seed: int | None = option(None, "SEED", _VERSION, "-s --seed", min=0, show_default=_TYPICAL_VERSION)
    rendering: FilmRendering = FilmRendering()
    frame: str = "auto"
    pick: int | None = option(None, "K", "Keep only K of the N versions, typical but different ones.", min=1)
    start: float | None = option(
        None, "TIME", "Begin there: seconds, M:S or H:M:S.", "--from", kind=str, parse=parse_time
    )
    end: float | None = option(None, "TIME", "End there.", "--to", kind=str, parse=parse_time)
    shots: Path | None = option(None, "FILE", "Table of shots, as --sheet writes it, edited.")

    def method(
        self, info: ModelInfo, max_pixels: int = MAX_PIXELS, progress: Progress = None
    ) -> SampleMethod:
        """See :meth:`Request.method`; without a seed, one version is the most typical of several."""
        drawn = {name: getattr(self, name) for name in ("number", "temperature", "seed", "rendering", "pick")}
        return SampleRequest(**drawn).method(info)


@dataclass(frozen=True, kw_only=True)
class TransferRequest(Request):
    """A photo in the colours of another."""

    command: ClassVar[str] = "transfer"

    reference: Path = Path()
    number: int = option(1, "N", "Number of variants per photo.", "-n --number", min=1)
    strength: float | None = option(
        None, "S", "Share of REF's code in all levels, 0 to 1; the rest is noise.", min=0, max=1
    )
    levels: str | None = option(
        None,
        "S|LEVEL:S,...",
        "Share of noise by level, 0 to 1, instead of --strength.",
        show_default=short_levels(transfer_noise(_DEFAULT.levels)),
    )
    temperature: SomeLevels | None = option(
        f"{TEMPERATURE:g}", "T|LEVEL:T,...", _NOISE, "-t --temperature", kind=str
    )
    seed: int = seed_option()
    rendering: Rendering = Rendering()
    frame: str | Iterable[int] | Box = frame_option()
    pages: str | None = pages_option()

    def method(self, info: ModelInfo, max_pixels: int = MAX_PIXELS, progress: Progress = None) -> Transfer:
        """See :meth:`Request.method`."""
        noise: PerLevel = transfer_noise(info.levels) if self.strength is None else 1 - self.strength
        noise = parse_noise(self.levels, info.levels, noise)
        return Transfer(
            self.reference,
            noise,
            max_pixels,
            number=self.number,
            seed=self.seed,
            temperature=parse_temperature(self.temperature, info.levels, TEMPERATURE),
            rendering=self.rendering,
        )


@dataclass(frozen=True, kw_only=True)
class MixRequest(Request):
    """Two samples or results of a photo joined by a mask."""

    command: ClassVar[str] = "mix"

    seeds: str = option(..., "A,B", _MIXED, "--of --seeds", show_default=False)
    mask: Path = option(..., "MASK|X,Y", _MASK, show_default=False)
    temperature: SomeLevels | None = temperature_option()
    rendering: Rendering = Rendering()
    frame: str | Iterable[int] | Box = frame_option()
    others: tuple[Path, ...] = ()  # files that the results were made with

    @property
    def both(self) -> list[int | Path]:
        """The seeds or results inside and outside; ValueError if they are not a pair."""
        names = [name.strip() for name in self.seeds.split(",")]
        if len(names) != 2:
            raise ValueError(f"{self.seeds!r} is not a pair of seeds such as 3,7, or of results")
        return [parse_seed(name) if name.isdecimal() else Path(name) for name in names]

    def method(self, info: ModelInfo, max_pixels: int = MAX_PIXELS, progress: Progress = None) -> Mix:
        """See :meth:`Request.method`; PhotoError if a result cannot be drawn again."""
        from cinn_colorize.methods.recipe import part_at

        temperature = parse_temperature(self.temperature, info.levels, info.temperature)
        drawn = partial(Sampling, temperature=temperature)
        part = partial(part_at, others=self.others, max_pixels=max_pixels)
        one, other = parts = [drawn(seed=k) if isinstance(k, int) else part(k) for k in self.both]
        of = () if all(isinstance(k, int) for k in self.both) else tuple(parts)
        mix = Mix(mask_of(str(self.mask)), other.seed, max_pixels, of, tuple(self.both))
        return replace(mix, seed=one.seed, temperature=one.temperature, rendering=self.rendering)


def shared_entries(
    model: str, weights: str, precision: str, guidance: float, drawn: Mapping[str, str], rendering: Rendering
) -> dict[str, str]:
    """Return what the recipes of all results of a call say alike, whatever the photo; manifests say the same.

    ``weights`` is the SHA-256 of the file; ``drawn`` is what says how samples are drawn.
    """
    guided = {"guidance": repr(guidance)} if guidance else {}
    network = {"precision": precision, **guided}
    return {"model": model, "weights": weights, **drawn, **network, **rendering.entries()}


def words(group: Any, without: Sequence[str] = ()) -> list[str]:
    """Return the options of a dataclass as words of a command line, without some and those at defaults."""
    found: list[str] = []
    for declared in fields(group):
        value = getattr(group, declared.name)
        if declared.name in without:
            continue
        if is_dataclass(value):
            found += words(value, without)
        elif "flags" in declared.metadata and value is not None and value != declared.default:
            flag = flags_of(declared)[-1]
            if isinstance(value, bool):
                found.append(flag)
            else:
                value = format_levels(value) if isinstance(value, Mapping) else value
                values = value if isinstance(value, tuple | list) else [value]
                found += [word for each in values for word in (flag, str(each))]
    return found
