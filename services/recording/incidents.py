"""What a contact comes to: the decision, and nothing of databases, Kafka or HTTP.

Invariants: a contact gets one disposition and no second one; it opens at most one incident, whose id follows from the
contact's, so that two copies that decide alike decide the same; a contact joins only an incident that was opened.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias
from uuid import UUID

import msgspec

from libs.events.types import Fact
from libs.events.types.recording import (
    ContactDisposed,
    ContactJoined,
    CrimeCancelled,
    DispositionPersonal,
    IncidentCrimed,
    IncidentOpened,
    IncidentPersonal,
)
from services.recording.owner import Owner

PlainDisposition: TypeAlias = Literal["advice", "enquiry", "no-police-matter", "transferred"]


class Refused(Exception):
    """A disposition that cannot stand. Each refusal has a class; its first docstring line is what the person reads."""


class AlreadyDisposed(Refused):
    """This contact already has a disposition, and another one than this."""

    def __init__(self, standing: ContactDisposed) -> None:
        super().__init__(f"This contact already has a disposition: {standing.disposition}.")
        self.standing = standing


class IncidentUnknown(Refused):
    """The incident to join is not one that you can see."""


class TransferredWithoutTarget(Refused):
    """A contact is transferred to someone: say to whom in `transferredTo`."""


class TargetWithoutTransfer(Refused):
    """`transferredTo` belongs to the disposition `transferred` alone."""


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    contact: str
    by: str
    """The token subject that says so, or `recording`."""
    contact_force: str | None = None
    """The contact's owning force now."""
    note: str | None = None


class OpenIncident(_Command, frozen=True, kw_only=True):
    DISPOSITION: ClassVar[Literal["incident-opened"]] = "incident-opened"

    owner: Owner
    reference: str
    reported_at: datetime
    category: str | None = None
    summary: str | None = None
    place: str | None = None


class JoinIncident(_Command, frozen=True, kw_only=True):
    DISPOSITION: ClassVar[Literal["joined-incident"]] = "joined-incident"

    incident: str


class DisposeContact(_Command, frozen=True, kw_only=True):
    """Everything that leads to no incident of ours."""

    disposition: PlainDisposition
    transferred_to: str | None = None


Command: TypeAlias = OpenIncident | JoinIncident | DisposeContact


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as its stream tells it."""

    opened: IncidentOpened
    joined: tuple[str, ...] = ()
    """Contacts beyond the first, in the order they joined."""
    crimes: tuple[str, ...] = ()
    """The references of the crimes that it became, of those that stand."""
    version: int = 1

    @property
    def contacts(self) -> tuple[str, ...]:
        return (self.opened.contact, *self.joined)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to append to the contact's stream and to the incident's. Nothing, where it was so decided before."""

    incident: str | None = None
    on_contact: tuple[ContactDisposed, ...] = ()
    on_incident: tuple[IncidentOpened | ContactJoined, ...] = ()


def evolve(incident: Incident | None, fact: Fact) -> Incident | None:
    """Raises ValueError for a stream that does not begin with its opening."""
    match fact:
        case IncidentOpened():
            return Incident(opened=fact)
        case ContactJoined():
            if incident is None:
                raise ValueError("a contact joined an incident that was not opened")
            return msgspec.structs.replace(
                incident, joined=(*incident.joined, fact.contact), version=incident.version + 1
            )
        case IncidentCrimed() | CrimeCancelled():
            if incident is None:
                raise ValueError("an incident that was not opened became a crime")
            others = tuple(crime for crime in incident.crimes if crime != fact.crime)
            return msgspec.structs.replace(
                incident,
                crimes=(*others, fact.crime) if isinstance(fact, IncidentCrimed) else others,
                version=incident.version + 1,
            )
        case _:
            return incident


def incident_of(facts: Iterable[Fact]) -> Incident | None:
    """The incident whose stream this is; None for an empty stream, or a contact's."""
    incident: Incident | None = None
    for fact in facts:
        incident = evolve(incident, fact)
    return incident


def disposition_of(facts: Iterable[Fact]) -> ContactDisposed | None:
    """The disposition that stands on a contact's stream."""
    return next((fact for fact in facts if isinstance(fact, ContactDisposed)), None)


def decide(standing: ContactDisposed | None, incident: Incident | None, command: Command) -> Decision:
    """What follows from a command.

    `standing` is the contact's disposition so far; `incident` the one that it opened or joined, or asks to join.
    A command that says again what stands decides nothing new. Raises Refused.
    """
    check_target_fits_disposition(command)
    if standing is not None:
        check_says_what_stands(standing, incident, command)
        return Decision(incident=standing.incident)

    personal = DispositionPersonal(note=command.note) if command.note is not None else None
    match command:
        case OpenIncident():
            id_ = incident_id(command.contact)
            disposed = ContactDisposed(
                disposition=command.DISPOSITION,
                by=command.by,
                force=command.contact_force,
                incident=id_,
                personal=personal,
            )
            return Decision(incident=id_, on_contact=(disposed,), on_incident=(_opened(command),))
        case JoinIncident():
            if incident is None:
                raise IncidentUnknown(IncidentUnknown.__doc__)
            disposed = ContactDisposed(
                disposition=command.DISPOSITION,
                by=command.by,
                force=command.contact_force,
                incident=command.incident,
                personal=personal,
            )
            joined = ContactJoined(contact=command.contact, by=command.by)
            return Decision(incident=command.incident, on_contact=(disposed,), on_incident=(joined,))
        case DisposeContact():
            disposed = ContactDisposed(
                disposition=command.disposition,
                by=command.by,
                force=command.contact_force,
                transferred_to=command.transferred_to,
                personal=personal,
            )
            return Decision(on_contact=(disposed,))


def check_target_fits_disposition(command: Command) -> None:
    if not isinstance(command, DisposeContact):
        return
    if command.disposition == "transferred" and command.transferred_to is None:
        raise TransferredWithoutTarget(TransferredWithoutTarget.__doc__)
    if command.disposition != "transferred" and command.transferred_to is not None:
        raise TargetWithoutTransfer(TargetWithoutTransfer.__doc__)


def check_says_what_stands(standing: ContactDisposed, incident: Incident | None, command: Command) -> None:
    """Who says it, and when, may differ; what is said may not."""
    same = standing_note(standing) == command.note
    match command:
        case OpenIncident():
            same = (
                same
                and standing.disposition == command.DISPOSITION
                and incident is not None
                and incident.opened.category == command.category
                and _said(incident.opened.personal) == (command.summary, command.place)
                and (incident.opened.owned_because != "handler" or incident.opened.owning_force == command.owner.force)
            )
        case JoinIncident():
            same = same and standing.disposition == command.DISPOSITION and standing.incident == command.incident
        case DisposeContact():
            same = (
                same
                and standing.disposition == command.disposition
                and standing.transferred_to == command.transferred_to
            )
    if not same:
        raise AlreadyDisposed(standing)


def standing_note(standing: ContactDisposed) -> str | None:
    return standing.personal.note if standing.personal is not None else None


def _opened(command: OpenIncident) -> IncidentOpened:
    said = command.summary is not None or command.place is not None
    return IncidentOpened(
        reference=command.reference,
        owning_force=command.owner.force,
        provisional=command.owner.provisional,
        owned_because=command.owner.because,
        contact=command.contact,
        opened_by=command.by,
        reported_at=command.reported_at,
        category=command.category,
        personal=IncidentPersonal(summary=command.summary, place=command.place) if said else None,
    )


def _said(personal: IncidentPersonal | None) -> tuple[str | None, str | None]:
    return (personal.summary, personal.place) if personal is not None else (None, None)


def incident_id(contact: str) -> str:
    """The id of the incident that a contact opens: a UUIDv7 of the contact's own millisecond, the rest by hash.

    So whoever opens it, however often, names it alike; and ids sort by when the incident was reported.
    """
    hashed = hashlib.sha256(b"incident of " + UUID(contact).bytes).digest()
    octets = bytearray(UUID(contact).bytes[:6] + hashed[:10])
    octets[6] = 0x70 | octets[6] & 0x0F  # RFC 9562 section 5.7: version 7
    octets[8] = 0x80 | octets[8] & 0x3F  # and the variant of section 4.1
    return str(UUID(bytes=bytes(octets)))


_READABLE = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: nothing that is mistaken for something else


def new_reference() -> str:
    """A reference to read out, `INC-7K3F-9QTA`: 40 random bits; a claim in the log makes it unique in all forces."""
    letters = "".join(secrets.choice(_READABLE) for _ in range(8))
    return f"INC-{letters[:4]}-{letters[4:]}"
