"""What recording is asked and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self, TypeAlias
from uuid import UUID

from pydantic import Field, model_validator

from libs.events.types.contacts import Channel, Line
from libs.events.types.recording import Disposition
from libs.service.bodies import PERSONAL, Answer, Body, Slug, Words
from libs.service.shapes import CircleBody, CivicBody, PointBody, PolygonBody, PostcodeBody
from services.recording.owner import OwnedBecause

MAX_PAGE = 200

Category: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Place: TypeAlias = Annotated[
    PointBody | CircleBody | PolygonBody | PostcodeBody | CivicBody, Field(discriminator="kind")
]
"""Where it happened: what a person can point at or say. (A phone's own positions are the contact's locations.)"""


class NewIncident(Body):
    summary: Words
    category: Category | None = None
    location: Place | None = None


class DispositionBody(Body):
    """What the contact came to."""

    disposition: Disposition
    note: Words | None = None
    incident: NewIncident | None = None
    """With `incident-opened`: what happened, and where."""
    incident_id: UUID | None = None
    """With `joined-incident`: which."""
    transferred_to: Slug | None = None
    """With `transferred`: the force, or other service, that has it now."""
    force: Slug | None = None
    """With `incident-opened`: whose the incident is, where no location says."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        opens = self.disposition == "incident-opened"
        if not opens and (self.incident is not None or self.force is not None):
            raise ValueError("`incident` and `force` belong to the disposition incident-opened alone")
        if (self.disposition == "joined-incident") != (self.incident_id is not None):
            raise ValueError("`incidentId` belongs to the disposition joined-incident, and it needs one")
        return self


CrimeReference: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+( [!-~]+)*$", examples=["40/12345/26"])
]


class CrimeBody(Body):
    reference: CrimeReference
    """The crime's, as the force's records system gave it."""


class CrimesAnswer(Answer):
    incident: UUID
    crimes: list[str]
    """The references of those that stand."""
    version: int


class IncidentAnswer(Answer):
    id: UUID
    reference: str
    """To be read out; unique among all forces."""
    owning_force: str | None
    """Where it happened."""
    owned_because: OwnedBecause
    provisional: bool


class DispositionAnswer(Answer):
    contact: UUID
    disposition: Disposition
    by: str
    disposed_at: datetime
    incident: IncidentAnswer | None
    transferred_to: str | None


class ListedIncident(IncidentAnswer):
    category: str | None
    contacts: int
    """How many contacts reported it."""
    reported_at: datetime
    """When the first was received: the clocks of the law start here."""
    opened_at: datetime


class IncidentPage(Answer):
    incidents: list[ListedIncident]
    next: str | None
    """The cursor of the next page; null: this is the last."""


class IncidentView(IncidentAnswer):
    category: str | None
    reported_at: datetime
    opened_at: datetime
    opened_by: str
    contacts: list[str]
    """The first to report it, then those that joined."""
    summary: Annotated[str | None, PERSONAL]
    place: Annotated[str | None, PERSONAL]
    crimes: list[str]
    """The references, in the records system of the force, of the crimes that it became."""
    version: int


class OwingContact(Answer):
    id: UUID
    reference: str | None
    channel: Channel | None
    line: Line | None
    owning_force: str | None
    presented_force: str | None
    provisional: bool
    queue: str | None
    handler: str | None
    """Who has it, or had it last."""
    received_at: datetime
    ended_at: datetime | None


class OwingCount(Answer):
    force: str | None
    open: int
    ended: int


class OwingPage(Answer):
    """Contacts without a disposition: those that ended first, then oldest first."""

    counts: list[OwingCount]
    """Of all of them, by owning force."""
    contacts: list[OwingContact]
    next: str | None


class AuditEntryView(Answer):
    id: UUID
    type: str
    source: str
    subject: str
    version: int
    time: datetime
    force: str | None
    causation_id: UUID | None
    data: dict[str, Any] | None
    """Without what identifies a person; null: it could not be read."""


class AuditView(Answer):
    contact: UUID
    complete: bool
    """False: there are more events than one answer shows."""
    events: list[AuditEntryView]
    """Each after its cause, within a stream by version, else by time."""
