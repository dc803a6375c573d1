from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import Event
from libs.events.types.routing import ContactAbandoned, ContactRouted
from services.intake import waits as w
from services.intake.decisions import Decision
from services.intake.waits import Waits, decision_within, wait_preferred

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def routed(contact: str, version: int = 1, queue: str = "bedfordshire-999") -> Event:
    fact = ContactRouted(
        cause="location",
        queue=queue,
        recipient_uri="sip:q@example.org",
        priority=1,
        contact_version=1,
        waiting_since=NOW,
    )
    return Event.of(fact, source="/router", subject=contact, version=version)


async def nothing() -> Decision | None:
    return None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=2", 2),
        ("Wait=2", 2),
        ("wait = 2", 2),
        ('wait="2"', 2),
        ("respond-async, wait=3", 3),
        ("wait=3; foo=bar", 3),
        ("wait=1, wait=5", 1),
        ("wait=0", 0),
        ("wait=3600", w.MAX_WAIT_S),
        ("wait", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("waiting=2", None),
        ("wait=2.5", None),
        ("wait=٣", None),
        ("wait=" + "9" * 5000, None),
    ],
)
def test_the_preference_is_read_as_rfc_7240_has_it(header: str | None, seconds: int | None) -> None:
    assert wait_preferred(header) == seconds


@given(st.text(max_size=200))
def test_no_header_is_an_error(header: str) -> None:
    seconds = wait_preferred(header)
    assert seconds is None or 0 <= seconds <= w.MAX_WAIT_S


async def test_a_wait_is_woken_by_the_decision_of_its_contact_and_by_no_other() -> None:
    waits = Waits()
    with waits.registered("mine") as mine, waits.registered("other") as other:
        waits.on_event(routed("mine", queue="mine-999"))
        decision = await decision_within(mine, 5, nothing)
        assert decision is not None
        assert decision.routed.queue == "mine-999"
        assert not other.done()
    assert len(waits) == 0


async def test_everyone_who_waits_for_one_contact_is_woken() -> None:
    waits = Waits()
    with waits.registered("one") as first, waits.registered("one") as second:
        waits.on_event(routed("one"))
        assert await decision_within(first, 5, nothing) == await decision_within(second, 5, nothing) is not None


async def test_a_decision_that_passed_just_before_the_wait_was_registered_is_not_missed() -> None:
    waits = Waits()
    waits.on_event(routed("retried"))
    with waits.registered("retried") as future:
        assert await decision_within(future, 0, nothing) is not None


async def test_an_older_decision_sent_again_does_not_replace_the_newer() -> None:
    waits = Waits()
    waits.on_event(routed("moved", 2, "newer"))
    waits.on_event(routed("moved", 1, "older"))
    with waits.registered("moved") as future:
        decision = await decision_within(future, 0, nothing)
    assert decision is not None
    assert decision.routed.queue == "newer"


async def test_what_the_read_model_knows_is_answered_without_waiting() -> None:
    known = Decision(1, NOW, routed("x").fact)

    async def look() -> Decision | None:
        return known

    with Waits().registered("x") as future:
        started = time.monotonic()
        assert await decision_within(future, 5, look) is known
        assert time.monotonic() - started < 1


async def test_when_time_is_up_there_is_a_last_look() -> None:
    known = Decision(1, NOW, routed("x").fact)
    answers = iter([None, known])

    async def look() -> Decision | None:
        return next(answers)

    with Waits().registered("x") as future:
        assert await decision_within(future, 0.02, look) is known


async def test_a_wait_that_nobody_wakes_ends_in_time_without_a_decision() -> None:
    waits = Waits()
    with waits.registered("x") as future:
        started = time.monotonic()
        assert await decision_within(future, 0.05, nothing) is None
        assert 0.04 < time.monotonic() - started < 1


async def test_only_decisions_wake_and_unreadable_ones_harm_nobody() -> None:
    waits = Waits()
    with waits.registered("x") as future:
        fact = ContactAbandoned(queue="q", invite_timestamp=NOW, cancel_timestamp=NOW)
        waits.on_event(Event.of(fact, source="/router", subject="x", version=1))
        broken = Event(
            id=routed("x").id, type=ContactRouted.TYPE, source="/router", subject="x", version=2, time=NOW, data=b"{"
        )
        waits.on_event(broken)
        assert not future.done()


async def test_a_request_that_goes_away_leaves_no_wait_behind() -> None:
    waits = Waits()

    async def request() -> None:
        with waits.registered("x") as future:
            await decision_within(future, 60, nothing)

    task = asyncio.create_task(request())
    await asyncio.sleep(0.01)
    assert len(waits) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(waits) == 0


async def test_what_is_remembered_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w, "REMEMBERED", 10)
    waits = Waits()
    for i in range(25):
        waits.on_event(routed(f"c{i}"))
    remembered = []
    for i in range(25):
        with waits.registered(f"c{i}") as future:
            remembered.append(future.done())
    assert remembered == [False] * 15 + [True] * 10
