"""What stands in the way of an erasure, what an erasure leaves, and what a correction puts right."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.events.envelope import Event, events_of
from libs.events.types import Fact
from libs.events.types.contacts import (
    ContactEnded,
    ContactLocated,
    ContactMessageAdded,
    ContactReceived,
    LocatedPersonal,
    Location,
    MessagePersonal,
    ReceivedPersonal,
)
from libs.events.types.shapes import Point
from services.intake import protection as p
from services.intake.answers import view_of
from services.intake.contact import AddLocation, AddMessage, Contact, EndContact, NothingMayBeAdded, contact_of
from services.intake.contact import decide as decide_contact
from services.intake.protection import Crime, Erase, LiftDuty, LiftHold, PlaceDuty, PlaceHold, Rectify, StillNeeded
from services.intake.protection_models import RectificationBody, correction_view

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HERE, THERE = Point(lat=52.05, lon=-0.02), Point(lat=52.2, lon=0.12)
SAID = {"by": "dpo-1", "authority": "DPO/1", "at": NOW}
FIRST = Location(id="first", of="caller", source="aml")
SECOND = Location(id="second", of="incident", source="caller")
WHO = "Peregrine Quillfeather"


def told(facts: Iterable[Fact], after: int, at: datetime = NOW) -> list[Event]:
    return events_of(facts, source="/intake", subject="contact-1", after=after, time=at)


def opened() -> Contact:
    contact = contact_of(
        told(
            [
                ContactReceived(
                    reference="2222-2222",
                    channel="telephone",
                    medium="voice",
                    line="999",
                    gateway="gw",
                    presented_force="bedfordshire",
                    locations=(FIRST,),
                    personal=ReceivedPersonal(name=WHO, calling_number="+447700900123", shapes={"first": HERE}),
                ),
                ContactLocated(location=SECOND, personal=LocatedPersonal(shape=HERE)),
                ContactMessageAdded(message_id="m-1", sender="caller", personal=MessagePersonal(text="first words")),
                ContactMessageAdded(message_id="m-2", sender="caller", personal=MessagePersonal(text="more words")),
            ],
            0,
        )
    )
    assert contact is not None
    return contact


def after(contact: Contact, *commands: p.Command, at: datetime = NOW) -> Contact:
    for command in commands:
        contact = contact_of(told(p.decide(contact, command), contact.version, at), contact) or contact
    return contact


def hold(id_: str = "h") -> PlaceHold:
    return PlaceHold(hold=id_, reason="complaint", **SAID)


def duty(id_: str = "d", until: datetime = NOW + DAY) -> PlaceDuty:
    return PlaceDuty(duty=id_, reason="police-information", until=until, **SAID)


def erasure(at: datetime = NOW) -> Erase:
    return Erase(**{**SAID, "at": at}, reason="request")


def erased(contact: Contact) -> Contact:
    return contact_of(told(p.erase(contact, (), erasure()), contact.version), contact) or contact


def rectify(**said: Any) -> Rectify:
    return Rectify(**SAID, **{"rectification": "r", "reason": "request", **said})


def test_an_erasure_is_refused_while_anything_stands_and_the_refusal_names_all_of_it() -> None:
    contact = after(opened(), hold("h-1"), hold("h-2"), duty("d-1"))
    crimes = (Crime("i-1", "40/1/26"),)
    with pytest.raises(StillNeeded) as refused:
        p.erase(contact, crimes, erasure())
    named = [(one.kind, one.id, one.authority) for one in refused.value.hindrances]
    assert named == [
        ("legal-hold", "h-1", "DPO/1"),
        ("legal-hold", "h-2", "DPO/1"),
        ("retention-duty", "d-1", "DPO/1"),
        ("crime", "i-1", "40/1/26"),
    ]
    assert refused.value.hindrances[2].until == NOW + DAY


def test_a_hold_ends_when_it_is_lifted_and_a_duty_on_its_day_or_when_it_is_lifted() -> None:
    contact = after(opened(), hold(), duty())
    assert len(p.hindrances(contact, (), NOW)) == 2
    assert [one.kind for one in p.hindrances(contact, (), NOW + DAY)] == ["legal-hold"]
    lifted = after(contact, LiftHold(hold="h", **SAID))
    assert p.hindrances(lifted, (), NOW + DAY) == []
    assert p.erase(lifted, (), erasure(NOW + DAY))
    with pytest.raises(StillNeeded):
        p.erase(lifted, (), erasure(NOW + DAY - timedelta(microseconds=1)))
    assert p.hindrances(after(lifted, LiftDuty(duty="d", **SAID)), (), NOW) == []


@given(
    st.lists(st.sampled_from(["hold", "lift", "duty", "end", "day", "crime", "no crime"]), max_size=12),
)
def test_it_is_erased_exactly_when_nothing_stands_whatever_came_before(said: list[str]) -> None:
    contact, crimes, at = opened(), set[Crime](), NOW
    holds, duties = list[str](), dict[str, datetime]()
    for number, one in enumerate(said):
        match one:
            case "hold":
                contact = after(contact, hold(f"h{number}"))
                holds.append(f"h{number}")
            case "lift" if holds:
                contact = after(contact, LiftHold(hold=holds.pop(0), **SAID))
            case "duty":
                duties[f"d{number}"] = at + DAY * (number % 3 + 1)
                contact = after(contact, duty(f"d{number}", duties[f"d{number}"]))
            case "end" if duties:
                contact = after(contact, LiftDuty(duty=duties.popitem()[0], **SAID))
            case "day":
                at += DAY
            case "crime":
                crimes.add(Crime("i", f"c{number}"))
            case "no crime" if crimes:
                crimes.pop()
    stands = len(holds) + len([until for until in duties.values() if at < until]) + len(crimes)
    if stands:
        with pytest.raises(StillNeeded) as refused:
            p.erase(contact, sorted(crimes, key=str), erasure(at))
        assert len(refused.value.hindrances) == stands
    else:
        [fact] = p.erase(contact, (), erasure(at))
        assert (fact.by, fact.authority, fact.reason) == ("dpo-1", "DPO/1", "request")  # type: ignore[attr-defined]


def test_an_erased_contact_shows_its_facts_and_nobody() -> None:
    contact = erased(after(opened(), rectify(member="name", text="Somebody Else")))
    view = view_of(contact, None, personal=True)
    assert view.erased_at == NOW
    assert view.person is None
    assert [location.shape for location in view.locations] == [None, None]
    assert [message.text for message in view.messages] == [None, None]
    assert (view.reference, view.presented_force, len(view.locations)) == ("2222-2222", "bedfordshire", 2)
    for secret in (WHO, "Somebody Else", "first words", "+447700900123", "52.05"):
        assert secret not in str(msgspec.to_builtins(contact))


def test_an_erased_contact_is_erased_once_and_takes_nothing_that_identifies_a_person() -> None:
    contact = erased(opened())
    assert p.erase(contact, (Crime("i", "c"),), erasure()) == ()
    assert p.hindrances(contact, (Crime("i", "c"),), NOW) == []
    for command in (hold(), duty(), LiftHold(hold="h", **SAID), rectify(member="name", text="x")):
        with pytest.raises(p.AlreadyErased):
            p.decide(contact, command)
    for added in (AddLocation(FIRST, HERE), AddMessage(message_id="m", sender="caller", text="x")):
        with pytest.raises(NothingMayBeAdded):
            decide_contact(contact, added)
    assert decide_contact(contact, EndContact(reason="completed", ended_at=None, heard_at=NOW)) == (
        ContactEnded(reason="completed", ended_at=NOW),
    )


@pytest.mark.parametrize("member", ["name", "calling-number", "words", "email", "handle", "safe-contact"])
def test_a_corrected_text_is_shown_and_what_stood_before_is_kept_with_the_correction(member: Any) -> None:
    contact = after(opened(), rectify(member=member, text="right"))
    shown = view_of(contact, None, personal=True).person
    assert shown is not None
    assert getattr(shown, member.replace("-", "_")) == "right"
    before = {"name": WHO, "calling-number": "+447700900123"}.get(member)
    assert [(one.before, one.after) for one in map(correction_view, contact.corrections)] == [(before, "right")]


def test_a_text_that_was_nobody_s_is_taken_out() -> None:
    shown = view_of(after(opened(), rectify(member="name")), None, personal=True).person
    assert shown is not None
    assert shown.name is None


def test_of_several_locations_and_messages_the_named_one_is_corrected() -> None:
    contact = after(
        opened(),
        rectify(member="location", id="second", shape=THERE),
        rectify(member="message", id="m-1", text="right words"),
        rectify(member="message", id="m-1", text="righter words"),
    )
    view = view_of(contact, None, personal=True)
    assert [location.shape and location.shape["lat"] for location in view.locations] == [HERE.lat, THERE.lat]
    assert [message.text for message in view.messages] == ["righter words", "more words"]
    corrections = [correction_view(one) for one in contact.corrections]
    assert [one.before for one in corrections[1:]] == ["first words", "right words"]
    assert corrections[0].id == "second"
    assert contact.corrections[0].rectified.location == SECOND  # readers place it by what it is the place of


@pytest.mark.parametrize("said", [{"member": "location", "id": "third"}, {"member": "message", "id": "first"}])
def test_what_is_not_there_cannot_be_corrected(said: dict[str, Any]) -> None:
    with pytest.raises(p.NothingToCorrect):
        p.decide(opened(), rectify(**said))


def test_holds_and_duties_have_an_end_in_number_and_time() -> None:
    contact = after(opened(), *(hold(str(number)) for number in range(p.MAX_STANDING)))
    with pytest.raises(p.TooMuchStands):
        p.decide(contact, hold("more"))
    assert p.decide(contact, duty())
    with pytest.raises(p.IsOverAlready):
        p.decide(contact, duty(until=NOW))
    for command in (LiftHold(hold="other", **SAID), LiftDuty(duty="other", **SAID)):
        with pytest.raises(p.NotStanding):
            p.decide(contact, command)


@pytest.mark.parametrize(
    "wrong",
    [
        {"member": "message", "text": "x"},
        {"member": "name", "text": "x", "id": "m"},
        {"member": "location", "id": "l", "text": "x"},
        {"member": "name", "shape": {"kind": "point", "lat": 52.0, "lon": 0.0}},
        {"member": "calling-number", "text": "a number"},
        {"member": "email", "text": "nobody"},
        {"member": "name", "text": "x" * 201},
        {"member": "shoe-size", "text": "43"},
    ],
)
def test_a_correction_has_the_form_of_what_it_corrects(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RectificationBody.model_validate({"authority": "DPO/1", "reason": "request", **wrong})


def test_a_corrected_number_is_kept_as_numbers_are() -> None:
    body = RectificationBody.model_validate(
        {"authority": "DPO/1", "reason": "request", "member": "calling-number", "text": "07700 900123"}
    )
    assert body.right() == "+447700900123"
