"""What a request may be, before any operation sees it: pure ASGI, counted while it arrives.

Promises: a body over the limit is refused with 413 without being kept (by its Content-Length, or while a chunked one
is counted), and the connection stays usable where what is left of it is small; a body that is said to be JSON is JSON
of RFC 8259 (UTF-8, no NaN, no lone surrogate, no name twice in an object, no number out of range, no NUL in any text)
and no deeper, wider or longer than `MAX_DEPTH`, `MAX_ITEMS` and `MAX_TEXT`,
or refused with 400 or 422; neither is a NUL taken in a path or query; and a body that has not arrived by the deadline
is 408, an answer that is not there by then 503. The bodies of a few operations are files: those the operation itself
takes in (`libs.service.upload`), once it knows who sends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.service import metrics
from libs.service.context import current_traceparent
from libs.service.deadline import Deadline
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
from libs.service.rates import Visit
from libs.service.refusals import answer, reference

__all__ = ["Limits", "current_traceparent"]

MAX_TARGET_BYTES = 4 * 1024
MAX_HEADERS_BYTES = 24 * 1024
DRAIN_BYTES = 16 * 1024 * 1024
"""A refused body is read to its end and thrown away up to this, so that the connection can go on."""
MAX_DEPTH = 64
"""Of objects and lists in each other; no body of ours has over seven levels."""
MAX_ITEMS = 2_000
"""Of one list or object; no list of ours holds over a thousand."""
MAX_TEXT = 192 * 1024
"""Characters of one text: a routing policy comes as one; the longest of a contact holds 20,000."""

_json = msgspec.json.Decoder()
_NAME_END = re.compile(rb'"[ \t\r\n]*:')


class Limits:
    """ASGI middleware: the limits above, then `app`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int = 256 * 1024,
        deadline_s: float = 30.0,
        files: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        """`files`: the operations whose body is a file, by method and path, and how long each may take, in seconds."""
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.deadline_s = deadline_s
        self.files = dict(files or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = Visit(scope)
        file_s = self.files.get((scope["method"], scope["path"]))
        deadline_s = file_s or self.deadline_s
        reading = answering = streaming = False

        async def watched(message: Message) -> None:
            nonlocal answering, streaming
            answering = True
            if not streaming and message.get("more_body"):
                streaming = True
                deadline.lift()  # a stream may go on as long as it likes
            await send(message)

        try:
            with Deadline(deadline_s) as deadline:
                headers, length = _check_head(scope)
                if file_s is None and (length or b"transfer-encoding" in headers):
                    reading = True
                    body = await self._read(length, headers, receive)
                    if body is None:
                        return
                    reading = False
                    receive = Replayed(body, receive)
                await self.app(scope, receive, watched)
        except Problem as refusal:
            await _refuse(refusal, scope, receive, send)
        except TimeoutError:
            if answering or not deadline.expired:
                raise
            if reading:
                close = {"Connection": "close"}
                late: Problem = TooSlow(f"The body did not arrive within {deadline_s:g} s.", headers=close)
            else:
                late = Overdue(f"There was no answer within {deadline_s:g} s. It may or may not have happened.")
            await _refuse(late, scope, receive, send)
        finally:
            visit.end()

    async def _read(self, length: int | None, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """The body; None where the client left while it was sending. Raises the Problem that the body is."""
        limit = self.max_body_bytes
        too_large = f"The body is over {limit // 1024} KiB."
        if length is not None and (length > DRAIN_BYTES or (length > limit and b"expect" in headers)):
            raise TooLarge(too_large, headers={"Connection": "close"})
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size > DRAIN_BYTES:
                raise TooLarge(too_large, headers={"Connection": "close"})
            if size <= limit:
                chunks.append(chunk)
        if size > limit:
            raise TooLarge(too_large)
        body = b"".join(chunks)
        if body and _is_json(headers.get(b"content-type", b"")):
            check_json(body)
        return body


async def _refuse(refusal: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    metrics.REQUESTS_REFUSED.labels(refusal.slug).inc()
    await answer(refusal)(scope, receive, send)


class Replayed:
    """A `receive` that gives the body that was read, then what the server says."""

    __slots__ = ("_given", "_receive", "body")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self.body = body
        self._receive = receive
        self._given = False

    async def __call__(self) -> Message:
        if self._given:
            return await self._receive()
        self._given = True
        return {"type": "http.request", "body": self.body, "more_body": False}


def _check_head(scope: Scope) -> tuple[dict[bytes, bytes], int | None]:
    """The header fields, and the length of the body where it is said. Raises the Problem that the head is."""
    _check_target(scope)
    size = 0
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        headers[name] = value
    if size > MAX_HEADERS_BYTES:
        raise HeadersTooLarge(f"The header fields are over {MAX_HEADERS_BYTES // 1024} KiB.")
    given = headers.get(b"content-length")
    if given is None:
        return headers, None
    if not given.isdigit() or len(given) > 18:
        raise BadRequest("Content-Length is not a length.", headers={"Connection": "close"})
    return headers, int(given)


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
    if content_type == b"application/json":
        return True
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
        raise BadRequest(f"The body is nested too deeply: over {MAX_DEPTH} levels.") from None
    members, long_number = _walk(value)
    if len(_NAME_END.findall(body)) != members:  # or a string holds \": and looks like a name
        _refuse_names_twice(body)
    if len(body) > MAX_TEXT and any(len(text) > MAX_TEXT for text in _texts(value)):
        raise BadRequest(f"A text in the body is over {MAX_TEXT // 1024} Ki characters.")
    if long_number or rb"\u0000" in body:  # a bare NUL is not JSON
        faults = list(_unfit(value, ""))
        if faults:
            raise Invalid(f"{faults[0].pointer or 'the body'}: {faults[0].detail}", faults=faults)


def _walk(value: Any) -> tuple[int, bool]:
    """How many members all the objects in it have, and whether a number is out of 64 bits. Raises BadRequest for what
    is nested deeper, or holds more, than who reads it next should have to follow."""
    count = depth = 0
    long_number = False
    level: list[Any] = [[value]]
    while level:
        if depth > MAX_DEPTH:
            raise BadRequest(f"The body is nested too deeply: over {MAX_DEPTH} levels.")
        depth += 1
        inner: list[Any] = []
        for held in level:
            if len(held) > MAX_ITEMS:
                raise BadRequest(f"A list or object in the body holds over {MAX_ITEMS:,} items.")
            if type(held) is dict:
                count += len(held)
                held = held.values()
            for one in held:
                kind = type(one)
                if kind is dict or kind is list:
                    inner.append(one)
                elif kind is int and not _fits_64_bits(one):
                    long_number = True
        level = inner
    return count, long_number


def _fits_64_bits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _texts(value: Any) -> Iterator[str]:
    """Every text in it, names of members too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)


def _refuse_names_twice(body: bytes) -> None:
    """Which of two members counts differs from reader to reader (RFC 8259, section 4): what one has checked, another
    would not see. Raises BadRequest."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in made:
                raise BadRequest(f"The member {reference(name)} stands twice in one object of the body.")
            made[name] = value
        return made

    json.loads(body, object_pairs_hook=members, parse_int=str, parse_float=str)


def _unfit(value: Any, pointer: str) -> Iterator[Fault]:
    if isinstance(value, str):
        if "\x00" in value:
            yield Fault("must not hold a NUL character", pointer=pointer)
    elif isinstance(value, int):
        if not _fits_64_bits(value):
            yield Fault("must fit into 64 bits", pointer=pointer)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _unfit(item, f"{pointer}/{i}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if "\x00" in name:
                yield Fault("must not have a member with a NUL character in its name", pointer=pointer)
            yield from _unfit(item, f"{pointer}/{reference(name)}")
