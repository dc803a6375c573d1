"""What the alliance was at any moment: services/directory/told.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.alliance import NOTHING_KNOWN, evolve
from libs.events.types import Fact
from libs.events.types.directory import AreaChunkPublished, EntityWithdrawn, PolicyWithdrawn, SiteDefined
from services.directory.told import EVERY, REMEMBERED, Told

START = datetime(2026, 4, 1, tzinfo=UTC)


def site(number: int, name: str) -> SiteDefined:
    return SiteDefined(id=f"site-{number}", name=name)


FACTS: st.SearchStrategy[Fact | None] = st.one_of(
    st.builds(site, st.integers(0, 5), st.sampled_from("abc")),
    st.builds(lambda number: EntityWithdrawn(entity=f"site/site-{number}", reason=""), st.integers(0, 5)),
    st.just(None),
)
SAID = st.lists(st.tuples(st.integers(0, 30), FACTS), min_size=1, max_size=3 * EVERY)
"""Seconds and what was said then, in the store's order: times may go back."""


def told(said: list[tuple[int, Fact | None]]) -> Told:
    past = Told()
    for number, (seconds, fact) in enumerate(said):
        past.add(START + timedelta(seconds=seconds), f"site/{number}", 1, fact)
    return past


@given(SAID, st.lists(st.integers(-1, 31), min_size=1, max_size=REMEMBERED + 8))
def test_a_moment_shows_a_picture_that_was_once_in_force_and_none_that_a_later_time_made(
    said: list[tuple[int, Fact | None]], moments: list[int]
) -> None:
    pictures = [NOTHING_KNOWN]
    for _, fact in said:
        pictures.append(evolve(pictures[-1], fact))
    past = told(said)
    for seconds in moments:
        before = next((number for number, (at, _) in enumerate(said) if at > seconds), len(said))
        assert past.at(START + timedelta(seconds=seconds)) == pictures[before]


@given(SAID, st.integers(0, 30), st.integers(0, 30))
def test_a_later_moment_never_knows_less(said: list[tuple[int, Fact | None]], one: int, other: int) -> None:
    past = told(said)
    earlier, later = (past.at(START + timedelta(seconds=at)) for at in sorted((one, other)))
    assert earlier.position <= later.position


def test_what_is_said_later_does_not_change_what_was() -> None:
    past = told([(1, site(1, "a"))])
    before = past.at(START + timedelta(seconds=5))
    past.add(START + timedelta(seconds=9), "site/site-1", 2, site(1, "b"))
    assert past.at(START + timedelta(seconds=5)) == before
    assert past.at(START + timedelta(seconds=9)).sites["site-1"].name == "b"


def test_geometry_is_not_kept_and_a_policy_only_counts() -> None:
    past = Told()
    past.add(START, "area/x", 1, AreaChunkPublished(sha256="x", content=b""))
    assert past.at(START).position == 0
    past.add(START, "policy/x", 1, PolicyWithdrawn(id="x", by="somebody"))
    assert past.at(START).position == 1
    assert [said.fact for said in past.of("policy/x")] == [None]
