"""What the studio draws, and what it keeps of each open photo. All of it runs in one thread."""

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import PIL.Image

from cinn_colorize.colorizer import BaseColorizer, ConditionedPhoto, PhotoLike
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.engines.interface import LoadedNetwork, NetworkInput
from cinn_colorize.errors import EngineError, ExistsError, PhotoError
from cinn_colorize.files.atomic import mode_like, writing
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.options import Encoding, Rendering
from cinn_colorize.imaging.photo import Photo, open_photo, recipe_at
from cinn_colorize.imaging.picture import fitted
from cinn_colorize.methods import things
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint
from cinn_colorize.methods.recipe import differences
from cinn_colorize.methods.samples import Colorization, Sample, in_file
from cinn_colorize.methods.transfer import TEMPERATURE
from cinn_colorize.models import find_weights, load_model
from cinn_colorize.models.registry import MAX_GUIDANCE
from cinn_colorize.studio.library import Item, Shelf, numbered
from cinn_colorize.studio.page_request import SIZES, PageRequest, data_url

if TYPE_CHECKING:
    from cinn_colorize.models.weights import Loaded
    from cinn_colorize.studio.shots import ShotDesk

Networks = Callable[[float], LoadedNetwork]  # given a guidance

_OPEN = 8  # photos kept conditioned
_KEPT = 256  # samples kept of each
_ALIKE = 9.0  # ab that differ by less are one colour of the palette
_MOST_COLORS = 8


class _Remembering(BaseColorizer):
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
    coming: Iterator[Floats] | None = None  # of the ensemble; None before the first is wanted
    members: list[Floats] = field(default_factory=list)
    small: dict[int, Photo] = field(default_factory=dict)
    samples: OrderedDict[PageRequest, Sample] = field(default_factory=OrderedDict)
    method: tuple[PageRequest, SampleMethod] | None = None  # the last, which may keep an encoded reference

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
    """Draws what pages ask for; ``network`` are words that choose this network on the command line."""

    def __init__(
        self,
        library: Shelf,
        max_pixels: int,
        network: Sequence[str] = (),
        *,
        model: str,
        weights: str | None,
        guidance: float,
        **options: str,
    ) -> None:
        self.library, self.max_pixels, self._network = library, max_pixels, network
        self._networks, self._default = _networks(model, weights, **options), guidance
        self._colorizers: dict[tuple[float, Networks], _Remembering] = {}
        self._open: OrderedDict[tuple[object, ...], _Open] = OrderedDict()
        self.info = self._colorizer(PageRequest()).info

    @cached_property
    def shots(self) -> "ShotDesk":
        """What pages see of films, which require PyAV."""
        from cinn_colorize.studio.shots import ShotDesk

        asked, usual = self._default, self.info.guidance_of(None)
        guidance = [] if asked == usual else ["--guidance", repr(asked)]
        return ShotDesk(self.library, self._colorizer(PageRequest()), [*guidance, *self._network])

    def at_once(self, wanted: PageRequest) -> int:
        """Return how many samples take about as long as one, so that they are drawn together."""
        colorizer = self._colorizer(wanted)
        sequential = colorizer.network.coarse_size is not None  # an autoregressive level, of eight at a time
        device = getattr(colorizer.network, "device", None)  # onnxruntime's is the CPU
        return 8 if wanted.hints or sequential or (device and device.type != "cpu") else 1

    def facts(self) -> dict[str, object]:
        """Return what a page has to know before it shows a photo."""
        return {
            "model": self.info.name,
            "levels": self.info.levels,
            "temperature": self.info.temperature,
            "transferred": TEMPERATURE,
            "guidance": None if self.info.guidance is None else self._default,
            "max_guidance": MAX_GUIDANCE,
            "members": things.MEMBERS,
        }

    def describe(self, wanted: PageRequest) -> dict[str, object]:
        """Open a photo and return what a page shows of it at once."""
        item, opened = self.library[wanted.photo], self._opened(wanted)
        photo = opened.photo
        return {
            "id": item.id,
            "name": item.name,
            "given": item.given,
            "width": photo.width,
            "height": photo.height,
            "frame": str(photo.frame or ""),
            "before": self.before(wanted, "large"),
        }

    def before(self, wanted: PageRequest, size: str) -> str:
        """Return the photo as it is, as a data URL."""
        photo = self._opened(wanted).photo
        return data_url(photo.thumbnail(SIZES[size] or max(photo.width, photo.height)))

    def samples(self, wanted: PageRequest, number: int = 1) -> list[Sample]:
        """Draw samples from ``wanted.seed`` on, or return those that have been drawn before."""
        opened = self._opened(wanted)
        if wanted.hints:
            plain = self.samples(replace(wanted, hints=()), number)
            while self.prepare(wanted) < things.MEMBERS:
                pass
            hints = HintMap.of(opened.photo, wanted.hints, saturation=wanted.rendering.saturation)
            return things.follow(plain, things.find(opened.members, hints), hints)
        first = replace(wanted, rendering=Rendering())
        each = [first] if first.seed is None else [replace(first, seed=first.seed + k) for k in range(number)]
        if not all(known in opened.samples for known in each):
            method = self._method(opened, first)
            if first.seed is not None:
                method = replace(method, number=number, seed=first.seed)
            samples = method.samples(self._colorizer(wanted), opened.photo)
            opened.samples |= zip(each, samples, strict=True)
        found = [opened.samples[known] for known in each]
        while len(opened.samples) > max(_KEPT, number):
            opened.samples.popitem(last=False)
        return found

    def pictures(self, wanted: PageRequest, most: int, size: str) -> list[dict[str, object]]:
        """Return as many samples as take about as long as one, as pages show them, at most those wanted."""
        number, shown = min(most, self.at_once(wanted)), list[dict[str, object]]()
        samples, opened = self.samples(wanted, number), self._opened(wanted)
        photo = opened.shown(size)
        for made in self._colorizer(wanted).compose(photo, samples, wanted.rendering):
            if photo is opened.photo:
                picture = made.picture.thumbnail(max(photo.width, photo.height))
            else:
                picture = PIL.Image.fromarray(made.rgb)  # 8 bits, sRGB
            shown.append({"seed": made.seed, "log_prob": made.log_prob, "picture": data_url(picture)})
        return shown

    def prepare(self, wanted: PageRequest) -> int:
        """Draw more of the coarse colours that hints require; return how many there are."""
        opened, number = self._opened(wanted), self.at_once(replace(wanted, hints=()))
        if opened.coming is None:
            opened.coming = things.members(self._colorizer(wanted).condition(opened.photo), number)
        try:
            opened.members += islice(opened.coming, number)
        except Exception:  # with which the generator has ended
            opened.coming, opened.members = None, []
            raise
        return len(opened.members)

    def outline(self, wanted: PageRequest) -> dict[str, object]:
        """Return the first hint's thing in a small picture, as outlines if known yet, and its size."""
        opened = self._opened(wanted)
        size = fitted(opened.photo.height, opened.photo.width, SIZES["small"])
        lines = list[list[tuple[int, int]]]()
        if len(opened.members) == things.MEMBERS:
            thing = things.find(opened.members, HintMap.of(opened.photo, wanted.hints))[:1]
            lines += things.outlines(thing, opened.photo, size)
        return {"size": size[::-1], "lines": lines}

    def palette(self, wanted: PageRequest, x: int, y: int) -> list[dict[str, object]]:
        """Return the colours that samples have at a pixel, the most frequent first, at the photo's own L."""
        opened = self._opened(wanted)
        hint = HintMap.of(opened.photo, [Hint(x, y, (128, 128, 128))])  # which refuses such pixels
        row, column = np.unravel_index(int(hint.weight.argmax()), hint.weight.shape)
        down, right = (row + 0.5) / hint.weight.shape[0], (column + 0.5) / hint.weight.shape[1]
        L = hint.guide[row, column]
        drawn = [*opened.members, *(sample.ab for sample in opened.samples.values())]
        colours = [ab[:, int(down * ab.shape[1]), int(right * ab.shape[2])] for ab in drawn]
        left = np.array(colours, np.float32).reshape(-1, 2)
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

    def make(self, wanted: PageRequest) -> Colorization:
        """Make the picture at the photo's full size and depth, as the command line does."""
        opened = self._opened(wanted)
        photo, method = opened.photo, self._method(opened, wanted)
        (made,) = self._colorizer(wanted).compose(photo, self.samples(wanted), wanted.rendering)
        made.picture.mode &= method.mode
        return made

    def keep(self, wanted: PageRequest) -> Item:
        """Make the picture a file for the library, to be sent, or to serve as a reference."""
        made = self.make(wanted)
        item = self.library.new(wanted.name(self.library, made.seed), made=True)
        made.save(item.path)
        return item

    def save(self, wanted: PageRequest) -> list[Path]:
        """Write the picture beside its photo, and what was made here for it; return the paths.

        No file is replaced: a name that is taken gets a number, unless it is this very picture's. Without a
        photo that was given on the command line, this is a PhotoError.
        """
        item, made = self.library[wanted.photo], self.make(wanted)
        if not item.given:
            raise PhotoError(f"{item.name}: was sent by the page, so its pictures are downloads")
        path = item.path.parent / wanted.name(self.library, made.seed)
        for candidate in numbered(path):
            try:
                made.save(candidate, overwrite=False)
            except ExistsError:
                found = recipe_at(candidate, self.max_pixels)
                recipe = in_file(made.recipe, format_of_name(candidate), Encoding())
                if not found or differences(found, recipe):
                    continue
            break
        return [candidate, *self._save_others(wanted, candidate)]

    def command(self, wanted: PageRequest) -> str:
        wanted = replace(wanted, guidance=self._guidance(wanted))
        return wanted.command(self.library, self.info, self._network)

    def _save_others(self, wanted: PageRequest, picture: Path) -> Iterator[Path]:
        for item in wanted.others(self.library):
            for path in numbered(picture.parent / item.name):
                if not path.exists():
                    with writing(path, mode_like(item.path)) as copy, item.path.open("rb") as file:
                        shutil.copyfileobj(file, copy)
                elif path.read_bytes() != item.path.read_bytes():
                    continue
                yield path
                break

    def _method(self, opened: _Open, wanted: PageRequest) -> SampleMethod:
        """Return what draws a request, but for the seed; an encoded reference is kept."""
        of_all = replace(wanted, rendering=Rendering(), seed=None if wanted.seed is None else 0)
        if opened.method is None or opened.method[0] != of_all:
            opened.method = of_all, of_all.request(self.library).method(self.info, self.max_pixels)
        return opened.method[1]

    def _guidance(self, wanted: PageRequest) -> float:
        return self._default if wanted.guidance is None else wanted.guidance

    def _colorizer(self, wanted: PageRequest) -> _Remembering:
        draws, encodes = self._networks
        joins = bool(wanted.mask or wanted.reference)
        if joins and not find_spec("torch"):
            raise EngineError("joining and transfer require torch, which is not installed here")
        key = self._guidance(wanted), encodes if joins else draws
        if key not in self._colorizers:
            guidance, network_with = key
            self._colorizers[key] = _Remembering(*network_with(guidance))
        return self._colorizers[key]

    def _opened(self, wanted: PageRequest) -> _Open:
        """Return a photo that is open, or open it; a file that has changed is opened again."""
        item = self.library[wanted.photo]
        status = item.path.stat() if item.path.exists() else None
        key = item.id, wanted.frame, self._guidance(wanted), status and (status.st_mtime_ns, status.st_size)
        if key not in self._open:
            photo = open_photo(item.path, max_pixels=self.max_pixels).framed(wanted.frame)
            self._open[key] = _Open(photo)
        self._open.move_to_end(key)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return self._open[key]


def _networks(model: str, weights: str | None, device: str, precision: str) -> tuple[Networks, Networks]:
    """Return what gives networks a guidance: one as the command line draws, and one that encodes, too."""
    path, sha256 = find_weights(model, weights)
    loaded: Loaded | None = None

    def placed(guidance: float) -> LoadedNetwork:
        from cinn_colorize.engines.pytorch import TorchNetwork, torch_network

        nonlocal loaded
        loaded = loaded or load_model(model, weights)
        network = torch_network(loaded, None, device, precision, guidance)
        assert isinstance(network.network, TorchNetwork)
        loaded = loaded._replace(model=network.network.model)  # not placed once more
        return network

    if not (graphs := ModelSpec(model, path, sha256, device, precision).graphs):
        return placed, placed
    from cinn_colorize.engines.onnx.engine import onnx_network
    from cinn_colorize.engines.onnx.files import Sessions

    return partial(onnx_network, model, sha256, Sessions(graphs, path)), placed
