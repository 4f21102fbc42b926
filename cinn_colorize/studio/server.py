"""The pages and the HTTP API of the studio: in which order they are answered, and what is said of errors."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from cinn_colorize.errors import CinnError, PhotoError, WorkerError, printable
from cinn_colorize.files.limits import ADVICE, TooLargeError
from cinn_colorize.imaging.options import whole_number
from cinn_colorize.studio.film import RENDER, Films, Render
from cinn_colorize.studio.guard import BACKLOG, TOKEN, Connection, Guard, LongRequestError
from cinn_colorize.studio.jobs import Job, Jobs, Load
from cinn_colorize.studio.library import ForgottenError, Item, Library
from cinn_colorize.studio.openapi import OPENAPI, OPTIONS
from cinn_colorize.studio.page_request import SIZES, PageRequest, rows_of

T = TypeVar("T")
Answer = Callable[[dict[str, Any]], Any]  # to what a page asks

_PAGE = Path(__file__).parent / "page"
_MOST = 64  # samples of a request
_PATIENCE = 2  # seconds that requests may take to end when the server does


class Server:
    """Answers pages and programs; another process must find ``load``, which makes the studio there.

    ``render`` colorizes films in a process; without it, none are taken.
    """

    def __init__(
        self, library: Library, load: Load, saved: Callable[[Path], object], render: Render | None = None
    ) -> None:
        self._library, self._saved = library, saved
        self._jobs = Jobs(load, library.folder)
        self._films = render and Films(library, load, render)

    def app(self) -> Starlette:
        """Return the application, which a :class:`Guard` must protect."""
        number = partial(_whole, name="number", default=1)
        jobs: dict[str, Answer] = {
            "/facts": lambda _: self._do("facts", then=self._facts),
            "/open": self._to("describe"),
            "/before": self._to("before", _size),
            "/prepare": self._to("prepare"),
            "/outline": self._to("outline"),
            "/palette": self._to("palette", partial(_whole, name="x"), partial(_whole, name="y")),
            "/command": self._to("command"),
            "/keep": lambda asked: self._do("keep", PageRequest.parse(asked), then=self._kept),
            "/save": self._save,
        }
        if films := self._films:
            jobs |= {"/film/moods": self._to("shots.moods", rows_of, number), "/film/stop": films.stop}
            jobs["/film/command"] = self._to("shots.command", rows_of)
            for method in ("find", "preview", RENDER):
                jobs[f"/film/{method}"] = partial(films.follow, method)
        routes = [
            Route("/", lambda _: FileResponse(_PAGE / "index.html")),
            Route("/healthz", self._health),
            Route("/openapi.json", lambda _: JSONResponse(OPENAPI)),
            Route("/colorize", self._colorize, methods=["POST"]),
            Route("/photos", self._photos, methods=["POST"]),
            Route("/samples", self._samples, methods=["POST"]),
            Route("/files/{id}", self._file),
            *(Route(path, self._answering(job), methods=["POST"]) for path, job in jobs.items()),
            Mount("/page", StaticFiles(directory=_PAGE)),
        ]
        kinds = (CinnError, ValueError, LookupError, OSError, ClientDisconnect)
        return Starlette(routes=routes, exception_handlers=dict.fromkeys(kinds, self._failed))

    def run(self, listening: socket.socket, guard: Callable[[Starlette], Guard]) -> None:
        """Answer until Ctrl-C; a network that cannot be loaded is a WeightsError."""
        config = uvicorn.Config(
            guard(self.app()),
            http=Connection,
            backlog=BACKLOG,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
        server = _Uvicorn(config, self._jobs)
        self._jobs.loaded.add_done_callback(
            lambda done: setattr(server, "should_exit", server.should_exit or bool(done.exception()))
        )
        try:
            server.run(sockets=[listening])
        finally:
            self._jobs.end()
            if self._films:
                self._films.end()
        if server.ended_by == signal.SIGINT:
            raise KeyboardInterrupt  # the signal itself would count as a second Ctrl-C, which ends at once
        if server.ended_by:
            signal.raise_signal(server.ended_by)
        self._jobs.loaded.result()

    def _do(
        self, method: str, *arguments: Any, then: Callable[[Any], Any] = lambda answer: answer
    ) -> Future[Any]:
        """Let a method of the studio answer a request, the first of the arguments if there are any."""

        def job() -> Job:
            items = arguments[0].items(self._library) if arguments else []
            return Job(method, {item.id: item for item in items}, arguments)

        return self._jobs.do(job, then)

    def _to(self, method: str, *more: Callable[[dict[str, Any]], object]) -> Answer:
        """Let a method of the studio answer a page; ``more`` reads what it takes beside the photo."""
        return lambda asked: self._do(method, PageRequest.parse(asked), *(read(asked) for read in more))

    def _facts(self, facts: dict[str, object]) -> dict[str, object]:
        return facts | {"given": self._library.given(), "films": bool(self._films)}

    def _answering(self, job: Answer) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def endpoint(request: Request) -> Response:
            answer = job(await _asked(request))
            if isinstance(answer, Future):
                answer = await _while_open(request, asyncio.wrap_future(answer))
            return _Json(answer)

        return endpoint

    async def _samples(self, request: Request) -> Response:
        """Answer with samples as they are drawn, a line of JSON each; an error is the last line."""
        asked = await _asked(request)
        wanted, size, number = PageRequest.parse(asked), _size(asked), _whole(asked, "number", 1)
        most = 1 if wanted.mask or wanted.seed is None else _MOST
        if not 1 <= number <= most:
            raise ValueError(f"number must be from 1 to {most}, not {number}")
        wanted.items(self._library)  # one that is forgotten has a status of its own, which must come first

        async def lines() -> AsyncIterator[str]:
            done = 0
            try:
                while done < number:
                    part = replace(wanted, seed=wanted.seed + done) if wanted.seed is not None else wanted
                    for picture in await asyncio.wrap_future(self._do("pictures", part, number - done, size)):
                        done += 1
                        yield json.dumps(picture) + "\n"
            except (CinnError, ValueError, OSError) as error:
                yield json.dumps({"error": self._line(error)}) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _photos(self, request: Request) -> Response:
        return _Json(_known(await self._received(request)))

    async def _colorize(self, request: Request) -> Response:
        """Answer with the picture of a photo, as ``cinn-colorize -`` does."""
        asked = dict(request.query_params)
        if unknown := asked.keys() - OPTIONS.keys() - {TOKEN}:
            raise ValueError(f"{min(unknown):.80} is not an option here; /openapi.json lists them")
        wanted = PageRequest.parse(asked, seed=None)
        with self._library.room() as is_free:
            if not is_free:
                return PlainTextResponse("too many photos wait here; send it again later", 503)
            photo = await self._received(request, hold=True)

        def over(job: Future[Any]) -> None:
            if not job.cancelled() and isinstance(error := job.exception(), CinnError):
                error.args = (self._library.renamed(str(error)),)  # before the photo is forgotten
            self._library.remove(photo)

        of_photo = replace(wanted, photo=photo.id)
        job = self._do("keep", of_photo, then=lambda item: self._library.add(item, hold=True))
        job.add_done_callback(over)
        try:
            return _Once(await _while_open(request, asyncio.wrap_future(job)), self._library)
        except BaseException:
            job.add_done_callback(self._forget)
            raise

    def _forget(self, job: Future[Item]) -> None:
        """Remove what a job has made, which nobody waits for."""
        if not job.cancelled() and not job.exception():
            self._library.remove(job.result())

    async def _file(self, request: Request) -> Response:
        item = self._library[request.path_params["id"]]
        if not item.made:
            raise PhotoError(f"{item.name}: was not made here")
        return FileResponse(item.path, filename=item.name)

    async def _health(self, request: Request) -> Response:
        loaded = self._jobs.loaded.done() and not self._jobs.loaded.exception()
        return PlainTextResponse("ok" if loaded else "loading", 200 if loaded else 503)

    def _kept(self, item: Item) -> dict[str, object]:
        return _known(self._library.add(item))

    def _save(self, asked: dict[str, Any]) -> Future[Any]:
        wanted = PageRequest.parse(asked)

        def saved(paths: list[Path]) -> object:
            for path in paths:
                self._saved(path)
            return {"saved": [str(path) for path in paths]}

        def kept(item: Item) -> object:
            return {"files": [self._kept(item), *map(_known, wanted.others(self._library))]}

        if self._library[wanted.photo].given:
            return self._do("save", wanted, then=saved)
        return self._do("keep", wanted, then=kept)

    async def _received(self, request: Request, *, hold: bool = False) -> Item:
        """Write what a request brings, as its body or as a file of a form, to a file of the library."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            async with request.form(max_files=1) as form:
                files = [value for value in form.values() if isinstance(value, UploadFile)]
                if not files:
                    raise ValueError("the form has no file; send the photo as a file")
                if len(form.multi_items()) > 1:
                    problem = "the form has more than the photo; send it alone, and options in the URL"
                    raise ValueError(problem)
                item = self._library.new(files[0].filename or "")
                item.path.write_bytes(await files[0].read())
            return self._library.add(item, hold=hold)
        asked = request.query_params
        item = self._library.new(asked.get("name", ""), made=bool(asked.get("made")))
        try:
            with item.path.open("wb") as file:
                async for part in request.stream():
                    file.write(part)
        except BaseException:
            item.path.unlink(missing_ok=True)
            raise
        return self._library.add(item, hold=hold)

    def _failed(self, _: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            return Response(status_code=499)
        statuses = {TooLargeError: 413, LongRequestError: 413, ForgottenError: 410, WorkerError: 503}
        return PlainTextResponse(self._line(error), statuses.get(type(error), 422))

    def _line(self, error: Exception) -> str:
        message = f"{error} is missing" if isinstance(error, LookupError) else str(error)
        message += f"; {ADVICE}" if isinstance(error, TooLargeError) else ""
        return printable(" ".join(self._library.renamed(message).split()))


class _Uvicorn(uvicorn.Server):
    """Ends without waiting for those whom it serves."""

    def __init__(self, config: uvicorn.Config, jobs: Jobs) -> None:
        super().__init__(config)
        self._jobs = jobs
        self.ended_by = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal, which uvicorn would raise again when it has ended."""
        self.ended_by, self.should_exit = sig, True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._jobs.end()
        for connection in self.server_state.connections:
            if isinstance(connection, Connection):
                connection.give_up()
        await super().shutdown(sockets)


class _Json(JSONResponse):
    """JSON in ASCII: UTF-8 has no place for the bytes of file names that are not UTF-8 themselves."""

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")


class _Once(FileResponse):
    """A file that is sent, and then removed from the library."""

    def __init__(self, item: Item, library: Library) -> None:
        super().__init__(item.path, filename=item.name, content_disposition_type="inline")
        self._item, self._library = item, library

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._library.remove(self._item)


async def _while_open(request: Request, doing: Awaitable[T]) -> T:
    """Wait for what is being done; cancel it if the client is gone before."""
    done, gone = asyncio.ensure_future(doing), asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not done.done():
            done.cancel()
    if done.cancelled() or not done.done():
        raise ClientDisconnect
    return done.result()


async def _asked(request: Request) -> dict[str, Any]:
    try:
        asked = await request.json()
    except RecursionError:
        raise ValueError("an object of objects of objects is too deep") from None
    if not isinstance(asked, dict):
        raise ValueError("an object is expected")
    return asked


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _size(asked: dict[str, Any]) -> str:
    size = str(asked.get("size"))
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}")
    return size


def _whole(asked: dict[str, Any], name: str, default: int | None = None) -> int:
    value = asked[name] if default is None else asked.get(name, default)
    try:
        return whole_number(value, name, 0)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _known(item: Item) -> dict[str, object]:
    return {"id": item.id, "name": item.name, "film": item.is_film}
