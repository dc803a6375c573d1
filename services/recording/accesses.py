"""Who has looked at whose data, and which of it was by break-glass. A read model that can be rebuilt from its topic.

Invariant: a row is of one force, and is shown in that force's scope alone. What readers wrote of their reasons stands
in a table of its own. Partitions have no order between them: a review may come before what it reviews.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from libs.events.envelope import Event
from libs.events.log.database import Connection, Database
from libs.events.log.projection import Projection
from libs.events.log.scope import ALLIANCE, Scope
from libs.events.types.access import TOPIC, Act, BreakGlassReviewed, DataAccessed, Emergency, Kind, Purpose
from libs.service.cursors import Moment

_SCHEMA = """
CREATE TABLE access_entry (
    id          uuid        NOT NULL,
    force       text        NOT NULL,        -- whose data; '' is the alliance itself
    at          timestamptz NOT NULL,
    reader      text        NOT NULL,
    roles       text[]      NOT NULL,
    home_force  text,
    act         text        NOT NULL,
    operation   text        NOT NULL,
    kind        text        NOT NULL,
    ids         text[]      NOT NULL,
    searched_by text[]      NOT NULL,
    recipient   text,
    in_hand     text,
    purpose     text,
    break_glass text,
    source      text        NOT NULL,
    PRIMARY KEY (id, force)
);
CREATE INDEX access_entry_in_time ON access_entry (at, id, force);                 -- all of a time
CREATE INDEX access_entry_of_reader ON access_entry (reader, at, id, force);       -- all of one reader

-- What each was about: a contact, an incident.
CREATE TABLE access_thing (
    thing  text        NOT NULL,
    at     timestamptz NOT NULL,
    id     uuid        NOT NULL,
    force  text        NOT NULL,
    reader text        NOT NULL,
    PRIMARY KEY (thing, at, id, force)       -- all that was done with one thing
);

-- What a reader, and who reviewed him, wrote: people may be named in it.
CREATE TABLE access_words (
    id     uuid NOT NULL,
    force  text NOT NULL,
    said   text,
    review text,
    PRIMARY KEY (id, force)
);

-- What was opened by break-glass, and what a supervisor of the force said of it.
CREATE TABLE break_glass (
    id          uuid NOT NULL,
    force       text NOT NULL,
    due_at      timestamptz,                 -- the end of the next day; null: the access itself is still on its way
    reviewed_at timestamptz,
    reviewed_by text,
    finding     text,
    PRIMARY KEY (id, force)
);
CREATE INDEX break_glass_owed ON break_glass (due_at, id, force) WHERE reviewed_at IS NULL;

ALTER TABLE access_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON access_entry FOR SELECT USING (force = ANY ((SELECT scope_forces())::text[]));
ALTER TABLE access_thing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON access_thing FOR SELECT USING (force = ANY ((SELECT scope_forces())::text[]));
ALTER TABLE access_words ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON access_words FOR SELECT USING (force = ANY ((SELECT scope_forces())::text[]));
ALTER TABLE break_glass ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON break_glass FOR SELECT USING (force = ANY ((SELECT scope_forces())::text[]));
"""

_ADD_ENTRY = """
INSERT INTO access_entry (id, force, at, reader, roles, home_force, act, operation, kind, ids, searched_by, recipient,
                          in_hand, purpose, break_glass, source)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING
"""
_ADD_THING = """
INSERT INTO access_thing (thing, at, id, force, reader) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_ADD_WORDS = """
INSERT INTO access_words AS w (id, force, said, review) VALUES ($1, $2, $3, $4)
ON CONFLICT (id, force) DO UPDATE
SET said = coalesce(w.said, excluded.said), review = coalesce(w.review, excluded.review)
"""
# Until the end of the next day, as people in England count days.
_ADD_BROKEN = """
INSERT INTO break_glass AS g (id, force, due_at)
VALUES ($1, $2, (($3::timestamptz AT TIME ZONE 'Europe/London')::date + 2)::timestamp AT TIME ZONE 'Europe/London')
ON CONFLICT (id, force) DO UPDATE SET due_at = excluded.due_at
"""
_ADD_REVIEW = """
INSERT INTO break_glass AS g (id, force, reviewed_at, reviewed_by, finding) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id, force) DO UPDATE
SET reviewed_at = excluded.reviewed_at, reviewed_by = excluded.reviewed_by, finding = excluded.finding
WHERE g.reviewed_at IS NULL
"""
_PAGE = "SELECT * FROM accesses_in_scope($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_OWED = "SELECT * FROM break_glass_in_scope($1, $2, $3, $4, $5, $6, $7)"
_OWED_BY_FORCE = """
SELECT force, count(*) FILTER (WHERE due_at >= now()) AS due, count(*) FILTER (WHERE due_at < now()) AS overdue
FROM break_glass WHERE reviewed_at IS NULL AND due_at IS NOT NULL GROUP BY force
"""  # index break_glass_owed


class Before(NamedTuple):
    """Where a page of accesses ended: each is older than the one before it."""

    at: Moment
    id: UUID
    force: Annotated[str, msgspec.Meta(pattern=r"^[ -~]*\Z")]


NEWEST = Before(datetime(9999, 12, 30, tzinfo=UTC), UUID(int=2**128 - 1), "")
OLDEST = datetime(1, 1, 2, tzinfo=UTC)


class After(NamedTuple):
    """Where a page of what is to be reviewed ended: what is due first comes first."""

    due_at: Moment
    id: UUID
    force: Annotated[str, msgspec.Meta(pattern=r"^[ -~]*\Z")]


FIRST = After(OLDEST, UUID(int=0), "")


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    force: str | None
    """Whose data it was; None: the alliance's."""
    at: datetime
    reader: str
    roles: list[str]
    home_force: str | None
    act: Act
    operation: str
    kind: Kind
    ids: list[str]
    searched_by: list[str]
    recipient: str | None
    in_hand: str | None
    purpose: Purpose | None
    break_glass: Emergency | None
    source: str
    words: str | None
    due_at: datetime | None = None
    """Of one by break-glass that nobody has reviewed."""


class Owed(NamedTuple):
    """How many reviews a force owes, in time and late."""

    force: str
    due: int
    overdue: int


async def note(connection: Connection, events: Sequence[Event]) -> None:
    """Take in what was looked at, and what was reviewed."""
    entries: list[tuple[Any, ...]] = []
    things: list[tuple[Any, ...]] = []
    words: list[tuple[Any, ...]] = []
    broken: list[tuple[Any, ...]] = []
    reviews: list[tuple[Any, ...]] = []
    for event in events:
        force = event.force or ALLIANCE
        fact = event.fact if event.type in _KNOWN else None
        if isinstance(fact, DataAccessed):
            for access in fact.accesses:
                id_ = UUID(access.id)
                told = (access.reader, access.roles, access.home_force, access.act, access.operation, access.kind)
                about = (access.ids, access.searched_by, access.recipient, access.in_hand)
                entries.append((id_, force, access.at, *told, *about, access.purpose, access.break_glass, event.source))
                things += [(thing, access.at, id_, force, access.reader) for thing in dict.fromkeys(access.ids)]
                if access.break_glass is not None:
                    broken.append((id_, force, access.at))
                if fact.personal is not None:
                    words.append((id_, force, fact.personal.words, None))
        elif isinstance(fact, BreakGlassReviewed):
            id_ = UUID(fact.access)
            reviews.append((id_, force, event.time, fact.by, fact.finding))
            if fact.personal is not None:
                words.append((id_, force, None, fact.personal.words))
    for statement, rows in (
        (_ADD_ENTRY, entries),
        (_ADD_THING, things),
        (_ADD_WORDS, words),
        (_ADD_BROKEN, broken),
        (_ADD_REVIEW, reviews),
    ):
        if rows:
            await connection.executemany(statement, rows)


_KNOWN = {fact.TYPE for fact in (DataAccessed, BreakGlassReviewed)}

ACCESSES = Projection(
    name="access",
    version=1,
    topics=(TOPIC,),
    schema_sql=_SCHEMA,
    tables=("access_entry", "access_thing", "access_words", "break_glass"),
    apply=note,
    opened=True,
)


async def page_of_accesses(
    database: Database,
    seen: Scope,
    *,
    thing: str | None,
    reader: str | None,
    since: datetime,
    before: Before,
    limit: int,
) -> list[AccessEntry]:
    """Up to `limit` accesses to data of the scope's forces, newest first."""
    rows = await database.fetch(_PAGE, *seen, thing, reader, since, *before, limit)
    return [_entry(row) for row in rows]


async def page_of_owed(
    database: Database, seen: Scope, *, after: After, limit: int, only: UUID | None = None
) -> list[AccessEntry]:
    """What was opened by break-glass and not reviewed, what is due first first. `only`: that one, reviewed or not."""
    return [_entry(row) for row in await database.fetch(_OWED, *seen, *after, only, limit)]


async def count_owed(database: Database) -> list[Owed]:
    """For operators, whose business are numbers only."""
    return [Owed(*row) for row in await database.fetch(_OWED_BY_FORCE)]


def _entry(row: asyncpg.Record) -> AccessEntry:
    return AccessEntry(**{**dict(row.items()), "force": row["force"] or None})
