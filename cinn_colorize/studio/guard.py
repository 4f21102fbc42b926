"""Who may use the studio: its own pages, and whoever has its token; nobody who keeps others waiting."""

import asyncio
import secrets
import sys
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

import h11
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from cinn_colorize.errors import printable
from cinn_colorize.files.limits import TooLargeError, check_bytes

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN = "token"  # in the query
_COOKIE = "cinn-colorize-token"
_OF_PHOTOS = {"/photos", "/colorize"}  # what takes files; all else takes JSON
_MOST_JSON = 2**20  # bytes
SILENCE = 20  # seconds after which a client that sends no more of its request is given up
BACKLOG = 16  # connections that are accepted at once
_MOST = 256  # that are open


class LongRequestError(ValueError):
    """A request without a photo has more bytes than such a request needs."""


class Guard:
    """Refuses requests of other sites and of strangers, and bodies that are too large.

    Args:
        app: answers all other requests.
        max_pixels: limit of photos, whose files may have a certain number of bytes.
        hosts: names that the page may have; empty for any. A site whose name leads here has another one.
        token: secret that requests bring, in the query, a cookie or as ``Authorization: Bearer``; or empty.
        frames: sites that may show the page in a frame, as in a Content-Security-Policy.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_pixels: int,
        *,
        hosts: Collection[str] = LOOPBACK,
        token: str = "",
        frames: str = "'none'",
    ) -> None:
        self._app, self._max_pixels, self._hosts, self._token = app, max_pixels, hosts, token
        self._headers = {
            "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; "
            f"form-action 'none'; frame-ancestors {frames}",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",  # the URL may have a token
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the app do so."""
        if scope["type"] != "http":
            return
        request, size = Request(scope), 0
        problem = self._problem(request)

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            self._check_size(request, size)
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if self._token and not problem and scope["path"] == "/":
                    cookie = f"{_COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                    headers.append("Set-Cookie", cookie)
            await send(message)

        if not problem and int(request.headers.get("content-length") or 0) > 0:
            try:  # before anything is read
                self._check_size(request, int(request.headers["content-length"]))
            except (TooLargeError, LongRequestError) as error:
                await PlainTextResponse(str(error), 413)(scope, receive, with_headers)
                return
        app = PlainTextResponse(problem, 403) if problem else self._app
        await app(scope, counted, with_headers)

    def _check_size(self, request: Request, size: int) -> None:
        """Raise a TooLargeError for a photo of too many bytes, else a LongRequestError."""
        if request.scope["path"] in _OF_PHOTOS:
            check_bytes(size, self._max_pixels)
        elif size > _MOST_JSON:
            raise LongRequestError(f"a request other than for photos has at most {_MOST_JSON >> 20} MiB")

    def _problem(self, request: Request) -> str:
        """Return why a request is refused, in one line; empty if it is not."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        named = _split(f"//{host}")
        if named.netloc != host:  # some versions of Starlette take the rest for a path
            return f"{printable(host):.80} is not a host"
        if self._hosts and named.hostname not in self._hosts:
            return f"the host {printable(host):.80} is not this machine; open the page as localhost"
        if origin is not None and _split(origin).netloc != host:
            return f"pages of {printable(origin):.80} may not use this one"
        brought = (
            request.query_params.get(TOKEN)
            or request.cookies.get(_COOKIE)
            or request.headers.get("authorization", "").removeprefix("Bearer ")
        )
        known = not self._token or secrets.compare_digest(brought.encode(), self._token.encode())
        if not known and request.scope["path"] != "/healthz":
            return "a token is required; open the URL that cinn-colorize studio printed"
        return ""


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # half an IPv6 address
        return urlsplit("")


def _most() -> int:
    """Return how many connections may be open: of the files that a process may open, photos need some too."""
    if sys.platform == "win32":
        return _MOST
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 4)


class Connection(H11Protocol):
    """Ends when its client is silent; beyond the most, the one that has waited longest ends for a new one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it, and end it if its client stays silent."""
        super().connection_made(transport)
        self._heard = self.loop.time()
        self.loop.call_later(SILENCE, self._check)
        each = [other for other in self.connections if isinstance(other, Connection)]
        each = [other for other in each if not other.transport.is_closing()]
        if len(each) > _most():
            waiting = [other for other in each if other._is_half_sent or other.flow.write_paused]
            min(waiting, key=lambda other: other._heard).transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)

    @property
    def _is_half_sent(self) -> bool:
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _check(self) -> None:
        silent = self.loop.time() - self._heard
        if self._is_half_sent and silent >= SILENCE:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.loop.call_later(max(1, SILENCE - silent), self._check)

    def give_up(self) -> None:
        """End unless the whole request is there."""
        if self._is_half_sent:
            self.transport.abort()
