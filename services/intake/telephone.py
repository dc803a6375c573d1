"""A call: presented by the network on a trunk or dialled number, often with a location, seldom with words.

Nothing the caller did not choose may refuse it: a withheld number, an unknown trunk, a force nobody knows are taken.
The network may present one call more than once (an alternative route, a buddy): those are further legs of one contact.
"""

from __future__ import annotations

from uuid_utils import uuid7

from libs.events.types.contacts import ContactLegAdded, ContactReceived, LegPersonal, Line, ReceivedPersonal
from libs.service.bodies import Body, Name, Slug, Words
from services.intake.models import (
    E164,
    Dialled,
    Identifier,
    Language,
    LocationBodies,
    Time,
    located,
)


class TelephoneContact(Body):
    line: Line
    presented_force: Slug | None = None
    """From the trunk or the dialled number, as the gateway knows it."""
    trunk: Identifier | None = None
    dialled_number: Dialled | None = None
    caller_choice: Slug | None = None
    """The force the caller chose in the 101 network's menu."""
    presented_at: Time | None = None
    """When the network presented the call: the published clock starts here."""
    call_id: Identifier | None = None
    """The network's or the gateway's name for the call."""
    calling_number: E164 | None = None
    """None: withheld or unknown."""
    contact_number: E164 | None = None
    """Where to reach the person, if not on the calling number."""
    name: Name | None = None
    """For instance the subscriber's, from EISEC."""
    safe_contact: Name | None = None
    """How and when it is safe to make contact."""
    silent: bool = False
    """A silent mobile call that took BT's Silent Solution ("55")."""
    language: Language | None = None
    """Asked for, BCP 47."""
    words: Words | None = None
    """What the operator or the voice menu passed on."""
    locations: LocationBodies = ()


def received(body: TelephoneContact, *, gateway: str, reference: str) -> ContactReceived:
    """A call on 999 cannot wait, whoever rings."""
    locations, shapes = located(body.locations)
    return ContactReceived(
        reference=reference,
        channel="telephone",
        medium="voice",
        line=body.line,
        presented_force=body.presented_force,
        trunk=body.trunk,
        dialled_number=body.dialled_number,
        caller_choice=body.caller_choice,
        presented_at=body.presented_at,
        call_id=body.call_id,
        gateway=gateway,
        emergency=body.line == "999",
        silent=body.silent,
        language=body.language,
        locations=locations,
        personal=ReceivedPersonal(
            calling_number=body.calling_number,
            contact_number=body.contact_number,
            name=body.name,
            safe_contact=body.safe_contact,
            words=body.words,
            shapes=shapes,
        ),
    )


class LegBody(Body):
    """The same call, presented once more."""

    call_id: Identifier
    """The gateway's or the network's name for this leg: told again under it, it is the same leg."""
    trunk: Identifier | None = None
    dialled_number: Dialled | None = None
    presented_force: Slug | None = None
    """Whose trunk it came by. It moves the contact nowhere."""
    presented_at: Time | None = None
    calling_number: E164 | None = None
    """None: withheld or unknown."""


def leg_added(body: LegBody, *, gateway: str) -> ContactLegAdded:
    return ContactLegAdded(
        leg_id=str(uuid7()),
        call_id=body.call_id,
        gateway=gateway,
        trunk=body.trunk,
        dialled_number=body.dialled_number,
        presented_force=body.presented_force,
        presented_at=body.presented_at,
        personal=None if body.calling_number is None else LegPersonal(calling_number=body.calling_number),
    )
