"""What a request may be, before any operation sees it: pure ASGI, counted while it arrives.

Promises: a body over the limit is refused with 413 without being kept (by its Content-Length, or while a chunked one
is counted), and the connection stays usable where what is left of it is small; a body that is said to be JSON is JSON
of RFC 8259 (UTF-8, no NaN, no lone surrogate, no number out of range, no NUL in any text) or refused with 400 or 422;
neither is a NUL taken in a path or query; and an answer that has not begun after the deadline is 503.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.service import metrics
from libs.service.context import current_traceparent
from libs.service.problem import (
    AddressTooLong,
    BadRequest,
    Fault,
    HeadersTooLarge,
    Invalid,
    Overdue,
    Problem,
    TooLarge,
    TooSlow,
)
from libs.service.refusals import answer, reference

__all__ = ["Limits", "current_traceparent"]

MAX_TARGET_BYTES = 4 * 1024
MAX_HEADERS_BYTES = 24 * 1024
BODY_S = 10.0
"""How long a body may take to arrive."""
DRAIN_BYTES = 16 * 1024 * 1024
"""A refused body is read to its end and thrown away up to this, so that the connection can go on."""

_json = msgspec.json.Decoder()
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class Limits:
    """ASGI middleware: the limits above, then `app`."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int = 256 * 1024, deadline_s: float = 30.0) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._check(scope, receive)
        except Problem as refusal:
            metrics.REQUESTS_REFUSED.labels(refusal.slug).inc()
            await answer(refusal)(scope, receive, send)
            return
        if body is _GONE:
            return
        await self._serve(scope, receive if body is None else _Replayed(body, receive), send)

    async def _check(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, where the request has one. Raises the Problem that it is; _GONE where the client left."""
        _check_target(scope)
        headers = _headers(scope)
        length = _length(headers)
        if not length and b"transfer-encoding" not in headers:
            return None
        body = await self._read(length, headers, receive)
        if body and body is not _GONE and _is_json(headers.get(b"content-type", b"")):
            check_json(body)
        return body

    async def _read(self, length: int | None, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limit = self.max_body_bytes
        too_large = f"The body is over {limit // 1024} KiB."
        if length is not None and (length > DRAIN_BYTES or (length > limit and b"expect" in headers)):
            raise TooLarge(too_large, headers={"Connection": "close"})
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _GONE
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > DRAIN_BYTES:
                        raise TooLarge(too_large, headers={"Connection": "close"})
                    if size <= limit:
                        chunks.append(chunk)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {BODY_S:g} s.", headers={"Connection": "close"}) from None
        if size > limit:
            raise TooLarge(too_large)
        return b"".join(chunks)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call `app` with a deadline for the beginning of its answer; a stream may then go on as long as it likes."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                deadline.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self.deadline_s) as deadline:
                await self.app(scope, receive, watched)
        except TimeoutError:
            if begun or not deadline.expired():
                raise
            metrics.REQUESTS_REFUSED.labels(Overdue.slug).inc()
            refusal = Overdue(f"There was no answer within {self.deadline_s:g} s. It may or may not have happened.")
            await answer(refusal)(scope, receive, send)


_GONE = bytes(bytearray(b"the client left"))
"""Stands for the body of a client that left while it was sending; compared by identity."""


class _Replayed:
    """A `receive` that gives the body that was read, then what the server says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _headers(scope: Scope) -> dict[bytes, bytes]:
    size = 0
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        headers[name] = value
    if size > MAX_HEADERS_BYTES:
        raise HeadersTooLarge(f"The header fields are over {MAX_HEADERS_BYTES // 1024} KiB.")
    return headers


def _length(headers: dict[bytes, bytes]) -> int | None:
    given = headers.get(b"content-length")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 18:
        raise BadRequest("Content-Length is not a length.", headers={"Connection": "close"})
    return int(given)


def _check_target(scope: Scope) -> None:
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query: bytes = scope["query_string"]
    if len(path) + len(query) > MAX_TARGET_BYTES:
        raise AddressTooLong(f"The address is over {MAX_TARGET_BYTES // 1024} KiB.")
    for name, part in (("path", path), ("query", query)):
        if b"%" not in part and part.isascii():
            continue
        plain = unquote_to_bytes(part)
        if b"\x00" in plain:
            raise BadRequest(f"The {name} holds a NUL character.")
        try:
            plain.decode()
        except UnicodeDecodeError:
            raise BadRequest(f"The {name} is not UTF-8.") from None


def _is_json(content_type: bytes) -> bool:
    media = content_type.partition(b";")[0].strip().lower()
    return media == b"application/json" or media.endswith(b"+json")


def check_json(body: bytes) -> None:
    """Raises BadRequest for what is not JSON, Invalid for JSON that no string or number of ours can hold."""
    try:
        value = _json.decode(body)
    except msgspec.ValidationError:
        raise Invalid("A number in the body is out of range.") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 (byte {error.start}).") from None
    except msgspec.DecodeError as error:
        detail = f"The body is not JSON: {error}. (RFC 8259; no NaN, no half of a surrogate pair.)"
        raise BadRequest(detail) from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    # Only a body with one of these can hold what is looked for: a bare NUL is not JSON, and a bigint has 19 digits.
    if rb"\u0000" in body or _LONG_NUMBER.search(body):
        faults = list(_unfit(value, ""))
        if faults:
            raise Invalid(f"{faults[0].pointer or 'the body'}: {faults[0].detail}", faults=faults)


def _unfit(value: Any, pointer: str) -> Iterator[Fault]:
    if isinstance(value, str):
        if "\x00" in value:
            yield Fault("must not hold a NUL character", pointer=pointer)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            yield Fault("must fit into 64 bits", pointer=pointer)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _unfit(item, f"{pointer}/{i}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if "\x00" in name:
                yield Fault("must not have a member with a NUL character in its name", pointer=pointer)
            yield from _unfit(item, f"{pointer}/{reference(name)}")
