"""What a contact comes to: `services/recording/incidents.py`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from libs.events.types.recording import ContactDisposed, ContactJoined, IncidentOpened
from services.recording.incidents import (
    AlreadyDisposed,
    Command,
    DisposeContact,
    Incident,
    IncidentUnknown,
    JoinIncident,
    OpenIncident,
    TargetWithoutTransfer,
    TransferredWithoutTarget,
    decide,
    disposition_of,
    evolve,
    incident_id,
    incident_of,
    new_reference,
)
from services.recording.owner import Owner

CONTACT = "018f2f5e-7a1c-7c3d-9a10-5b1e5a7d0001"
RECEIVED_AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
HERTS = Owner(force="hertfordshire", because="incident-location", provisional=False)


def opening(**changes: object) -> OpenIncident:
    members: dict[str, object] = {
        "contact": CONTACT,
        "by": "anna",
        "contact_force": "cambridgeshire",
        "note": "called back",
        "owner": HERTS,
        "reference": "INC-0000-0001",
        "reported_at": RECEIVED_AT,
        "category": "theft",
        "summary": "a bicycle, gone",
        "place": '{"kind":"postcode","postcode":"SG8 6NA"}',
    }
    return OpenIncident(**(members | changes))  # type: ignore[arg-type]


def advice(**changes: object) -> DisposeContact:
    return DisposeContact(**({"contact": CONTACT, "by": "anna", "disposition": "advice"} | changes))  # type: ignore[arg-type]


def after(command: Command, incident: Incident | None = None) -> tuple[ContactDisposed, Incident | None]:
    """What stands once a command was carried out."""
    decision = decide(None, incident, command)
    for fact in decision.on_incident:
        incident = evolve(incident, fact)
    standing = disposition_of(decision.on_contact)
    assert standing is not None
    return standing, incident


def test_opening_an_incident_disposes_of_the_contact_and_keeps_both_owners_apart() -> None:
    decision = decide(None, None, opening())
    (disposed,) = decision.on_contact
    (opened,) = decision.on_incident
    assert isinstance(opened, IncidentOpened)
    assert (disposed.disposition, disposed.incident, disposed.force) == (
        "incident-opened",
        decision.incident,
        "cambridgeshire",
    )
    assert (opened.owning_force, opened.owned_because, opened.provisional) == (
        "hertfordshire",
        "incident-location",
        False,
    )
    assert (opened.contact, opened.reported_at, opened.opened_by) == (CONTACT, RECEIVED_AT, "anna")


def test_what_identifies_a_person_stands_under_personal_alone() -> None:
    decision = decide(None, None, opening())
    (disposed,) = decision.on_contact
    (opened,) = decision.on_incident
    assert isinstance(opened, IncidentOpened)
    assert disposed.personal is not None
    assert disposed.personal.note == "called back"
    assert opened.personal is not None
    assert opened.personal.summary == "a bicycle, gone"
    for fact in (disposed, opened):
        kept = {name: getattr(fact, name) for name in fact.__struct_fields__ if name != "personal"}
        assert not re.search("bicycle|called back|SG8", repr(kept))


def test_joining_tells_both_streams() -> None:
    _, incident = after(opening())
    other = "018f2f5e-7a1c-7c3d-9a10-5b1e5a7d0002"
    joining = JoinIncident(contact=other, by="ben", incident=incident_id(CONTACT))
    decision = decide(None, incident, joining)
    assert decision.on_contact[0].incident == incident_id(CONTACT)
    assert decision.on_incident == (ContactJoined(contact=other, by="ben"),)
    _, joined = after(joining, incident)
    assert joined is not None
    assert joined.contacts == (CONTACT, other)
    assert joined.version == 2


def test_an_unknown_incident_cannot_be_joined() -> None:
    with pytest.raises(IncidentUnknown):
        decide(None, None, JoinIncident(contact=CONTACT, by="anna", incident=str(uuid7())))


def test_a_transfer_names_its_target() -> None:
    with pytest.raises(TransferredWithoutTarget):
        decide(None, None, advice(disposition="transferred"))
    decision = decide(None, None, advice(disposition="transferred", transferred_to="essex"))
    assert decision.on_contact[0].transferred_to == "essex"


def test_only_a_transfer_has_a_target() -> None:
    with pytest.raises(TargetWithoutTransfer):
        decide(None, None, advice(transferred_to="essex"))


@pytest.mark.parametrize(
    "second",
    [
        advice(),
        advice(disposition="transferred", transferred_to="essex"),
        JoinIncident(contact=CONTACT, by="anna", incident=incident_id(CONTACT), note="called back"),
        opening(summary="two bicycles"),
        opening(place=None),
        opening(category=None),
        opening(note=None),
    ],
)
def test_a_second_disposition_is_refused_and_says_what_stands(second: Command) -> None:
    standing, incident = after(opening())
    with pytest.raises(AlreadyDisposed) as refused:
        decide(standing, incident, second)
    assert refused.value.standing == standing


def test_an_identical_disposition_decides_nothing_new_whoever_says_it_and_whatever_the_border_says_now() -> None:
    standing, incident = after(opening())
    again = opening(
        by="ben",
        reference=new_reference(),
        contact_force=None,
        owner=Owner(force="essex", because="contact-owner", provisional=True),
    )
    decision = decide(standing, incident, again)
    assert (decision.on_contact, decision.on_incident) == ((), ())
    assert decision.incident == incident_id(CONTACT)


def test_another_force_named_by_the_handler_is_another_disposition() -> None:
    named = Owner(force="essex", because="handler", provisional=False)
    standing, incident = after(opening(owner=named))
    assert decide(standing, incident, opening(owner=named)).on_contact == ()
    with pytest.raises(AlreadyDisposed):
        decide(standing, incident, opening(owner=HERTS))


@pytest.mark.parametrize("disposition", ["advice", "enquiry", "no-police-matter"])
def test_plain_dispositions_lead_to_no_incident(disposition: str) -> None:
    decision = decide(None, None, advice(disposition=disposition, note="told to lock it"))
    assert decision.incident is None
    assert decision.on_incident == ()
    assert decision.on_contact[0].disposition == disposition


@pytest.mark.parametrize("first", [advice(), advice(note="x"), advice(disposition="transferred", transferred_to="a")])
def test_every_plain_disposition_may_be_said_twice(first: DisposeContact) -> None:
    standing, _ = after(first)
    assert decide(standing, None, first).on_contact == ()


def test_a_contacts_stream_is_no_incident() -> None:
    standing, _ = after(advice())
    assert incident_of([standing]) is None


@given(st.uuids(version=4).map(lambda u: u.bytes))
def test_an_incidents_id_is_a_uuid7_of_its_contacts_millisecond_and_always_the_same(random: bytes) -> None:
    contact = bytearray(random)
    contact[6] = 0x70 | contact[6] & 0x0F
    id_ = str(UUID(bytes=bytes(contact)))
    incident = UUID(incident_id(id_))
    assert incident == UUID(incident_id(id_))
    assert incident != UUID(id_)
    assert incident.version == 7
    assert incident.variant == UUID(id_).variant
    assert incident.bytes[:6] == UUID(id_).bytes[:6]


def test_incidents_of_two_contacts_of_one_millisecond_differ() -> None:
    contacts = [str(UUID(int=UUID(CONTACT).int + i)) for i in range(1000)]
    assert len({incident_id(contact) for contact in contacts}) == 1000


def test_a_reference_can_be_read_out() -> None:
    references = {new_reference() for _ in range(1000)}
    assert len(references) == 1000
    assert all(re.fullmatch("INC-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", each) for each in references)
