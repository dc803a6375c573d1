from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import Event, events_of
from libs.events.types.contacts import ContactReceived, Location, ReceivedPersonal
from libs.events.types.shapes import Point
from services.intake import contact as c
from services.intake.contact import (
    AddLocation,
    AddMessage,
    Contact,
    EndContact,
    ReceiveContact,
    contact_of,
    decide,
    evolve,
)

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
HERE = Point(lat=52.05, lon=-0.02)


def received(**other: object) -> ContactReceived:
    return msgspec.structs.replace(
        ContactReceived(reference="2222-2222", channel="telephone", medium="voice", line="999", gateway="gw"), **other
    )


def opened(**other: object) -> Contact:
    contact = contact_of(_events([received(**other)], 0))
    assert contact is not None
    return contact


def _events(facts: object, after: int) -> list[Event]:
    return events_of(facts, source="/intake", subject="contact-1", after=after, time=NOW)  # type: ignore[arg-type]


def after(contact: Contact, *commands: c.Command) -> Contact:
    for command in commands:
        contact = contact_of(_events(decide(contact, command), contact.version), contact) or contact
    return contact


def message(text: str = "help", *, emergency: bool = False) -> AddMessage:
    return AddMessage(message_id="m", sender="caller", text=text, emergency=emergency)


def location(name: str = "l") -> AddLocation:
    return AddLocation(Location(id=name, of="caller", source="aml"), HERE)


def end(reason: c.EndReason = "caller-ended", ended_at: datetime | None = None) -> EndContact:
    return EndContact(reason=reason, ended_at=ended_at, heard_at=NOW)


def test_a_contact_is_received_once() -> None:
    assert decide(None, ReceiveContact(received())) == (received(),)
    with pytest.raises(c.AlreadyReceived):
        decide(opened(), ReceiveContact(received()))


@pytest.mark.parametrize("command", [location(), message(), end()])
def test_nothing_can_be_added_to_a_contact_that_is_not_there(command: c.Command) -> None:
    with pytest.raises(c.NoSuchContact):
        decide(None, command)


def test_locations_are_kept_in_the_order_in_which_they_became_known() -> None:
    first = Location(id="first", of="incident", source="caller")
    contact = opened(locations=(first,), personal=ReceivedPersonal(shapes={"first": HERE}))
    contact = after(contact, location("second"))
    assert [(known.location.id, known.shape) for known in contact.locations] == [("first", HERE), ("second", HERE)]


def test_an_ended_contact_still_takes_a_location() -> None:
    contact = after(opened(), end(), location("late"))
    assert [known.location.id for known in contact.locations] == ["late"]
    assert contact.ended is not None


def test_an_ended_conversation_takes_no_message() -> None:
    with pytest.raises(c.ConversationIsOver, match="open a new one"):
        decide(after(opened(), end()), message())


def test_a_message_can_turn_a_contact_into_an_emergency_and_no_later_one_turns_it_back() -> None:
    contact = after(opened(), message())
    assert not contact.emergency
    contact = after(contact, message(emergency=True), message())
    assert contact.emergency
    assert len(contact.messages) == 3


def test_an_end_without_a_time_is_when_we_heard_of_it() -> None:
    contact = after(opened(), end())
    assert contact.ended is not None
    assert contact.ended.ended_at == NOW


@pytest.mark.parametrize("ended_at", [None, NOW])
def test_the_same_end_told_again_changes_nothing(ended_at: datetime | None) -> None:
    contact = after(opened(), end(ended_at=ended_at))
    assert decide(contact, end(ended_at=ended_at)) == ()
    assert decide(contact, end()) == ()


def test_another_end_is_refused() -> None:
    contact = after(opened(), end())
    with pytest.raises(c.EndedOtherwise):
        decide(contact, end("completed"))
    with pytest.raises(c.EndedOtherwise):
        decide(contact, end(ended_at=NOW + timedelta(seconds=1)))


def test_a_contact_holds_so_many_locations_and_messages_and_no_more() -> None:
    contact = opened()
    full = msgspec.structs.replace(
        contact,
        locations=after(contact, location()).locations * c.MAX_LOCATIONS,
        messages=after(contact, message()).messages * c.MAX_MESSAGES,
    )
    with pytest.raises(c.TooManyLocations):
        decide(full, location())
    with pytest.raises(c.TooManyMessages):
        decide(full, message())
    assert decide(full, end())


def test_a_refusal_says_its_sentence_and_nothing_of_what_was_asked() -> None:
    with pytest.raises(c.Refused) as refusal:
        decide(after(opened(), end()), message("my name is Ada"))
    assert str(refusal.value) == "The contact has ended and takes no more messages: open a new one."


def test_a_fact_of_a_newer_release_is_counted_and_changes_nothing_else() -> None:
    contact = opened()
    newer = msgspec.structs.replace(_events([received()], 1)[0], type="uk.hueandcry.contact.linked.v1")
    evolved = evolve(contact, newer)
    assert evolved == msgspec.structs.replace(contact, version=2)
    assert evolve(None, newer) is None


def test_a_contact_whose_personal_part_is_gone_can_still_be_read() -> None:
    contact = opened(locations=(Location(id="first", of="caller", source="aml"),))
    assert contact.locations[0].shape is None


commands = st.lists(
    st.one_of(
        st.builds(location, st.text(min_size=1, max_size=4)),
        st.builds(message, st.text(max_size=10), emergency=st.booleans()),
        st.builds(end, st.sampled_from(["caller-ended", "completed", "network-failure", "timed-out"])),
    ),
    max_size=30,
)


@given(commands)
def test_state_follows_from_the_stream_alone_whatever_is_asked(asked: list[c.Command]) -> None:
    stream = _events(decide(None, ReceiveContact(received())), 0)
    contact = contact_of(stream)
    assert contact is not None
    for command in asked:
        try:
            facts = decide(contact, command)
        except c.Refused:
            continue
        new = _events(facts, contact.version)
        stream += new
        contact = contact_of(new, contact)
        assert contact is not None
    assert contact_of(stream) == contact
    assert contact.version == len(stream)
    assert len([event for event in stream if event.type.endswith("ended.v1")]) <= 1
    kinds = [event.type for event in stream]
    if contact.ended:
        ended = next(i for i, kind in enumerate(kinds) if kind.endswith("ended.v1"))
        assert not any(kind.endswith("message-added.v1") for kind in kinds[ended:])
    assert len(contact.locations) == sum(kind.endswith("located.v1") for kind in kinds)
    assert len(contact.messages) == sum(kind.endswith("message-added.v1") for kind in kinds)
