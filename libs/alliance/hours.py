"""Whether somebody is open at a moment, and until when. Pure.

Invariant: hours are London's wall clock. On the nights when it changes, a period is as long as the clock makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple

from libs.events.types.manner import HolidaysDefined, HoursDefined, Period
from libs.london import LONDON

LOOK_AHEAD_DAYS = 62
"""Further than this nobody asks when it opens next."""
ONE_DAY = timedelta(days=1)


class Opening(NamedTuple):
    is_open: bool
    changes_at: datetime | None
    """UTC. None: not within `LOOK_AHEAD_DAYS`."""
    holiday: str | None
    """Which one it is that day, by the calendar that is kept."""


def clock(text: str) -> timedelta:
    """`08:30` as the time since midnight; `24:00` is a whole day. Raises ValueError."""
    hours, minutes = text[:2], text[3:]
    if len(text) != 5 or text[2] != ":" or not (hours + minutes).isdecimal() or not text.isascii():
        raise ValueError("a time of day is written 08:30")
    since = timedelta(hours=int(hours), minutes=int(minutes))
    if int(minutes) > 59 or since > ONE_DAY:
        raise ValueError("a day has the times from 00:00 to 24:00")
    return since


def check(periods: tuple[Period, ...]) -> None:
    """Raises ValueError where the periods are not in order, or overlap, or one is empty or passes midnight."""
    for period in periods:
        if clock(period.opens) >= clock(period.closes):
            raise ValueError(
                f"{period.opens}-{period.closes} ends before it begins: give each day its own part of a night"
            )
    for one, following in pairwise(periods):
        if clock(following.opens) < clock(one.closes):
            raise ValueError(f"{following.opens}-{following.closes} begins before {one.opens}-{one.closes} ends")


def days_of(calendars: Mapping[str, HolidaysDefined], calendar: str | None) -> dict[date, str]:
    """The holidays of a calendar with those that it includes; its own name for a day rules. None known: none."""
    days: dict[date, str] = {}
    seen: set[str] = set()
    while calendar is not None and calendar not in seen and (known := calendars.get(calendar)) is not None:
        seen.add(calendar)
        days = {holiday.date: holiday.name for holiday in known.days} | days
        calendar = known.includes
    return days


def known_until(calendars: Mapping[str, HolidaysDefined], calendar: str | None) -> date | None:
    """The last day that the calendar, with what it includes, speaks of."""
    seen: set[str] = set()
    while calendar is not None and calendar not in seen and (known := calendars.get(calendar)) is not None:
        if known.until is not None:
            return known.until
        seen.add(calendar)
        calendar = known.includes
    return None


def periods_of(hours: HoursDefined, holidays: Mapping[date, str], day: date) -> tuple[Period, ...]:
    """When it is open that day: the date's own hours, else the holiday's, else the weekday's."""
    for one in hours.dates:
        if one.date == day:
            return one.periods
    if day in holidays:
        return hours.on_holidays
    return next((one.periods for one in hours.week if one.day == day.isoweekday()), ())


def opening(hours: HoursDefined, holidays: Mapping[date, str], moment: datetime) -> Opening:
    """Whether it is open at the moment, and when that changes. `holidays` are those of its calendar (`days_of`)."""
    today = moment.astimezone(LONDON).date()
    is_open, changes_at = False, None
    for begins, ends in _merged(_intervals(hours, holidays, today)):
        if ends <= moment:
            continue
        is_open = begins <= moment
        changes_at = ends if is_open else begins
        break
    if changes_at is not None and changes_at > moment + timedelta(days=LOOK_AHEAD_DAYS):
        changes_at = None
    return Opening(is_open, changes_at, holidays.get(today))


def _intervals(hours: HoursDefined, holidays: Mapping[date, str], today: date) -> Iterator[tuple[datetime, datetime]]:
    """In UTC, in order, from yesterday on."""
    for number in range(-1, LOOK_AHEAD_DAYS + 2):
        try:
            day = today + number * ONE_DAY
            for period in periods_of(hours, holidays, day):
                begins, ends = _at(day, clock(period.opens)), _at(day, clock(period.closes))
                if begins < ends:  # one within the hour that a night in March leaves out never comes
                    yield begins, ends
        except OverflowError:  # the calendar ends here
            continue


def _at(day: date, since: timedelta) -> datetime:
    """That time of the clock on that day, in UTC; of an hour that comes twice, the first."""
    if since == ONE_DAY:
        day, since = day + ONE_DAY, timedelta()
    hours, minutes = divmod(int(since.total_seconds()) // 60, 60)
    return datetime.combine(day, time(hours, minutes), LONDON).astimezone(UTC)


def _merged(intervals: Iterator[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """What follows without a break is one."""
    current: tuple[datetime, datetime] | None = None
    for begins, ends in intervals:
        if current is not None and begins <= current[1]:
            current = (current[0], max(current[1], ends))
            continue
        if current is not None:
            yield current
        current = (begins, ends)
    if current is not None:
        yield current
