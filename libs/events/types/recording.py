"""Facts that the law asks to be kept. Stream and Kafka key: the incident's id, or the contact's for its disposition."""

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from libs.events.types.base import Fact, Part

TOPIC = "hueandcry.recording"

Disposition: TypeAlias = Literal[
    "incident-opened", "joined-incident", "advice", "enquiry", "no-police-matter", "transferred"
]


class DispositionPersonal(Part, frozen=True, kw_only=True):
    note: str | None = None


class ContactDisposed(Fact, frozen=True, kw_only=True):
    """What a contact came to. Its stream is the contact's id, in recording's own source."""

    TYPE: ClassVar[str] = "uk.hueandcry.recording.contact-disposed.v1"
    TOPIC: ClassVar[str] = TOPIC

    disposition: Disposition
    by: str
    """The token subject that said so, or `recording` for a report made whole."""
    force: str | None = None
    """The contact's owning force at that time."""
    incident: str | None = None
    transferred_to: str | None = None
    personal: DispositionPersonal | None = None


class IncidentPersonal(Part, frozen=True, kw_only=True):
    summary: str | None = None
    place: str | None = None
    """Where it happened, in words or as a shape's JSON."""


class IncidentOpened(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.recording.incident-opened.v1"
    TOPIC: ClassVar[str] = TOPIC

    reference: str
    owning_force: str | None
    """Where it happened decides, and that alone; None: the alliance's until someone says."""
    provisional: bool = False
    owned_because: Literal["incident-location", "handler", "contact-owner"]
    contact: str
    """The contact that reported it first."""
    opened_by: str
    reported_at: datetime
    """When the contact was received: the clocks of the law start here."""
    category: str | None = None
    personal: IncidentPersonal | None = None


class ContactJoined(Fact, frozen=True, kw_only=True):
    """A further contact reports the same incident."""

    TYPE: ClassVar[str] = "uk.hueandcry.recording.contact-joined.v1"
    TOPIC: ClassVar[str] = TOPIC

    contact: str
    by: str


class IncidentCrimed(Fact, frozen=True, kw_only=True):
    """The incident became a crime, which the force's records system keeps. While it stands, nothing of the contacts
    that led to it is erased."""

    TYPE: ClassVar[str] = "uk.hueandcry.recording.incident-crimed.v1"
    TOPIC: ClassVar[str] = TOPIC

    crime: str
    """The crime's reference in the records system of the force."""
    by: str


class CrimeCancelled(Fact, frozen=True, kw_only=True):
    """The registrar's last word: no crime."""

    TYPE: ClassVar[str] = "uk.hueandcry.recording.crime-cancelled.v1"
    TOPIC: ClassVar[str] = TOPIC

    crime: str
    by: str


FACTS: tuple[type[Fact], ...] = (ContactDisposed, IncidentOpened, ContactJoined, IncidentCrimed, CrimeCancelled)
