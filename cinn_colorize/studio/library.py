"""The photos that pages may use: those given on the command line, and those sent by a page."""

import contextlib
import os
import secrets
import threading
from collections import ChainMap, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePath

from cinn_colorize.errors import PhotoError
from cinn_colorize.files.atomic import TemporaryFolder
from cinn_colorize.files.formats import FORMATS, OUTPUT_SUFFIXES, format_of_content, is_film
from cinn_colorize.imaging.options import MAX_PIXELS

_MOST_SENT, _MOST_BYTES = 64, 2**32  # beyond these, the files used longest ago are forgotten
_MOST_HELD = 128  # beyond these, or as many bytes, others have to wait


class ForgottenError(PhotoError):
    """A file that a page knows is no longer in the library."""


@dataclass(frozen=True)
class Item:
    """A file that pages know by its id alone."""

    id: str  # not to be guessed
    path: Path
    name: str  # in messages and commands
    given: bool = False  # on the command line, so that results are saved beside it
    made: bool = False  # here, so that it is saved together with what was made from it

    @property
    def is_film(self) -> bool:
        return is_film(self.path.suffix)


class Shelf:
    """Files by their ids, and a folder for new ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: Mapping[str, Item] = {}

    def __getitem__(self, key: str) -> Item:
        """Return a file; without one of that id, raise a ForgottenError."""
        if key not in self.items:
            raise ForgottenError("this photo is no longer open here; open it again")
        return self.items[key]

    def new(self, name: str, made: bool = False) -> Item:
        """Return an item whose file is yet to be written, and belongs to no page until :meth:`Library.add`.

        What is made here is saved under its name, which is that of a visible picture, whatever a page says.
        """
        key, name = secrets.token_hex(16), PurePath(name.replace("\\", "/")).name[-120:]
        if made:
            name = name.lstrip(".") or "mask"
            name += "" if PurePath(name).suffix.lower() in OUTPUT_SUFFIXES else ".png"
        return Item(key, self.folder / f"{key}{PurePath(name).suffix[:8]}", name, made=made)


class Library(Shelf):
    """All files that pages may use, but for results beside the photos given; no page names a path."""

    def __init__(self, photos: Iterable[Path] = (), max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._temporary = TemporaryFolder()
        super().__init__(Path(self._temporary.name))
        self._sent: OrderedDict[str, Item] = OrderedDict()
        self._held: dict[str, Item] = {}
        self._coming = 0  # photos that are being sent and will be held
        self._lock = threading.Lock()  # of what was sent, which the server and its worker thread use
        paths = list(photos)
        stems = {path.with_suffix("") for path in paths}
        own = {path for path in paths if stems & _may_be_of(path) and self._has_recipe(path)}
        found = (path for path in paths if path not in own)
        items = [Item(secrets.token_hex(16), path, str(path), given=True) for path in found]
        self._given = {item.id: item for item in items}
        self.items = ChainMap(self._sent, self._held, self._given)

    def close(self) -> None:
        self._temporary.cleanup()

    def given(self) -> list[dict[str, object]]:
        """List the photos given, and whether a result lies beside each: all that is remembered of them."""
        stems = {item.path.with_suffix("") for item in self._given.values()}
        done: set[Path] = set()
        for folder in {stem.parent for stem in stems}:
            for path in _files_in(folder):
                if (of := stems & _may_be_of(path)) - done and self._has_recipe(path):
                    done |= of
        return [
            {
                "id": item.id,
                "key": sha256(os.fsencode(item.path.absolute())).hexdigest(),  # by which a page remembers it
                "name": item.name,
                "film": item.is_film,
                "done": item.path.with_suffix("") in done,
            }
            for item in self._given.values()
        ]

    def __getitem__(self, key: str) -> Item:
        """Return a file, as of :class:`Shelf`."""
        with self._lock:
            if key in self._sent:
                self._sent.move_to_end(key)
            return super().__getitem__(key)

    def add(self, item: Item, *, hold: bool = False) -> Item:
        """Let pages use an item of :meth:`new`, and forget the one used longest ago if there are too many.

        One to ``hold`` stays until :meth:`remove`, and others are not forgotten for it.
        """
        if not item.name:
            with item.path.open("rb") as file:
                format = format_of_content(file.read(32))
            item = replace(item, name="photo" + (FORMATS[format][0] if format else ""))
        with self._lock:
            if hold:
                self._held[item.id] = item
                return item
            self._sent[item.id] = item
            for key, other in [*self._sent.items()]:
                if not other.path.exists():  # whatever cleans temporary folders
                    del self._sent[key]
            sizes = [other.path.stat().st_size for other in self._sent.values()]
            while len(sizes) > 1 and (len(sizes) > _MOST_SENT or sum(sizes) > _MOST_BYTES):
                self._sent.popitem(last=False)[1].path.unlink(missing_ok=True)
                sizes.pop(0)
        return item

    @contextlib.contextmanager
    def room(self) -> Iterator[bool]:
        """Yield whether a photo may be sent that will be held; until it is, it counts as if it were."""
        with self._lock:
            sizes = [item.path.stat().st_size for item in self._held.values() if item.path.exists()]
            is_free = len(sizes) + self._coming < _MOST_HELD and sum(sizes) <= _MOST_BYTES
            self._coming += is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._coming -= is_free

    def remove(self, item: Item) -> None:
        """Remove an item that is held, if it still is."""
        with self._lock:
            self._held.pop(item.id, None)
        item.path.unlink(missing_ok=True)

    def renamed(self, message: str) -> str:
        """Return a message with the files that were sent called as the page knows them."""
        with self._lock:
            sent = [*self._sent.values(), *self._held.values()]
        for item in sent:
            message = message.replace(str(item.path), item.name)
        return message

    def _has_recipe(self, path: Path) -> bool:
        # heavy: the page is there before it is needed
        if is_film(path.suffix):
            from cinn_colorize.film.writing import read_recipe

            return bool(read_recipe(path))
        from cinn_colorize.imaging.photo import recipe_at

        return bool(recipe_at(path, self._max_pixels))


def numbered(path: Path) -> Iterator[Path]:
    """Yield a path, and then those with 2, 3 and so on at the end of the name."""
    yield path
    for number in range(2, 10**6):
        yield path.with_stem(f"{path.stem}_{number}")


def _files_in(folder: Path) -> list[Path]:
    """List a folder of photos; none if it is gone by now, or may not be listed: photos say so when opened."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _may_be_of(path: Path) -> set[Path]:
    """Return what a file may be a result of, by its name: a_b_003.jpg of a or of a_b."""
    parts = path.name.split("_")
    stems = ("_".join(parts[:k]) for k in range(1, len(parts)))
    return {path.with_name(stem) for stem in stems if stem.strip(".")}
