"""What the studio draws, and what it keeps of each open photo. All of it runs in one thread."""

from __future__ import annotations

import base64
import io
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import PIL.Image

from cinn_colorize.colorizer import Colorizer, ConditionedPhoto, PhotoLike
from cinn_colorize.engines.interface import NetworkInput
from cinn_colorize.errors import ExistsError, PhotoError
from cinn_colorize.files.atomic import mode_like, writing
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.imaging import color
from cinn_colorize.imaging.options import TYPICAL_OF, Encoding, Rendering
from cinn_colorize.imaging.photo import Photo, open_photo
from cinn_colorize.latents.noise import Floats
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.differences import differences, recipe_at
from cinn_colorize.methods.ensemble import MEMBERS, ensemble, following
from cinn_colorize.methods.hint import Hint
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.samples import Colorization, Sample, in_file
from cinn_colorize.methods.transfer import TEMPERATURE
from cinn_colorize.models import load_model
from cinn_colorize.models.registry import MAX_GUIDANCE
from cinn_colorize.studio.library import Item, Library
from cinn_colorize.studio.wish import SIZES, Wish

_OPEN = 8  # photos kept conditioned
_KEPT = 256  # samples kept of each
_ALIKE = 9.0  # ab that differ by less are one colour of the palette
_MOST_COLORS = 8


class _Remembering(Colorizer):
    """A colorizer that conditions each open photo once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._known: WeakKeyDictionary[Photo, ConditionedPhoto] = WeakKeyDictionary()

    def condition(self, photo: PhotoLike | NetworkInput) -> ConditionedPhoto:
        if not isinstance(photo, Photo):
            return super().condition(photo)
        if photo not in self._known:
            self._known[photo] = super().condition(photo)
        return self._known[photo]


@dataclass(eq=False)
class _Open:
    """An open photo with all that has been computed of it."""

    photo: Photo
    conditioned: ConditionedPhoto
    coming: Iterator[Sample]
    members: list[Floats] = field(default_factory=list)
    small: dict[int, Photo] = field(default_factory=dict)
    samples: OrderedDict[Wish, Sample] = field(default_factory=OrderedDict)
    method: tuple[Wish, SampleMethod] | None = None  # the last one, which may keep an encoded reference

    def shown(self, size: str) -> Photo:
        """Return the photo at a size of the page; a small one is made of a larger one, not of the file."""
        pixels = SIZES[size]
        if not pixels:
            return self.photo
        if pixels not in self.small:
            larger = self.photo if size == "large" else self.shown("large")
            self.small[pixels] = larger.small(pixels)
        return self.small[pixels]


class Studio:
    """Draws what pages wish for.

    Args:
        library: the files that pages may use.
        model: see :class:`Colorizer`, like the other arguments.
        max_pixels: see :func:`open_photo`.
        network: words that choose this network on the command line, without guidance.
    """

    def __init__(
        self,
        library: Library,
        *,
        model: str,
        weights: str | None,
        device: str,
        precision: str,
        guidance: float,
        max_pixels: int,
        network: Sequence[str] = (),
    ) -> None:
        self.library, self.max_pixels, self._network = library, max_pixels, network
        self._options = {"device": device, "precision": precision}
        self._model = load_model(model, weights)
        self._default = guidance
        self._colorizers: dict[float, _Remembering] = {}
        self._open: OrderedDict[tuple[object, ...], _Open] = OrderedDict()
        self.info = self._colorizer(Wish()).info

    def at_once(self, wish: Wish) -> int:
        """Return how many samples take about as long as one, so that they are drawn together."""
        colorizer = self._colorizer(wish)
        sequential = colorizer.network.coarse_size is not None  # an autoregressive level, of eight at a time
        return 8 if wish.hints or sequential or colorizer.device.type != "cpu" else 1

    def facts(self) -> dict[str, object]:
        """Return what a page has to know before it shows a photo."""
        return {
            "model": self.info.name,
            "levels": self.info.levels,
            "temperature": self.info.temperature,
            "transferred": TEMPERATURE,
            "guidance": None if self.info.guidance is None else self._default,
            "max_guidance": MAX_GUIDANCE,
            "members": MEMBERS,
            "given": self.library.given(),
        }

    def describe(self, wish: Wish) -> dict[str, object]:
        """Open a photo and return what a page shows of it at once."""
        item, opened = self.library[wish.photo], self._opened(wish)
        photo = opened.photo
        return {
            "id": item.id,
            "name": item.name,
            "given": item.given,
            "width": photo.width,
            "height": photo.height,
            "frame": str(photo.frame or ""),
            "before": self.before(wish, "large"),
        }

    def before(self, wish: Wish, size: str) -> str:
        """Return the photo as it is, as a data URL."""
        photo = self._opened(wish).photo
        return _url(photo.thumbnail(SIZES[size] or max(photo.width, photo.height)))

    def samples(self, wish: Wish, number: int = 1) -> list[Sample]:
        """Draw samples from ``wish.seed`` on, or return those that have been drawn before."""
        opened = self._opened(wish)
        if wish.hints:
            plain = self.samples(replace(wish, hints=()), number)
            while self.prepare(wish) < MEMBERS:
                pass
            return following(
                plain,
                opened.members,
                HintMap.of(opened.photo, wish.hints, saturation=wish.rendering.saturation),
            )
        wishes = [replace(wish, rendering=Rendering(), seed=wish.seed + k) for k in range(number)]
        if not all(known in opened.samples for known in wishes):
            of_all = replace(wishes[0], seed=0)
            if opened.method is None or opened.method[0] != of_all:
                opened.method = of_all, wish.method(self.library, self.max_pixels)
            drawn = opened.method[1].samples(
                self._colorizer(wish), opened.photo, number, wish.temperatures(self.info), wish.seed
            )
            opened.samples |= zip(wishes, drawn, strict=True)
        found = [opened.samples[known] for known in wishes]
        while len(opened.samples) > max(_KEPT, number):
            opened.samples.popitem(last=False)
        return found

    def typical(self, wish: Wish) -> Wish:
        """Return the wish for the sample that the command line draws where no seed is given."""
        temperature = wish.temperatures(self.info)
        (sample,) = self._opened(wish).conditioned.sample(TYPICAL_OF, temperature, pick=1)
        return replace(wish, seed=sample.seed)

    def pictures(self, wish: Wish, number: int, size: str) -> Iterator[dict[str, object]]:
        """Yield samples as pages show them: seed, log density, and the picture as a data URL."""
        samples, opened = self.samples(wish, number), self._opened(wish)
        photo = opened.shown(size)
        for made in self._colorizer(wish).compose(photo, samples, wish.rendering):
            yield {
                "seed": made.seed,
                "log_prob": made.log_prob,
                "picture": _url(
                    made.picture.thumbnail(max(photo.width, photo.height))
                    if photo is opened.photo
                    else PIL.Image.fromarray(made.rgb)  # 8 bits, sRGB
                ),
            }

    def prepare(self, wish: Wish) -> int:
        """Draw more members of the photo's ensemble, which hints require; return how many there are."""
        opened, number = self._opened(wish), self.at_once(replace(wish, hints=()))
        try:
            opened.members += [member.ab for member in islice(opened.coming, number)]
        except Exception:  # with which the generator has ended
            opened.coming, opened.members = ensemble(opened.conditioned, number), []
            raise
        return len(opened.members)

    def palette(self, wish: Wish, x: int, y: int) -> list[dict[str, object]]:
        """Return the colours that samples have at a pixel, the most frequent first, at the photo's own L.

        Raises:
            PhotoError: the pixel lies outside the photo, or in its frame.
        """
        opened = self._opened(wish)
        hint = HintMap.of(opened.photo, [Hint(x, y, (128, 128, 128))])  # which refuses such pixels
        row, column = np.unravel_index(int(hint.weight.argmax()), hint.weight.shape)
        L = hint.guide[row, column]
        drawn = [*opened.members, *(sample.ab for sample in opened.samples.values())]
        left = np.array([ab[:, row, column] for ab in drawn], np.float32).reshape(-1, 2)
        palette: list[dict[str, object]] = []
        total = len(left)
        while len(left) and len(palette) < _MOST_COLORS:
            near = np.linalg.norm(left[:, None] - left, axis=2) < _ALIKE
            group = near[near.sum(1).argmax()]
            ab = left[group].mean(0).reshape(2, 1, 1)
            rgb = color.compose(np.full((1, 1), L, np.float32), ab, 8)
            palette.append({"color": f"#{rgb.tobytes().hex()}", "share": int(group.sum()) / total})
            left = left[~group]
        return palette

    def make(self, wish: Wish) -> Colorization:
        """Make the picture at the photo's full size and depth, as the command line does."""
        photo, method = self._opened(wish).photo, wish.method(self.library, self.max_pixels)
        (made,) = self._colorizer(wish).compose(photo, self.samples(wish), wish.rendering)
        made.picture.mode &= mode_like(*method.paths)
        return made

    def keep(self, wish: Wish, *, hold: bool = False) -> Item:
        """Make the picture a file of the library, to be sent, or to serve as a reference."""
        item = self.library.new(wish.name(self.library), made=True)
        self.make(wish).save(item.path)
        return self.library.add(item, hold=hold)

    def save(self, wish: Wish) -> list[Path]:
        """Write the picture beside its photo, and what was made here for it; return the paths.

        No file is replaced: a name that is taken gets a number, unless it is this very picture's.

        Raises:
            PhotoError: the photo was not given, or a file cannot be written.
        """
        item, made = self.library[wish.photo], self.make(wish)
        if not item.given:
            raise PhotoError(f"{item.name}: was sent by the page, so its pictures are downloads")
        path = item.path.parent / wish.name(self.library)
        for candidate in _numbered(path):
            try:
                made.save(candidate, overwrite=False)
            except ExistsError:
                found = recipe_at(candidate, self.max_pixels)
                if not found or differences(
                    found, in_file(made.recipe, format_of_name(candidate), Encoding())
                ):
                    continue
            break
        return [candidate, *self._save_others(wish, candidate)]

    def command(self, wish: Wish) -> str:
        """Return the shell command that makes the same picture."""
        wish = replace(wish, guidance=self._guidance(wish))
        return wish.command(self.library, self.info, self._network)

    def others(self, wish: Wish) -> list[Item]:
        """List the files made here that a picture requires: a mask, or a picture as a reference."""
        items = [self.library[key] for key in (wish.mask, wish.reference) if key]
        return [item for item in items if item.made]

    def _save_others(self, wish: Wish, picture: Path) -> Iterator[Path]:
        for item in self.others(wish):
            for path in _numbered(picture.parent / item.name):
                if not path.exists():
                    with writing(path, mode_like(item.path)) as copy, item.path.open("rb") as file:
                        shutil.copyfileobj(file, copy)
                elif path.read_bytes() != item.path.read_bytes():
                    continue
                yield path
                break

    def _guidance(self, wish: Wish) -> float:
        return self._default if wish.guidance is None else wish.guidance

    def _colorizer(self, wish: Wish) -> _Remembering:
        guidance = self._guidance(wish)
        if guidance not in self._colorizers:
            colorizer = _Remembering(self._model, guidance=guidance, **self._options)
            self._model = self._model._replace(model=colorizer.network.model)  # not placed once more
            self._colorizers[guidance] = colorizer
        return self._colorizers[guidance]

    def _opened(self, wish: Wish) -> _Open:
        """Return a photo that is open, or open it; a file that has changed is opened again."""
        item = self.library[wish.photo]
        colorizer = self._colorizer(wish)
        status = item.path.stat() if item.path.exists() else None
        key = item.id, wish.frame, colorizer.guidance, status and (status.st_mtime_ns, status.st_size)
        if key not in self._open:
            photo = open_photo(item.path, max_pixels=self.max_pixels).framed(wish.frame)
            conditioned = colorizer.condition(photo)
            self._open[key] = _Open(
                photo, conditioned, ensemble(conditioned, self.at_once(replace(wish, hints=())))
            )
        self._open.move_to_end(key)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return self._open[key]


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, 10**6):
        yield path.with_stem(f"{path.stem}_{number}")


def _url(picture: PIL.Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
