"""The audit: every event of the alliance, as it was said, without what identifies a person. (Who looked at what is in
accesses.py.)

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
from libs.events.log.scope import Scope
from libs.events.types import contacts, directory, erasures, recording, routing
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

-- Which incidents a contact led to, and the stream of its erasure: their events belong to its history.
CREATE TABLE audit_link (
    contact  text NOT NULL,
    incident text NOT NULL,
    PRIMARY KEY (contact, incident)
);
CREATE INDEX audit_link_incident ON audit_link (incident);  -- the policy of audit_event

ALTER TABLE audit_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON audit_link FOR SELECT USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = audit_link.contact LIMIT 1)
);
-- Who may see a contact sees what was said of the incidents it led to.
ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON audit_event FOR SELECT USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = audit_event.subject LIMIT 1)
    OR (SELECT true FROM audit_link AS l WHERE l.incident = audit_event.subject LIMIT 1)
);
"""

# COPY would be quicker by a little; PostgreSQL does not allow it where there is row-level security.
_ADD_EVENTS = """
INSERT INTO audit_event (version, time, id, causation_id, subject, source, type, force, data)
SELECT * FROM unnest(
    $1::bigint[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[]
)
"""
_ADD_LINKS = """
INSERT INTO audit_link (contact, incident) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
_HISTORY = "SELECT * FROM history_in_scope($1, $2, $3, $4)"


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
        if event.type in _OF_ERASURE and members is not None and isinstance(erased := members.get("erased"), str):
            links.append((erased, event.subject))
    if rows:
        await connection.execute(_ADD_EVENTS, *[list(column) for column in zip(*rows, strict=True)])
    if links:
        await connection.execute(_ADD_LINKS, *[list(column) for column in zip(*links, strict=True)])


_OF_ERASURE = {fact.TYPE for fact in erasures.FACTS}

AUDIT = Projection(
    name="audit",
    version=3,
    topics=(contacts.TOPIC, routing.TOPIC, directory.TOPIC, recording.TOPIC, erasures.TOPIC),
    schema_sql=_SCHEMA,
    tables=("audit_event", "audit_link"),
    apply=enter,
)


async def history_of(database: Database, seen: Scope, contact: str) -> tuple[list[AuditEntry], bool]:
    """All events about a contact and the incident it led to, each after its cause; and whether that is all of them."""
    rows = await database.fetch(_HISTORY, *seen, contact, MAX_ENTRIES + 1)
    entries = [
        AuditEntry(**{**dict(row.items()), "data": None if row["data"] is None else msgspec.json.decode(row["data"])})
        for row in rows[:MAX_ENTRIES]
    ]
    return in_order(entries), len(rows) <= MAX_ENTRIES
