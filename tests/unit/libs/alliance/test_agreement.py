"""Which version of the agreement is in force: libs/alliance/agreement.py."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.alliance.agreement import Inconsistent, fault_of, in_force, shares, terms
from libs.events.types.agreement import AgreedService, AgreementMade, Figure
from libs.london import LONDON, start_of

FIRST = date(2026, 4, 1)


def made(name: str, first: date, last: date | None = None) -> AgreementMade:
    return AgreementMade(
        id=name,
        title=name,
        signed_on=first,
        first_day=first,
        last_day=last,
        parties=("north", "south"),
        host="north",
        services=(),
    )


def service(shared_by: str, **amounts: float) -> AgreedService:
    return AgreedService(
        id="contact",
        name="Contact",
        shared_by=shared_by,  # type: ignore[arg-type]
        basis="",
        figures=tuple(Figure(force=force, amount=amount) for force, amount in amounts.items()),
        data_controllers=("north", "south"),
    )


@st.composite
def without_gaps(draw: st.DrawFn) -> list[AgreementMade]:
    """Versions one after the other, some with a last day, in any order."""
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=6))
    versions, first = [], FIRST
    for number, days in enumerate(lengths):
        following = first + timedelta(days=days)
        last = following - timedelta(days=1) if draw(st.booleans()) else None
        versions.append(made(f"v{number}", first, last))
        first = following
    return draw(st.permutations(versions))


MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2034, 1, 1), timezones=st.just(LONDON))


@given(without_gaps(), MOMENTS)
def test_in_whatever_order_they_come_exactly_one_is_in_force_at_every_moment(
    versions: list[AgreementMade], moment: datetime
) -> None:
    by_term = terms(versions)
    holding = [term.version for term in by_term if term.begins <= moment and (term.ends is None or moment < term.ends)]
    begins, ends = by_term[0].begins, by_term[-1].ends
    assert len(holding) == (begins <= moment and (ends is None or moment < ends))
    assert in_force(versions, moment) == (holding[0] if holding else None)


@given(without_gaps(), st.data())
def test_at_the_very_turn_the_next_is_in_force_and_just_before_it_the_last(
    versions: list[AgreementMade], data: st.DataObject
) -> None:
    term = data.draw(st.sampled_from(terms(versions)))
    assert in_force(versions, term.begins) == term.version
    assert term.ends is None or in_force(versions, term.ends - timedelta(microseconds=1)) == term.version


@given(without_gaps(), st.data())
def test_a_gap_or_an_overlap_is_refused_and_names_the_version(
    versions: list[AgreementMade], data: st.DataObject
) -> None:
    last = max(versions, key=lambda one: one.first_day)
    days = data.draw(st.integers(-300, 300).filter(lambda number: number != 0))
    end = last.first_day + timedelta(days=300)
    following = made("following", end + timedelta(days=1 + days))
    ended = made(last.id, last.first_day, end)
    with pytest.raises(Inconsistent) as caught:
        terms([*(one for one in versions if one is not last), ended, following])
    assert caught.value.version in {"following", last.id}


def test_an_alliance_may_end() -> None:
    versions = [made("only", FIRST, date(2027, 3, 31))]
    assert in_force(versions, start_of(date(2027, 4, 1)) - timedelta(microseconds=1)) == versions[0]
    assert in_force(versions, start_of(date(2027, 4, 1))) is None
    assert in_force([], start_of(FIRST)) is None
    assert terms([]) == []


def test_a_version_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(Inconsistent, match="before its first"):
        terms([made("only", FIRST, FIRST - timedelta(days=1))])


AMOUNTS = st.floats(0.001, 1e9)


@given(st.sampled_from(["budget", "demand"]), AMOUNTS, AMOUNTS)
def test_shares_follow_the_figures_and_sum_to_one(shared_by: str, north: float, south: float) -> None:
    one = service(shared_by, north=north, south=south)
    assert fault_of(one, ("north", "south")) is None
    found = shares(one)
    assert sum(found.values()) == pytest.approx(1)
    assert found["north"] * south == pytest.approx(found["south"] * north)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (service("fixed", north=0.6, south=0.3), "sum to 1, not 0.9"),
        (service("fixed", north=1.0), "every party once"),
        (service("budget", north=1.0, east=1.0), "every party once"),
        (service("demand", north=-1.0, south=2.0), "below 0"),
        (service("demand", north=0.0, south=0.0), "above 0"),
    ],
)
def test_figures_that_share_nothing_are_refused(one: AgreedService, why: str) -> None:
    assert why in (fault_of(one, ("north", "south")) or "")


def test_fixed_shares_are_what_was_agreed() -> None:
    one = service("fixed", north=0.45, south=0.55)
    assert fault_of(one, ("south", "north")) is None
    assert shares(one) == {"north": 0.45, "south": 0.55}
