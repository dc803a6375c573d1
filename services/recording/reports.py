"""A report made whole opens its incident by itself: nobody has to read it first, and none waits on a desk unrecorded.

It needs both facts, the report (intake) and its first routing (router), which come in any order; the second of them to
arrive opens the incident.
"""

from __future__ import annotations

import msgspec

from libs.events.types.contacts import ContactReceived
from services.recording.contact import Contact
from services.recording.incidents import OpenIncident, new_reference
from services.recording.owner import Known, owner_of

BY_ITSELF = "recording"
"""Who disposed, where no person did."""


def is_made_whole(contact: Contact) -> bool:
    return contact.channel == "web"


def opens_by_itself(contact: Contact) -> bool:
    """The report and its first routing are both known, and nobody disposed of it before."""
    return (
        is_made_whole(contact)
        and contact.received is not None
        and contact.routed is not None
        and contact.disposition is None
    )


def incident_of_report(contact: Contact, received: ContactReceived) -> OpenIncident:
    """The incident that a whole report tells of: in its own words, at the place it names.

    The owner is the router's word on that place, because the router placed the whole report.
    """
    personal = received.personal
    return OpenIncident(
        contact=str(contact.id),
        by=BY_ITSELF,
        contact_force=contact.owning_force,
        owner=owner_of(None, known_of(contact), None),
        reference=new_reference(),
        reported_at=contact.received_at,
        category=received.category,
        summary=personal.words if personal is not None else None,
        place=place_of(received),
    )


def known_of(contact: Contact) -> Known:
    return Known(
        incident_force=contact.incident_force, owning_force=contact.owning_force, provisional=contact.provisional
    )


def place_of(received: ContactReceived) -> str | None:
    """Where it happened as the report says it: the last `incident` location's shape, as JSON."""
    if received.personal is None:
        return None
    for location in reversed(received.locations):
        shape = received.personal.shapes.get(location.id)
        if location.of == "incident" and shape is not None:
            return msgspec.json.encode(shape).decode()
    return None
