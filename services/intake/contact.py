"""What may become of a contact: received once, then located and written to while it lasts, and ended once.

Pure: `decide(contact, command) -> facts`, `evolve(contact, event) -> contact`. Invariants
  * A contact begins with `ContactReceived` and with nothing else, and no fact of it is ever taken back.
  * A location is always welcome, also after the end: a handset's own position comes about 18 s after dialling, and
    where a caller was who has fallen silent is what people will ask first.
  * An ended conversation takes no more messages: what is written to it now would be read by nobody. Its sender hears
    so and opens a new contact.
  * An end that is told twice is one end. What ends a leg and what the contact is for `services.intake.legs` to say.
  * What a contact was is one thing, what may become of its personal data another: holds, duties, erasure and
    correction are decided in `protection.py`. An erased contact takes nothing that identifies anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from libs.events.envelope import Event, UnknownType
from libs.events.types import Fact
from libs.events.types.contacts import (
    ContactEnded,
    ContactErased,
    ContactLegAdded,
    ContactLegEnded,
    ContactLocated,
    ContactMessageAdded,
    ContactReceived,
    ContactRectified,
    LegalHoldLifted,
    LegalHoldPlaced,
    LocatedPersonal,
    Location,
    MessagePersonal,
    RetentionDutyLifted,
    RetentionDutyPlaced,
)
from libs.events.types.shapes import Shape
from services.intake import legs
from services.intake.known import Contact, Duty, Erasure, Hold, KnownLocation, KnownMessage, erased, rectified
from services.intake.legs import MAX_LEGS

MAX_LOCATIONS = 500
"""Of one contact: a handset that sends its position every ten seconds for more than an hour."""
MAX_MESSAGES = 2_000
"""Of one contact."""

Sender: TypeAlias = Literal["caller", "handler", "system"]
EndReason: TypeAlias = Literal["caller-ended", "completed", "network-failure", "timed-out"]


class Refused(Exception):
    """A command that does not fit the contact's state. Its docstring is the sentence for the person who asked."""

    def __str__(self) -> str:
        return " ".join((type(self).__doc__ or "").split())


class NoSuchContact(Refused):
    """No contact has this id."""


class AlreadyReceived(Refused):
    """The contact has been received already."""


class ConversationIsOver(Refused):
    """The contact has ended and takes no more messages: open a new one."""


class EndedOtherwise(Refused):
    """The contact has ended already, for another reason or at another time."""


class LegEndedOtherwise(Refused):
    """The leg has ended already, for another reason or at another time."""


class NotACall(Refused):
    """The contact did not come by telephone: only a call has legs."""


class CallIsOver(Refused):
    """The contact has ended and takes no more legs: open a new one."""


class NoSuchLeg(Refused):
    """The contact has no leg of yours with this call id."""


class TooManyLegs(Refused):
    """The contact holds 20 legs and takes no more."""


class TooManyLocations(Refused):
    """The contact holds 500 locations and takes no more."""


class TooManyMessages(Refused):
    """The contact holds 2,000 messages and takes no more: open a new one."""


class NothingMayBeAdded(Refused):
    """The contact has been erased: nothing that identifies a person can be added to it."""


class ReceiveContact(msgspec.Struct, frozen=True):
    received: ContactReceived


class AddLocation(msgspec.Struct, frozen=True):
    location: Location
    shape: Shape


class AddMessage(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    sender: Sender
    text: str
    emergency: bool = False


class AddLeg(msgspec.Struct, frozen=True):
    leg: ContactLegAdded


class EndContact(msgspec.Struct, frozen=True, kw_only=True):
    reason: EndReason
    gateway: str | None = None
    """Who says that its legs have ended; None: staff, and they end the contact whole."""
    call_id: str | None = None
    """Of the gateway's leg; None: all of its own."""
    ended_at: datetime | None
    """None: when we heard of it."""
    heard_at: datetime


Change: TypeAlias = AddLocation | AddMessage | AddLeg | EndContact
Command: TypeAlias = ReceiveContact | Change


def decide(contact: Contact | None, command: Command) -> tuple[Fact, ...]:
    """What becomes true by the command; nothing, where it is true already. Raises a Refused."""
    if isinstance(command, ReceiveContact):
        if contact is not None:
            raise AlreadyReceived
        return (command.received,)
    if contact is None:
        raise NoSuchContact
    if isinstance(command, AddLocation):
        return _located(contact, command)
    if isinstance(command, AddMessage):
        return _written(contact, command)
    if isinstance(command, AddLeg):
        return _presented(contact, command)
    return _ended(contact, command)


def _located(contact: Contact, command: AddLocation) -> tuple[Fact, ...]:
    if contact.erasure is not None:
        raise NothingMayBeAdded
    if len(contact.locations) >= MAX_LOCATIONS:
        raise TooManyLocations
    return (ContactLocated(location=command.location, personal=LocatedPersonal(shape=command.shape)),)


def _written(contact: Contact, command: AddMessage) -> tuple[Fact, ...]:
    if contact.erasure is not None:
        raise NothingMayBeAdded
    if contact.ended is not None:
        raise ConversationIsOver
    if len(contact.messages) >= MAX_MESSAGES:
        raise TooManyMessages
    return (
        ContactMessageAdded(
            message_id=command.message_id,
            sender=command.sender,
            emergency=command.emergency,
            personal=MessagePersonal(text=command.text),
        ),
    )


def _presented(contact: Contact, command: AddLeg) -> tuple[Fact, ...]:
    if legs.known_as(contact.legs, command.leg.gateway, command.leg.call_id):
        return ()
    if contact.erasure is not None:
        raise NothingMayBeAdded
    if contact.received.channel != "telephone":
        raise NotACall
    if contact.ended is not None:
        raise CallIsOver
    if len(contact.legs) >= MAX_LEGS:
        raise TooManyLegs
    return (command.leg,)


def _ended(contact: Contact, command: EndContact) -> tuple[Fact, ...]:
    at = command.ended_at or command.heard_at
    going_on = [leg for leg in contact.legs if leg.ended is None]
    theirs = going_on
    if command.gateway is not None:
        known = legs.known_as(contact.legs, command.gateway, command.call_id)
        if not known:
            raise NoSuchLeg
        theirs = [leg for leg in known if leg.ended is None]
        if not theirs:
            if any(leg.ended is not None and _is_told_again(command, leg.ended) for leg in known):
                return ()
            raise LegEndedOtherwise
    if contact.ended is not None:
        if _is_told_again(command, contact.ended):
            return ()
        raise EndedOtherwise
    if len(theirs) < len(going_on):
        return tuple(ContactLegEnded(leg_id=leg.id, reason=command.reason, ended_at=at) for leg in theirs)
    return (ContactEnded(reason=command.reason, ended_at=at),)


def _is_told_again(command: EndContact, known: ContactEnded | ContactLegEnded) -> bool:
    return known.reason == command.reason and command.ended_at in (None, known.ended_at)


def end_of(contact: Contact, gateway: str | None, call_id: str | None) -> ContactEnded | ContactLegEnded | None:
    """The end that one is told of: the contact's, or that of a gateway's own leg while the contact goes on."""
    if contact.ended is not None or gateway is None:
        return contact.ended
    ends = [leg.ended for leg in legs.known_as(contact.legs, gateway, call_id) if leg.ended is not None]
    return max(ends, key=lambda end: end.ended_at, default=None)


def evolve(contact: Contact | None, event: Event) -> Contact | None:
    """The contact after one more event of its stream. A fact of a newer release is counted and changes nothing else."""
    try:
        fact = event.fact
    except UnknownType:
        return contact and msgspec.structs.replace(contact, version=event.version)
    if isinstance(fact, ContactReceived):
        shapes = fact.personal.shapes if fact.personal else {}
        return Contact(
            id=event.subject,
            version=event.version,
            received=fact,
            received_at=event.time,
            emergency=fact.emergency,
            locations=tuple(KnownLocation(place, shapes.get(place.id), event.time) for place in fact.locations),
            legs=(legs.first(event.subject, fact, event.time),),
        )
    if contact is None:
        return None
    change: dict[str, object] = {"version": event.version}
    match fact:
        case ContactLocated():
            shape = fact.personal.shape if fact.personal else None
            change["locations"] = (*contact.locations, KnownLocation(fact.location, shape, event.time))
        case ContactMessageAdded():
            change["messages"] = (*contact.messages, KnownMessage(fact, event.time))
            change["emergency"] = contact.emergency or fact.emergency
        case ContactLegAdded():
            change["legs"] = (*contact.legs, legs.further(fact, event.time))
        case ContactLegEnded():
            change["legs"] = legs.ended(contact.legs, fact)
        case ContactEnded():
            change["ended"] = fact
        case LegalHoldPlaced():
            change["holds"] = (*contact.holds, Hold(fact, event.time))
        case LegalHoldLifted():
            change["holds"] = tuple(hold for hold in contact.holds if hold.placed.hold != fact.hold)
        case RetentionDutyPlaced():
            change["duties"] = (*contact.duties, Duty(fact, event.time))
        case RetentionDutyLifted():
            change["duties"] = tuple(duty for duty in contact.duties if duty.placed.duty != fact.duty)
        case ContactRectified():
            change |= rectified(contact, fact, event.time)
        case ContactErased():
            change |= erased(contact) | {"erasure": Erasure(fact, event.time)}
    return msgspec.structs.replace(contact, **change)


def contact_of(events: Iterable[Event], contact: Contact | None = None) -> Contact | None:
    """The contact that a stream tells of, or after more of it; None for a stream that is empty."""
    for event in events:
        contact = evolve(contact, event)
    return contact
