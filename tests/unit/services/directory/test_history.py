"""Which boundaries were in force when, whatever was imported and activated in whatever order."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from libs.alliance.generations import Drawing
from libs.events.types.directory import (
    AreaRef,
    BoundariesActivated,
    BoundariesImported,
    BoundariesReport,
    EntityWithdrawn,
    FoundGapOverlap,
    GapOverlapFound,
)
from libs.events.types.shapes import Polygon
from services.directory.boundaries import (
    SUBJECT,
    Blocked,
    GenerationChanged,
    NoSuchGeneration,
    Who,
    plan_activation,
    plan_import,
    stays,
)
from services.directory.history import History

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
GAPS = tuple(
    FoundGapOverlap(
        gap=True, forces=("a", "b"), area_m2=1.0, polygon=Polygon(exterior=((52.0, at), (52.0, 1), (53, 1)))
    )
    for at in (0.1, 0.2, 0.3)
)
names = st.sampled_from("abcd")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("import"), names, st.integers(0, 2), st.sets(st.sampled_from(GAPS)), st.booleans()),
        st.tuples(st.just("activate"), names, st.booleans()),
    ),
    max_size=20,
)


def imported(name: str, areas: int = 0, gaps: set[FoundGapOverlap] = frozenset(), *, bad: bool = False):  # type: ignore[no-untyped-def,assignment]
    report = BoundariesReport(
        format="GeoJSON", crs="EPSG:4326", largest=tuple(gaps), blocking=("it is bad",) if bad else ()
    )
    refs = (AreaRef(force="a", hashes=(f"{areas}",)),)
    return BoundariesImported(generation=name, source="s", accuracy_m=20.0, areas=refs, report=report, by="who")


def activation(history: History, name: str, *, override: bool = False):  # type: ignore[no-untyped-def]
    return plan_activation(history, name, {}, Who("who"), "why", BEGAN, override=override)


@given(steps)
def test_whatever_is_imported_and_activated_the_past_stays_and_the_gaps_told_are_those_in_force(steps) -> None:  # type: ignore[no-untyped-def]
    history = History()
    at = BEGAN
    was: list[tuple[datetime, str]] = []
    for step in steps:
        at += timedelta(minutes=1)
        if step[0] == "import":
            _, name, areas, gaps, bad = step
            fact = imported(name, areas, gaps, bad=bad)
            ruled = history.ruled(name)
            if ruled is not None and Drawing.of(ruled) != Drawing.of(fact):
                with pytest.raises(GenerationChanged):
                    plan_import(history, fact)
                continue
            said = plan_import(history, fact)
            if said is not None:
                history = history.after(said, at)
            assert plan_import(history, fact) is None, "the same again says nothing"
            assert plan_import(history, replace(fact, by="another")) is None
            continue
        _, name, override = step
        try:
            changes = activation(history, name, override=override)
        except NoSuchGeneration:
            assert history.of(name) is None
            continue
        except Blocked:
            assert not override
            assert not history.was_in_force(name)
            continue
        if changes:
            was.append((at, name))
        for _, fact in changes:
            history = history.after(fact, at)
        assert activation(history, name, override=override) == [], "what is in force is not said again"
        told = {(one.area, one.gap) for one in history.gaps_and_overlaps.values()}
        if changes:
            known = history.imported.get(name)
            assert told == {(one.polygon, one.gap) for one in (known.fact.report.largest if known else ())}
    # The past is what it was when it was the present.
    assert history.at(BEGAN) is None
    for number, (since, name) in enumerate(was):
        until = was[number + 1][0] if number + 1 < len(was) else at + timedelta(hours=1)
        for moment in (since, until - timedelta(seconds=1)):
            found = history.at(moment)
            assert found is not None
            assert found.fact.generation == name
    for name in "abcd":
        spans = history.spans(name)
        assert all(one.until is not None and one.until < other.since for one, other in pairwise(spans))
    if (coming := history.next) is not None:
        assert history.in_force is not None
        assert Drawing.of(coming) != Drawing.of(history.in_force.fact)


def test_what_may_come_next_is_the_last_import_until_it_is_activated_then_what_was_before() -> None:
    history = History().after(BoundariesActivated(generation="a", source="s", accuracy_m=1.0, areas=()), BEGAN)
    assert history.next is None
    history = history.after(imported("b", 1), BEGAN)
    assert history.next is not None
    assert history.next.generation == "b"
    for _, fact in activation(history, "b"):
        history = history.after(fact, BEGAN)
    assert history.next is not None
    assert history.next.generation == "a"


def test_a_gap_that_is_still_there_in_the_next_generation_is_not_told_again() -> None:
    history = History().after(imported("a", 1, {GAPS[0], GAPS[1]}), BEGAN)  # type: ignore[arg-type]
    for _, fact in activation(history, "a"):
        history = history.after(fact, BEGAN)
    history = history.after(imported("b", 2, {GAPS[1], GAPS[2]}), BEGAN)  # type: ignore[arg-type]
    (subject, first), *rest = activation(history, "b")
    assert subject == SUBJECT
    assert isinstance(first, BoundariesActivated)
    assert [type(fact) for _, fact in rest] == [GapOverlapFound, EntityWithdrawn]
    assert rest[0][1].area == GAPS[2].polygon  # type: ignore[attr-defined]


def test_two_copies_whose_clocks_differ_leave_no_time_without_boundaries() -> None:
    one, other = (BoundariesActivated(generation=name, source="s", accuracy_m=1.0, areas=()) for name in "ab")
    history = History().after(one, BEGAN).after(other, BEGAN - timedelta(seconds=5))
    found = history.at(BEGAN)
    assert found is not None
    assert found.fact.generation == "b"
    assert history.at(BEGAN - timedelta(seconds=1)) is None


def test_what_is_shipped_replaces_what_was_shipped_before_alone() -> None:
    shipped = [BoundariesActivated(generation=name, source="s", accuracy_m=1.0, areas=()) for name in ("1", "2")]
    assert stays(History(), "1") is None
    first = History().after(shipped[0], BEGAN)
    assert stays(first, "1") is None
    assert stays(first, "2") is None
    second = first.after(shipped[1], BEGAN)
    assert "stay in force" in (stays(second, "1") or "")
    theirs = second.after(imported("mine", 1), BEGAN)
    assert stays(theirs, "3") is None, "imported, and not in force"
    for _, fact in activation(theirs, "mine"):
        theirs = theirs.after(fact, BEGAN)
    assert "imported" in (stays(theirs, "3") or "")
