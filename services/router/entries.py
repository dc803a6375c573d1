"""The rows that wait, and what was heard of each contact: the router's SQL.

Invariants: a contact has a row in `queue_entry` exactly while it waits, in the queue of its latest decision, and those
see it whom `_seen_by` names. Whoever changes a contact writes both in the transaction that appends the facts, and locks
in the order `schema.sql` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import asyncpg
import msgspec

from libs.events.envelope import Event, UnknownType
from libs.events.log import scope
from libs.events.log.database import Connection
from libs.events.log.scope import ALLIANCE, Access, Scope
from libs.events.log.store import Reader, load_many
from libs.events.types import Fact
from libs.events.types.routing import Candidate
from libs.service.cursors import Moment
from services.router.contact import Contact, Heard, fold

_json = msgspec.json.Encoder()
_heard = msgspec.json.Decoder(Heard)
_candidates = msgspec.json.Decoder(tuple[Candidate, ...])

LOCK_ENTRIES = """
SELECT contact FROM queue_entry WHERE contact = ANY ($1::text[]) ORDER BY contact FOR UPDATE
"""

LOCK_INTAKE = """
SELECT contact, heard FROM contact_intake WHERE contact = ANY ($1::text[]) ORDER BY contact FOR UPDATE
"""

KEEP_INTAKE = """
INSERT INTO contact_intake (contact, heard)
SELECT contact, heard FROM unnest($1::text[], $2::bytea[]) AS k (contact, heard)
ORDER BY contact
ON CONFLICT (contact) DO UPDATE SET heard = excluded.heard
"""

PUT_ENTRIES = """
INSERT INTO queue_entry (contact, queue, priority, waiting_since, reference, channel, medium, line, owning_force,
                         presented_force, incident_force, provisional, cause, candidates, needs_handler)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[], $13::text[], $14::bytea[],
                     $15::boolean[])
ORDER BY 1
ON CONFLICT (contact) DO UPDATE SET
    (queue, priority, waiting_since, reference, channel, medium, line, owning_force,
     presented_force, incident_force, provisional, cause, candidates, needs_handler)
    = ROW (excluded.queue, excluded.priority, excluded.waiting_since, excluded.reference, excluded.channel,
           excluded.medium, excluded.line, excluded.owning_force, excluded.presented_force, excluded.incident_force,
           excluded.provisional, excluded.cause, excluded.candidates, excluded.needs_handler)
"""

DROP_ENTRIES = """
DELETE FROM queue_entry WHERE contact = ANY ($1::text[])
"""

# The first that nobody else is about to take or move; MATERIALIZED, so that it is looked for exactly once.
TAKE_NEXT = """
WITH next AS MATERIALIZED (
    SELECT contact FROM queue_entry WHERE queue = $1
    ORDER BY priority, waiting_since, contact
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
DELETE FROM queue_entry USING next WHERE queue_entry.contact = next.contact
RETURNING queue_entry.contact
"""

ANYBODY_WAITS = """
SELECT EXISTS (SELECT FROM queue_entry WHERE queue = $1)
"""

COUNT_QUEUES = """
SELECT queue, length, oldest_waiting_since FROM queues_in_scope($1, $2)
"""

COUNT_QUEUE = """
SELECT length, oldest_waiting_since FROM queue_in_scope($1, $2, $3)
"""

# Of queues that should be none: few, whatever waits in the others.
QUEUES_OTHER_THAN = """
SELECT DISTINCT queue FROM queue_entry WHERE queue <> ALL ($1::text[])
"""

FIRST_OF_QUEUE = """
SELECT contact FROM queue_entry WHERE queue = $1 ORDER BY priority, waiting_since, contact LIMIT 100
"""

LIST_QUEUE = """
SELECT contact, reference, channel, medium, line, priority, waiting_since, owning_force, presented_force,
       incident_force, provisional, cause, candidates, needs_handler
FROM queue_page_in_scope($1, $2, $3, $4, $5, $6, $7)
"""


class Place(NamedTuple):
    """A place in a queue's order, with what fits into its columns."""

    priority: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
    waiting_since: Moment
    contact: Annotated[str, msgspec.Meta(pattern=r"^[ -~]*\Z")]


FIRST = Place(-(2**31), datetime(1, 1, 2, tzinfo=UTC), "")
"""Before every place in a queue."""


class Length(NamedTuple):
    length: int = 0
    oldest_waiting_since: datetime | None = None


def fact_of(event: Event) -> Fact | None:
    """One of our own facts; None where a newer copy of the router wrote a type that this one does not know."""
    try:
        fact: Fact = event.fact
    except UnknownType:
        return None
    return fact


async def contacts(reader: Reader, subjects: Sequence[str]) -> dict[str, Contact]:
    """The contacts as the router's own streams tell, in one round trip; NEVER_SEEN for one that has none."""
    streams = await load_many(reader, subjects)
    return {subject: fold(map(fact_of, events)) for subject, events in streams.items()}


async def lock(connection: Connection, subjects: Sequence[str]) -> dict[str, Heard]:
    """Hold the contacts against every other change until the transaction ends; what was heard of those known.

    A claim passes by what is locked.
    """
    await connection.execute(LOCK_ENTRIES, list(subjects))
    rows = await connection.fetch(LOCK_INTAKE, list(subjects))
    return {row["contact"]: _heard.decode(row["heard"]) for row in rows}


async def keep_heard(connection: Connection, heard: Mapping[str, Heard]) -> None:
    if heard:
        await connection.execute(KEEP_INTAKE, list(heard), [_json.encode(one) for one in heard.values()])


async def show(connection: Connection, changed: Mapping[str, Contact]) -> None:
    """Make the rows of these contacts say what the contacts say."""
    waiting = [
        (subject, contact.decision)
        for subject, contact in changed.items()
        if contact.status == "waiting" and contact.decision is not None
    ]
    elsewhere = [subject for subject, contact in changed.items() if contact.status != "waiting"]
    if elsewhere:
        await connection.execute(DROP_ENTRIES, elsewhere)
    if waiting:
        decisions = [decision for _, decision in waiting]
        await connection.execute(
            PUT_ENTRIES,
            [subject for subject, _ in waiting],
            [d.queue for d in decisions],
            [d.priority for d in decisions],
            [d.waiting_since for d in decisions],
            [d.reference for d in decisions],
            [d.channel for d in decisions],
            [d.medium for d in decisions],
            [d.line for d in decisions],
            [d.owning_force for d in decisions],
            [d.presented_force for d in decisions],
            [d.incident_force for d in decisions],
            [d.provisional for d in decisions],
            [d.cause for d in decisions],
            [_json.encode(d.candidates) for d in decisions],
            [d.needs_handler for d in decisions],
        )


async def keep_access(connection: Connection, changed: Mapping[str, Contact]) -> None:
    """Let those see these contacts who may by what the contacts say, and nobody else. After `show`: it may take the
    contact out of the caller's own scope."""
    seen_by = {subject: list(_seen_by(contact)) for subject, contact in changed.items()}
    await scope.keep(connection, seen_by, ("owning", "presented", "answering", "alliance", "in-hands"))


def _seen_by(contact: Contact) -> Iterator[Access]:
    """Its owner, whom it was presented to, who answers it, whose hands it is in; and the alliance, where it has no
    owner, or none that has a queue for it: then it waits in the alliance's own."""
    decision = contact.decision
    if decision is None:
        return
    if decision.owning_force is None or decision.cause == "no-queue":
        yield Access("alliance", ALLIANCE)
    for why, force in (
        ("owning", decision.owning_force),
        ("presented", decision.presented_force),
        ("answering", contact.answering_force),
    ):
        if force:
            yield Access(why, force)  # type: ignore[arg-type]
    if contact.handler:
        yield Access("in-hands", holder=contact.handler)


async def take_next(connection: Connection, queue: str) -> str | None:
    """Take the first of a queue out of it; None: nobody waits, or all who do are being taken or moved just now."""
    contact: str | None = await connection.fetchval(TAKE_NEXT, queue)
    return contact


async def anybody_waits(reader: Reader, queue: str) -> bool:
    return bool(await reader.fetchval(ANYBODY_WAITS, queue))


async def queues_other_than(reader: Reader, known: Iterable[str]) -> list[str]:
    """The queues in which somebody waits, less these."""
    return [row["queue"] for row in await reader.fetch(QUEUES_OTHER_THAN, list(known))]


async def first_of(reader: Reader, queue: str) -> list[str]:
    """The first hundred contacts of a queue."""
    return [row["contact"] for row in await reader.fetch(FIRST_OF_QUEUE, queue)]


async def lengths(reader: Reader, seen: Scope) -> dict[str, Length]:
    """Of every queue in which somebody of the scope waits."""
    rows = await reader.fetch(COUNT_QUEUES, *seen)
    return {row["queue"]: Length(row["length"], row["oldest_waiting_since"]) for row in rows}


async def length_of(reader: Reader, seen: Scope, queue: str) -> Length:
    [row] = await reader.fetch(COUNT_QUEUE, *seen, queue)
    return Length(row["length"], row["oldest_waiting_since"])


async def page(reader: Reader, seen: Scope, queue: str, *, after: Place, limit: int) -> list[asyncpg.Record]:
    return await reader.fetch(LIST_QUEUE, *seen, queue, *after, limit)


def place_of(row: asyncpg.Record) -> Place:
    return Place(row["priority"], row["waiting_since"], row["contact"])


def candidates_of(row: asyncpg.Record) -> tuple[Candidate, ...]:
    return _candidates.decode(row["candidates"])
