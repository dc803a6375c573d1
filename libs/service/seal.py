"""No answer of an operation that must leave a trace goes out before the trace is on disk.

Invariant: for an operation whose row in `libs.service.access` names a trace, an answer that is no refusal is sent only
after `libs.service.trace` has said that what it shows is written down, or that it shows nothing. An operation that
forgets is answered 500, and nothing of it is shown.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEY = "hueandcry.trace"


class Owed:
    """Of one request: the operation that owes a trace; None: none does, or it stands."""

    __slots__ = ("operation",)

    def __init__(self) -> None:
        self.operation: str | None = None


def owed(request: Request) -> Owed:
    """Raises KeyError where nothing would hold the request's answer back."""
    found: Owed = request.scope[_KEY]
    return found


class Sealed:
    """ASGI middleware: holds back the answer of what owes a trace."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace = scope[_KEY] = Owed()

        async def sealed(message: Message) -> None:
            if trace.operation is not None and message["type"] == "http.response.start" and message["status"] < 400:
                raise RuntimeError(f"{trace.operation} was about to answer without its trace")
            await send(message)

        await self.app(scope, receive, sealed)
