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
from libs.events.types.recording import TOPIC, ContactDisposed, ContactJoined, IncidentOpened
from services.recording.contact_table import Scope

NEWEST = UUID(int=2**128 - 1)
"""Before the first page."""
ALLIANCE = ""
"""Stands for no force in `incident_force`: what is the alliance's, until someone says whose it is."""

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
_PAGE = """
SELECT DISTINCT p.*
FROM unnest($1::text[]) AS a (force)
CROSS JOIN LATERAL (
    SELECT i.id, i.reference, i.owning_force, i.owned_because, i.provisional, i.category, i.contacts, i.reported_at,
           i.opened_at
    FROM incident_force AS f JOIN incident_listed AS i ON i.id = f.incident
    WHERE f.force = a.force AND f.incident < $2 AND i.id < $2 AND ($3::text IS NULL OR i.owning_force = $3)
    ORDER BY f.incident DESC
    LIMIT $4
) AS p
ORDER BY p.id DESC
LIMIT $4
"""


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
    version=1,
    topics=(TOPIC,),
    schema_sql=_SCHEMA,
    tables=("incident_listed", "incident_force"),
    apply=enlist,
)


async def page_of_incidents(
    database: Database, scope: Scope, *, force: str | None, before: UUID, limit: int
) -> list[ListedIncident]:
    """Up to `limit` incidents that the asker's forces own or reported, of those `force` owns, older than `before`."""
    listed_for = [*scope.forces, *([ALLIANCE] if scope.alliance else [])]
    if force in scope.forces:  # what a force owns is listed for it
        listed_for = [force]
    rows = await database.fetch(_PAGE, listed_for, before, force, limit)
    return [ListedIncident(**dict(row.items())) for row in rows]
