"""What recording is asked and what it answers.

Invariant: a body that these models accept can be stored: every string and list has a greatest length, no number is
infinite, and unknown members are refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeAlias
from uuid import UUID

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from libs.events.types import shapes
from libs.events.types.contacts import Channel, Line
from libs.events.types.recording import Disposition
from libs.service.bodies import Answer
from services.recording.owner import OwnedBecause

MAX_PAGE = 200


class Body(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", allow_inf_nan=False, frozen=True, hide_input_in_errors=True
    )


def _one_line(text: str) -> str:
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("must be one line of text")
    return text


Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=20_000)]
OneLine: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Slug: TypeAlias = Annotated[
    str, Field(max_length=64, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", examples=["bedfordshire"])
]
Number: TypeAlias = Annotated[float, Field(strict=True)]
Lat: TypeAlias = Annotated[Number, Field(ge=-90, le=90)]
Lon: TypeAlias = Annotated[Number, Field(ge=-180, le=180)]
Length: TypeAlias = Annotated[Number, Field(ge=0.1, le=200_000)]
"""Metres."""
Degrees: TypeAlias = Annotated[Number, Field(ge=0, le=360)]


class _Place(Body):
    """A shape of `libs.events.types.shapes`, as a person or a desktop gives it."""

    def shape(self) -> shapes.Shape:
        shape: shapes.Shape = msgspec.convert(self.model_dump(by_alias=True, exclude_none=True), shapes.Shape)
        return shape


class PointPlace(_Place):
    kind: Literal["point"]
    lat: Lat
    lon: Lon


class CirclePlace(_Place):
    kind: Literal["circle"]
    lat: Lat
    lon: Lon
    radius_m: Length


class PolygonPlace(_Place):
    kind: Literal["polygon"]
    exterior: Annotated[tuple[tuple[Lat, Lon], ...], Field(min_length=3, max_length=1000)]
    """Corners as [lat, lon]."""

    @model_validator(mode="after")
    def _has_three_corners(self) -> Self:
        if len(set(self.exterior)) < 3:
            raise ValueError("a polygon has at least three different corners")
        return self


class PostcodePlace(_Place):
    kind: Literal["postcode"]
    postcode: Annotated[OneLine, Field(max_length=16, examples=["SG8 6NA"])]


class CivicPlace(_Place):
    kind: Literal["civic"]
    house: OneLine | None = None
    street: OneLine | None = None
    locality: OneLine | None = None
    town: OneLine | None = None
    county: OneLine | None = None
    postcode: Annotated[OneLine, Field(max_length=16)] | None = None


Place: TypeAlias = Annotated[
    PointPlace | CirclePlace | PolygonPlace | PostcodePlace | CivicPlace, Field(discriminator="kind")
]
"""Where it happened: what a person can point at or say. (A phone's own positions are the contact's locations.)"""


class NewIncident(Body):
    summary: Words
    category: OneLine | None = None
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
    summary: str | None
    place: str | None
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
