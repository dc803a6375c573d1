"""What intake answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from pydantic import Field

from libs.events.types import shapes
from libs.events.types.contacts import Channel, Line, LocationOf, LocationSource, Medium
from libs.events.types.routing import Cause
from libs.service.bodies import PERSONAL, Answer
from services.intake.contact import EndReason, Sender
from services.intake.decisions import Decision
from services.intake.desk import Receipt
from services.intake.known import Contact, KnownLocation
from services.intake.legs import Leg


class CandidateAnswer(Answer):
    force: str
    share: float
    """Of the location's area, 0–1. 0: the location is only near."""
    likelihood: float | None = None
    """How likely the place is this force's, 0–1, the drawn border being what it is."""


class Pending(Answer):
    """Not routed yet, or not known here yet: the contact is safe, and the decision comes with GET."""

    state: Literal["pending"] = "pending"


class Routed(Answer):
    state: Literal["routed"] = "routed"
    owning_force: str | None
    """null: the alliance's own, until a handler confirms one."""
    queue: str
    recipient_uri: str
    priority: int
    """1 is first."""
    provisional: bool
    cause: Cause
    candidates: list[CandidateAnswer]
    border_m: float | None
    """From the location's centre to the nearest border between forces, metres."""
    location_id: str | None
    """The location that decided."""
    incident_force: str | None
    generation: str | None
    """Of the boundaries used."""
    contact_version: int
    """The version of the contact that the decision saw."""
    decided_at: datetime


Routing: TypeAlias = Annotated[Pending | Routed, Field(discriminator="state")]
PENDING = Pending()


class ContactTaken(Answer):
    """The contact is on disk."""

    id: str
    reference: str
    """To be read out on the phone."""
    received_at: datetime
    routing: Routing


class LocationTaken(Answer):
    id: str
    contact: str
    known_at: datetime


class MessageTaken(Answer):
    id: str
    contact: str
    known_at: datetime


class LegTaken(Answer):
    id: str
    contact: str
    call_id: str
    known_at: datetime
    routing: Routing
    """Where to ring: where the first leg rings."""


class ContactEnd(Answer):
    contact: str
    reason: EndReason
    ended_at: datetime
    goes_on: bool
    """The leg ended, and the contact goes on by another."""


class LocationView(Answer):
    id: str
    of: LocationOf
    source: LocationSource
    certainty_percent: float | None
    taken_at: datetime | None
    known_at: datetime
    shape: Annotated[dict[str, Any] | None, PERSONAL]
    """As it was sent; null for who may not see where a person is."""


class MessageView(Answer):
    id: str
    sender: Sender
    emergency: bool
    known_at: datetime
    text: Annotated[str | None, PERSONAL]


class PersonView(Answer):
    """What identifies a person."""

    calling_number: str | None = None
    contact_number: str | None = None
    name: str | None = None
    email: str | None = None
    handle: str | None = None
    safe_contact: str | None = None
    words: str | None = None


class EndView(Answer):
    reason: EndReason
    ended_at: datetime


class LegView(Answer):
    """One way by which the network presented the call; the first is the contact's beginning, and has its id."""

    id: str
    gateway: str
    call_id: str | None
    trunk: str | None
    dialled_number: str | None
    presented_force: str | None
    presented_at: datetime | None
    known_at: datetime
    calling_number: Annotated[str | None, PERSONAL]
    ended: EndView | None
    """null: it goes on, or ended with the contact."""


class ContactView(Answer):
    id: str
    reference: str
    version: int
    channel: Channel
    medium: Medium
    line: Line | None
    presented_force: str | None
    caller_choice: str | None
    trunk: str | None
    dialled_number: str | None
    call_id: str | None
    gateway: str
    presented_at: datetime | None
    received_at: datetime
    emergency: bool
    silent: bool
    category: str | None
    language: str | None
    ended: EndView | None
    locations: list[LocationView]
    messages: list[MessageView]
    legs: list[LegView]
    erased_at: datetime | None
    """Since then nothing that identified a person can be shown to anybody."""
    person: Annotated[PersonView | None, PERSONAL]
    routing: Routing


def contact_taken(receipt: Receipt, decision: Decision | None) -> bytes:
    """The receipt as a `ContactTaken`, in JSON. Every contact has one, so that msgspec writes it: through the model it
    took a tenth of a contact's work, sockets and commit aside."""
    routing = _PENDING if decision is None else msgspec.Raw(routing_of(decision).json_bytes())
    return _encode(_Taken(receipt.contact, receipt.reference, receipt.received_at, routing))


class _Taken(msgspec.Struct, rename="camel"):
    """Written as `ContactTaken` documents it."""

    id: str
    reference: str
    received_at: datetime
    routing: msgspec.Raw


_PENDING = msgspec.Raw(PENDING.json_bytes())
_encode = msgspec.json.Encoder().encode


def routing_of(decision: Decision | None) -> Pending | Routed:
    if decision is None:
        return PENDING
    routed = decision.routed
    return Routed(
        owning_force=routed.owning_force,
        queue=routed.queue,
        recipient_uri=routed.recipient_uri,
        priority=routed.priority,
        provisional=routed.provisional,
        cause=routed.cause,
        candidates=[
            CandidateAnswer(force=one.force, share=one.share, likelihood=one.likelihood) for one in routed.candidates
        ],
        border_m=routed.border_m,
        location_id=routed.location_id,
        incident_force=routed.incident_force,
        generation=routed.generation,
        contact_version=routed.contact_version,
        decided_at=decision.decided_at,
    )


def view_of(contact: Contact, decision: Decision | None, *, personal: bool) -> ContactView:
    """The contact as it stands; without `personal`, nothing in it says who or where anybody is."""
    received = contact.received
    person = received.personal if personal else None
    return ContactView(
        id=contact.id,
        reference=received.reference,
        version=contact.version,
        channel=received.channel,
        medium=received.medium,
        line=received.line,
        presented_force=received.presented_force,
        caller_choice=received.caller_choice,
        trunk=received.trunk,
        dialled_number=received.dialled_number,
        call_id=received.call_id,
        gateway=received.gateway,
        presented_at=received.presented_at,
        received_at=contact.received_at,
        emergency=contact.emergency,
        silent=received.silent,
        category=received.category,
        language=received.language,
        ended=EndView(reason=contact.ended.reason, ended_at=contact.ended.ended_at) if contact.ended else None,
        locations=[_location(known, personal=personal) for known in contact.locations],
        messages=[
            MessageView(
                id=known.message.message_id,
                sender=known.message.sender,
                emergency=known.message.emergency,
                known_at=known.known_at,
                text=known.message.personal.text if personal and known.message.personal else None,
            )
            for known in contact.messages
        ],
        legs=[_leg(leg, personal=personal) for leg in contact.legs],
        erased_at=contact.erasure.at if contact.erasure else None,
        person=person
        and PersonView(
            calling_number=person.calling_number,
            contact_number=person.contact_number,
            name=person.name,
            email=person.email,
            handle=person.handle,
            safe_contact=person.safe_contact,
            words=person.words,
        ),
        routing=routing_of(decision),
    )


def _location(known: KnownLocation, *, personal: bool) -> LocationView:
    location = known.location
    return LocationView(
        id=location.id,
        of=location.of,
        source=location.source,
        certainty_percent=location.certainty_percent,
        taken_at=location.taken_at,
        known_at=known.known_at,
        shape=_shape(known.shape) if personal and known.shape else None,
    )


def _leg(leg: Leg, *, personal: bool) -> LegView:
    return LegView(
        id=leg.id,
        gateway=leg.gateway,
        call_id=leg.call_id,
        trunk=leg.trunk,
        dialled_number=leg.dialled_number,
        presented_force=leg.presented_force,
        presented_at=leg.presented_at,
        known_at=leg.added_at,
        calling_number=leg.calling_number if personal else None,
        ended=EndView(reason=leg.ended.reason, ended_at=leg.ended.ended_at) if leg.ended else None,
    )


def _shape(shape: shapes.Shape) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(shape)
    return built
