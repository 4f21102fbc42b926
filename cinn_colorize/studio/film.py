"""Long work on films, in processes of its own beside all other requests."""

from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cinn_colorize.errors import FilmError
from cinn_colorize.files.processes import CONTEXT, Child, end_with_parent
from cinn_colorize.studio.jobs import Load
from cinn_colorize.studio.library import Item, Library, Shelf
from cinn_colorize.studio.page_request import PageRequest, Row, rows_of

# Given where to tell which share is done, the film, its settings and its shots.
Render = Callable[[Connection, Any, Item, PageRequest, list[Row]], None]

RENDER = "render"
_ENDED = "the process that worked on this film has ended; if memory ran out, close other programs"


class _Task(Child):
    """Work in a process, which sends what it finds, or an ``error``, and at the end ``over``."""

    def __init__(self, work: Callable[..., object], *arguments: object) -> None:
        self.asked, self._found = arguments[-2:], dict[str, Any]()
        self._share = CONTEXT.Value("d", 0.0)
        super().__init__(work, self._share, *arguments, daemon=False)

    def found(self) -> dict[str, Any]:
        """Return what is known by now."""
        try:
            while "over" not in self._found and self.pipe.poll():
                self._found |= self.pipe.recv()
        except (EOFError, OSError):
            self._found = {"error": _ENDED, "over": True}
        return {"share": self._share.value, **self._found}


class Films:
    """The work on the films of a library; in a process, ``load`` makes a studio and ``render`` a film."""

    def __init__(self, library: Library, load: Load, render: Render) -> None:
        self._library, self._load, self._render = library, load, render
        self._tasks: dict[tuple[str, str], _Task] = {}  # the one asked for last at the end

    def follow(self, method: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known by now of what a page asks for; the work on it begins unless it goes on.

        Films are rendered one at a time. Other work ends if two more such requests follow before it is done.
        """
        wanted, rows = PageRequest.parse(asked), rows_of(asked)
        (item,) = wanted.items(self._library)
        key = method, item.id if method == RENDER else str(asked)
        task = self._tasks.pop(key, None)
        if not task or (task.asked != (wanted, rows) and "over" in task.found()):
            going = [key for key, task in self._tasks.items() if "over" not in task.found()]
            others = [other for other in going if other[0] == method]
            if others and method == RENDER:
                raise FilmError("another film is being rendered; wait until it is done, or stop it")
            if len(others) > 1:
                self._tasks.pop(others[0]).kill()
            work = [self._render] if method == RENDER else [_find, self._load, self._library.folder, method]
            task = _Task(*work, item, wanted, rows)
        found = task.found()
        if "over" not in found:
            self._tasks[key] = task
        if "error" in found:
            raise FilmError(found["error"])
        return self._shown(found, item)

    def stop(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Stop the rendering of a film; what is done of it is kept."""
        if task := self._tasks.pop((RENDER, str(asked["photo"])), None):
            task.kill()
        return {}

    def end(self) -> None:
        for task in self._tasks.values():
            task.kill()

    def _shown(self, found: dict[str, Any], film: Item) -> dict[str, Any]:
        """Return what has been found as pages understand it; files made for them have ids."""
        if path := found.pop("path", None):
            if film.given:
                return found | {"saved": str(path)}
            name = path.name.replace(film.path.stem, Path(film.name).stem)
            found["item"] = Item(path.stem, path, name, made=True)
        if item := found.pop("item", None):
            self._library.add(item)
            found |= {"id": item.id, "name": item.name}
        return found


def _find(
    pipe: Connection, share: Any, load: Load, folder: Path, method: str, film: Item, *asked: Any
) -> None:
    """Let the studio look at a film, and send what it finds."""
    end_with_parent()
    import cv2

    cv2.setNumThreads(1)  # as where films are rendered: the motion that it finds depends on their number
    shelf = Shelf(folder)
    shelf.items = {film.id: film}

    try:
        getattr(load(shelf).shots, method)(pipe.send, share, *asked)
    except Exception as error:
        pipe.send({"error": str(error), "over": True})
