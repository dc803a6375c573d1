"""Facts about where a contact belongs and who has it, as the router decided. Stream and Kafka key: the contact's id.

Names follow NENA i3's RouteLogEvent and AbandonedCall where those have one.
"""

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from libs.events.types.base import Fact, Part
from libs.events.types.contacts import Channel, Line, Medium

TOPIC = "hueandcry.routing"

Cause: TypeAlias = Literal[
    "location",  # the largest share of the location's area, well clear of any border
    "border-presented",  # too close to say; the presented force is one of the candidates
    "border-largest-share",  # too close to say; the presented force is no candidate
    "presented",  # no usable location
    "outside-areas",  # the location lies in no force's area: the presented force, or the alliance's default queue
    "no-location-no-presented-force",  # the alliance's default queue
    "unknown-presented-force",  # presented to a force the alliance does not know: the default queue
    "not-in-alliance",  # the place belongs to a force outside the alliance: the presented force, or the default queue
    "no-queue",  # the owning force has no queue for this line and channel: the default queue
    "confirmed",  # a handler said so
    "unprocessable",  # the contact's own facts could not be read; queued from its envelope
]


class Candidate(Part, frozen=True, kw_only=True):
    force: str
    share: float
    """Of the location's area, 0–1. 0: the location is only near."""
    likelihood: float | None = None
    """How likely the place is this force's, 0–1, the drawn border being what it is. None: it was not said."""


class ContactRouted(Fact, frozen=True, kw_only=True):
    """A decision. The first puts the contact into a queue, a later one moves it, keeping its place in time."""

    TYPE: ClassVar[str] = "uk.hueandcry.routing.routed.v1"
    TOPIC: ClassVar[str] = TOPIC

    reference: str | None = None
    channel: Channel | None = None
    medium: Medium | None = None
    line: Line | None = None
    owning_force: str | None = None
    """None: the alliance's, until a handler confirms."""
    presented_force: str | None = None
    provisional: bool = False
    """True until a handler confirms: near a border, or without a usable location."""
    cause: Cause
    queue: str
    """The queue's id in the directory."""
    recipient_uri: str
    priority: int
    """1 is first."""
    candidates: tuple[Candidate, ...] = ()
    border_m: float | None = None
    """From the location's centre to the nearest border between forces, metres."""
    location_id: str | None = None
    """The location that decided."""
    incident_force: str | None = None
    """Who owns the place of the latest `incident` location, if one is known."""
    generation: str | None = None
    """Of the boundaries used."""
    directory_position: int = 0
    """How many directory events the deciding copy had seen."""
    contact_version: int
    """The version of the contact's own stream that this decision saw."""
    waiting_since: datetime
    """Its place in time: when the contact was received, whatever was decided later."""
    needs_handler: bool = True
    """False for a report that arrived whole: a recorder reads it, nobody answers it."""
    rule_id: str | None = None
    policy_owner: str | None = None
    policy_type: str | None = None
    policy_queue_name: str | None = None


class ContactAnswered(Fact, frozen=True, kw_only=True):
    """A handler took the contact from its queue (`POST /v1/queues/{id}/claim`)."""

    TYPE: ClassVar[str] = "uk.hueandcry.routing.answered.v1"
    TOPIC: ClassVar[str] = TOPIC

    handler: str
    """The handler's token subject: staff, not the public."""
    answering_force: str | None = None
    answering_site: str | None = None
    queue: str
    waited_s: float


class ContactReleased(Fact, frozen=True, kw_only=True):
    """The handler gave the contact back, unfinished: it waits again at its old place in time."""

    TYPE: ClassVar[str] = "uk.hueandcry.routing.released.v1"
    TOPIC: ClassVar[str] = TOPIC

    handler: str
    queue: str
    reason: str


class ContactAbandoned(Fact, frozen=True, kw_only=True):
    """The contact ended while it waited. Kept as a person's task; nothing rings back by itself."""

    TYPE: ClassVar[str] = "uk.hueandcry.routing.abandoned.v1"
    TOPIC: ClassVar[str] = TOPIC

    queue: str
    invite_timestamp: datetime
    cancel_timestamp: datetime


class ContactClosed(Fact, frozen=True, kw_only=True):
    """An answered contact ended: its handler is free of it, its disposition is still owed."""

    TYPE: ClassVar[str] = "uk.hueandcry.routing.closed.v1"
    TOPIC: ClassVar[str] = TOPIC

    handler: str | None = None
    ended_at: datetime


class OwnerConfirmed(Fact, frozen=True, kw_only=True):
    """A handler said who owns the contact: the end of every provisional decision."""

    TYPE: ClassVar[str] = "uk.hueandcry.routing.owner-confirmed.v1"
    TOPIC: ClassVar[str] = TOPIC

    owning_force: str
    handler: str


FACTS: tuple[type[Fact], ...] = (
    ContactRouted,
    ContactAnswered,
    ContactReleased,
    ContactAbandoned,
    ContactClosed,
    OwnerConfirmed,
)
