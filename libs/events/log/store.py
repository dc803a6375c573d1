"""Read a stream, append to streams.

Invariants: every event is written by the SQL function `append()` (`schema.sql`), with the version its decision was made
on. Two deciders of one stream never both win. What identifies a person is sealed (`keyring.py`) before it comes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from libs.events.envelope import HEADERS_BYTES, MAX_EVENT_BYTES, Event
from libs.events.log.database import Connection, Database
from libs.events.log.errors import ClaimTaken, Conflict, EventTooLarge
from libs.events.log.keyring import DESTROYED
from libs.events.log.scope import Access, Scope

Reader: TypeAlias = "Database | Connection"


class Claim(NamedTuple):
    """A name that only one append may ever take: an idempotency key, a short reference."""

    key: str
    fingerprint: bytes
    """What was asked under that name, so that the same again can be told from another."""


class Append(msgspec.Struct, frozen=True):
    """Events for one stream, decided at version `expected` (0: there is none yet)."""

    subject: str
    expected: int
    events: Sequence[Event]
    claims: Sequence[Claim] = ()
    access: Sequence[Access] = ()
    """Who may see the contact from this moment on, and could not before (scope.py)."""
    key: bytes | None = None
    """The stream's first key, wrapped (`StreamKey.new`); empty: the one it has is destroyed."""


class Stream(NamedTuple):
    """A stream as it is kept."""

    events: list[Event]
    """In order, as they were sealed; none where it is not there, or not in the scope."""
    key: bytes | None
    """Wrapped; None: it has none yet; empty: it is destroyed."""


APPENDED, CONFLICT, TAKEN = 0, 1, 2


def _lines(parameter: int) -> str:
    """A column of texts that comes as one text, a line an element, an empty one for NULL: the driver takes an array
    element by element, which costs more than all else that an append needs of it."""
    return f"string_to_array(${parameter}, E'\\n', '')"


def _array(parameter: int, kind: str) -> str:
    """A column of anything else, which comes as PostgreSQL writes an array (`_written`)."""
    return f"${parameter}::text::{kind}[]"


_APPEND = f"""
SELECT append(
    {_lines(1)}, {_array(2, "bigint")}, {_array(3, "int")},
    {_array(4, "int")}, {_lines(5)}, {_lines(6)}, $7,
    {_array(8, "int")}, {_lines(9)}, {_array(10, "bigint")},
    {_array(11, "uuid")}, {_lines(12)}, {_array(13, "timestamptz")}, {_lines(14)},
    {_array(15, "uuid")}, {_lines(16)}, $17,
    {_array(18, "int")}, {_lines(19)}, {_lines(20)}, {_lines(21)}, {_lines(22)}, $23
)
"""
_COLUMNS = "position, version, time, id, causation_id, subject, type, force, traceparent, data"
_LOAD = f"SELECT {_COLUMNS} FROM event WHERE subject = $1 ORDER BY version"
_LOAD_IN_SCOPE = "SELECT told, key FROM stream_in_scope($1, $2, $3)"
_LOAD_MANY = f"SELECT {_COLUMNS} FROM event WHERE subject = ANY ($1) ORDER BY subject, version"
# One row of a stream that is not there, because its key may be refused.
_LOAD_MANY_KEYED = """
SELECT k.subject, CASE WHEN coalesce(e.version, 1) = 1 THEN stream_key(k.subject) END AS key, e AS told
FROM unnest($1::text[]) AS k (subject) LEFT JOIN event AS e ON e.subject = k.subject
ORDER BY k.subject, e.version
"""
_READ_AFTER = f"SELECT {_COLUMNS} FROM event WHERE position > $1 ORDER BY position LIMIT $2"
_IS_APPENDED = "SELECT is_appended($1, $2, $3)"
_HOLDER = "SELECT subject, fingerprint FROM claim WHERE key = $1"


def check(append: Append) -> None:
    """Refuse what must not reach a batch that others share.

    Raises EventTooLarge; ValueError where the versions do not follow `expected`, or text cannot be kept.
    """
    subject, version = append.subject, append.expected
    if not append.events or not subject:
        raise ValueError("an append holds at least one event, and names its stream")
    texts: list[str] = []
    for event in append.events:
        version += 1
        if event.version != version or event.subject != subject:
            raise ValueError(f"event {event.id} is not version {version} of {subject}")
        if event.is_readable:
            raise ValueError(f"{event.type} says who somebody is, and is not sealed")
        if len(event.data) > MAX_EVENT_BYTES - HEADERS_BYTES:
            raise EventTooLarge(f"{event.type}: {len(event.data)} bytes; 512 KiB with its headers is the limit")
        texts.append(f"{subject}{event.source}{event.type}{event.force or ''}{event.traceparent or ''}")
    for claim in append.claims:
        if not claim.key:
            raise ValueError("a claim's key is empty")
        texts.append(claim.key)
    for access in append.access:
        texts += (access.force or "", access.holder or "")
    # All together are seldom as long as an envelope may be; then nobody looks at each.
    if not _fits("".join(texts), HEADERS_BYTES // 2):
        _check_each_text(append)


def _check_each_text(append: Append) -> None:
    for event in append.events:
        if not _fits(
            f"{event.subject}{event.source}{event.type}{event.force or ''}{event.traceparent or ''}", HEADERS_BYTES // 2
        ):
            raise ValueError(f"the envelope of {event.id} is too long, or holds what PostgreSQL cannot keep")
    for claim in append.claims:
        if not _fits(claim.key, HEADERS_BYTES):
            raise ValueError("a claim's key is too long, or holds what PostgreSQL cannot keep")
    for one in append.access:
        if not _fits(f"{one.force or ''}{one.holder or ''}", HEADERS_BYTES):
            raise ValueError("who may see it is too long, or holds what PostgreSQL cannot keep")


def _fits(text: str, most_bytes: int) -> bool:
    """Not too long, and all of it can be read: no NUL, no line break, no half of a surrogate pair."""
    return text.isprintable() and (len(text) if text.isascii() else len(text.encode())) <= most_bytes


def arguments(appends: Sequence[Append]) -> tuple[str | list[bytes] | list[bytes | None], ...]:
    """The arguments of the SQL function `append()`, each column but those of bytes as one text."""
    claims = [(i, a.subject, c.key, c.fingerprint) for i, a in enumerate(appends, 1) for c in a.claims]
    events = [(i, e) for i, a in enumerate(appends, 1) for e in a.events]
    of_events = [e for _, e in events]
    access = [(i, a.subject, one) for i, a in enumerate(appends, 1) for one in a.access]
    return (
        _joined([a.subject for a in appends]),
        _written([a.expected for a in appends]),
        _written([len(a.events) for a in appends]),
        _written([c[0] for c in claims]),
        _joined([c[1] for c in claims]),
        _joined([c[2] for c in claims]),
        [c[3] for c in claims],
        _written([i for i, _ in events]),
        _joined([e.subject for e in of_events]),
        _written([e.version for e in of_events]),
        _written([e.id for e in of_events]),
        _joined([e.type for e in of_events]),
        _written([e.time for e in of_events]),
        _joined([e.force or "" for e in of_events]),
        _written([e.causation_id for e in of_events]),
        _joined([e.traceparent or "" for e in of_events]),
        [e.data for e in of_events],
        _written([i for i, _, _ in access]),
        _joined([contact for _, contact, _ in access]),
        _joined([one.force or "" for _, _, one in access]),
        _joined([one.holder or "" for _, _, one in access]),
        _joined([one.why for _, _, one in access]),
        keys if any(keys := [a.key for a in appends]) or DESTROYED in keys else [],
    )


_joined = "\n".join
_encoder = msgspec.json.Encoder()


def _written(column: Sequence[int | UUID | datetime | None]) -> str:
    """As PostgreSQL writes an array, which differs from JSON in its brackets alone: JSON's encoder writes a time in a
    twentieth, an id in a third of what Python takes."""
    return "{" + _encoder.encode(column)[1:-1].decode() + "}"


async def outcomes(reader: Reader, appends: Sequence[Append]) -> list[int]:
    """Call `append()`: one outcome an append, each append whole or not at all. At most one append a stream."""
    result: list[int] = await reader.fetchval(_APPEND, *arguments(appends))
    return result


def refusal(append: Append, outcome: int) -> Conflict | ClaimTaken:
    """The error an outcome stands for."""
    if outcome == TAKEN:
        return ClaimTaken(tuple(claim.key for claim in append.claims))
    return Conflict(append.subject, append.expected)


async def is_appended(reader: Reader, append: Append) -> bool:
    """Whether it was this very append that took its version: after a commit of which nobody knows what became."""
    first = append.events[0]
    return bool(await reader.fetchval(_IS_APPENDED, first.subject, first.version, first.id))


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
    """The whole stream in order, as it was sealed; empty where there is none, or none in the scope. `source` is the
    database's own (empty on a connection). Without a scope: in that of the transaction."""
    if scope is not None:
        return [event_of(row["told"], _source(reader)) for row in await reader.fetch(_LOAD_IN_SCOPE, *scope, subject)]
    return [event_of(row, _source(reader)) for row in await reader.fetch(_LOAD, subject)]


async def load_keyed(reader: Database, subject: str, scope: Scope) -> Stream:
    """The stream with its key, in one round trip."""
    rows = await reader.fetch(_LOAD_IN_SCOPE, *scope, subject)
    return Stream([event_of(row["told"], reader.source) for row in rows], rows[0]["key"] if rows else None)


async def load_many(reader: Reader, subjects: Sequence[str]) -> dict[str, list[Event]]:
    """Several streams in one round trip, by subject, an empty list for one that is not there."""
    streams: dict[str, list[Event]] = {subject: [] for subject in subjects}
    for row in await reader.fetch(_LOAD_MANY, list(streams)):
        streams[row["subject"]].append(event_of(row, _source(reader)))
    return streams


async def load_many_keyed(connection: Connection, subjects: Sequence[str], source: str) -> dict[str, Stream]:
    """The same with their keys, in the transaction's scope. `source` is the database's own."""
    streams: dict[str, Stream] = {}
    for row in await connection.fetch(_LOAD_MANY_KEYED, list(dict.fromkeys(subjects))):
        stream = streams.setdefault(row["subject"], Stream([], row["key"]))
        if row["told"] is not None:
            stream.events.append(event_of(row["told"], source))
    return streams


async def read_after(reader: Reader, position: int, limit: int = 1000) -> list[tuple[int, Event]]:
    """Events after a position, in order, each with its own: to follow one's own database."""
    rows = await reader.fetch(_READ_AFTER, position, limit)
    return [(row["position"], event_of(row, _source(reader))) for row in rows]


async def holder(reader: Reader, key: str) -> tuple[str, bytes] | None:
    """Who holds a claim: its subject and the fingerprint; None where it is free."""
    row = await reader.fetchrow(_HOLDER, key)
    return None if row is None else (row["subject"], row["fingerprint"])
