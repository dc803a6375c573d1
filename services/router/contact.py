"""A contact as the router knows it: what it has heard from intake, and what it has decided itself.

`Heard` is the fold of intake's facts, `Contact` the fold of the router's own. Both are pure, and nothing in either says
who the person is or where: of a location only the forces it may lie in are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from libs.events.types import Fact
from libs.events.types.contacts import (
    Channel,
    ContactEnded,
    ContactLocated,
    ContactMessageAdded,
    ContactReceived,
    ContactRectified,
    Line,
    Location,
    Medium,
)
from libs.events.types.routing import (
    Candidate,
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
    OwnerConfirmed,
)

Status: TypeAlias = Literal["waiting", "answered", "abandoned", "closed"]

LONGEST_NAME = 512
"""Characters of a reference, force, trunk or number; intake's own limits are far below."""


class Placed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A location resolved to forces, by the boundaries in use when it was heard."""

    location_id: str
    candidates: tuple[Candidate, ...] = ()
    """By share, the largest first; none: it lies outside every area."""
    too_close: bool = False
    """Too close to a border to say."""
    border_m: float | None = None
    generation: str | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What intake has said about a contact, as far as it matters to where it goes."""

    version: int
    """The latest version of intake's stream that is in here."""
    received_at: datetime
    invited_at: datetime
    """When the network presented the call; where it did not say, when it was received."""
    reference: str | None = None
    channel: Channel | None = None
    medium: Medium | None = None
    line: Line | None = None
    presented_force: str | None = None
    trunk: str | None = None
    dialled_number: str | None = None
    emergency: bool = False
    caller: Placed | None = None
    """Where the caller is."""
    incident: Placed | None = None
    """Where it happens."""
    ended_at: datetime | None = None
    unreadable: bool = False
    """Its own facts could not be read: all we have is the envelope."""


def hear(
    heard: Heard | None, fact: Fact, *, version: int, at: datetime, places: Mapping[str, Placed] | None = None
) -> Heard | None:
    """What has been heard after one more fact of intake's, told at `at`; None before the first.

    `places` has what the fact's usable locations resolved to, by location id. Raises ValueError for a text that no
    table could hold.
    """
    places = places or {}
    if isinstance(fact, ContactReceived):
        first = Heard(
            version=version,
            received_at=at,
            invited_at=fact.presented_at or at,
            reference=_storable(fact.reference),
            channel=fact.channel,
            medium=fact.medium,
            line=fact.line,
            presented_force=_storable(fact.presented_force),
            trunk=fact.trunk,
            dialled_number=fact.dialled_number,
            emergency=fact.emergency,
        )
        return _located(first, fact.locations, places)
    if heard is None:
        return None
    heard = msgspec.structs.replace(heard, version=version)
    match fact:
        case ContactLocated():
            return _located(heard, [fact.location], places)
        case ContactRectified(location=Location() as location):
            return _corrected(heard, location, places.get(location.id))
        case ContactMessageAdded(emergency=True):
            return msgspec.structs.replace(heard, emergency=True)
        case ContactEnded():
            return msgspec.structs.replace(heard, ended_at=fact.ended_at)
    return heard


def hear_envelope(force: str | None, *, version: int, at: datetime) -> Heard:
    """All that can be known of a contact whose facts cannot be read. It is taken for an emergency: it may be one."""
    return Heard(
        version=version,
        received_at=at,
        invited_at=at,
        presented_force=force if force is not None and _fits(force) else None,
        emergency=True,
        unreadable=True,
    )


def _located(heard: Heard, locations: Iterable[Location], places: Mapping[str, Placed]) -> Heard:
    """The latest location heard counts. One that names no force never displaces one that does."""
    for location in locations:
        placed = places.get(location.id)
        if placed is None:
            continue
        if location.of == "caller" and _displaces(heard.caller, placed):
            heard = msgspec.structs.replace(heard, caller=placed)
        elif location.of == "incident" and _displaces(heard.incident, placed):
            heard = msgspec.structs.replace(heard, incident=placed)
    return heard


def _corrected(heard: Heard, location: Location, placed: Placed | None) -> Heard:
    """The right place takes the wrong one's. One that is not in use is corrected in intake alone: later ones count."""
    known = heard.caller if location.of == "caller" else heard.incident if location.of == "incident" else None
    if known is not None and known.location_id == location.id:
        of: dict[str, Placed | None] = {location.of: placed}
        return msgspec.structs.replace(heard, **of)
    return heard if known is not None or placed is None else _located(heard, [location], {location.id: placed})


def _displaces(known: Placed | None, placed: Placed) -> bool:
    return bool(known is None or placed.candidates or not known.candidates)


def _storable(text: str | None) -> str | None:
    if text is not None and not _fits(text):
        raise ValueError("a text with a NUL, or too long to be a name")
    return text


def _fits(text: str) -> bool:
    return "\0" not in text and len(text) <= LONGEST_NAME


@dataclass(frozen=True, slots=True)
class Contact:
    """The router's own stream about a contact, folded."""

    version: int = 0
    status: Status | None = None
    """None: not routed yet."""
    decision: ContactRouted | None = None
    """The latest."""
    confirmed_owner: str | None = None
    handler: str | None = None
    """Who has it, or had it when it closed."""
    answering_force: str | None = None
    answering_site: str | None = None


NEVER_SEEN = Contact()


def evolve(contact: Contact, fact: Fact | None) -> Contact:
    """The contact after one more fact of the router's own; None is one whose type this copy does not know."""
    contact = replace(contact, version=contact.version + 1)
    match fact:
        case ContactRouted():
            return replace(contact, decision=fact, status=contact.status or "waiting")
        case ContactAnswered():
            return replace(
                contact,
                status="answered",
                handler=fact.handler,
                answering_force=fact.answering_force,
                answering_site=fact.answering_site,
            )
        case ContactReleased():
            return replace(contact, status="waiting", handler=None, answering_force=None, answering_site=None)
        case ContactAbandoned():
            return replace(contact, status="abandoned")
        case ContactClosed():
            return replace(contact, status="closed")
        case OwnerConfirmed():
            return replace(contact, confirmed_owner=fact.owning_force)
    return contact


def fold(facts: Iterable[Fact | None], contact: Contact = NEVER_SEEN) -> Contact:
    for fact in facts:
        contact = evolve(contact, fact)
    return contact
