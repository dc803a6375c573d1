"""A contact as it is known by its facts, and what correction and erasure make of what identifies a person in it. Pure.

Invariants
  * Where a correction stands, nobody but an auditor sees what stood there before; where either cannot be read any more,
    nothing stands there.
  * After an erasure nothing here identifies anybody, whoever still holds the key.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from libs.events.types.contacts import (
    ContactEnded,
    ContactErased,
    ContactMessageAdded,
    ContactReceived,
    ContactRectified,
    LegalHoldPlaced,
    Location,
    MessagePersonal,
    ReceivedPersonal,
    RectifiedMember,
    RectifiedPersonal,
    RetentionDutyPlaced,
)
from libs.events.types.shapes import Shape
from services.intake import legs
from services.intake.legs import Leg


class KnownLocation(msgspec.Struct, frozen=True):
    location: Location
    shape: Shape | None
    """None where the personal part is gone."""
    known_at: datetime


class KnownMessage(msgspec.Struct, frozen=True):
    message: ContactMessageAdded
    known_at: datetime


class Hold(msgspec.Struct, frozen=True):
    placed: LegalHoldPlaced
    since: datetime


class Duty(msgspec.Struct, frozen=True):
    placed: RetentionDutyPlaced
    since: datetime


class Correction(msgspec.Struct, frozen=True):
    rectified: ContactRectified
    at: datetime
    before: RectifiedPersonal | None
    """What stood until then: for auditors. None where it is gone."""


class Erasure(msgspec.Struct, frozen=True):
    erased: ContactErased
    at: datetime


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: int
    received: ContactReceived
    received_at: datetime
    emergency: bool
    """It was one from the start, or a message has turned it into one."""
    locations: tuple[KnownLocation, ...] = ()
    """In the order in which they became known."""
    messages: tuple[KnownMessage, ...] = ()
    legs: tuple[Leg, ...] = ()
    """The first first."""
    ended: ContactEnded | None = None
    holds: tuple[Hold, ...] = ()
    """Those that were placed and not lifted."""
    duties: tuple[Duty, ...] = ()
    """Those that were placed and not lifted; whether one is over depends on the day."""
    corrections: tuple[Correction, ...] = ()
    erasure: Erasure | None = None


TEXTS: dict[RectifiedMember, str] = {
    "calling-number": "calling_number",
    "contact-number": "contact_number",
    "name": "name",
    "email": "email",
    "handle": "handle",
    "safe-contact": "safe_contact",
    "words": "words",
}
"""The members that a correction may name besides messages and locations, by the field that holds each."""


def rectified(contact: Contact, fact: ContactRectified, at: datetime) -> dict[str, object]:
    """What a correction changes: the right value stands where the wrong one stood, which is kept with it."""
    right = fact.personal or RectifiedPersonal()
    change: dict[str, object] = {}
    if fact.member == "location" and fact.location is not None:
        named = fact.location.id
        was = next((known.shape for known in contact.locations if known.location.id == named), None)
        before = RectifiedPersonal(shape=was)
        change["locations"] = tuple(
            msgspec.structs.replace(known, shape=right.shape) if known.location.id == named else known
            for known in contact.locations
        )
    elif fact.member == "message":
        said = next((known for known in contact.messages if known.message.message_id == fact.message), None)
        written = said.message.personal if said else None
        before = RectifiedPersonal(text=written.text if written else None)
        personal = MessagePersonal(text=right.text) if right.text is not None else None
        change["messages"] = tuple(
            KnownMessage(msgspec.structs.replace(known.message, personal=personal), known.known_at)
            if known is said
            else known
            for known in contact.messages
        )
    else:
        person = contact.received.personal or ReceivedPersonal()
        field = TEXTS[fact.member]
        before = RectifiedPersonal(text=getattr(person, field))
        person = msgspec.structs.replace(person, **{field: right.text})
        change["received"] = msgspec.structs.replace(contact.received, personal=person)
        if fact.member == "calling-number":
            change["legs"] = legs.renumbered(contact.legs, before.text, right.text)
    change["corrections"] = (*contact.corrections, Correction(fact, at, before))
    return change


def erased(contact: Contact) -> dict[str, object]:
    """What an erasure changes."""
    return {
        "received": msgspec.structs.replace(contact.received, personal=None),
        "legs": tuple(msgspec.structs.replace(leg, calling_number=None) for leg in contact.legs),
        "locations": tuple(msgspec.structs.replace(known, shape=None) for known in contact.locations),
        "messages": tuple(
            KnownMessage(msgspec.structs.replace(known.message, personal=None), known.known_at)
            for known in contact.messages
        ),
        "corrections": tuple(
            Correction(msgspec.structs.replace(one.rectified, personal=None), one.at, None)
            for one in contact.corrections
        ),
    }
