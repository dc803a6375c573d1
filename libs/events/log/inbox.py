"""What a shared reader remembers of each stream, so that every event has its effect once and in order.

The rule, for an event with version v of a stream whose applied version is n:

    v = n + 1                              new: apply it, then what was held and now follows
    v ≤ n, the id we applied under v       a duplicate: skip it
    v ≤ n, another id                      a fork: somebody restored a backup; stop
    v > n + 1                              a gap: hold it until the missing one comes
    an earlier event of it is parked       hold it behind that one

`sort_out` is that rule, and pure. The SQL is below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from libs.events.envelope import Event, Malformed, from_message
from libs.events.log.database import Connection

Why: TypeAlias = Literal["gap", "parked", "behind"]
StreamKey: TypeAlias = tuple[str, str]
"""(source, subject)"""


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka record and the event in it; `event` is None where the envelope cannot be read, and `error` says why."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    event: Event | None
    error: str | None = None

    @property
    def stream(self) -> StreamKey:
        """The event's stream. What cannot be read is a stream of its own, and blocks nobody."""
        if self.event is None:
            return (f"kafka:{self.topic}/{self.partition}", str(self.offset))
        return (self.event.source, self.event.subject)

    @property
    def version(self) -> int:
        return 1 if self.event is None else self.event.version


def read(record: ConsumerRecord) -> Message:
    """The message of a Kafka record, whatever is in it; a NUL in a header's name, which no table holds, is marked."""
    headers = tuple((name.replace("\0", "\N{REPLACEMENT CHARACTER}"), value or b"") for name, value in record.headers)
    return _message(record.topic, record.partition, record.offset, record.key, record.value, headers)


def _message(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: tuple[tuple[str, bytes], ...],
) -> Message:
    event: Event | None = None
    error: str | None = None
    try:
        event = from_message(headers, value)
    except Malformed as malformed:
        error = str(malformed)
    return Message(topic, partition, offset, key, value, headers, event, error)


@dataclass(slots=True)
class Stream:
    """A stream as the reader knows it."""

    id: int
    version: int
    holding: bool
    held: dict[int, tuple[Why, Message]] = field(default_factory=dict)

    @property
    def blocked(self) -> bool:
        return any(why != "gap" for why, _ in self.held.values())


@dataclass(frozen=True, slots=True)
class Fork:
    """Two events under one version."""

    message: Message
    applied: UUID


@dataclass(slots=True)
class Sorted:
    new: list[Message] = field(default_factory=list)
    """To be applied, each stream's in order."""
    hold: list[tuple[Message, Why]] = field(default_factory=list)
    unheld: list[tuple[int, int]] = field(default_factory=list)
    """(stream id, version) of held events that are new now."""
    forks: list[Fork] = field(default_factory=list)
    duplicates: int = 0


def sort_out(
    messages: Iterable[Message], streams: Mapping[StreamKey, Stream], applied: Mapping[tuple[int, int], UUID]
) -> Sorted:
    """Tell new events from duplicates, forks and gaps. Moves each stream's `version` over what is new.

    `applied` holds the id of every version among the messages that was applied before.
    """
    result = Sorted()
    ids = dict(applied)
    for message in messages:
        stream = streams[message.stream]
        version = message.version
        event_id = message.event.id if message.event is not None else None
        if message.event is None:
            known = version in stream.held or version <= stream.version
            if known:
                result.duplicates += 1
            else:
                stream.held[version] = ("parked", message)
                result.hold.append((message, "parked"))
        elif version <= stream.version:
            first = ids.get((stream.id, version))
            if first is not None and first != event_id:
                result.forks.append(Fork(message, first))
            else:
                result.duplicates += 1
        elif version in stream.held:
            other = stream.held[version][1].event
            if other is not None and other.id != event_id:
                result.forks.append(Fork(message, other.id))
            else:
                result.duplicates += 1
        elif stream.blocked:
            stream.held[version] = ("behind", message)
            result.hold.append((message, "behind"))
        elif version > stream.version + 1:
            stream.held[version] = ("gap", message)
            result.hold.append((message, "gap"))
        else:
            following: Message | None = message
            while following is not None and following.event is not None:
                result.new.append(following)
                stream.version = following.version
                ids[stream.id, following.version] = following.event.id
                waiting = stream.held.pop(stream.version + 1, None)
                following = waiting[1] if waiting else None
                if following is not None:
                    result.unheld.append((stream.id, following.version))
    # What was held in this very batch and became new in it was never written.
    fresh = {(streams[m.stream].id, m.version) for m, _ in result.hold}
    gone = fresh.intersection(result.unheld)
    result.hold = [(m, why) for m, why in result.hold if (streams[m.stream].id, m.version) not in gone]
    result.unheld = [entry for entry in result.unheld if entry not in gone]
    return result


# SQL ----------------------------------------------------------------------------------------------------------------

_LOCK_STREAMS = """
SELECT s.id, s.version, s.holding, s.source, s.subject
FROM reader_stream AS s JOIN unnest($2::text[], $3::text[]) AS k (source, subject) USING (source, subject)
WHERE s.reader = $1
ORDER BY s.id
FOR UPDATE OF s
"""
_MAKE_STREAMS = """
INSERT INTO reader_stream (reader, source, subject)
SELECT $1, k.source, k.subject FROM unnest($2::text[], $3::text[]) AS k (source, subject)
RETURNING id, version, holding, source, subject
"""
_HELD = """
SELECT stream, version, why, topic, partition, "offset", key, value, header_names, header_values
FROM held WHERE stream = ANY ($1) ORDER BY id
"""
_APPLIED = """
SELECT stream, version, id
FROM inbox JOIN unnest($1::bigint[], $2::bigint[]) AS k (stream, version) USING (stream, version)
"""
_MOVE_STREAMS = """
UPDATE reader_stream AS s SET version = k.version, holding = k.holding
FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS k (id, version, holding)
WHERE s.id = k.id AND (s.version, s.holding) IS DISTINCT FROM (k.version, k.holding)
"""
_REMEMBER = """
INSERT INTO inbox (stream, version, id) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[])
"""
_UNHOLD = """
DELETE FROM held USING unnest($1::bigint[], $2::bigint[]) AS k (stream, version)
WHERE (held.stream, held.version) = (k.stream, k.version)
"""
_HOLD = """
INSERT INTO held (reader, stream, version, why, error, attempts, topic, partition, "offset", key, value,
                  header_names, header_values)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


async def lock_streams(connection: Connection, reader: str, keys: Iterable[StreamKey]) -> dict[StreamKey, Stream]:
    """The streams as they stand, made where they are new, locked until the transaction ends, held events loaded."""
    wanted = set(keys)
    pairs = sorted(wanted)
    rows = await connection.fetch(_LOCK_STREAMS, reader, [p[0] for p in pairs], [p[1] for p in pairs])
    missing = sorted(wanted - {(row["source"], row["subject"]) for row in rows})
    if missing:
        rows += await connection.fetch(_MAKE_STREAMS, reader, [p[0] for p in missing], [p[1] for p in missing])
    streams = {(r["source"], r["subject"]): Stream(r["id"], r["version"], r["holding"]) for r in rows}
    holding = {stream.id: stream for stream in streams.values() if stream.holding}
    if holding:
        for row in await connection.fetch(_HELD, list(holding)):
            holding[row["stream"]].held[row["version"]] = (row["why"], held_message(row))
    return streams


def held_message(row: asyncpg.Record) -> Message:
    """A row of `held` as the message it was."""
    headers = tuple(zip(row["header_names"], row["header_values"], strict=True))
    return _message(row["topic"], row["partition"], row["offset"], row["key"], row["value"], headers)


async def applied_ids(
    connection: Connection, messages: Iterable[Message], streams: Mapping[StreamKey, Stream]
) -> dict[tuple[int, int], UUID]:
    """The id applied under each version among the messages that was applied before."""
    old = [(s.id, m.version) for m in messages if m.event is not None and m.version <= (s := streams[m.stream]).version]
    if not old:
        return {}
    rows = await connection.fetch(_APPLIED, [o[0] for o in old], [o[1] for o in old])
    return {(row["stream"], row["version"]): row["id"] for row in rows}


async def remember(
    connection: Connection,
    reader: str,
    streams: Mapping[StreamKey, Stream],
    *,
    applied: Sequence[Message],
    unheld: Sequence[tuple[int, int]],
    hold: Sequence[tuple[Message, Why, str | None]],
    tries: int,
) -> None:
    """Write what a batch came to: versions, ids, and what is held; `hold` gives each with its why and its error."""
    if applied:
        ids = [(streams[m.stream].id, m.version, m.event.id) for m in applied if m.event is not None]
        await connection.execute(_REMEMBER, [i[0] for i in ids], [i[1] for i in ids], [i[2] for i in ids])
    if unheld:
        await connection.execute(_UNHOLD, [u[0] for u in unheld], [u[1] for u in unheld])
    if hold:
        await connection.executemany(
            _HOLD,
            [
                (
                    reader,
                    streams[m.stream].id,
                    m.version,
                    why,
                    error,
                    tries if why == "parked" else 0,
                    m.topic,
                    m.partition,
                    m.offset,
                    m.key,
                    m.value,
                    [name for name, _ in m.headers],
                    [value for _, value in m.headers],
                )
                for m, why, error in hold
            ],
        )
    await connection.execute(
        _MOVE_STREAMS,
        [s.id for s in streams.values()],
        [s.version for s in streams.values()],
        [bool(s.held) for s in streams.values()],
    )
