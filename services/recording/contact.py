"""What recording knows of a contact: who owns it, who has it, whether it ended, what it came to.

Facts come from two topics without an order between them, so each function sets what its fact alone can tell, and what
both tell is taken from whichever comes first.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from libs.events.envelope import Event
from libs.events.types.contacts import Channel, ContactEnded, ContactReceived, Line
from libs.events.types.recording import Disposition
from libs.events.types.routing import (
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
    OwnerConfirmed,
)


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    received_at: datetime
    """When it was received; until that is known, when recording heard of it."""
    reference: str | None = None
    channel: Channel | None = None
    line: Line | None = None
    received: UUID | None = None
    """The event that said it was received; None: not heard of yet."""
    presented_force: str | None = None
    owning_force: str | None = None
    provisional: bool = False
    incident_force: str | None = None
    """Who owns the place of its latest `incident` location, as the router found."""
    queue: str | None = None
    unassigned: bool = False
    """The router knew no owner, or none that has a queue for it: it went to the alliance's own."""
    handler: str | None = None
    """Who has it, or had it when it ended."""
    answering_force: str | None = None
    ended_at: datetime | None = None
    routed: UUID | None = None
    """The router's latest event about it, which a disposition follows from; None: not routed yet."""
    disposition: Disposition | None = None
    incident: UUID | None = None
    disposed_at: datetime | None = None

    @property
    def waits(self) -> bool:
        """It stands in a queue, and nobody has taken it."""
        return self.handler is None and self.ended_at is None


def receive(contact: Contact, event: Event, fact: ContactReceived) -> Contact:
    return msgspec.structs.replace(
        contact,
        reference=fact.reference,
        channel=fact.channel,
        line=fact.line,
        received_at=event.time,
        received=event.id,
        presented_force=fact.presented_force or contact.presented_force,
    )


def end(contact: Contact, event: Event, fact: ContactEnded | ContactClosed) -> Contact:
    return msgspec.structs.replace(contact, ended_at=contact.ended_at or fact.ended_at)


def route(contact: Contact, event: Event, fact: ContactRouted) -> Contact:
    return msgspec.structs.replace(
        contact,
        reference=contact.reference or fact.reference,
        channel=contact.channel or fact.channel,
        line=contact.line or fact.line,
        received_at=contact.received_at if contact.received is not None else fact.waiting_since,
        presented_force=contact.presented_force or fact.presented_force,
        owning_force=fact.owning_force,
        provisional=fact.provisional,
        incident_force=fact.incident_force or contact.incident_force,
        queue=fact.queue,
        unassigned=fact.owning_force is None or fact.cause == "no-queue",
        routed=event.id,
    )


def answer(contact: Contact, event: Event, fact: ContactAnswered) -> Contact:
    return msgspec.structs.replace(
        contact, handler=fact.handler, answering_force=fact.answering_force, queue=fact.queue, routed=event.id
    )


def release(contact: Contact, event: Event, fact: ContactReleased) -> Contact:
    return msgspec.structs.replace(contact, handler=None, answering_force=None, queue=fact.queue, routed=event.id)


def abandon(contact: Contact, event: Event, fact: ContactAbandoned) -> Contact:
    return msgspec.structs.replace(contact, ended_at=contact.ended_at or fact.cancel_timestamp, routed=event.id)


def close(contact: Contact, event: Event, fact: ContactClosed) -> Contact:
    return msgspec.structs.replace(end(contact, event, fact), routed=event.id)


def confirm_owner(contact: Contact, event: Event, fact: OwnerConfirmed) -> Contact:
    return msgspec.structs.replace(contact, owning_force=fact.owning_force, provisional=False, routed=event.id)


def may_be_disposed(contact: Contact, roles: frozenset[str]) -> bool:
    """Nobody has a contact that still waits: a supervisor or recorder may dispose of it, a handler claims it first.

    A web report waits for a reader only, so any of them may.
    """
    return not contact.waits or contact.channel == "web" or not roles.isdisjoint({"supervisor", "recorder"})
