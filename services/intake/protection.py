"""What may become of a contact's personal data: held, kept for a time, corrected, erased. Pure.

Invariants
  * Nothing is erased while a legal hold, a retention duty that is not over, or a crime that it led to stands; the
    refusal names all that do.
  * A hold ends when it is lifted, a duty on its day or when it is lifted before. An erased contact takes neither: there
    is nothing left to keep.
  * Erasure is final, and asked for twice it is one.

Two at once about one contact are decided by its stream's version: a hold that was placed first refuses the erasure, and
an erasure that came first refuses the hold. A crime is another service's word: one that arrives after the erasure finds
it done, and loses nothing by it, because an incident keeps what it needs under a key of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from libs.events.types import Fact
from libs.events.types.contacts import (
    ContactErased,
    ContactRectified,
    DutyReason,
    ErasureReason,
    HoldReason,
    LegalHoldLifted,
    LegalHoldPlaced,
    RectifiedMember,
    RectifiedPersonal,
    RetentionDutyLifted,
    RetentionDutyPlaced,
)
from libs.events.types.shapes import Shape
from services.intake.contact import Refused
from services.intake.known import TEXTS, Contact

MAX_STANDING = 100
"""Holds, or duties, of one contact at a time."""
MAX_CORRECTIONS = 500
"""Of one contact."""


class AlreadyErased(Refused):
    """The contact has been erased: nothing is left to hold, to keep or to correct."""


class TooMuchStands(Refused):
    """A hundred of these stand on the contact already."""


class TooManyCorrections(Refused):
    """The contact has been corrected 500 times and takes no more."""


class IsOverAlready(Refused):
    """A retention duty ends in the future."""


class NotStanding(Refused):
    """Nothing of this id stands on the contact."""


class NothingToCorrect(Refused):
    """The contact holds no such message or location."""


class Hindrance(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in an erasure's way."""

    kind: Literal["legal-hold", "retention-duty", "crime"]
    id: str
    """The hold's or duty's; of a crime, the incident's."""
    authority: str
    """The hold's or duty's; of a crime, its reference."""
    reason: str | None = None
    until: datetime | None = None


class StillNeeded(Refused):
    """The contact is still needed: lift what stands in the way, or wait until it is over."""

    def __init__(self, hindrances: Sequence[Hindrance]) -> None:
        super().__init__()
        self.hindrances = tuple(hindrances)


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    authority: str
    at: datetime
    """The moment of the decision: whether a duty is over depends on it."""


class PlaceHold(_Command, frozen=True, kw_only=True):
    hold: str
    reason: HoldReason


class LiftHold(_Command, frozen=True, kw_only=True):
    hold: str


class PlaceDuty(_Command, frozen=True, kw_only=True):
    duty: str
    reason: DutyReason
    until: datetime


class LiftDuty(_Command, frozen=True, kw_only=True):
    duty: str


class Rectify(_Command, frozen=True, kw_only=True):
    rectification: str
    member: RectifiedMember
    id: str | None = None
    """Of which message, or which location."""
    reason: Literal["request", "found-wrong", "court-order"]
    text: str | None = None
    shape: Shape | None = None


class Erase(_Command, frozen=True, kw_only=True):
    reason: ErasureReason


Command: TypeAlias = PlaceHold | LiftHold | PlaceDuty | LiftDuty | Rectify


class Crime(msgspec.Struct, frozen=True):
    """A crime that the contact led to, as recording told."""

    incident: str
    reference: str


def hindrances(contact: Contact, crimes: Sequence[Crime], at: datetime) -> list[Hindrance]:
    """All that stands in the way of the contact's erasure at a moment; nothing of an erased one."""
    if contact.erasure is not None:
        return []
    holds = [
        Hindrance(kind="legal-hold", id=hold.placed.hold, authority=hold.placed.authority, reason=hold.placed.reason)
        for hold in contact.holds
    ]
    duties = [
        Hindrance(
            kind="retention-duty",
            id=duty.placed.duty,
            authority=duty.placed.authority,
            reason=duty.placed.reason,
            until=duty.placed.until,
        )
        for duty in contact.duties
        if at < duty.placed.until
    ]
    return [
        *holds,
        *duties,
        *(Hindrance(kind="crime", id=crime.incident, authority=crime.reference) for crime in crimes),
    ]


def erase(contact: Contact, crimes: Sequence[Crime], command: Erase) -> tuple[Fact, ...]:
    """Nothing, where it is erased already. Raises StillNeeded."""
    if contact.erasure is not None:
        return ()
    if standing := hindrances(contact, crimes, command.at):
        raise StillNeeded(standing)
    return (ContactErased(by=command.by, authority=command.authority, reason=command.reason),)


def decide(contact: Contact, command: Command) -> tuple[Fact, ...]:
    """What becomes true by the command. Raises a Refused."""
    if contact.erasure is not None:
        raise AlreadyErased
    match command:
        case PlaceHold():
            _check_room(contact.holds)
            return (
                LegalHoldPlaced(hold=command.hold, by=command.by, authority=command.authority, reason=command.reason),
            )
        case LiftHold():
            if all(hold.placed.hold != command.hold for hold in contact.holds):
                raise NotStanding
            return (LegalHoldLifted(hold=command.hold, by=command.by, authority=command.authority),)
        case PlaceDuty():
            _check_room(contact.duties)
            if command.until <= command.at:
                raise IsOverAlready
            return (
                RetentionDutyPlaced(
                    duty=command.duty,
                    by=command.by,
                    authority=command.authority,
                    reason=command.reason,
                    until=command.until,
                ),
            )
        case LiftDuty():
            if all(duty.placed.duty != command.duty for duty in contact.duties):
                raise NotStanding
            return (RetentionDutyLifted(duty=command.duty, by=command.by, authority=command.authority),)
        case Rectify():
            return (_rectified(contact, command),)


def _check_room(standing: Sequence[object]) -> None:
    if len(standing) >= MAX_STANDING:
        raise TooMuchStands


def _rectified(contact: Contact, command: Rectify) -> ContactRectified:
    if len(contact.corrections) >= MAX_CORRECTIONS:
        raise TooManyCorrections
    location = None
    if command.member == "location":
        location = next((k.location for k in contact.locations if k.location.id == command.id), None)
        if location is None:
            raise NothingToCorrect
    elif command.member == "message":
        if all(known.message.message_id != command.id for known in contact.messages):
            raise NothingToCorrect
    else:
        assert command.member in TEXTS
    return ContactRectified(
        rectification=command.rectification,
        by=command.by,
        authority=command.authority,
        reason=command.reason,
        member=command.member,
        message=command.id if command.member == "message" else None,
        location=location,
        personal=RectifiedPersonal(text=command.text, shape=command.shape),
    )
