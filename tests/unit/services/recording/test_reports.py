"""Reports made whole: `services/recording/reports.py`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import Event
from libs.events.log.keyring import Keyring, new_master
from libs.events.types import Fact
from libs.events.types.contacts import ContactEnded, ContactLocated, ContactReceived, Location, ReceivedPersonal
from libs.events.types.routing import ContactRouted, OwnerConfirmed
from libs.events.types.shapes import Circle, Point, Postcode, Shape
from services.recording.app import REACTIONS
from services.recording.contact import Contact
from services.recording.disposition import Keys, after_disposal
from services.recording.incidents import decide, incident_id
from services.recording.reader import open_report
from services.recording.reports import BY_ITSELF, incident_of_report, opens_by_itself, place_of

RECEIVED_AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def a_report(**members: Any) -> ContactReceived:
    usual: dict[str, Any] = {
        "reference": "R1",
        "channel": "web",
        "medium": "form",
        "gateway": "g",
        "category": "theft",
        "personal": ReceivedPersonal(words="a bicycle, gone"),
    }
    return ContactReceived(**usual | members)


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


def location(id_: str, of: str) -> Location:
    return Location(id=id_, of=of, source="caller")  # type: ignore[arg-type]


def contact_after(*facts: Fact) -> Contact:
    contact = Contact(id=uuid4(), received_at=RECEIVED_AT)
    for fact in facts:
        contact = heard(contact, fact)
    return contact


def heard(contact: Contact, fact: Fact) -> Contact:
    reaction = REACTIONS.get(type(fact))
    event = Event.of(fact, source="/s", subject=str(contact.id), version=1, time=RECEIVED_AT)
    return reaction(contact, event, fact) if reaction is not None else contact


def test_a_report_needs_both_facts_to_open_its_incident() -> None:
    assert not opens_by_itself(contact_after(a_report()))
    assert not opens_by_itself(contact_after(routed(channel="web")))
    assert opens_by_itself(contact_after(a_report(), routed()))
    assert opens_by_itself(contact_after(routed(), a_report()))


@pytest.mark.parametrize(("channel", "medium"), [("telephone", "voice"), ("online", "chat")])
def test_a_call_or_conversation_waits_for_its_handler(channel: str, medium: str) -> None:
    assert not opens_by_itself(contact_after(a_report(channel=channel, medium=medium), routed()))


def test_its_incident_tells_what_the_report_told() -> None:
    report = a_report(
        locations=(location("a", "caller"), location("b", "incident")),
        personal=ReceivedPersonal(
            words="a bicycle, gone",
            shapes={"a": Point(lat=52, lon=0), "b": Postcode(postcode="SG8 6NA")},
        ),
    )
    contact = contact_after(report, routed("cambridgeshire", incident_force="hertfordshire", provisional=True))
    command = incident_of_report(contact, report)
    assert (command.by, command.reported_at, command.category) == (BY_ITSELF, RECEIVED_AT, "theft")
    assert command.summary == "a bicycle, gone"
    assert json.loads(command.place or "") == {"kind": "postcode", "postcode": "SG8 6NA"}
    assert (command.owner.force, command.owner.because, command.owner.provisional) == (
        "hertfordshire",
        "incident-location",
        False,
    )
    assert command.contact_force == "cambridgeshire"


def test_the_last_place_named_for_the_incident_counts_and_never_the_callers() -> None:
    shapes: dict[str, Shape] = {
        "a": Point(lat=52, lon=0),
        "b": Circle(lat=51, lon=0, radius_m=5),
        "c": Point(lat=50, lon=0),
    }
    report = a_report(
        locations=(location("b", "incident"), location("c", "incident"), location("a", "caller")),
        personal=ReceivedPersonal(shapes=shapes),
    )
    assert json.loads(place_of(report) or "") == {"kind": "point", "lat": 50.0, "lon": 0.0}
    only_caller = a_report(locations=(location("a", "caller"),), personal=ReceivedPersonal(shapes=shapes))
    assert place_of(only_caller) is None
    assert place_of(a_report(personal=None)) is None


def test_a_report_that_nobody_owns_opens_an_incident_that_is_the_alliances_for_now() -> None:
    contact = contact_after(a_report(), routed(None))
    owner = incident_of_report(contact, a_report()).owner
    assert (owner.force, owner.because, owner.provisional) == (None, "contact-owner", True)


FROM_INTAKE: tuple[Fact, ...] = (
    a_report(),
    ContactLocated(location=location("x", "incident")),
    ContactEnded(reason="completed", ended_at=RECEIVED_AT),
)
FROM_ROUTER: tuple[Fact, ...] = (
    routed("cambridgeshire"),
    routed("hertfordshire"),
    OwnerConfirmed(owning_force="hertfordshire", handler="anna"),
)


@given(st.data())
def test_any_interleaving_of_what_is_received_and_routed_opens_exactly_one_incident(data: st.DataObject) -> None:
    intake = list(FROM_INTAKE[: data.draw(st.integers(1, 3))])
    router = list(FROM_ROUTER[: data.draw(st.integers(1, 3))])
    contact = Contact(id=uuid4(), received_at=RECEIVED_AT)
    opened: list[str] = []
    seen: list[type[Fact]] = []
    while intake or router:
        source = data.draw(st.sampled_from([each for each in (intake, router) if each]))
        fact = source.pop(0)
        seen.append(type(fact))
        contact = heard(contact, fact)
        if opens_by_itself(contact):
            decision = decide(None, None, incident_of_report(contact, a_report()))
            contact = after_disposal(contact, decision.on_contact[0], RECEIVED_AT)
            opened.append(decision.incident or "")
        assert bool(opened) == (ContactReceived in seen and ContactRouted in seen)
    assert opened == [incident_id(str(contact.id))]


def test_the_disposition_follows_from_the_routing_and_the_incident_from_the_disposition() -> None:
    report = a_report()
    contact = contact_after(report, routed())
    last = Event.of(report, source="/intake", subject=str(contact.id), version=1, traceparent="00-aa-bb-01")
    keyring = Keyring("/recording", new_master().line)
    keys = Keys(keyring.new(str(contact.id)), keyring.new(incident_id(str(contact.id))))
    disposed, (disposal, opening) = open_report(contact, report, last, source="/recording", keys=keys)
    assert (disposal.key, opening.key) == (keys.contact.new, keys.incident.new)
    assert (disposal.subject, disposal.expected) == (str(contact.id), 0)
    assert (opening.subject, opening.expected) == (incident_id(str(contact.id)), 0)
    (said,), (opened,) = disposal.events, opening.events
    assert said.causation_id == contact.routed
    assert opened.causation_id == said.id
    assert said.traceparent == opened.traceparent == "00-aa-bb-01"
    assert (said.force, opened.force) == ("cambridgeshire", "cambridgeshire")
    assert [claim.key for claim in opening.claims] == [f"reference/{opened.fact.reference}"]
    assert disposed.incident == UUID(opening.subject)
    assert not opens_by_itself(disposed)
