"""The list of incidents: who owns which, newest reported first. A read model that can be rebuilt from its topic.

An incident is listed for the force that owns it and for each force whose contact led to it. No personal data: what was
said and where stands in the incident's own stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from libs.events.envelope import Event
from libs.events.log.database import Connection, Database
from libs.events.log.projection import Projection
from libs.events.log.scope import ALLIANCE, Scope
from libs.events.types.recording import TOPIC, ContactDisposed, ContactJoined, IncidentOpened

NEWEST = UUID(int=2**128 - 1)
"""Before the first page."""

_SCHEMA = """
CREATE TABLE incident_listed (
    id            uuid        PRIMARY KEY,   -- ids sort by when the incident was reported
    opened_at     timestamptz NOT NULL,
    reported_at   timestamptz NOT NULL,
    provisional   boolean     NOT NULL,
    contacts      int         NOT NULL,
    reference     text        NOT NULL,
    owning_force  text,
    owned_because text        NOT NULL,
    category      text
);

-- Whose incident it is. It may be said of a contact before the incident itself is heard of.
CREATE TABLE incident_force (
    force    text NOT NULL,
    incident uuid NOT NULL,
    PRIMARY KEY (force, incident)            -- a force's incidents, a page at a time
);

ALTER TABLE incident_force ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON incident_force FOR SELECT USING (force = ANY ((SELECT scope_forces())::text[]));
ALTER TABLE incident_listed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON incident_listed FOR SELECT USING (
    (SELECT true FROM incident_force AS f WHERE f.incident = incident_listed.id LIMIT 1)
);
"""

_ADD_INCIDENTS = """
INSERT INTO incident_listed
    (id, opened_at, reported_at, provisional, contacts, reference, owning_force, owned_because, category)
SELECT * FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::boolean[], $5::int[],
    $6::text[], $7::text[], $8::text[], $9::text[]
)
ON CONFLICT DO NOTHING
"""
_ADD_CONTACTS = """
UPDATE incident_listed AS i SET contacts = i.contacts + j.joined
FROM unnest($1::uuid[], $2::int[]) AS j (incident, joined) WHERE i.id = j.incident
"""
_ADD_FORCES = """
INSERT INTO incident_force (force, incident) SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING
"""
_PAGE = "SELECT * FROM incidents_in_scope($1, $2, $3, $4, $5, $6)"


class ListedIncident(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    reference: str
    owning_force: str | None
    owned_because: str
    provisional: bool
    category: str | None
    contacts: int
    reported_at: datetime
    opened_at: datetime


async def enlist(connection: Connection, events: Sequence[Event]) -> None:
    """Take in what was recorded. An incident is opened before contacts join it: both are of its one stream."""
    opened: list[tuple[Any, ...]] = []
    forces: dict[tuple[str, UUID], None] = {}
    joined: Counter[UUID] = Counter()
    for event in events:
        match event.fact if event.type in _KNOWN else None:
            case IncidentOpened() as fact:
                id_ = UUID(event.subject)
                opened.append(
                    (
                        id_,
                        event.time,
                        fact.reported_at,
                        fact.provisional,
                        1,
                        fact.reference,
                        fact.owning_force,
                        fact.owned_because,
                        fact.category,
                    )
                )
                forces[fact.owning_force or ALLIANCE, id_] = None
            case ContactJoined():
                joined[UUID(event.subject)] += 1
            case ContactDisposed(incident=str(incident)) as fact:
                forces[fact.force or ALLIANCE, UUID(incident)] = None
            case _:
                pass
    if opened:
        await connection.execute(_ADD_INCIDENTS, *[list(column) for column in zip(*opened, strict=True)])
    if joined:
        await connection.execute(_ADD_CONTACTS, list(joined), list(joined.values()))
    if forces:
        await connection.execute(_ADD_FORCES, [force for force, _ in forces], [id_ for _, id_ in forces])


_KNOWN = {fact.TYPE for fact in (IncidentOpened, ContactJoined, ContactDisposed)}

INCIDENTS = Projection(
    name="incidents",
    version=2,
    topics=(TOPIC,),
    schema_sql=_SCHEMA,
    tables=("incident_listed", "incident_force"),
    apply=enlist,
)


async def page_of_incidents(
    database: Database, seen: Scope, *, force: str | None, before: UUID, limit: int
) -> list[ListedIncident]:
    """Up to `limit` incidents that the asker's forces own or reported, of those `force` owns, older than `before`."""
    listed_for = [force] if force in seen.forces else seen.forces  # what a force owns is listed for it
    rows = await database.fetch(_PAGE, *seen, listed_for, before, force, limit)
    return [ListedIncident(**dict(row.items())) for row in rows]
