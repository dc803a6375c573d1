"""uvicorn's HTTP protocol with the limits it has not: on the size of the header section, on the time it takes, and on
the connections of one peer.

Promises: a new connection is served. Where its address has all that it should have, the one of them that has waited
longest for a request, or for the rest of one, is closed for it; where none has, because all are busy, it is served all
the same, for many may stand behind one address, and one of them may bring an emergency. So neither who opens
connections and says nothing nor who dribbles a body in keeps others behind the same address from being served. Only a
process that holds all the connections it can hold at all, and every one of them busy, refuses another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from libs.service import metrics
from libs.service.observe import HEADERS
from libs.service.problem import MEDIA_TYPE, BadRequest, HeadersTooLarge, Problem, Unavailable

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent

MAX_HEAD_BYTES = 32 * 1024
"""Of request line and header fields, before the application is asked."""
HEAD_S = 10.0
"""From the connection, or a request's first byte, to its last header."""
LINGER_S = 1.0
"""How long what a refused client still sends is read and thrown away."""
GRACE_S = 1.0
"""Who has waited for less is not closed for another: a request may be on its way."""
UNREAD_S = 30
"""How long a peer may leave what we sent unacknowledged, or its window shut, before the kernel drops the connection."""

_IN_A_LINE = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""What a header field may hold (RFC 9110, section 5.5)."""


class Peers:
    """Every peer's connections: how many, and which of them wait for a request or the rest of one, longest first."""

    def __init__(self, limit: int, most: int) -> None:
        """`limit` of one peer, before one that waits goes for the next; `most` of all together, ever."""
        self.limit = limit
        self.most = most
        self._count = 0
        self._open: dict[str, int] = {}
        self._waiting: dict[str, dict[BoundedProtocol, float]] = {}
        """Since when, in the loop's time."""
        self._anybodys: dict[BoundedProtocol, str] = {}
        """All that wait, and whose they are."""

    def open(self, peer: str, connection: BoundedProtocol, now: float) -> BoundedProtocol | None:
        """Count a connection in. Which one must go for it, if any: the new one itself where there is no room at all."""
        self._count += 1
        self._open[peer] = count = self._open.get(peer, 0) + 1
        longest: BoundedProtocol | None = None
        if self._count > self.most:
            longest = next(iter(self._anybodys), connection)
        elif count > self.limit:
            longest, since = next(iter(self._waiting[peer].items()), (None, now))
            if now - since < GRACE_S:
                longest = None
        self.waits(peer, connection, now)
        if longest is not None:
            self.busy(self._anybodys[longest], longest)
        return longest

    def waits(self, peer: str, connection: BoundedProtocol, now: float) -> None:
        self._waiting.setdefault(peer, {})[connection] = now
        self._anybodys[connection] = peer

    def busy(self, peer: str, connection: BoundedProtocol) -> None:
        """It is no longer one that may be closed for another."""
        self._waiting[peer].pop(connection, None)
        self._anybodys.pop(connection, None)

    def closed(self, peer: str, connection: BoundedProtocol) -> None:
        self._count -= 1
        self._open[peer] -= 1
        self.busy(peer, connection)
        if not self._open[peer]:
            del self._open[peer], self._waiting[peer]


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head over 32 KiB (431) and closes a connection that does not finish one in ten seconds."""

    peers = Peers(1000, 10_000)
    """Of all connections of a process: `with_limits` makes a class with its own."""

    @classmethod
    def with_limits(cls, *, connections_per_peer: int, connections: int) -> type[BoundedProtocol]:
        return type(cls.__name__, (cls,), {"peers": Peers(connections_per_peer, connections)})

    _peer = ""
    _head_bytes = 0
    _in_head = True
    _refused = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)
        self._peer = self.client[0] if self.client else ""
        leaves = self.peers.open(self._peer, self, self.loop.time())
        if leaves is self:
            self._refuse(Unavailable(f"All {self.peers.most} connections that there can be are busy.", retry_after_s=1))
        elif leaves is not None:
            metrics.CONNECTIONS_CLOSED.inc()
            leaves._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.peers.closed(self._peer, self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self._refused or self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadersTooLarge(f"Request line and header fields are over {MAX_HEAD_BYTES // 1024} KiB."))
        elif self._head_timer is None:  # most heads are there at once, and need none
            self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = _Cycle  # uvicorn makes it, and cannot be told of which class
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        if not self.cycle.response_complete:  # an answer need not wait for all of its request
            self.peers.busy(self._peer, self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.pipeline and not self.transport.is_closing():
            self.peers.waits(self._peer, self, self.loop.time())
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("This is not an HTTP request (RFC 9112)."))

    def _refuse(self, refusal: Problem) -> None:
        metrics.REQUESTS_REFUSED.labels(refusal.slug).inc()
        body = refusal.body()
        head = (
            f"HTTP/1.1 {refusal.status} {refusal.title}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
            + "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in HEADERS)
            + "".join(f"{name}: {value}\r\n" for name, value in refusal.headers.items())
            + "\r\n"
        )
        self._refused = True
        self._stop_timer()
        self.transport.write(head.encode("ascii") + body)
        # Closing now, while the client still sends, would reset the connection before it has read why.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Cycle(RequestResponseCycle):
    """A request and its answer. One that is there as a whole is sent as one: one look at its head, one packet, one
    system call. All else, and whatever has something special about it, is left to uvicorn."""

    _head: HTTPResponseStartEvent | None = None

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message  # or instead of one that nothing followed: then this is uvicorn's 500
            return
        head, self._head = self._head, None
        if head is None:
            await super().send(message)
        elif message["type"] != "http.response.body" or not self._send_whole(head, message):
            await super().send(head)
            await super().send(message)

    def _send_whole(self, start: HTTPResponseStartEvent, last: HTTPResponseBodyEvent) -> bool:
        body = last.get("body", b"")
        headers = [*self.default_headers, *start.get("headers", ())]
        if (
            last.get("more_body")
            or (b"content-length", b"%d" % len(body)) not in headers
            or not self.keep_alive
            or self.disconnected
            or self.flow.write_paused
            or self.scope["method"] == "HEAD"
        ):
            return False
        lines = [STATUS_LINE[start["status"]]]
        for name, value in headers:
            if name == b"connection":
                return False
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.translate(None, _IN_A_LINE) != b"\r\n" * (len(headers) + 2):
            raise RuntimeError("a header of the answer holds a control character")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        self.transport.write(head + body)
        self.on_response()
        return True
