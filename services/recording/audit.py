"""The audit: every event of the alliance, as it was said, without what identifies a person.

A read model that can be rebuilt from the topics. Invariant: what stands under an event's `personal` never enters it,
nor anything of an event whose data cannot be read; that the event was there is kept all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from libs.events.envelope import Event
from libs.events.log.database import Connection, Database
from libs.events.log.projection import Projection
from libs.events.types import contacts, directory, recording, routing
from services.recording.history import in_order

MAX_ENTRIES = 10_000
"""The most that one answer shows."""

_SCHEMA = """
CREATE TABLE audit_event (
    version      bigint      NOT NULL,
    time         timestamptz NOT NULL,
    id           uuid        NOT NULL,
    causation_id uuid,
    subject      text        NOT NULL,
    source       text        NOT NULL,
    type         text        NOT NULL,
    force        text,
    data         bytea,                       -- JSON without `personal`; null: it could not be read
    PRIMARY KEY (subject, source, version)    -- a contact's events, of all sources
);

-- Which incidents a contact led to: their events belong to its history.
CREATE TABLE audit_link (
    contact  text NOT NULL,
    incident text NOT NULL,
    PRIMARY KEY (contact, incident)
);
"""

_COLUMNS = ("version", "time", "id", "causation_id", "subject", "source", "type", "force", "data")
_ADD_LINKS = """
INSERT INTO audit_link (contact, incident) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
_HISTORY = """
SELECT version, time, id, causation_id, subject, source, type, force, data FROM audit_event
WHERE subject = ANY (ARRAY[$1] || ARRAY (SELECT incident FROM audit_link WHERE contact = $1))
ORDER BY time
LIMIT $2
"""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    type: str
    source: str
    subject: str
    version: int
    time: datetime
    force: str | None
    causation_id: UUID | None
    data: dict[str, Any] | None


def without_personal(data: bytes) -> dict[str, Any] | None:
    """An event's data less its `personal` member; None where it is no JSON object."""
    try:
        members = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(members, dict):
        return None
    members.pop("personal", None)
    return members


async def enter(connection: Connection, events: Sequence[Event]) -> None:
    """Enter events into the audit."""
    rows: list[tuple[Any, ...]] = []
    links: list[tuple[str, str]] = []
    for event in events:
        members = without_personal(event.data)
        rows.append(
            (
                event.version,
                event.time,
                event.id,
                event.causation_id,
                event.subject,
                event.source,
                event.type,
                event.force,
                None if members is None else msgspec.json.encode(members),
            )
        )
        if event.type == recording.ContactDisposed.TYPE and members is not None:
            incident = members.get("incident")
            if isinstance(incident, str):
                links.append((event.subject, incident))
    await connection.copy_records_to_table("audit_event", records=rows, columns=_COLUMNS)
    if links:
        await connection.execute(_ADD_LINKS, *[list(column) for column in zip(*links, strict=True)])


AUDIT = Projection(
    name="audit",
    version=1,
    topics=(contacts.TOPIC, routing.TOPIC, directory.TOPIC, recording.TOPIC),
    schema_sql=_SCHEMA,
    tables=("audit_event", "audit_link"),
    apply=enter,
)


async def history_of(database: Database, contact: str) -> tuple[list[AuditEntry], bool]:
    """All events about a contact and the incident it led to, each after its cause; and whether that is all of them."""
    rows = await database.fetch(_HISTORY, contact, MAX_ENTRIES + 1)
    entries = [
        AuditEntry(**{**dict(row.items()), "data": None if row["data"] is None else msgspec.json.decode(row["data"])})
        for row in rows[:MAX_ENTRIES]
    ]
    return in_order(entries), len(rows) <= MAX_ENTRIES
