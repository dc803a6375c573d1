"""The rule of once and in order, whatever order and however often events come."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import Event, events_of
from libs.events.log.inbox import Message, Sorted, Stream, sort_out
from tests.integration.logs import SOURCE, said

KEY = (SOURCE, "contact")


def events(count: int) -> list[Event]:
    return events_of([said(n) for n in range(1, count + 1)], source=SOURCE, subject="contact", after=0)


def message(event: Event, offset: int = 0) -> Message:
    return Message("topic", 0, offset, b"contact", event.data, (), event)


def sort(
    wanted: list[Event], stream: Stream | None = None, applied: dict[tuple[int, int], UUID] | None = None
) -> tuple[Sorted, Stream]:
    stream = stream or Stream(id=1, version=0, holding=False)
    return sort_out([message(event) for event in wanted], {KEY: stream}, applied or {}), stream


def versions(messages: list[Message]) -> list[int]:
    return [one.version for one in messages]


def test_what_comes_in_order_is_new() -> None:
    found, stream = sort(events(3))
    assert versions(found.new) == [1, 2, 3]
    assert stream.version == 3
    assert not found.hold


def test_what_was_applied_before_is_a_duplicate() -> None:
    first, second = events(2)
    found, _ = sort([first, second], Stream(1, 1, False), {(1, 1): first.id})
    assert versions(found.new) == [2]
    assert found.duplicates == 1


def test_another_event_under_an_applied_version_is_a_fork() -> None:
    found, _ = sort(events(1), Stream(1, 1, False), {(1, 1): uuid4()})
    assert len(found.forks) == 1
    assert not found.new


def test_another_event_under_a_version_applied_in_this_batch_is_a_fork() -> None:
    found, _ = sort([*events(1), *events(1)])
    assert len(found.forks) == 1


def test_another_event_under_a_held_version_is_a_fork() -> None:
    found, _ = sort([events(3)[2], events(3)[2]])
    assert len(found.forks) == 1


def test_a_version_missing_holds_what_follows_until_it_comes() -> None:
    first, second, third, fourth = events(4)
    found, stream = sort([first, third, fourth])
    assert versions(found.new) == [1]
    assert [(one.version, why) for one, why in found.hold] == [(3, "gap"), (4, "gap")]
    found, stream = sort([second], stream)
    assert versions(found.new) == [2, 3, 4]
    assert found.unheld == [(1, 3), (1, 4)]
    assert not stream.held


def test_behind_a_parked_event_everything_waits() -> None:
    first, second, third = events(3)
    stream = Stream(1, 0, True, {1: ("parked", message(first))})
    found, stream = sort([second, third], stream)
    assert not found.new
    assert [(one.version, why) for one, why in found.hold] == [(2, "behind"), (3, "behind")]


def test_what_cannot_be_read_is_parked_in_a_stream_of_its_own() -> None:
    bad = Message("topic", 3, 77, b"contact", b"", (), None, "no envelope")
    good = message(events(1)[0])
    streams = {KEY: Stream(1, 0, False), bad.stream: Stream(2, 0, False)}
    found = sort_out([bad, good], streams, {})
    assert [(one, why) for one, why in found.hold] == [(bad, "parked")]
    assert found.new == [good]


@given(st.data())
def test_in_any_order_and_any_batches_each_event_is_applied_once_and_in_order(data: st.DataObject) -> None:
    made = events(data.draw(st.integers(1, 8), label="events"))
    arriving = data.draw(st.permutations(made * 2), label="order")
    stream = Stream(1, 0, False)
    applied: dict[tuple[int, int], UUID] = {}
    held: set[int] = set()
    done: list[int] = []
    while arriving:
        size = data.draw(st.integers(1, len(arriving)), label="batch")
        batch, arriving = arriving[:size], arriving[size:]
        found, stream = sort(batch, stream, applied)
        assert not found.forks
        done += versions(found.new)
        applied |= {(1, one.version): one.event.id for one in found.new if one.event}
        held = (held - {version for _, version in found.unheld}) | set(versions([one for one, _ in found.hold]))
        assert held == set(stream.held), "what is held in the table is what is held in memory"
    assert done == [event.version for event in made]
    assert not held
