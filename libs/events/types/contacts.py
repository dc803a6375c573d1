"""Facts about a contact, as intake learned them. Stream and Kafka key: the contact's id."""

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from libs.events.types.base import Fact, Part
from libs.events.types.shapes import Shape

TOPIC = "hueandcry.contacts"

Channel: TypeAlias = Literal["telephone", "web", "online"]
Medium: TypeAlias = Literal["voice", "form", "chat", "app", "social", "email", "text-relay", "sms"]
Line: TypeAlias = Literal["999", "101"]
LocationOf: TypeAlias = Literal["caller", "incident", "other"]
LocationSource: TypeAlias = Literal["aml", "eisec", "network-cell", "caller", "handler", "device"]
HoldReason: TypeAlias = Literal[
    "criminal-proceedings", "civil-proceedings", "complaint", "inquiry", "inspection", "data-request"
]
DutyReason: TypeAlias = Literal[
    "police-information",  # APP Management of Police Information
    "criminal-procedure",  # Criminal Procedure and Investigations Act 1996, code of practice
    "court-order",
    "policy",  # the force's own retention schedule
]
ErasureReason: TypeAlias = Literal["request", "retention-ended", "court-order", "unlawful", "error"]
"""The person asks, the time is over, a court says so, it was never lawful, or a mistake."""
RectifiedMember: TypeAlias = Literal[
    "calling-number",
    "contact-number",
    "name",
    "email",
    "handle",
    "safe-contact",
    "words",
    "message",
    "location",
]


class Location(Part, frozen=True, kw_only=True):
    """What may be kept for ever about a location; the place itself is in the fact's `personal`."""

    id: str
    of: LocationOf
    source: LocationSource
    certainty_percent: float | None = None
    """How sure the source is that the shape holds the place, 0–100."""
    taken_at: datetime | None = None


class ReceivedPersonal(Part, frozen=True, kw_only=True):
    calling_number: str | None = None
    """E.164."""
    name: str | None = None
    email: str | None = None
    contact_number: str | None = None
    """E.164: where to reach the person, if not on the calling number."""
    handle: str | None = None
    """The name on an online medium."""
    safe_contact: str | None = None
    """How and when it is safe to make contact."""
    words: str | None = None
    """What was reported, as it was written."""
    shapes: dict[str, Shape] = {}
    """The place of each location, by the location's id."""


class ContactReceived(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.contact.received.v1"
    TOPIC: ClassVar[str] = TOPIC

    reference: str
    """Short, unique, to be read out on the phone."""
    channel: Channel
    medium: Medium
    line: Line | None = None
    presented_force: str | None = None
    """The force whose trunk or number the network chose, as its id (`bedfordshire`)."""
    trunk: str | None = None
    dialled_number: str | None = None
    caller_choice: str | None = None
    """What the caller chose in the 101 network's menu, as its force id."""
    presented_at: datetime | None = None
    """When the network presented the call; the published clock starts here."""
    call_id: str | None = None
    gateway: str
    """The token subject that brought it."""
    emergency: bool = False
    """The person, or the channel, says that it cannot wait."""
    silent: bool = False
    """A silent mobile call that took BT's Silent Solution."""
    category: str | None = None
    """What a web report is about, from the form's own list."""
    language: str | None = None
    """BCP 47."""
    locations: tuple[Location, ...] = ()
    personal: ReceivedPersonal | None = None


class LocatedPersonal(Part, frozen=True, kw_only=True):
    shape: Shape


class ContactLocated(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.contact.located.v1"
    TOPIC: ClassVar[str] = TOPIC

    location: Location
    personal: LocatedPersonal | None = None


class MessagePersonal(Part, frozen=True, kw_only=True):
    text: str


class ContactMessageAdded(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.contact.message-added.v1"
    TOPIC: ClassVar[str] = TOPIC

    message_id: str
    sender: Literal["caller", "handler", "system"]
    emergency: bool = False
    """This message turns the contact into an emergency."""
    personal: MessagePersonal | None = None


class LegPersonal(Part, frozen=True, kw_only=True):
    calling_number: str | None = None
    """E.164."""


class ContactLegAdded(Fact, frozen=True, kw_only=True):
    """The network presented the same call once more (an alternative route, a buddy): one contact, one more leg.

    The first leg is the contact's own beginning, and has the contact's id.
    """

    TYPE: ClassVar[str] = "uk.hueandcry.contact.leg-added.v1"
    TOPIC: ClassVar[str] = TOPIC

    leg_id: str
    call_id: str
    """The gateway's or the network's name for it: no gateway has two legs of one contact under one."""
    gateway: str
    """The token subject that brought it."""
    trunk: str | None = None
    dialled_number: str | None = None
    presented_force: str | None = None
    """Whose trunk this leg came by. The contact's own presented force stays the first one's."""
    presented_at: datetime | None = None
    personal: LegPersonal | None = None


class ContactLegEnded(Fact, frozen=True, kw_only=True):
    """One leg ended, and the contact goes on by another. The last one's end is the contact's: `ContactEnded`."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.leg-ended.v1"
    TOPIC: ClassVar[str] = TOPIC

    leg_id: str
    reason: Literal["caller-ended", "completed", "network-failure", "timed-out"]
    ended_at: datetime


class ContactEnded(Fact, frozen=True, kw_only=True):
    """It ended on its channel, and with it every leg that still went on."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.ended.v1"
    TOPIC: ClassVar[str] = TOPIC

    reason: Literal["caller-ended", "completed", "network-failure", "timed-out"]
    ended_at: datetime
    """When it ended on the network; the event's time is when we heard of it."""


class ProtectionFact(Fact, frozen=True, kw_only=True):
    """Somebody answers for it. No member of it is free text: what is said here outlives the contact's key."""

    by: str
    """The token subject that said so: staff, not the public."""
    authority: str
    """What gives the right: a case, a court's or a request's reference."""


class LegalHoldPlaced(ProtectionFact, frozen=True, kw_only=True):
    """Nothing of the contact may be erased until the hold is lifted."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.legal-hold-placed.v1"
    TOPIC: ClassVar[str] = TOPIC

    hold: str
    reason: HoldReason


class LegalHoldLifted(ProtectionFact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.contact.legal-hold-lifted.v1"
    TOPIC: ClassVar[str] = TOPIC

    hold: str


class RetentionDutyPlaced(ProtectionFact, frozen=True, kw_only=True):
    """Nothing of the contact may be erased before a day."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.retention-duty-placed.v1"
    TOPIC: ClassVar[str] = TOPIC

    duty: str
    reason: DutyReason
    until: datetime
    """From this moment on the duty is over."""


class RetentionDutyLifted(ProtectionFact, frozen=True, kw_only=True):
    """The duty was over before its time."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.retention-duty-lifted.v1"
    TOPIC: ClassVar[str] = TOPIC

    duty: str


class ContactErased(ProtectionFact, frozen=True, kw_only=True):
    """What identified a person can be read no more, by nobody: the contact's key is destroyed."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.erased.v1"
    TOPIC: ClassVar[str] = TOPIC

    reason: ErasureReason


class RectifiedPersonal(Part, frozen=True, kw_only=True):
    text: str | None = None
    """The right value of a text; None: there is none, what was kept was nobody's."""
    shape: Shape | None = None
    """The right place, where a location is corrected."""


class ContactRectified(ProtectionFact, frozen=True, kw_only=True):
    """What was kept was wrong, and this is right (UK GDPR article 16, Data Protection Act 2018 section 46). What was
    said first stays in its own fact, for auditors."""

    TYPE: ClassVar[str] = "uk.hueandcry.contact.rectified.v1"
    TOPIC: ClassVar[str] = TOPIC

    rectification: str
    member: RectifiedMember
    message: str | None = None
    """Of which message the text is corrected."""
    location: Location | None = None
    """Of which location the place is corrected: what may be kept of it, as it was first said."""
    reason: Literal["request", "found-wrong", "court-order"]
    personal: RectifiedPersonal | None = None


FACTS: tuple[type[Fact], ...] = (
    ContactReceived,
    ContactLocated,
    ContactMessageAdded,
    ContactLegAdded,
    ContactLegEnded,
    ContactEnded,
    LegalHoldPlaced,
    LegalHoldLifted,
    RetentionDutyPlaced,
    RetentionDutyLifted,
    ContactErased,
    ContactRectified,
)
