"""Around every request: its id and trace, the security headers of its answer, one line in the log, and its metrics.

The log line names the operation, never the address: an address may hold a phone number that somebody put there.
"""

from __future__ import annotations

import time
from functools import cache, lru_cache

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.service import context, logs, metrics

STRICT = b"default-src 'none'; frame-ancestors 'none'"
"""Answers are data: a browser that shows one loads nothing for it and runs nothing in it."""
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", STRICT),
    (b"cache-control", b"no-store"),
)
"""Put on every answer that does not set them itself."""
QUIET = frozenset({"healthz", "readyz", "metrics"})
"""Asked every few seconds by machines: measured and not logged."""


class Observe:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request = context.begin(_traceparent(scope))
        request_id = request.request_id.encode()
        status = 0

        async def finished(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                missing = _missing(tuple([name for name, _ in headers]))
                message["headers"] = [*headers, *missing, (b"x-request-id", request_id)]
            await send(message)

        metrics.requests_now += 1
        try:
            await self.app(scope, receive, finished)
        finally:
            metrics.requests_now -= 1
            seconds = time.perf_counter() - started
            operation = _operation(scope)
            _histogram(operation, status).observe(seconds)
            if operation not in QUIET:
                logs.request(operation, _method(scope), status, seconds, request)


@lru_cache(maxsize=256)
def _missing(given: tuple[bytes, ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Of HEADERS, those that an answer with these names has not."""
    present = {name.lower() for name in given}
    return tuple(header for header in HEADERS if header[0] not in present)


@cache
def _histogram(operation: str, status: int) -> Histogram:
    return metrics.REQUEST_S.labels(operation, str(status) if status else "gone")


def _operation(scope: Scope) -> str:
    """The operation's id, which is its function's name."""
    return getattr(scope.get("route"), "name", None) or "unmatched"


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def _traceparent(scope: Scope) -> str | None:
    """The caller's `traceparent`, if there is exactly one (W3C Trace Context, section 3.2)."""
    given = [value for name, value in scope["headers"] if name == b"traceparent"]
    return given[0].decode("latin-1") if len(given) == 1 else None
