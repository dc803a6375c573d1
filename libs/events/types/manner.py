"""Facts about how a force is open, greets, and numbers its crimes: each is the force's own to say. They belong to the
directory (directory.py), whose topic and rules are theirs.

Days and times of day are London's (Europe/London), whatever the season.
"""

from datetime import date
from typing import ClassVar, Literal, TypeAlias

from libs.events.types.base import Fact, Part
from libs.events.types.contacts import Line

TOPIC = "hueandcry.directory"


class Period(Part, frozen=True, kw_only=True):
    """Part of a day: `opens` is in it, `closes` is not. `00:00` to `24:00` is a whole day; none passes midnight."""

    opens: str
    """`08:00`"""
    closes: str
    """`22:30`; `24:00` is the day's end."""


class DayHours(Part, frozen=True, kw_only=True):
    day: int
    """1 is Monday, 7 is Sunday (ISO 8601)."""
    periods: tuple[Period, ...]
    """In order, none overlapping another."""


class DateHours(Part, frozen=True, kw_only=True):
    date: date
    periods: tuple[Period, ...] = ()
    """Empty: closed."""
    why: str | None = None


class HoursDefined(Fact, frozen=True, kw_only=True):
    """When a force, one of its queues or one of its lines is open. A date's own hours rule, else on a holiday the
    holiday's, else the weekday's. Stream and key: `hours/<id>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.hours-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    of: Literal["force", "queue", "line"]
    subject: str
    """The id of that force, queue or line."""
    force: str | None = None
    """Whose they are. None: the alliance's own."""
    week: tuple[DayHours, ...] = ()
    """A day that is not there is closed."""
    holidays: str | None = None
    """The calendar of its holidays, by id. None: it keeps none."""
    on_holidays: tuple[Period, ...] = ()
    """Empty: closed."""
    dates: tuple[DateHours, ...] = ()


class Holiday(Part, frozen=True, kw_only=True):
    date: date
    name: str


class HolidaysDefined(Fact, frozen=True, kw_only=True):
    """A calendar of holidays. Stream and key: `holidays/<id>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.holidays-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    name: str
    force: str | None = None
    """Whose own they are. None: everybody's."""
    includes: str | None = None
    """Another calendar whose holidays are these too."""
    days: tuple[Holiday, ...] = ()
    until: date | None = None
    """The last day that the calendar speaks of: after it nobody knows yet. None: as far as what it includes."""
    source: str | None = None


GreetingWhen: TypeAlias = Literal["always", "open", "closed"]


class GreetingDefined(Fact, frozen=True, kw_only=True):
    """What a telephony gateway plays, or a channel shows, before anybody answers. Stream and key: `greeting/<id>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.greeting-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    force: str
    line: Line | None = None
    """None: any, and what comes on none."""
    language: str = "en"
    """A language tag (RFC 5646): `en`, `cy`."""
    when: GreetingWhen = "always"
    """Within the hours, outside of them, or whenever."""
    text: str


class CrimeReferenceDefined(Fact, frozen=True, kw_only=True):
    """How a force writes its crime references (libs/alliance/crime_reference.py). Stream and key:
    `crime-reference/<force>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.crime-reference-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    force: str
    pattern: str
    """Text with `{year}` or `{yy}` and `{sequence}` or `{sequence:6}`: `40/{sequence:6}/{yy}`."""
    yearly: bool = True
    """The sequence begins again with each year (London's)."""
    source: str | None = None
    """Where the form is published; None: nowhere, and it is this alliance's choice."""


FACTS: tuple[type[Fact], ...] = (HoursDefined, HolidaysDefined, GreetingDefined, CrimeReferenceDefined)
