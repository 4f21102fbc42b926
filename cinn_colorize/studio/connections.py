"""Connections of the studio: none that waits for its client keeps others out."""

from __future__ import annotations

import asyncio
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

SILENCE = 20  # seconds after which a client that sends no more of its request is given up
BACKLOG = 16  # connections that are accepted at once
_MOST = 256


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
        """Take what the client sends."""
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
