"""What an alliance file says of hours, holidays, greetings and crime references, and the facts it means. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from libs.alliance.crime_reference import Pattern
from libs.alliance.hours import check
from libs.events.types.contacts import Line
from libs.events.types.manner import (
    CrimeReferenceDefined,
    DateHours,
    DayHours,
    GreetingDefined,
    GreetingWhen,
    Holiday,
    HolidaysDefined,
    HoursDefined,
    Period,
)
from services.directory.forms import Entry, Id, Name, like

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Annotated[date, Field(ge=date(1964, 1, 1), le=date(2199, 12, 31))]
_SPAN = r"[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}"


def _periods(value: tuple[str, ...]) -> tuple[str, ...]:
    check(periods(value))
    return value


def periods(spans: tuple[str, ...]) -> tuple[Period, ...]:
    return tuple(Period(opens=span[:5], closes=span[6:]) for span in spans)


Spans = Annotated[
    tuple[Annotated[str, like(_SPAN, "hours (as 08:00-22:00)")], ...], Field(max_length=12), AfterValidator(_periods)
]
"""Of one day."""


def _week(value: tuple[str, ...]) -> tuple[str, ...]:
    for day in week(value):
        check(day.periods)
    return value


def week(lines: tuple[str, ...]) -> tuple[DayHours, ...]:
    """`mon-fri 08:00-12:00` and the like, by day."""
    found: dict[int, list[Period]] = {}
    for line in lines:
        named, span = line.split(" ")
        first, _, last = named.partition("-")
        for day in range(DAYS.index(first) + 1, DAYS.index(last or first) + 2):
            found.setdefault(day, []).extend(periods((span,)))
    return tuple(
        DayHours(day=day, periods=tuple(sorted(of, key=lambda period: period.opens)))
        for day, of in sorted(found.items())
    )


_DAY = f"({'|'.join(DAYS)})"
Week = Annotated[
    tuple[Annotated[str, like(rf"{_DAY}(-{_DAY})? {_SPAN}", "days and hours (as mon-fri 08:00-22:00)")], ...],
    Field(max_length=50),
    AfterValidator(_week),
]


class OnADate(Entry):
    date: Day
    hours: Spans = ()
    why: Name | None = None


class Hours(Entry):
    id: Id
    force: Id | None = None
    queue: Id | None = None
    line: Id | None = None
    """One of these three: whose hours they are."""
    week: Week
    holidays: Id | None = None
    on_holidays: Spans = ()
    dates: tuple[OnADate, ...] = Field(default=(), max_length=400)

    def fact(self, owner: str | None) -> HoursDefined:
        """`owner` is the force that the queue or line belongs to."""
        of, subject = next((of, name) for of in ("force", "queue", "line") if (name := getattr(self, of)) is not None)
        return HoursDefined(
            id=self.id,
            of=of,  # type: ignore[arg-type]
            subject=subject,
            force=owner,
            week=week(self.week),
            holidays=self.holidays,
            on_holidays=periods(self.on_holidays),
            dates=tuple(DateHours(date=one.date, periods=periods(one.hours), why=one.why) for one in self.dates),
        )


class OneHoliday(Entry):
    date: Day
    name: Name


class Holidays(Entry):
    """A force's own calendar, or one of the alliance's."""

    id: Id
    name: Name
    force: Id | None = None
    includes: Id | None = None
    until: Day | None = None
    days: tuple[OneHoliday, ...] = Field(default=(), max_length=1_000)
    source: Name | None = None

    def fact(self) -> HolidaysDefined:
        days = tuple(Holiday(date=one.date, name=one.name) for one in self.days)
        return HolidaysDefined(**self.model_dump(exclude={"days"}), days=days)


class Greeting(Entry):
    id: Id
    force: Id
    line: Line | None = None
    language: Annotated[str, like(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", "a language tag (as en or cy)")] = "en"
    when: GreetingWhen = "always"
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]

    def fact(self) -> GreetingDefined:
        return GreetingDefined(**self.model_dump())


class CrimeReferences(Entry):
    force: Id
    pattern: str
    yearly: bool = True
    source: Name | None = None

    def fact(self) -> CrimeReferenceDefined:
        return CrimeReferenceDefined(**self.model_dump())


def default_pattern(force: str, pnc_code: str | None) -> CrimeReferenceDefined:
    """For a force of which the file says nothing."""
    return CrimeReferenceDefined(force=force, pattern=f"{pnc_code or force.upper()[:20]}/{{sequence:6}}/{{yy}}")


Fault = tuple[tuple[str | int, ...], str]
"""Where, and what."""


def inconsistencies(
    hours: tuple[Hours, ...],
    holidays: tuple[Holidays, ...],
    greetings: tuple[Greeting, ...],
    references: tuple[CrimeReferences, ...],
    *,
    known: Mapping[str, Collection[str]],
    shipped: Collection[str],
) -> Iterator[Fault]:
    """What each entry alone cannot show. `known` are the file's ids of `force`, `queue` and `line`, `shipped` those of
    the calendars that come with the product."""
    calendars = {calendar.id: calendar for calendar in holidays}
    for number, calendar in enumerate(holidays):
        if calendar.id in shipped:
            yield ("holidays", number, "id"), f"{calendar.id} comes with the product: include it in one of your own"
        if calendar.force is not None and calendar.force not in known["force"]:
            yield ("holidays", number, "force"), f"{calendar.force} is none of this file's forces"
        if calendar.includes is not None and calendar.includes not in {*calendars, *shipped}:
            yield ("holidays", number, "includes"), f"there is no calendar {calendar.includes}"
        if _circles(calendar, calendars):
            yield ("holidays", number, "includes"), f"{calendar.id} would include itself"
    for number, one in enumerate(hours):
        named = [of for of in ("force", "queue", "line") if getattr(one, of) is not None]
        if len(named) != 1:
            yield ("hours", number, "id"), "hours are of one force, one queue or one line"
        for of in named:
            if getattr(one, of) not in known[of]:
                yield ("hours", number, of), f"{getattr(one, of)} is none of this file's {of}s"
        if one.holidays is not None and one.holidays not in {*calendars, *shipped}:
            yield ("hours", number, "holidays"), f"there is no calendar {one.holidays}"
    for number, greeting in enumerate(greetings):
        if greeting.force not in known["force"]:
            yield ("greetings", number, "force"), f"{greeting.force} is none of this file's forces"
    for number, reference in enumerate(references):
        if reference.force not in known["force"]:
            yield ("crime_references", number, "force"), f"{reference.force} is none of this file's forces"
        try:
            Pattern(reference.pattern, yearly=reference.yearly)
        except ValueError as error:
            yield ("crime_references", number, "pattern"), str(error)


def _circles(calendar: Holidays, calendars: Mapping[str, Holidays]) -> bool:
    seen, one = {calendar.id}, calendars.get(calendar.includes or "")
    while one is not None:
        if one.id in seen:
            return True
        seen.add(one.id)
        one = calendars.get(one.includes or "")
    return False
