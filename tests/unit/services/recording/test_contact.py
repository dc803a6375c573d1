"""What recording knows of a contact: `services/recording/contact.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.events.envelope import Event
from libs.events.types import Fact
from libs.events.types.contacts import ContactEnded, ContactReceived
from libs.events.types.routing import (
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
    OwnerConfirmed,
)
from services.recording.app import REACTIONS
from services.recording.contact import Contact, may_be_disposed

HEARD_AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
RECEIVED_AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
ENDED_AT = RECEIVED_AT + timedelta(minutes=4)


def received(**members: Any) -> ContactReceived:
    return ContactReceived(
        **{"reference": "R1", "channel": "telephone", "medium": "voice", "line": "999", "gateway": "g"} | members
    )


def routed(owner: str | None = "cambridgeshire", **members: Any) -> ContactRouted:
    return ContactRouted(
        **{
            "owning_force": owner,
            "cause": "location",
            "queue": "q1",
            "recipient_uri": "sip:q",
            "priority": 1,
            "contact_version": 1,
            "waiting_since": RECEIVED_AT,
        }
        | members
    )


ANSWERED = ContactAnswered(handler="anna", answering_force="bedfordshire", queue="q2", waited_s=1.0)
RELEASED = ContactReleased(handler="anna", queue="q1", reason="ill")
CLOSED = ContactClosed(handler="anna", ended_at=ENDED_AT)
ENDED = ContactEnded(reason="caller-ended", ended_at=ENDED_AT)
ABANDONED = ContactAbandoned(queue="q1", invite_timestamp=RECEIVED_AT, cancel_timestamp=ENDED_AT)


def after(*facts: Fact) -> Contact:
    contact = Contact(id=uuid4(), received_at=HEARD_AT)
    for version, fact in enumerate(facts, 1):
        event = Event.of(fact, source="/s", subject=str(contact.id), version=version, time=RECEIVED_AT)
        contact = REACTIONS[type(fact)](contact, event, fact)
    return contact


def ignoring_ids(contact: Contact) -> dict[str, object]:
    return {name: value for name in contact.__struct_fields__ if not isinstance(value := getattr(contact, name), UUID)}


@pytest.mark.parametrize(
    "routing", [(routed(),), (routed(), ANSWERED), (routed(), ABANDONED), (routed(None), routed("essex"), ANSWERED)]
)
@pytest.mark.parametrize("intake", [(received(),), (received(presented_force="hertfordshire"), ENDED)])
def test_both_topics_say_the_same_whichever_comes_first(intake: tuple[Fact, ...], routing: tuple[Fact, ...]) -> None:
    assert ignoring_ids(after(*intake, *routing)) == ignoring_ids(after(*routing, *intake))


def test_a_contact_was_received_when_intake_or_else_the_router_says() -> None:
    later = RECEIVED_AT + timedelta(seconds=3)
    assert after(routed(waiting_since=later)).received_at == later
    assert after(routed(waiting_since=later), received()).received_at == RECEIVED_AT
    assert after(received(), routed(waiting_since=later)).received_at == RECEIVED_AT


def test_a_released_contact_waits_again() -> None:
    contact = after(received(), routed(), ANSWERED, RELEASED)
    assert contact.waits
    assert contact.answering_force is None
    assert contact.queue == "q1"


def test_a_confirmed_owner_is_no_longer_provisional() -> None:
    contact = after(routed("essex", provisional=True), OwnerConfirmed(owning_force="hertfordshire", handler="anna"))
    assert (contact.owning_force, contact.provisional) == ("hertfordshire", False)


def test_the_place_of_the_incident_is_not_forgotten_by_a_decision_that_does_not_name_it() -> None:
    assert after(routed(incident_force="essex"), routed()).incident_force == "essex"


@pytest.mark.parametrize("facts", [(received(), ENDED), (routed(), ABANDONED), (routed(), ANSWERED, CLOSED)])
def test_the_first_word_of_an_end_stands(facts: tuple[Fact, ...]) -> None:
    contact = after(*facts, ContactEnded(reason="timed-out", ended_at=ENDED_AT + timedelta(hours=1)))
    assert contact.ended_at == ENDED_AT


@pytest.mark.parametrize(
    ("facts", "handler_may"),
    [
        ((received(),), False),
        ((received(), routed()), False),
        ((received(), routed(), ANSWERED), True),
        ((received(), routed(), ANSWERED, RELEASED), False),
        ((received(), routed(), ENDED), True),
        ((received(channel="web", medium="form", line=None),), True),
    ],
)
def test_a_handler_disposes_of_what_was_claimed_or_ended_others_of_anything(
    facts: tuple[Fact, ...], handler_may: bool
) -> None:
    contact = after(*facts)
    assert may_be_disposed(contact, frozenset({"handler"})) is handler_may
    for role in ("supervisor", "recorder"):
        assert may_be_disposed(contact, frozenset({role}))
