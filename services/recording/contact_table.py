"""The table of contacts: read, lock, write, list what is owed.

Invariant: a contact's row is changed only by whoever locked it, and several are locked in the order of their ids,
always before any stream is appended to. So reader and people who dispose wait for each other, never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from libs.events.envelope import Event
from libs.events.log import scope
from libs.events.log.database import Connection, Database
from libs.events.log.scope import ALLIANCE, Access, Scope
from libs.events.log.store import Reader
from libs.events.types.contacts import ContactReceived
from libs.service.cursors import Moment
from services.recording.contact import Contact

_FIELDS = tuple(field.name for field in msgspec.structs.fields(Contact))
_COLUMNS = ", ".join(_FIELDS)
_TYPES = {
    "id": "uuid",
    "received": "uuid",
    "routed": "uuid",
    "incident": "uuid",
    "received_at": "timestamptz",
    "ended_at": "timestamptz",
    "disposed_at": "timestamptz",
    "provisional": "boolean",
    "unassigned": "boolean",
}

_ARRAYS = ", ".join(f"${i}::{_TYPES.get(name, 'text')}[]" for i, name in enumerate(_FIELDS, 1))
_SETS = ", ".join(f"{name} = w.{name}" for name in _FIELDS if name != "id")

_MAKE = "INSERT INTO contact (id) SELECT unnest($1::uuid[]) ORDER BY 1 ON CONFLICT DO NOTHING"
_LOCK = f"SELECT {_COLUMNS} FROM contact WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_SAVE = f"UPDATE contact AS c SET {_SETS} FROM unnest({_ARRAYS}) AS w ({_COLUMNS}) WHERE c.id = w.id"
_READ = f"SELECT {_COLUMNS} FROM known_in_scope($1, $2, $3)"
_FORCES_OF_INCIDENT = "SELECT DISTINCT owning_force FROM contact WHERE incident = $1"
_FORCES_OF_INCIDENTS = "SELECT DISTINCT incident, owning_force FROM contact WHERE incident = ANY ($1::uuid[])"
_LOCK_INCIDENTS = """
SELECT pg_advisory_xact_lock(1286, hashtext(incident)) FROM (SELECT unnest($1::text[]) AS incident ORDER BY 1) AS i
"""
_OWING = f"SELECT {_COLUMNS} FROM owing_in_scope($1, $2, $3, $4, $5, $6, $7)"
_COUNT_OWING = "SELECT force, open, ended FROM owing_count_in_scope($1, $2, $3)"
_COUNT_ALL_OWING = """
SELECT owning_force, count(*) FILTER (WHERE ended_at IS NULL), count(*) FILTER (WHERE ended_at IS NOT NULL)
FROM contact WHERE disposition IS NULL GROUP BY owning_force
"""  # index contact_owing

_KEEP_REPORTS = """
INSERT INTO report (contact, source, received)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING
"""
_TAKE_REPORTS = "DELETE FROM report WHERE contact = ANY ($1::uuid[]) RETURNING contact, source, received"


class After(NamedTuple):
    """Where the last page ended."""

    open: bool
    received_at: Moment
    id: UUID


START = After(False, datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))
"""Before the first page."""


class Owing(NamedTuple):
    """How many contacts of a force (None: the alliance) have no disposition."""

    force: str | None
    open: int
    ended: int


def _contact(row: asyncpg.Record) -> Contact:
    return Contact(**dict(row.items()))


async def lock(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Contact]:
    """Lock these contacts until the transaction ends, making those that recording had not heard of."""
    wanted = sorted(set(ids))
    await connection.execute(_MAKE, wanted)
    return {row["id"]: _contact(row) for row in await connection.fetch(_LOCK, wanted)}


async def lock_known(connection: Connection, id_: UUID) -> Contact | None:
    row = await connection.fetchrow(_LOCK, [id_])
    return None if row is None else _contact(row)


async def read(database: Database, seen: Scope, id_: UUID) -> Contact | None:
    row = await database.fetchrow(_READ, *seen, id_)
    return None if row is None else _contact(row)


async def save(connection: Connection, contacts: Sequence[Contact]) -> None:
    """Write contacts that this transaction locked, and let those see each who may by what it says now."""
    if contacts:
        rows = [msgspec.structs.astuple(contact) for contact in contacts]
        await connection.execute(_SAVE, *[list(column) for column in zip(*rows, strict=True)])
        seen = {str(contact.id): list(seen_by(contact)) for contact in contacts}
        await scope.keep(connection, seen, ("owning", "presented", "answering", "alliance", "in-hands"))


def seen_by(contact: Contact) -> Iterator[Access]:
    """Its owner, whom it was presented to, who answered it, whose hands it is or was in; and the alliance, while nobody
    owns it, or its owner has no queue for it."""
    if contact.owning_force is None or contact.unassigned:
        yield Access("alliance", ALLIANCE)
    if contact.owning_force:
        yield Access("owning", contact.owning_force)
    if contact.presented_force:
        yield Access("presented", contact.presented_force)
    if contact.answering_force:
        yield Access("answering", contact.answering_force)
    if contact.handler:
        yield Access("in-hands", holder=contact.handler)


async def involve(connection: Connection, contacts: Iterable[Contact], opened: Mapping[str, str | None]) -> None:
    """Let the contacts' owners, and in whose hands they are, see the incidents that these led to; and of incidents
    opened now, their owners."""
    led = [contact for contact in contacts if contact.incident is not None]
    await connection.execute(_LOCK_INCIDENTS, sorted({str(contact.incident) for contact in led}))
    seen_by: dict[str, list[Access]] = {incident: [_owner(force)] for incident, force in opened.items()}
    for contact in led:
        seen_by.setdefault(str(contact.incident), []).extend(_involved_in(contact))
    await scope.give(connection, seen_by)


async def involve_anew(connection: Connection, contacts: Iterable[Contact]) -> None:
    """Whoever owns the contacts by now, or has them in his hands, may see the incidents that they led to, and who no
    longer owns one may not. In a consumer's transaction, which sees the contacts of every force."""
    led = [contact for contact in contacts if contact.incident is not None]
    incidents = sorted({str(contact.incident) for contact in led})
    if incidents:
        await connection.execute(_LOCK_INCIDENTS, incidents)
        seen_by: dict[str, list[Access]] = {incident: [] for incident in incidents}
        for row in await connection.fetch(_FORCES_OF_INCIDENTS, [UUID(incident) for incident in incidents]):
            seen_by[str(row["incident"])].append(_involved(row["owning_force"]))
        for contact in led:
            seen_by[str(contact.incident)].extend(_involved_in(contact))
        await scope.keep(connection, seen_by, ("involved",))


def _owner(force: str | None) -> Access:
    return Access("alliance", ALLIANCE) if force is None else Access("owning", force)


def _involved_in(contact: Contact) -> Iterator[Access]:
    """Who may see the incident that a contact led to because of that contact."""
    yield _involved(contact.owning_force)
    if contact.handler:
        yield Access("in-hands", holder=contact.handler)


def _involved(force: str | None) -> Access:
    return Access("involved", ALLIANCE if force is None else force)


async def forces_of_incident(reader: Reader, incident: UUID) -> list[str | None]:
    """The owning forces of the contacts that lead to an incident, of those in the transaction's scope."""
    return [row["owning_force"] for row in await reader.fetch(_FORCES_OF_INCIDENT, incident)]


async def owing(database: Database, seen: Scope, force: str | None, after: After, limit: int) -> list[Contact]:
    """Contacts without a disposition: those that ended first, then oldest first."""
    return [_contact(row) for row in await database.fetch(_OWING, *seen, force, *after, limit)]


async def count_owing(database: Database, seen: Scope, force: str | None) -> list[Owing]:
    return [Owing(*row) for row in await database.fetch(_COUNT_OWING, *seen, force)]


async def count_all_owing(database: Database) -> list[Owing]:
    """For operators, whose business are numbers only."""
    return [Owing(*row) for row in await database.fetch(_COUNT_ALL_OWING)]


async def keep_reports(connection: Connection, received: Mapping[UUID, Event]) -> None:
    """Keep the data of reports whose routing is not known yet, as it was sealed."""
    if received:
        events = received.values()
        await connection.execute(
            _KEEP_REPORTS, list(received), [event.source for event in events], [event.data for event in events]
        )


async def take_reports(connection: Connection, contacts: Iterable[Contact]) -> dict[UUID, Event]:
    """The received events of these contacts, of which reports were kept, as they were sealed; kept no longer."""
    wanted = {contact.id: contact for contact in contacts}
    if not wanted:
        return {}
    rows = await connection.fetch(_TAKE_REPORTS, list(wanted))
    return {row["contact"]: _received(wanted[row["contact"]], row["source"], row["received"]) for row in rows}


def _received(contact: Contact, source: str, data: bytes) -> Event:
    """A contact begins with it: it is version 1 of its stream."""
    return Event(
        id=contact.received or contact.id,
        type=ContactReceived.TYPE,
        source=source,
        subject=str(contact.id),
        version=1,
        time=contact.received_at,
        data=data,
    )
