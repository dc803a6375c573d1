"""The envelope against the CloudEvents SDK, which nobody here wrote, and against everything that is not an event."""

import json
import string
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import (
    HEADERS_BYTES,
    SCHEMA_BASE,
    Event,
    Malformed,
    UnknownType,
    events_of,
    from_message,
    to_headers,
)
from libs.events.types import BY_TYPE
from libs.events.types.contacts import ContactEnded, ContactMessageAdded, MessagePersonal

ENDED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FACT = ContactEnded(reason="completed", ended_at=ENDED_AT)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CAUSE = UUID("01981c5e-0000-7000-8000-000000000001")

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1970, 1, 2), datetime(2900, 1, 1), timezones=offsets)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
events = st.builds(
    Event,
    id=st.uuids(),
    type=st.sampled_from(sorted(BY_TYPE)),
    source=st.text(string.ascii_lowercase + "/-", min_size=1),
    subject=words,
    version=st.integers(1, 10**18 - 1),
    time=times,
    data=st.binary(max_size=200),
    force=st.none() | words,
    causation_id=st.none() | st.uuids(),
    traceparent=st.none() | st.just(TRACE),
)


def whole() -> Event:
    return Event.of(
        FACT,
        source="/intake",
        subject="01981c5e-7c1b-7b5a-9d2e-3f4a5b6c7d8e",
        version=7,
        force="bedfordshire",
        caused_by=CAUSE,
        traceparent=TRACE,
    )


def without(name: str) -> list[tuple[str, bytes]]:
    return [(key, value) for key, value in to_headers(whole()) if key != name]


@given(events)
def test_an_event_comes_back_from_its_message_as_it_was(event: Event) -> None:
    assert from_message(to_headers(event), event.data) == event


@given(events)
def test_the_sdk_reads_what_we_write(event: Event) -> None:
    headers = to_headers(event)
    seen = from_binary(KafkaMessage(dict(headers), key=None, value=b"{}"), JSONFormat())
    assert len(dict(headers)) == len(headers)
    assert seen.get_specversion() == "1.0"
    assert seen.get_id() == str(event.id)
    assert seen.get_type() == event.type
    assert seen.get_source() == event.source
    assert seen.get_subject() == event.subject
    assert seen.get_time() == event.time
    assert seen.get_datacontenttype() == "application/json"
    assert seen.get_dataschema() == f"{SCHEMA_BASE}{event.type}.json"
    assert seen.get_extension("streamversion") == str(event.version)
    assert seen.get_extension("force") == event.force
    assert seen.get_extension("causationid") == (str(event.causation_id) if event.causation_id else None)


@given(events)
def test_we_read_what_the_sdk_writes(event: Event) -> None:
    attributes = {
        "id": str(event.id),
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "datacontenttype": "application/json",
        "streamversion": str(event.version),
    }
    if event.force:
        attributes["force"] = event.force
    if event.causation_id:
        attributes["causationid"] = str(event.causation_id)
    message = to_binary(CloudEvent(attributes, {"reason": "completed"}), JSONFormat())
    read = from_message(list(message.headers.items()), message.value)
    assert (read.id, read.type, read.source, read.subject, read.version, read.time, read.force, read.causation_id) == (
        event.id,
        event.type,
        event.source,
        event.subject,
        event.version,
        event.time,
        event.force,
        event.causation_id,
    )
    assert json.loads(read.data) == {"reason": "completed"}


def test_times_are_utc_on_the_wire() -> None:
    summer = datetime(2026, 7, 1, 13, 30, tzinfo=timezone(timedelta(hours=1)))
    headers = dict(to_headers(Event.of(FACT, source="/intake", subject="s", version=1, time=summer)))
    assert headers["ce_time"] == b"2026-07-01T12:30:00Z"


def test_absent_attributes_are_absent_headers() -> None:
    names = {name for name, _ in to_headers(Event.of(FACT, source="/intake", subject="s", version=1))}
    assert names.isdisjoint({"ce_force", "ce_causationid", "traceparent"})


def test_key_and_headers_fit_into_what_is_reserved_for_them() -> None:
    event = Event.of(
        FACT,
        source="/" + "s" * 63,
        subject="x" * 64,
        version=10**17,
        force="f" * 64,
        caused_by=CAUSE,
        traceparent=TRACE,
    )
    weight = len(event.subject) + sum(len(name) + len(value) + 10 for name, value in to_headers(event))
    assert weight <= HEADERS_BYTES


@pytest.mark.parametrize(
    "name",
    ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_streamversion"],
)
def test_a_message_without_a_required_header_is_malformed(name: str) -> None:
    with pytest.raises(Malformed, match=name):
        from_message(without(name), b"{}")


@pytest.mark.parametrize("name", ["ce_force", "ce_causationid", "traceparent", "content-type", "ce_dataschema"])
def test_a_message_without_an_optional_header_is_read(name: str) -> None:
    assert from_message(without(name), whole().data).fact == FACT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_id", b""),
        ("ce_id", b"not-a-uuid"),
        ("ce_id", b"\xff\xfe"),
        ("ce_type", b""),
        ("ce_type", b"\xff"),
        ("ce_source", b""),
        ("ce_source", b"\xc3"),
        ("ce_subject", b""),
        ("ce_subject", b"\xed\xa0\x80"),  # half of a surrogate pair
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-03-01T12:00:00"),  # no offset
        ("ce_time", b"2026-13-01T12:00:00Z"),
        ("ce_time", b"\xff"),
        ("ce_streamversion", b""),
        ("ce_streamversion", b"0"),
        ("ce_streamversion", b"-1"),
        ("ce_streamversion", b"+1"),
        ("ce_streamversion", b"01"),
        ("ce_streamversion", b"1.0"),
        ("ce_streamversion", b"1_0"),
        ("ce_streamversion", b" 1"),
        ("ce_streamversion", b"9" * 19),  # no bigint
        ("ce_streamversion", b"9" * 5000),
        ("ce_causationid", b"x"),
        ("ce_causationid", b"\xff"),
        ("ce_force", b"\xff"),
        ("traceparent", b"\xff"),
    ],
)
def test_a_header_that_is_not_of_its_form_is_malformed(name: str, value: bytes) -> None:
    with pytest.raises(Malformed):
        from_message([*without(name), (name, value)], b"{}")


@pytest.mark.parametrize("name", [name for name, _ in to_headers(whole()) if name.startswith("ce_")])
def test_a_null_header_is_malformed_or_absent_and_never_anything_else(name: str) -> None:
    headers = [*without(name), (name, None)]
    if name in ("ce_force", "ce_causationid", "ce_dataschema"):
        assert from_message(headers, whole().data).fact == FACT  # type: ignore[arg-type]
    else:
        with pytest.raises(Malformed):
            from_message(headers, b"{}")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from([n for n, _ in to_headers(whole())]), st.binary(max_size=30))), st.binary())
def test_whatever_arrives_is_an_event_or_malformed(headers: list[tuple[str, bytes]], value: bytes) -> None:
    base = dict(to_headers(whole())) | dict(headers)
    try:
        event = from_message(list(base.items()), value)
    except Malformed:
        return
    assert isinstance(event, Event)


def test_unknown_headers_and_unknown_members_are_tolerated() -> None:
    headers = [*to_headers(whole()), ("ce_newer", b"1"), ("something", b"\xff")]
    data = whole().data[:-1] + b',"newer":{"member":[1]}}'
    assert from_message(headers, data).fact == FACT


def test_a_message_without_a_value_has_no_fact() -> None:
    event = from_message(to_headers(whole()), None)
    with pytest.raises(Malformed):
        _ = event.fact


def test_an_unknown_type_is_told_apart_from_bad_data() -> None:
    newer = from_message([*without("ce_type"), ("ce_type", b"uk.hueandcry.contact.teleported.v1")], b"{}")
    with pytest.raises(UnknownType):
        _ = newer.fact
    for bad in (b"", b"{", b"[]", b'{"reason":"bored","endedAt":"2026-03-01T12:00:00Z"}', b'{"reason":"\xff"}'):
        with pytest.raises(Malformed):
            _ = from_message(to_headers(whole()), bad).fact


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_survives_in_a_fact(text: str) -> None:
    fact = ContactMessageAdded(message_id="m", sender="caller", personal=MessagePersonal(text=text))
    event = Event.of(fact, source="/intake", subject="s", version=1)
    assert from_message(to_headers(event), event.data).fact == fact


def test_facts_that_happened_together_are_numbered_in_order_and_share_their_time() -> None:
    made = events_of([FACT, FACT, FACT], source="/intake", subject="s", after=4, force="f", caused_by=CAUSE)
    assert [event.version for event in made] == [5, 6, 7]
    assert len({event.time for event in made}) == 1
    assert len({event.id for event in made}) == 3
    assert {(event.force, event.causation_id) for event in made} == {("f", CAUSE)}
