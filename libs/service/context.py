"""What is known about the request being served: its id and its place in a trace. Empty outside of a request."""

from __future__ import annotations

import re
from contextvars import ContextVar
from random import getrandbits
from typing import NamedTuple

from uuid_utils import uuid7

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


class Context(NamedTuple):
    request_id: str
    """UUIDv7, ours: what a client sends as one is not believed."""
    traceparent: str
    """W3C Trace Context, level 1: the caller's trace where it sent a valid one, with a span of our own."""

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


_current: ContextVar[Context | None] = ContextVar("request", default=None)


def begin(traceparent: str | None) -> Context:
    """Begin a request: from here on, this task and its children know its id. `traceparent` is the caller's header."""
    context = Context(str(uuid7()), child_of(traceparent))
    _current.set(context)
    return context


def child_of(traceparent: str | None) -> str:
    """A span of our own: in the caller's trace where the header is valid, else in a new one, sampled."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        names = f"{getrandbits(192):048x}"  # names, not secrets: no system call for them
        return f"00-{names[:32]}-{names[32:]}-01"
    span = f"{getrandbits(64):016x}"
    # Of the flags, level 1 defines `sampled` alone; the others must be sent as zero (section 3.2.2.5).
    return f"00-{match[1]}-{span}-{int(match[3], 16) & 1:02x}"


def current() -> Context | None:
    return _current.get()


def current_request_id() -> str | None:
    context = _current.get()
    return context.request_id if context else None


def current_traceparent() -> str | None:
    """The `traceparent` that belongs into what this request causes; None outside of a request."""
    context = _current.get()
    return context.traceparent if context else None
