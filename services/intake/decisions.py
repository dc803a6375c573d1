"""The latest routing decision of each contact, as a read model in intake's own database.

Invariant: a row never goes back. It is filled by a shared reader of `hueandcry.routing`, and a decision that arrives
late, or twice, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.events.envelope import Event
from libs.events.log.database import Connection
from libs.events.log.store import Append, Reader
from libs.events.types.routing import ContactRouted

READER = "intake"
"""Its dead letters are on `hueandcry.deadletter.intake`."""

_decode = msgspec.json.Decoder(ContactRouted).decode

_KEEP = """
INSERT INTO decision AS d (contact, version, decided_at, fact)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bytea[])
ON CONFLICT (contact) DO UPDATE
SET version = excluded.version, decided_at = excluded.decided_at, fact = excluded.fact
WHERE d.version < excluded.version
"""
_LATEST = "SELECT version, decided_at, fact FROM decision WHERE contact = $1"


class Decision(msgspec.Struct, frozen=True):
    version: int
    """Of the router's stream: the greater is the later."""
    decided_at: datetime
    routed: ContactRouted


def decision_of(event: Event) -> Decision | None:
    """The decision that an event states; None for an event that is none. Raises Malformed."""
    return Decision(event.version, event.time, event.fact) if event.type == ContactRouted.TYPE else None


async def keep(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    """Apply a batch of the router's events. Raises Malformed for a decision that nobody could read back."""
    latest: dict[str, Event] = {}
    for event in events:
        if decision_of(event) and (event.subject not in latest or latest[event.subject].version < event.version):
            latest[event.subject] = event
    if latest:
        rows = [(event.subject, event.version, event.time, event.data) for event in latest.values()]
        await connection.execute(_KEEP, *(list(column) for column in zip(*rows, strict=True)))
    return ()


async def latest_decision(reader: Reader, contact: str) -> Decision | None:
    """The latest decision that has arrived here; None where there is none yet."""
    row = await reader.fetchrow(_LATEST, contact)
    return None if row is None else Decision(row["version"], row["decided_at"], _decode(row["fact"]))
