"""When somebody is open: libs/alliance/hours.py."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.alliance.hours import check, clock, days_of, known_until, opening, periods_of
from libs.events.types.manner import DateHours, DayHours, Holiday, HolidaysDefined, HoursDefined, Period
from libs.london import LONDON

WORK = (Period(opens="08:00", closes="12:00"), Period(opens="13:00", closes="17:00"))
ALL_DAY = (Period(opens="00:00", closes="24:00"),)


def hours(*days: DayHours, **rest: object) -> HoursDefined:
    return HoursDefined(id="h", of="force", subject="north", force="north", week=days, **rest)  # type: ignore[arg-type]


def london(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


WEEKDAYS = tuple(DayHours(day=day, periods=WORK) for day in range(1, 6))
ALWAYS = tuple(DayHours(day=day, periods=ALL_DAY) for day in range(1, 8))
CHRISTMAS = {date(2026, 12, 25): "Christmas Day"}


@pytest.mark.parametrize(
    ("at", "is_open", "until"),
    [
        ("2026-03-02T07:59", False, "2026-03-02T08:00"),
        ("2026-03-02T08:00", True, "2026-03-02T12:00"),
        ("2026-03-02T12:00", False, "2026-03-02T13:00"),
        ("2026-03-06T17:00", False, "2026-03-09T08:00"),
        ("2026-07-01T16:59", True, "2026-07-01T17:00"),
        ("2026-03-28T12:00", False, "2026-03-30T08:00"),
    ],
)
def test_it_is_open_in_its_hours_by_the_clock_on_the_wall(at: str, is_open: bool, until: str) -> None:
    found = opening(hours(*WEEKDAYS), {}, london(at))
    assert (found.is_open, found.changes_at) == (is_open, london(until))


def test_who_is_always_open_never_changes() -> None:
    assert opening(hours(*ALWAYS), {}, london("2026-10-25T01:30")) == (True, None, None)


def test_who_has_no_hours_is_closed() -> None:
    assert opening(hours(), {}, london("2026-10-25T01:30")) == (False, None, None)


def test_a_holiday_has_its_own_hours_and_a_date_has_before_it() -> None:
    kept = hours(*WEEKDAYS, holidays="c", on_holidays=(Period(opens="10:00", closes="11:00"),))
    assert opening(kept, CHRISTMAS, london("2026-12-25T09:00")) == (False, london("2026-12-25T10:00"), "Christmas Day")
    closed = hours(*WEEKDAYS, holidays="c", dates=(DateHours(date=date(2026, 12, 25), periods=WORK),))
    assert opening(closed, CHRISTMAS, london("2026-12-25T09:00")).is_open


def test_the_night_in_march_is_an_hour_shorter_and_the_one_in_october_longer() -> None:
    nights = hours(*(DayHours(day=day, periods=(Period(opens="00:00", closes="06:00"),)) for day in range(1, 8)))
    for day, length in (("2026-03-29", 5), ("2026-10-25", 7), ("2026-06-01", 6)):
        found = opening(nights, {}, london(f"{day}T00:00"))
        assert found.changes_at is not None
        assert found.changes_at - london(f"{day}T00:00").astimezone(UTC) == timedelta(hours=length)


@given(
    st.lists(st.lists(st.integers(0, 48), min_size=2, max_size=6, unique=True).map(sorted), min_size=7, max_size=7),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
)
def test_it_is_as_it_says_until_it_says_it_changes(week: list[list[int]], moment: datetime) -> None:
    def half(number: int) -> str:
        return f"{number // 2:02}:{number % 2 * 30:02}"

    days = [
        DayHours(
            day=day,
            periods=tuple(Period(opens=half(a), closes=half(b)) for a, b in zip(of[::2], of[1::2], strict=False)),
        )
        for day, of in enumerate(week, 1)
    ]
    kept = hours(*days)
    found = opening(kept, CHRISTMAS, moment)
    until = found.changes_at or moment + timedelta(days=7)
    step = (until - moment) / 7
    for number in range(7):
        assert opening(kept, CHRISTMAS, moment + number * step).is_open == found.is_open
    if found.changes_at is not None:
        assert opening(kept, CHRISTMAS, found.changes_at).is_open != found.is_open
    local = moment.astimezone(LONDON)
    if local.utcoffset() == (local + timedelta(hours=3)).utcoffset() == (local - timedelta(hours=3)).utcoffset():
        said = [
            clock(period.opens) <= timedelta(hours=local.hour, minutes=local.minute) < clock(period.closes)
            for period in periods_of(kept, CHRISTMAS, local.date())
        ]
        assert found.is_open == any(said)


@pytest.mark.parametrize("text", ["8:00", "08.00", "24:01", "25:00", "08:60", "-1:00", "", "0８:00"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        clock(text)


@pytest.mark.parametrize(
    "periods", [[("22:00", "06:00")], [("08:00", "08:00")], [("08:00", "12:00"), ("11:00", "13:00")]]
)
def test_periods_that_pass_midnight_or_overlap_are_refused(periods: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="begin"):
        check(tuple(Period(opens=opens, closes=closes) for opens, closes in periods))


def test_a_force_s_calendar_has_the_nation_s_days_and_its_own() -> None:
    nation = HolidaysDefined(
        id="nation",
        name="All",
        days=(
            Holiday(date=date(2026, 12, 25), name="Christmas Day"),
            Holiday(date=date(2026, 12, 28), name="Boxing Day"),
        ),
        until=date(2028, 12, 31),
    )
    own = HolidaysDefined(
        id="own", name="Own", force="north", includes="nation", days=(Holiday(date=date(2026, 12, 28), name="Ours"),)
    )
    both = {"nation": nation, "own": own}
    assert days_of(both, "own") == {date(2026, 12, 25): "Christmas Day", date(2026, 12, 28): "Ours"}
    assert known_until(both, "own") == date(2028, 12, 31)
    assert days_of(both, None) == days_of(both, "unknown") == {}


def test_calendars_that_include_each_other_end() -> None:
    circle = {
        "a": HolidaysDefined(id="a", name="A", includes="b", days=(Holiday(date=date(2026, 1, 1), name="A"),)),
        "b": HolidaysDefined(id="b", name="B", includes="a", days=(Holiday(date=date(2026, 1, 2), name="B"),)),
    }
    assert len(days_of(circle, "a")) == 2
    assert known_until(circle, "a") is None
