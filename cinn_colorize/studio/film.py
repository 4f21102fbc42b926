"""Films in the studio: what pages ask for, and long work on them, beside all other requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from starlette.responses import Response, StreamingResponse

from cinn_colorize.errors import CinnError, FilmError
from cinn_colorize.files.processes import Child, end_with_parent
from cinn_colorize.studio.jobs import Load
from cinn_colorize.studio.library import Item, Library, Shelf
from cinn_colorize.studio.page_request import FilmWish, Rendition

Render = Callable[[Connection, Rendition], None]

_OFTEN = 0.1  # seconds between two looks at what a task tells
_ENDED = "the process that worked on this has ended; if memory ran out, close other programs"


class Task:
    """Work in a process of its own, and what it has told."""

    def __init__(self, work: Callable[..., object], *arguments: object) -> None:
        self.told: list[dict[str, Any]] = []
        self.is_over = False
        self._child = Child(work, *arguments, is_daemon=False)
        threading.Thread(target=self._listen, daemon=True).start()

    def end(self) -> None:
        self._child.kill()

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while message := self._child.pipe.recv():
                self.told.append(message)
            self.is_over = True
        if not self.is_over:
            self.told.append({"error": _ENDED})
        self.is_over = True

    async def lines(self, first: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield what it tells, from message ``first`` on, until it is over."""
        while True:
            is_over = self.is_over
            for message in self.told[first:]:
                yield message
                first += 1
            if is_over:
                return
            await asyncio.sleep(_OFTEN)


class Films:
    """Answers requests that take longer than others wait, each by a process of its own.

    Args:
        library: has the films.
        load: makes the studio in a process.
        render: colorizes a film in a process, and tells how far it is through a pipe.
        plan: lets the studio find out what is to be rendered.
    """

    def __init__(
        self, library: Library, load: Load, render: Render, plan: Callable[[FilmWish], Future[Any]]
    ) -> None:
        self._library, self._load, self._render, self._plan = library, load, render, plan
        self._rendered: dict[str, Task] = {}  # by the ids of films; they go on without a page

    def answers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[Response]]]:
        """Return what answers requests, by their paths."""
        drawn = {f"/film/{method}": partial(self._draw, method) for method in ("sheet", "preview")}
        return {**drawn, "/film/render": self._begin, "/film/stop": self._stop}

    async def _draw(self, method: str, asked: dict[str, Any]) -> Response:
        """Answer with what the studio finds about a film, as long as someone waits for it."""
        wish = FilmWish.parse(asked)
        items = {item.id: item for item in wish.items(self._library)}

        async def told() -> AsyncIterator[dict[str, Any]]:
            task = Task(_draw, self._load, self._library.folder, items, method, wish)
            try:
                async for message in task.lines():
                    yield message
            finally:
                task.end()

        return self._response(told())

    async def _begin(self, asked: dict[str, Any]) -> Response:
        """Answer with how far the rendering of a film is, which begins unless it goes on already."""
        wish = FilmWish.parse(asked)
        (item,) = wish.items(self._library)
        _, rendition = await asyncio.wrap_future(self._plan(wish))
        task = self._rendered.get(item.id)
        if not task or task.is_over:
            if not all(other.is_over for other in self._rendered.values()):
                raise FilmError("another film is being rendered; wait until it is done, or stop it")
            task = self._rendered[item.id] = Task(self._render, rendition)
        return self._response(task.lines(max(0, len(task.told) - 1)), item)

    async def _stop(self, asked: dict[str, Any]) -> Response:
        """Stop the rendering of a film; what is done of it is kept."""
        if task := self._rendered.pop(str(asked["photo"]), None):
            task.end()
        return Response()

    def end(self) -> None:
        for task in self._rendered.values():
            task.end()

    def _response(self, told: AsyncIterator[dict[str, Any]], film: Item | None = None) -> Response:
        async def lines() -> AsyncIterator[str]:
            async for message in told:
                yield json.dumps(self._shown(message, film)) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    def _shown(self, message: dict[str, Any], film: Item | None) -> dict[str, Any]:
        """Return a message as pages understand it; they know files made for them by their ids."""
        if item := message.get("item"):
            return {"id": self._library.add(item).id}
        if film and not film.given and (path := message.get("saved")):
            name = path.name.replace(film.path.stem, Path(film.name).stem)
            item = self._library.add(Item(path.stem, path, name, made=True))
            return {"id": item.id, "name": name}
        return {key: str(value) if isinstance(value, Path) else value for key, value in message.items()}


def _draw(
    pipe: Connection, load: Load, folder: Path, items: dict[str, Item], method: str, wish: FilmWish
) -> None:
    """Let the studio look at a film, and tell what it finds."""
    end_with_parent()
    shelf = Shelf(folder)
    shelf.items = items
    try:
        getattr(load(shelf).shots, method)(pipe.send, wish)
    except (CinnError, OSError, ValueError) as error:
        pipe.send({"error": str(error)})
    pipe.send(None)
