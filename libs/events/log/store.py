"""Read a stream, append to streams.

Invariant: every event is written by the SQL function `append()` (`schema.sql`), with the version its decision was made
on. Two deciders of one stream never both win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import asyncpg

from libs.events.envelope import HEADERS_BYTES, MAX_EVENT_BYTES, Event
from libs.events.log.database import Connection, Database
from libs.events.log.errors import ClaimTaken, Conflict, EventTooLarge
from libs.events.log.scope import Access, Scope

Reader: TypeAlias = "Database | Connection"


class Claim(NamedTuple):
    """A name that only one append may ever take: an idempotency key, a short reference."""

    key: str
    fingerprint: bytes
    """What was asked under that name, so that the same again can be told from another."""


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream, decided at version `expected` (0: there is none yet)."""

    subject: str
    expected: int
    events: Sequence[Event]
    claims: Sequence[Claim] = ()
    access: Sequence[Access] = ()
    """Who may see a new contact from its first moment (scope.py)."""


APPENDED, CONFLICT, TAKEN = 0, 1, 2

_APPEND = """
SELECT append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
"""
_COLUMNS = "position, version, time, id, causation_id, subject, type, force, traceparent, data"
_LOAD = f"SELECT {_COLUMNS} FROM event WHERE subject = $1 ORDER BY version"
_LOAD_IN_SCOPE = f"SELECT {_COLUMNS} FROM stream_in_scope($1, $2, $3)"
_LOAD_MANY = f"SELECT {_COLUMNS} FROM event WHERE subject = ANY ($1) ORDER BY subject, version"
_READ_AFTER = f"SELECT {_COLUMNS} FROM event WHERE position > $1 ORDER BY position LIMIT $2"
_HOLDER = "SELECT subject, fingerprint FROM claim WHERE key = $1"


def check(append: Append) -> None:
    """Refuse what must not reach a batch that others share.

    Raises EventTooLarge; ValueError where the versions do not follow `expected`, or text holds a NUL.
    """
    if not append.events:
        raise ValueError("an append holds at least one event")
    for version, event in enumerate(append.events, append.expected + 1):
        if event.version != version or event.subject != append.subject:
            raise ValueError(f"event {event.id} is not version {version} of {append.subject}")
        if len(event.data) > MAX_EVENT_BYTES - HEADERS_BYTES:
            raise EventTooLarge(f"{event.type}: {len(event.data)} bytes; 512 KiB with its headers is the limit")
        texts = (event.subject, event.source, event.type, event.force or "", event.traceparent or "")
        if not _fits("".join(texts), HEADERS_BYTES // 2):
            raise ValueError(f"the envelope of {event.id} is too long, or holds what PostgreSQL cannot keep")
    if not all(_fits(claim.key, HEADERS_BYTES) for claim in append.claims):
        raise ValueError("a claim's key is too long, or holds what PostgreSQL cannot keep")


def _fits(text: str, most_bytes: int) -> bool:
    """UTF-8, no NUL, not too long."""
    try:
        return len(text.encode()) <= most_bytes and "\0" not in text
    except UnicodeEncodeError:
        return False


def arguments(appends: Sequence[Append]) -> tuple[list[object], ...]:
    """The arguments of the SQL function `append()`."""
    claims = [(i, a.subject, c.key, c.fingerprint) for i, a in enumerate(appends, 1) for c in a.claims]
    events = [(i, e) for i, a in enumerate(appends, 1) for e in a.events]
    access = [(i, a.subject, one) for i, a in enumerate(appends, 1) for one in a.access]
    return (
        [a.subject for a in appends],
        [a.expected for a in appends],
        [len(a.events) for a in appends],
        [c[0] for c in claims],
        [c[1] for c in claims],
        [c[2] for c in claims],
        [c[3] for c in claims],
        [i for i, _ in events],
        [e.subject for _, e in events],
        [e.version for _, e in events],
        [e.id for _, e in events],
        [e.type for _, e in events],
        [e.time for _, e in events],
        [e.force for _, e in events],
        [e.causation_id for _, e in events],
        [e.traceparent for _, e in events],
        [e.data for _, e in events],
        [i for i, _, _ in access],
        [contact for _, contact, _ in access],
        [one.force for _, _, one in access],
        [one.holder for _, _, one in access],
        [one.why for _, _, one in access],
    )


async def outcomes(reader: Reader, appends: Sequence[Append]) -> list[int]:
    """Call `append()`: one outcome an append, each append whole or not at all. At most one append a stream."""
    result: list[int] = await reader.fetchval(_APPEND, *arguments(appends))
    return result


def refusal(append: Append, outcome: int) -> Conflict | ClaimTaken:
    """The error an outcome stands for."""
    if outcome == TAKEN:
        return ClaimTaken(tuple(claim.key for claim in append.claims))
    return Conflict(append.subject, append.expected)


async def append(connection: Reader, appends: Sequence[Append]) -> None:
    """Append all or none, as the last statement of the caller's transaction, at most once in it.

    Raises Conflict, ClaimTaken, EventTooLarge: let them end the transaction.
    """
    if not appends:
        return
    for one in appends:
        check(one)
    for one, outcome in zip(appends, await outcomes(connection, appends), strict=True):
        if outcome != APPENDED:
            raise refusal(one, outcome)


def event_of(row: asyncpg.Record, source: str) -> Event:
    """A row of `event` as the event it is; the database knows its own source, the row does not say it."""
    return Event(
        id=row["id"],
        type=row["type"],
        source=source,
        subject=row["subject"],
        version=row["version"],
        time=row["time"],
        data=row["data"],
        force=row["force"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
    )


def _source(reader: Reader) -> str:
    return reader.source if isinstance(reader, Database) else ""


async def load(reader: Reader, subject: str, scope: Scope | None = None) -> list[Event]:
    """The whole stream in order; empty where there is none, or none in the scope. `source` is the database's own (empty
    on a connection). Without a scope: in that of the transaction."""
    if scope is not None:
        return [event_of(row, _source(reader)) for row in await reader.fetch(_LOAD_IN_SCOPE, *scope, subject)]
    return [event_of(row, _source(reader)) for row in await reader.fetch(_LOAD, subject)]


async def load_many(reader: Reader, subjects: Sequence[str]) -> dict[str, list[Event]]:
    """Several streams in one round trip, by subject, an empty list for one that is not there."""
    streams: dict[str, list[Event]] = {subject: [] for subject in subjects}
    for row in await reader.fetch(_LOAD_MANY, list(streams)):
        streams[row["subject"]].append(event_of(row, _source(reader)))
    return streams


async def read_after(reader: Reader, position: int, limit: int = 1000) -> list[tuple[int, Event]]:
    """Events after a position, in order, each with its own: to follow one's own database."""
    rows = await reader.fetch(_READ_AFTER, position, limit)
    return [(row["position"], event_of(row, _source(reader))) for row in rows]


async def holder(reader: Reader, key: str) -> tuple[str, bytes] | None:
    """Who holds a claim: its subject and the fingerprint; None where it is free."""
    row = await reader.fetchrow(_HOLDER, key)
    return None if row is None else (row["subject"], row["fingerprint"])
