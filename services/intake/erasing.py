"""Where a contact is erased: the fact, the destruction of its key and the word to all services, in one transaction.

Invariants
  * A contact whose erasure is answered has no key here any more, and `hueandcry.erasures` says so to everybody, or will
    as soon as Kafka is there.
  * What stands in the way is read in that transaction, and the contact is erased at the version it was decided on: a
    hold that is placed meanwhile is never passed by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg

from libs.events.envelope import Event, events_of
from libs.events.log.database import Connection, Database
from libs.events.log.errors import Conflict, Unavailable
from libs.events.log.keyring import DESTROYED
from libs.events.log.scope import Scope
from libs.events.log.store import Append, append, load
from libs.events.types import BY_TYPE
from libs.events.types.erasures import ErasureConfirmed, SubjectErased, stream_of
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.problem import NotFound
from services.intake.contact import contact_of
from services.intake.decisions import Decision
from services.intake.desk import Desk, scope_of
from services.intake.known import Contact
from services.intake.protection import Crime, Erase, erase, hindrances
from services.intake.protection_models import Found

TRIES = 5

_AROUND = "SELECT incident, crime, service, source, confirmed_at FROM erasure_in_scope($1, $2, $3)"
_CONFIRM = """
INSERT INTO erasure_confirmed (contact, service, source, confirmed_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
ON CONFLICT DO NOTHING
"""

Admit = Callable[[Contact, Decision | None], None]
"""Raises where the caller may not know of the contact."""


class Eraser:
    def __init__(self, desk: Desk, writer: Database, reader: Database, *, on_commit: Callable[[], None]) -> None:
        self._desk = desk
        self._writer = writer
        self._reader = reader
        self._on_commit = on_commit

    async def erase(self, caller: Caller, contact_id: str, command: Erase, admit: Admit) -> tuple[Contact, Found]:
        """The contact as it is after its erasure, whoever asked for that first.

        Raises NotFound, StillNeeded, Unavailable.
        """
        found = await self._desk.find(caller, contact_id)
        contact = found.contact
        admit(contact, found.decision)
        for _ in range(TRIES):
            try:
                async with self._writer.transaction() as connection:
                    erased = await self._erase(connection, scope_of(caller), contact.id, command)
            except (Conflict, asyncpg.DeadlockDetectedError):
                continue  # somebody else said something of the contact at the same moment
            self._on_commit()
            return erased
        raise Unavailable("the contact is changing too fast")

    async def _erase(self, connection: Connection, seen: Scope, subject: str, command: Erase) -> tuple[Contact, Found]:
        rows = await connection.fetch(_AROUND, *seen, subject)
        contact = contact_of(await load(connection, subject))
        if contact is None:
            raise NotFound
        facts = erase(contact, _crimes(rows), command)
        if not facts:
            return contact, _found(contact, rows, command.at)
        force = contact.received.presented_force
        events = events_of(
            facts,
            source=self._writer.source,
            subject=subject,
            after=contact.version,
            force=force,
            traceparent=current_traceparent(),
            time=command.at,
        )
        told = events_of(
            [SubjectErased(erased=subject)],
            source=self._writer.source,
            subject=stream_of(subject),
            after=0,
            force=force,
            caused_by=events[0].id,
            traceparent=events[0].traceparent,
            time=command.at,
        )
        gone = Append(subject, contact.version, events, key=DESTROYED)
        await append(connection, [gone, Append(stream_of(subject), 0, told)])
        after = contact_of(events, contact) or contact
        return after, _found(after, rows, command.at)

    async def look(self, caller: Caller, contact_id: str, at: datetime, admit: Admit) -> tuple[Contact, Found]:
        """How the contact's erasure stands, or what stands in its way. Raises NotFound."""
        found = await self._desk.find(caller, contact_id)
        contact = found.contact
        admit(contact, found.decision)
        rows = await self._reader.fetch(_AROUND, *scope_of(caller), contact.id)
        return contact, _found(contact, rows, at)


def _crimes(rows: Sequence[asyncpg.Record]) -> list[Crime]:
    return [Crime(row["incident"], row["crime"]) for row in rows if row["crime"] is not None]


def _found(contact: Contact, rows: Sequence[asyncpg.Record], at: datetime) -> Found:
    return Found(
        incidents=tuple(dict.fromkeys(row["incident"] for row in rows if row["incident"] is not None)),
        hindrances=tuple(hindrances(contact, _crimes(rows), at)),
        confirmed=tuple(
            (row["service"], row["source"], row["confirmed_at"]) for row in rows if row["service"] is not None
        ),
    )


async def confirm(connection: Connection, events: Sequence[Event]) -> None:
    """Keep which service has obeyed which erasure, and when. Raises Malformed."""
    rows = [
        (event.fact.erased, event.fact.service, event.source, event.time)
        for event in events
        if BY_TYPE.get(event.type) is ErasureConfirmed
    ]
    if rows:
        await connection.execute(_CONFIRM, *(list(column) for column in zip(*rows, strict=True)))
