"""One call that the network presents more than once: services/intake/legs.py, and what contact.py decides by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import events_of
from libs.events.types import Fact
from libs.events.types.contacts import ContactEnded, ContactLegAdded, ContactLegEnded, ContactReceived
from services.intake import contact as c
from services.intake.contact import AddLeg, Contact, EndContact, contact_of, decide, end_of

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
FIRST, BUDDY, OTHER = "first-gateway", "buddy", "another"


def tell(facts: tuple[Fact, ...], contact: Contact | None = None) -> Contact:
    events = events_of(
        facts,
        source="/intake",
        subject="contact",
        after=contact.version if contact else 0,
        force=None,
        traceparent=None,
    )
    told = contact_of(events, contact)
    assert told is not None
    return told


def call(**other: object) -> Contact:
    received = ContactReceived(
        reference="2222-2222", channel="telephone", medium="voice", line="999", gateway=FIRST, call_id="1"
    )
    return tell((msgspec.structs.replace(received, **other),))


def leg(gateway: str = BUDDY, call_id: str = "2", **other: object) -> AddLeg:
    fact = ContactLegAdded(leg_id=f"{gateway}-{call_id}", call_id=call_id, gateway=gateway)
    return AddLeg(msgspec.structs.replace(fact, **other))


def end(gateway: str | None = None, call_id: str | None = None, *, s: int = 0, **other: object) -> EndContact:
    told = EndContact(reason="caller-ended", gateway=gateway, call_id=call_id, ended_at=None, heard_at=NOW)
    return msgspec.structs.replace(told, heard_at=NOW + timedelta(seconds=s), **other)


def after(contact: Contact, *commands: c.Command) -> Contact:
    for command in commands:
        contact = tell(decide(contact, command), contact)
    return contact


def test_a_contact_begins_with_its_first_leg() -> None:
    [only] = call(trunk="t", presented_force="bedfordshire").legs
    assert (only.id, only.gateway, only.call_id, only.trunk) == ("contact", FIRST, "1", "t")
    assert only.presented_force == "bedfordshire"


def test_a_leg_leaves_the_contact_what_it_was() -> None:
    contact = call(presented_force="bedfordshire")
    joined = after(contact, leg(presented_force="hertfordshire"))
    assert (joined.received, joined.ended) == (contact.received, None)
    assert [known.presented_force for known in joined.legs] == ["bedfordshire", "hertfordshire"]


def test_a_leg_told_again_is_one_leg_and_what_was_said_first_stands() -> None:
    contact = after(call(), leg(trunk="a"))
    assert decide(contact, leg(trunk="b", leg_id="another")) == ()
    assert decide(contact, leg(FIRST, "1")) == ()
    ended = after(contact, end())
    assert decide(ended, leg()) == (), "also after the end: it was taken"


def test_two_gateways_may_know_their_legs_by_the_same_call_id() -> None:
    assert len(after(call(), leg(BUDDY, "1"), leg(OTHER, "1")).legs) == 3


@pytest.mark.parametrize(
    ("contact", "refusal"),
    [
        (after(call(), end()), c.CallIsOver),
        (call(channel="online", medium="chat", line=None), c.NotACall),
        (after(call(), *(leg(BUDDY, str(number)) for number in range(19))), c.TooManyLegs),
    ],
)
def test_what_takes_no_leg_says_why(contact: Contact, refusal: type[c.Refused]) -> None:
    with pytest.raises(refusal):
        decide(contact, leg(OTHER, "x"))


@pytest.mark.parametrize("who", [FIRST, BUDDY])
def test_the_contact_goes_on_by_the_other_leg_when_one_ends_and_ends_with_the_last(who: str) -> None:
    contact = after(call(), leg(), end(who))
    assert contact.ended is None
    assert [known.gateway for known in contact.legs if known.ended is not None] == [who]
    last = decide(contact, end(BUDDY if who == FIRST else FIRST, s=9))
    assert last == (ContactEnded(reason="caller-ended", ended_at=NOW + timedelta(seconds=9)),)


def test_a_gateway_with_one_leg_ends_the_contact_as_it_always_did() -> None:
    for command in (end(FIRST), end(FIRST, "1"), end()):
        assert decide(call(), command) == (ContactEnded(reason="caller-ended", ended_at=NOW),)


def test_staff_end_the_contact_whatever_legs_go_on() -> None:
    assert after(call(), leg(), end()).ended is not None


def test_a_gateway_ends_its_own_legs_and_nobody_else_s() -> None:
    contact = after(call(), leg(), leg(BUDDY, "3"))
    assert [known.id for known in after(contact, end(BUDDY, "3")).legs if known.ended] == ["buddy-3"]
    assert [known.id for known in after(contact, end(BUDDY)).legs if known.ended] == ["buddy-2", "buddy-3"]
    for stranger in (end(OTHER), end(OTHER, "1"), end(BUDDY, "1"), end(FIRST, "2")):
        with pytest.raises(c.NoSuchLeg):
            decide(contact, stranger)


def test_a_leg_s_end_told_again_is_the_same_end_and_another_is_refused() -> None:
    contact = after(call(), leg(), end(BUDDY))
    for again in (end(BUDDY, s=5), end(BUDDY, "2"), end(BUDDY, ended_at=NOW)):
        assert decide(contact, again) == ()
    for other in (end(BUDDY, reason="timed-out"), end(BUDDY, ended_at=NOW + timedelta(seconds=1))):
        with pytest.raises(c.LegEndedOtherwise):
            decide(contact, other)


def test_one_is_told_of_one_s_own_leg_s_end_until_the_contact_s() -> None:
    contact = after(call(), leg(), end(BUDDY))
    assert end_of(contact, None, None) is None
    assert end_of(contact, FIRST, None) is None
    assert end_of(contact, BUDDY, "2") == ContactLegEnded(leg_id="buddy-2", reason="caller-ended", ended_at=NOW)
    over = after(contact, end(reason="completed"))
    assert end_of(over, FIRST, None) == end_of(over, None, None) == over.ended


gateways = st.sampled_from([FIRST, BUDDY, OTHER])
call_ids = st.sampled_from(["1", "2"])
asked = st.lists(
    st.one_of(
        st.builds(leg, gateways, call_ids),
        st.builds(end, st.one_of(st.none(), gateways), st.one_of(st.none(), call_ids)),
    ),
    max_size=15,
)


@given(asked)
def test_a_contact_has_ended_when_and_only_when_no_leg_goes_on_or_staff_said_so(commands: list[c.Command]) -> None:
    contact, staff = call(), False
    for command in commands:
        ended_before = contact.ended is not None
        try:
            contact = after(contact, command)
        except c.Refused:
            continue
        staff = staff or (isinstance(command, EndContact) and command.gateway is None and not ended_before)
        going_on = [known for known in contact.legs if known.ended is None]
        assert going_on, "the last leg's end is the contact's"
        assert len({(known.gateway, known.call_id) for known in contact.legs}) == len(contact.legs)
        if contact.ended is not None and not staff:
            assert len({known.gateway for known in going_on}) == 1, "another gateway's leg went on"
