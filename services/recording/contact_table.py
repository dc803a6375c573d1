"""The table of contacts: read, lock, write, list what is owed.

Invariant: a contact's row is changed only by whoever locked it, and several are locked in the order of their ids,
always before any stream is appended to. So reader and people who dispose wait for each other, never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from libs.events.log.database import Connection, Database
from libs.events.log.store import Reader
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
}

_ARRAYS = ", ".join(f"${i}::{_TYPES.get(name, 'text')}[]" for i, name in enumerate(_FIELDS, 1))
_SETS = ", ".join(f"{name} = w.{name}" for name in _FIELDS if name != "id")

_MAKE = "INSERT INTO contact (id) SELECT unnest($1::uuid[]) ORDER BY 1 ON CONFLICT DO NOTHING"
_LOCK = f"SELECT {_COLUMNS} FROM contact WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_SAVE = f"UPDATE contact AS c SET {_SETS} FROM unnest({_ARRAYS}) AS w ({_COLUMNS}) WHERE c.id = w.id"
_READ = f"SELECT {_COLUMNS} FROM contact WHERE id = $1"
_FORCES_OF_INCIDENT = "SELECT DISTINCT owning_force FROM contact WHERE incident = $1"

_VISIBLE = """(
    owning_force = ANY ($1) OR presented_force = ANY ($1) OR answering_force = ANY ($1)
    OR ($2 AND (owning_force IS NULL OR queue = $3))
)"""
_OWING = f"""
SELECT {_COLUMNS} FROM contact
WHERE disposition IS NULL AND {_VISIBLE}
  AND ($4::text IS NULL OR owning_force = $4)
  AND ((ended_at IS NULL), received_at, id) > ($5::boolean, $6::timestamptz, $7::uuid)
ORDER BY (ended_at IS NULL), received_at, id
LIMIT $8
"""  # index contact_owing
_COUNT_OWING = f"""
SELECT owning_force, count(*) FILTER (WHERE ended_at IS NULL), count(*) FILTER (WHERE ended_at IS NOT NULL)
FROM contact
WHERE disposition IS NULL AND {_VISIBLE} AND ($4::text IS NULL OR owning_force = $4)
GROUP BY owning_force ORDER BY owning_force
"""  # index contact_owing
_COUNT_ALL_OWING = """
SELECT owning_force, count(*) FILTER (WHERE ended_at IS NULL), count(*) FILTER (WHERE ended_at IS NOT NULL)
FROM contact WHERE disposition IS NULL GROUP BY owning_force
"""  # index contact_owing

_KEEP_REPORTS = """
INSERT INTO report (contact, received) SELECT * FROM unnest($1::uuid[], $2::bytea[]) ON CONFLICT DO NOTHING
"""
_TAKE_REPORTS = "DELETE FROM report WHERE contact = ANY ($1::uuid[]) RETURNING contact, received"


class Scope(NamedTuple):
    """Whose contacts the asker may see."""

    forces: tuple[str, ...]
    alliance: bool
    """Also those that are the alliance's, because nobody knows whose they are."""
    default_queue: str | None
    """The alliance's own, where what its owner has no queue for waits: the alliance's, too. None: not known."""


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


async def read(database: Database, id_: UUID) -> Contact | None:
    row = await database.fetchrow(_READ, id_)
    return None if row is None else _contact(row)


async def save(connection: Connection, contacts: Sequence[Contact]) -> None:
    """Write contacts that this transaction locked."""
    if contacts:
        rows = [msgspec.structs.astuple(contact) for contact in contacts]
        await connection.execute(_SAVE, *[list(column) for column in zip(*rows, strict=True)])


async def forces_of_incident(reader: Reader, incident: UUID) -> list[str | None]:
    """The owning forces of the contacts that lead to an incident."""
    return [row["owning_force"] for row in await reader.fetch(_FORCES_OF_INCIDENT, incident)]


async def owing(database: Database, scope: Scope, force: str | None, after: After, limit: int) -> list[Contact]:
    """Contacts without a disposition: those that ended first, then oldest first."""
    return [_contact(row) for row in await database.fetch(_OWING, *_scoped(scope), force, *after, limit)]


async def count_owing(database: Database, scope: Scope, force: str | None) -> list[Owing]:
    return [Owing(*row) for row in await database.fetch(_COUNT_OWING, *_scoped(scope), force)]


async def count_all_owing(database: Database) -> list[Owing]:
    """For operators, whose business are numbers only."""
    return [Owing(*row) for row in await database.fetch(_COUNT_ALL_OWING)]


def _scoped(scope: Scope) -> tuple[list[str], bool, str | None]:
    return list(scope.forces), scope.alliance, scope.default_queue


async def keep_reports(connection: Connection, received: dict[UUID, bytes]) -> None:
    """Keep the data of reports whose routing is not known yet."""
    if received:
        await connection.execute(_KEEP_REPORTS, list(received), list(received.values()))


async def take_reports(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The data kept of these reports; it is kept no longer."""
    if not ids:
        return {}
    return {row["contact"]: row["received"] for row in await connection.fetch(_TAKE_REPORTS, list(ids))}
