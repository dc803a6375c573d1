"""How forces are open, greet, number their crimes and share their costs, as documents."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from libs.events.types.contacts import Line
from libs.events.types.directory import OverlayKind
from libs.events.types.manner import GreetingWhen
from libs.service.bodies import Answer


class PeriodAnswer(Answer):
    opens: str
    closes: str
    """`24:00` is the day's end."""


class DayHoursAnswer(Answer):
    day: int = Field(ge=1, le=7)
    """1 is Monday (ISO 8601)."""
    periods: list[PeriodAnswer]


class DateHoursAnswer(Answer):
    date: date
    periods: list[PeriodAnswer]
    """Empty: closed."""
    why: str | None


class HoursAnswer(Answer):
    id: str
    of: Literal["force", "queue", "line"]
    subject: str
    """The id of that force, queue or line."""
    force: str | None
    """Null: the alliance's own."""
    week: list[DayHoursAnswer]
    """In Europe/London; a day that is not there is closed."""
    holidays: str | None
    """The calendar that it keeps, by id."""
    on_holidays: list[PeriodAnswer]
    dates: list[DateHoursAnswer]
    """A date's own hours rule over holiday and weekday."""
    open: bool
    """At the moment that was asked about."""
    changes_at: datetime | None
    """Null: not within two months."""
    holiday: str | None
    """Which one it is on that day."""


class HolidayAnswer(Answer):
    date: date
    name: str


class HolidaysAnswer(Answer):
    id: str
    name: str
    force: str | None
    """Whose own they are; null: everybody's."""
    includes: str | None
    days: list[HolidayAnswer]
    """With those that it includes."""
    until: date | None
    """After this day nobody knows yet."""
    source: str | None


class GreetingAnswer(Answer):
    id: str
    force: str
    line: Line | None
    """Null: any."""
    language: str
    when: GreetingWhen
    text: str


class CrimeReferenceAnswer(Answer):
    force: str
    pattern: str
    yearly: bool
    """The sequence begins again with each year."""
    source: str | None
    """Where the form is published; null: it is this alliance's choice."""
    example: str
    """The first of the year that was asked about, as it would be written."""


class OverlayAnswer(Answer):
    id: str
    name: str
    kind: OverlayKind
    generation: str
    source: str
    within_m: float
    forces: list[str]
    """Whom it suggests."""
    features: int
    """How many places."""


class SharedServiceAnswer(Answer):
    id: str
    name: str
    shared_by: Literal["fixed", "budget", "demand"]
    basis: str
    figures: dict[str, float]
    """By force, in the basis' unit."""
    shares: dict[str, float]
    """Of the cost, by force. They sum to 1."""
    data_controllers: list[str]
    """Jointly (UK GDPR, article 26)."""
    host: str
    """The force that runs it."""


class AgreementAnswer(Answer):
    id: str
    """The version's own."""
    title: str
    under: str
    signed_on: date
    first_day: date
    last_day: date | None
    begins: datetime
    """It is in force from this moment on,"""
    ends: datetime | None
    """and before this one; null: it has no end yet."""
    parties: list[str]
    host: str
    services: list[SharedServiceAnswer]
    document: str | None


class ForceVersionAnswer(Answer):
    version: int
    since: datetime
    withdrawn: bool
    """From here on the force was not known any more."""
