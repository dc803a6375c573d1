"""What the router does when intake says something: one table, and the transaction around it.

Invariant: what was heard, the rows that wait and the facts that follow are written together, with the reader's
checkpoint. No contact is dropped: one whose facts cannot be read is queued from its envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

import structlog

from libs.alliance import Alliance
from libs.events.envelope import Event, events_of
from libs.events.log.consumer import Parked
from libs.events.log.database import Connection
from libs.events.log.errors import Unavailable
from libs.events.log.store import Append
from libs.events.types import BY_TYPE, Fact
from libs.events.types.contacts import (
    ContactEnded,
    ContactLocated,
    ContactMessageAdded,
    ContactReceived,
    ContactRectified,
)
from services.router import entries
from services.router.contact import NEVER_SEEN, Contact, Heard, Placed, fold, hear, hear_envelope
from services.router.locations import prepare, resolve
from services.router.queue import place, withdraw

log = structlog.get_logger(__name__)

Reaction: TypeAlias = Callable[[Contact, Heard, Alliance], list[Fact]]

REACTIONS: dict[type[Fact], Reaction] = {
    ContactReceived: place,
    ContactLocated: place,
    ContactMessageAdded: place,  # an emergency moves it
    ContactRectified: place,  # a corrected location may be the one that decided
    ContactEnded: withdraw,
}
"""A further leg of a call, and its end, move nothing: whoever's trunk it came by, it is the contact that there is."""


class Reactions:
    """Applies intake's events with the alliance as this copy knows it at that moment."""

    def __init__(self, *, source: str, alliance: Callable[[], Alliance | None]) -> None:
        self._source = source
        self._alliance = alliance

    async def apply(self, connection: Connection, events: Sequence[Event]) -> list[Append]:
        """The facts that follow from a batch, at most one append a contact; heard facts and rows are written already.

        Raises Unavailable while there is no directory to decide by.
        """
        alliance = self._known_alliance()
        now = datetime.now(UTC)
        # To what a newer intake may say besides there is nothing to do.
        facts = [(event, event.fact) for event in events if BY_TYPE.get(event.type) in REACTIONS]
        await prepare(fact for _, fact in facts)
        told: dict[str, list[tuple[Event, Fact, dict[str, Placed]]]] = {}
        for event, fact in facts:
            told.setdefault(event.subject, []).append((event, fact, resolve(fact, alliance)))
        subjects = sorted(told)
        known = await entries.lock(connection, subjects)
        contacts = await entries.contacts(connection, subjects)
        appends: list[Append] = []
        for subject in subjects:
            heard, contact, made = known.get(subject), contacts[subject], list[Event]()
            expected = contact.version
            for event, fact, places in told[subject]:
                # By a clock that is ahead it would wait behind all who come later: it was received by now.
                heard = hear(heard, fact, version=event.version, at=min(event.time, now), places=places)
                if heard is None:
                    raise ValueError(f"{event.type} comes before the contact itself")
                following = REACTIONS[type(fact)](contact, heard, alliance)
                contact = fold(following, contact)
                made += self._events(subject, contact, following, caused_by=event)
                known[subject] = heard
            if made:
                contacts[subject] = contact
                appends.append(Append(subject, expected, made))
        await entries.keep_heard(connection, {subject: known[subject] for subject in subjects})
        changed = {append.subject: contacts[append.subject] for append in appends}
        await entries.show(connection, changed)
        await entries.keep_access(connection, changed)
        return appends

    async def on_park(self, connection: Connection, parked: Parked) -> list[Append]:
        """Queue a contact whose own facts cannot be read, unless it is known already."""
        alliance = self._known_alliance()
        subject, force, version, at = _envelope(parked)
        if subject is None or subject in await entries.lock(connection, [subject]):
            return []
        contact = (await entries.contacts(connection, [subject]))[subject]
        if contact.version:
            return []
        heard = hear_envelope(force, version=version, at=at)
        facts = place(NEVER_SEEN, heard, alliance)
        contact = fold(facts)
        await entries.keep_heard(connection, {subject: heard})
        await entries.show(connection, {subject: contact})
        await entries.keep_access(connection, {subject: contact})
        log.error(
            "contact_queued_from_its_envelope", contact=subject, queue=contact.decision and contact.decision.queue
        )
        return [Append(subject, 0, self._events(subject, contact, facts, caused_by=parked.event))]

    def _known_alliance(self) -> Alliance:
        alliance = self._alliance()
        if alliance is None or alliance.default_queue is None:
            raise Unavailable("the directory names no default queue")
        return alliance

    def _events(self, subject: str, after: Contact, facts: Sequence[Fact], *, caused_by: Event | None) -> list[Event]:
        """The facts in their envelopes; `after` is the contact with them."""
        return events_of(
            facts,
            source=self._source,
            subject=subject,
            after=after.version - len(facts),
            force=after.decision.owning_force if after.decision else None,
            caused_by=caused_by.id if caused_by else None,
            traceparent=caused_by.traceparent if caused_by else None,
        )


def _envelope(parked: Parked) -> tuple[str | None, str | None, int, datetime]:
    """Contact, force, version and time of what was parked: from its envelope, or what is left of that."""
    event, now = parked.event, datetime.now(UTC)
    if event is not None:
        return event.subject, event.force, event.version, min(event.time, now)
    message = parked.message
    force = dict(message.headers).get("ce_force", b"").decode(errors="replace") or None
    try:
        return str(UUID((message.key or b"").decode())), force, 1, now
    except ValueError:
        return None, force, 1, now
