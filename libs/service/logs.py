"""Logs: one JSON object a line on stdout, from structlog and the standard library alike.

Invariants: whatever is logged, a line is one line of ASCII (no control character of a client's gets through), it
holds no token and no password in a URL, and an exception is its type and its place in the code: its message may quote
personal data, and only those of `SPEAKING` speak of the machine alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, TextIO, TypeAlias
from uuid import UUID

import structlog

from libs.service import context

_EventDict: TypeAlias = MutableMapping[str, Any]
_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

SPEAKING: tuple[type[BaseException], ...] = (
    OSError,
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    NotImplementedError,
    RecursionError,
)
"""Exceptions whose messages are about code and machines."""
SECRET = frozenset({"authorization", "token", "password", "secret", "cookie", "body", "query", "personal"})
"""Fields that are never written, whatever is in them."""
SOON_S = 0.02
"""How long the line of a request may wait for others. Any other line is written at once, and what waits before it."""
MAX_FRAMES = 30
MAX_TEXT = 2000

_requests: _Lines | None = None
_service = ""
_LEAKS = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*|(?<=://)[^/\s@\"]+:[^/\s@\"]+(?=@)")


def configure(service_name: str, level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to `stream` (stdout), as `service_name`."""
    global _requests, _service  # a process logs to one place
    out = _Lines(stream or sys.stdout)
    _service = json.dumps(service_name)[1:-1]
    _requests = out if logging.getLevelNamesMapping()[level] <= logging.INFO else None
    shared: list[structlog.typing.Processor] = [
        _about_request,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _exception,
        _Render(service_name),
    ]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: out,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_FromStdlib(shared, out)]
    root.setLevel(level)
    logging.captureWarnings(True)
    for noisy in ("httpx", "httpcore", "aiokafka", "kafka", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    # uvicorn's own handlers are never installed (run.py); its access log would show query strings.
    logging.getLogger("uvicorn.access").disabled = True


def request(operation: str, method: str, status: int, seconds: float, about: context.Context) -> None:
    """The line of a request, at info level. `operation` and `method` are names of ours."""
    if _requests is not None:
        _requests.soon(_Request(time.time_ns(), operation, method, status, seconds, about))


class _Request(NamedTuple):
    """The line of a request, because every request has one: made by hand, out of what needs no escaping, and only when
    it is written, many at a time (`abreast` says why)."""

    at_ns: int
    operation: str
    method: str
    status: int
    seconds: float
    about: context.Context

    def __str__(self) -> str:
        second, fraction = divmod(self.at_ns // 1000, 1_000_000)
        return (
            f'{{"time":"{_written(second)}.{fraction:06}Z","level":"info",'
            f'"service":"{_service}","event":"request","operation":"{self.operation}","method":"{self.method}",'
            f'"status":{self.status},"ms":{self.seconds * 1000:.2f},'
            f'"requestId":"{self.about.request_id}","traceId":"{self.about.trace_id}"}}'
        )


@lru_cache(maxsize=2)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


class _Lines:
    """Writes whole lines, in order. A reader of our stdout that has gone away must not fail the request that logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str | _Request] = []

    def msg(self, line: str) -> None:
        self._waiting.append(line)
        self._write()

    def soon(self, line: _Request) -> None:
        """Write it with what else is logged within SOON_S: a system call costs more than the line."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(SOON_S, self._write)
            except RuntimeError:
                self._write()

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("".join([f"{line}\n" for line in lines]))
            self._stream.flush()

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


def _about_request(_: Any, __: str, event: _EventDict) -> _EventDict:
    if (request := context.current()) is not None:
        event["requestId"] = request.request_id
        event["traceId"] = request.trace_id
    return event


def _exception(_: Any, __: str, event: _EventDict) -> _EventDict:
    given = event.pop("exc_info", None)
    error: BaseException | None = None
    if isinstance(given, BaseException):
        error = given
    elif isinstance(given, tuple):
        error = given[1]
    elif given:
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = describe(error)
    return event


def describe(error: BaseException) -> list[dict[str, Any]]:
    """An exception and what caused it, outermost first: types and places, a message only where it is safe."""
    chain: list[dict[str, Any]] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen and len(chain) < 5:
        seen.add(id(at))
        frames = traceback.extract_tb(at.__traceback__)[-MAX_FRAMES:]
        entry: dict[str, Any] = {
            "type": f"{type(at).__module__}.{type(at).__qualname__}",
            "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        if isinstance(at, SPEAKING):
            entry["message"] = str(at)[:MAX_TEXT]
        if (state := getattr(at, "sqlstate", None)) is not None:
            entry["sqlstate"] = state
        if isinstance(at, BaseExceptionGroup):
            entry["group"] = [describe(inner) for inner in at.exceptions[:5]]
        chain.append(entry)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return chain


class _Render:
    def __init__(self, service_name: str) -> None:
        self._service = service_name

    def __call__(self, _: Any, __: str, event: _EventDict) -> str:
        line = {"time": event.pop("time", None), "level": event.pop("level", None), "service": self._service}
        for name, value in event.items():
            line[name] = "…" if name.lower() in SECRET else value
        text = json.dumps(line, default=_plain, ensure_ascii=True, skipkeys=True, separators=(",", ":"))
        return _LEAKS.sub("***", text) if "eyJ" in text or "://" in text else text


def _plain(value: Any) -> Any:
    """What JSON has no form for: a few harmless kinds as text, of any other its type only."""
    if isinstance(value, UUID | datetime):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(str(item) for item in value)
    return f"<{type(value).__qualname__}>"


class _FromStdlib(logging.Handler):
    """The standard library's records, through the same processors."""

    def __init__(self, processors: list[structlog.typing.Processor], out: _Lines) -> None:
        super().__init__()
        self._processors = processors
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.name == "asyncio" or "Traceback (most recent call last)" in text:
                # The rest is an exception's message, or the repr of a task that holds one.
                text = text.partition("\n")[0]
            event: Any = {"event": text[:MAX_TEXT], "logger": record.name, "exc_info": record.exc_info}
            for process in self._processors:
                event = process(None, record.levelname.lower(), event)
            self._out.msg(event)
        except Exception:
            self._out.msg('{"level":"error","event":"a log record could not be written"}')
