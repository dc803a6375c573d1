"""The latest routing decision of each contact, and in whose hands it is, as intake's own database knows them.

Invariant: a row never goes back. It is filled by a shared reader of `hueandcry.routing`, and a decision that arrives
late, or twice, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from libs.events.envelope import Event
from libs.events.log import scope
from libs.events.log.database import Connection
from libs.events.log.scope import ALLIANCE, Access, Scope
from libs.events.log.store import Append, Reader
from libs.events.types.routing import ContactAnswered, ContactReleased, ContactRouted

READER = "intake"
"""Its dead letters are on `hueandcry.deadletter.intake`."""

_decode = msgspec.json.Decoder(ContactRouted).decode

_KEEP = """
INSERT INTO decision AS d (contact, version, decided_at, fact)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bytea[])
ON CONFLICT (contact) DO UPDATE
SET version = excluded.version, decided_at = excluded.decided_at, fact = excluded.fact
WHERE d.version < excluded.version
RETURNING contact
"""
_LATEST = "SELECT version, decided_at, fact FROM decision_in_scope($1, $2, $3)"


class Decision(msgspec.Struct, frozen=True):
    version: int
    """Of the router's stream: the greater is the later."""
    decided_at: datetime
    routed: ContactRouted


def decision_of(event: Event) -> Decision | None:
    """The decision that an event states; None for an event that is none. Raises Malformed."""
    return Decision(event.version, event.time, event.fact) if event.type == ContactRouted.TYPE else None


async def keep(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    """Apply a batch of the router's events: the decision, and who may see the contact by it, or has it in his hands.

    Raises Malformed for a decision that nobody could read back.
    """
    latest: dict[str, tuple[Event, Decision]] = {}
    for event in events:
        decision = decision_of(event)
        if decision and (event.subject not in latest or latest[event.subject][1].version < decision.version):
            latest[event.subject] = event, decision
    if latest:
        rows = [(event.subject, event.version, event.time, event.data) for event, _ in latest.values()]
        newer = await connection.fetch(_KEEP, *(list(column) for column in zip(*rows, strict=True)))
        seen_by = {row["contact"]: list(_seen_by(latest[row["contact"]][1].routed)) for row in newer}
        await scope.keep(connection, seen_by, ("owning", "alliance"))
    await scope.keep(connection, _in_hands(events), ("in-hands",))
    return ()


def _in_hands(events: Sequence[Event]) -> dict[str, list[Access]]:
    """Of the contacts that were taken or given back, who has them now. One that ended stays with whom it was."""
    held: dict[str, list[Access]] = {}
    for event in events:
        if event.type == ContactAnswered.TYPE:
            held[event.subject] = [Access("in-hands", holder=event.fact.handler)]
        elif event.type == ContactReleased.TYPE:
            held[event.subject] = []
    return held


def _seen_by(routed: ContactRouted) -> Iterator[Access]:
    """The owner; the alliance, where there is none, or none that has a queue for it: it is taken from there."""
    if routed.owning_force is not None:
        yield Access("owning", routed.owning_force)
    if routed.owning_force is None or routed.cause == "no-queue":
        yield Access("alliance", ALLIANCE)


async def latest_decision(reader: Reader, seen: Scope, contact: str) -> Decision | None:
    """The latest decision that has arrived here; None where there is none yet in the scope."""
    row = await reader.fetchrow(_LATEST, *seen, contact)
    return None if row is None else decision_from(row["version"], row["decided_at"], row["fact"])


def decision_from(version: int, decided_at: datetime, fact: bytes) -> Decision:
    """A decision as it was kept."""
    return Decision(version, decided_at, _decode(fact))
