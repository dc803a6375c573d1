"""A history in the order things followed from each other: `services/recording/history.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.recording.history import in_order

EIGHT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


class Said(NamedTuple):
    id: UUID
    source: str
    version: int
    time: datetime
    causation_id: UUID | None = None
    subject: str = "contact"


def said(n: int, source: str, version: int, seconds: float, cause: int | None = None) -> Said:
    cause_id = None if cause is None else UUID(int=cause)
    return Said(UUID(int=n), source, version, EIGHT + timedelta(seconds=seconds), cause_id)


def test_an_effect_comes_after_its_cause_though_its_clock_is_behind() -> None:
    received = said(1, "/intake", 1, 10)
    routed = said(2, "/router", 1, 3, cause=1)
    disposed = said(3, "/recording", 1, 1, cause=2)
    assert in_order([disposed, routed, received]) == [received, routed, disposed]


def test_within_a_stream_the_version_rules_though_the_clock_went_back() -> None:
    first, second = said(1, "/intake", 1, 10), said(2, "/intake", 2, 5)
    assert in_order([second, first]) == [first, second]


def test_where_neither_cause_nor_version_says_time_does() -> None:
    ended = said(1, "/intake", 1, 30)
    answered = said(2, "/router", 1, 20)
    assert in_order([ended, answered]) == [answered, ended]


def test_a_cause_that_is_not_shown_holds_nothing_back() -> None:
    routed = said(2, "/router", 1, 3, cause=99)
    received = said(1, "/intake", 1, 4)
    assert in_order([received, routed]) == [routed, received]


def test_events_that_claim_to_cause_each_other_are_all_shown() -> None:
    one, two = said(1, "/intake", 1, 1, cause=2), said(2, "/router", 1, 2, cause=1)
    three = said(3, "/router", 2, 0, cause=3)
    assert in_order([three, two, one]) == [one, two, three]


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """Honest ones: causes are events said before, in a hidden true order; clocks are anybody's."""
    versions: dict[str, int] = {}
    entries: list[Said] = []
    for n in range(draw(st.integers(0, 25))):
        source = draw(st.sampled_from(["/intake", "/router", "/recording"]))
        versions[source] = versions.get(source, 0) + 1
        cause = draw(st.one_of(st.none(), st.integers(0, n - 1))) if n else None
        entries.append(said(n, source, versions[source], draw(st.integers(0, 5)), cause))
    return draw(st.permutations(entries))


@given(histories())
def test_any_history_is_whole_and_no_effect_precedes_its_cause_or_its_own_past(history: list[Said]) -> None:
    ordered = in_order(history)
    assert sorted(ordered) == sorted(history)
    place = {entry.id: i for i, entry in enumerate(ordered)}
    for entry in history:
        if entry.causation_id is not None:
            assert place[entry.causation_id] < place[entry.id]
        for other in history:
            if other.source == entry.source and other.version < entry.version:
                assert place[other.id] < place[entry.id]


@given(st.data())
def test_the_order_does_not_depend_on_how_it_was_read(data: st.DataObject) -> None:
    history = data.draw(histories())
    assert in_order(history) == in_order(data.draw(st.permutations(history)))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=10, unique_by=lambda pair: pair[0]))
def test_whatever_anybody_claims_every_event_is_shown_once(claims: list[tuple[int, int]]) -> None:
    entries = [said(n, f"/{n % 3}", n, n, cause=cause) for n, cause in claims]
    assert sorted(in_order(entries)) == sorted(entries)
