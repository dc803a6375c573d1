"""What a contact came to is said once, by those who may, and makes sense."""

from __future__ import annotations

import asyncio
import time

import pytest
from uuid_utils.compat import uuid7

from services.recording import desk
from tests.integration.recording import (
    ADVICE,
    BEDS,
    CAMBS,
    HERTS,
    IN_CAMBS,
    IN_HERTS,
    ON_THE_BORDER,
    Contact,
    System,
    a_call,
    opening,
    types_of,
)


async def test_a_handler_opens_an_incident_where_it_happened_not_where_the_caller_is(system: System) -> None:
    call, events = a_call(CAMBS)
    await system.publish(*events)
    answer = await system.dispose(call, opening(location=IN_HERTS))
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert said["disposition"] == "incident-opened"
    assert (said["incident"]["owningForce"], said["incident"]["ownedBecause"]) == (HERTS, "incident-location")
    incident = said["incident"]["id"]
    seen_by_owner = await system.get(f"/v1/incidents/{incident}", system.caller("recorder", HERTS))
    seen_by_reporter = await system.get(f"/v1/incidents/{incident}", system.caller("handler", CAMBS))
    assert seen_by_owner == seen_by_reporter
    assert seen_by_owner["reference"] == said["incident"]["reference"]
    stranger = await system.client.get(
        f"/v1/incidents/{incident}", headers=system.caller("recorder", BEDS, subject="bea")
    )
    assert stranger.status_code == 404


@pytest.mark.parametrize(
    ("location", "force", "owner", "because", "provisional"),
    [
        (IN_CAMBS, HERTS, CAMBS, "incident-location", False),
        (ON_THE_BORDER, HERTS, HERTS, "handler", False),
        (ON_THE_BORDER, None, CAMBS, "incident-location", True),
        (None, HERTS, HERTS, "handler", False),
        (None, None, CAMBS, "contact-owner", False),
        ({"kind": "point", "lat": 10, "lon": 10}, None, CAMBS, "contact-owner", True),
        ({"kind": "postcode", "postcode": "ZZ9 9ZZ"}, None, CAMBS, "contact-owner", True),
    ],
)
async def test_who_owns_the_incident_and_why_is_on_record(
    system: System, location: object, force: str | None, owner: str, because: str, provisional: bool
) -> None:
    call, events = a_call(CAMBS)
    await system.publish(*events)
    body = opening(**({"location": location} if location else {}))
    answer = await system.dispose(call, body | ({"force": force} if force else {}))
    assert answer.status_code == 201, answer.text
    incident = answer.json()["incident"]
    assert (incident["owningForce"], incident["ownedBecause"], incident["provisional"]) == (owner, because, provisional)


async def test_a_second_disposition_is_refused_unless_it_says_the_same(system: System) -> None:
    call, events = a_call()
    await system.publish(*events)
    first = await system.dispose(call, opening(location=IN_CAMBS))
    again = await system.dispose(call, opening(location=IN_CAMBS), system.caller("supervisor", subject="ben"), copy=1)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await system.dispose(call, ADVICE)
    assert other.status_code == 409
    assert other.json()["disposition"] == "incident-opened"


async def test_an_idempotency_key_answers_alike_and_refuses_another_body(system: System) -> None:
    call, events = a_call()
    await system.publish(*events)
    caller = system.caller() | {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first = await system.dispose(call, opening(location=IN_HERTS), caller)
    again = await system.dispose(call, opening(location=IN_HERTS), caller, copy=1)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await system.dispose(call, ADVICE, caller)
    assert other.status_code == 422
    assert other.json()["type"].endswith("idempotency-mismatch")


async def test_a_reference_that_is_taken_is_drawn_again(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["INC-TEST-0001", "INC-TEST-0001", "INC-TEST-0001", "INC-TEST-0002"])
    monkeypatch.setattr(desk, "new_reference", lambda: next(drawn))
    references = []
    for _ in range(2):
        call, events = a_call()
        await system.publish(*events)
        answer = await system.dispose(call, opening())
        assert answer.status_code == 201, answer.text
        references.append(answer.json()["incident"]["reference"])
    assert references == ["INC-TEST-0001", "INC-TEST-0002"]


@pytest.mark.parametrize("same", [True, False])
async def test_two_who_dispose_of_one_contact_at_once_are_answered_alike_or_one_is_refused(
    system: System, same: bool
) -> None:
    call, events = a_call()
    await system.publish(*events)
    await system.audited(call, 3)
    bodies = [opening(), opening() if same else ADVICE]
    answers = await asyncio.gather(*(system.dispose(call, bodies[n % 2], copy=n % 2) for n in range(8)))
    good = [answer.json() for answer in answers if answer.status_code == 201]
    assert sorted({answer.status_code for answer in answers}) == ([201] if same else [201, 409])
    assert all(answer == good[0] for answer in good)


async def test_a_handler_quicker_than_kafka_is_waited_for(system: System) -> None:
    call, events = a_call()
    posting = asyncio.create_task(system.dispose(call, ADVICE))
    await asyncio.sleep(0.4)
    await system.publish(*events)
    answer = await posting
    assert answer.status_code == 201, answer.text


async def test_an_unknown_contact_and_a_strangers_are_the_same_404_after_a_bounded_wait(system: System) -> None:
    call, events = a_call(CAMBS)
    await system.publish(*events)
    await system.audited(call, 3)
    stranger = system.caller("handler", BEDS, subject="ben")
    began = time.monotonic()
    unknown, foreign = await asyncio.gather(
        system.dispose(Contact(), ADVICE, stranger), system.dispose(call, ADVICE, stranger)
    )
    assert 1.5 < time.monotonic() - began < 4
    assert (unknown.status_code, foreign.status_code) == (404, 404)
    documents = [{k: v for k, v in each.json().items() if k != "requestId"} for each in (unknown, foreign)]
    assert documents[0] == documents[1]
    audit = await system.client.get(
        "/v1/audit", params={"contact": call.id}, headers=system.caller("auditor", BEDS, subject="ben")
    )
    assert audit.status_code == 404


async def test_a_contact_that_waits_in_a_queue_is_a_supervisors_to_dispose_of(system: System) -> None:
    call = Contact()
    await system.publish(call.received(), call.routed(), call.answered(), call.released())
    await system.audited(call, 4)
    early = await system.dispose(call, ADVICE)
    assert early.status_code == 409
    allowed = await system.dispose(call, ADVICE, system.caller("supervisor"))
    assert allowed.status_code == 201


async def test_an_abandoned_call_may_be_disposed_of_by_a_handler(system: System) -> None:
    call = Contact()
    await system.publish(call.received(), call.routed(), call.ended())
    answer = await system.dispose(call, {"disposition": "enquiry", "note": "rang back: a misdial"})
    assert answer.status_code == 201, answer.text


async def test_many_callers_join_one_incident_at_once_and_none_is_lost(system: System) -> None:
    first, events = a_call()
    callers = [a_call() for _ in range(12)]
    await system.publish(*events, *(event for _, told in callers for event in told))
    incident = (await system.dispose(first, opening(location=IN_CAMBS))).json()["incident"]
    body = {"disposition": "joined-incident", "incidentId": incident["id"]}
    answers = await asyncio.gather(
        *(system.dispose(call, body, copy=n % 2) for n, (call, _) in enumerate(callers[:4])),
    )
    assert [answer.status_code for answer in answers] == [201] * 4, [answer.text for answer in answers]
    for call, _ in callers[4:]:
        assert (await system.dispose(call, body)).json()["incident"] == incident
    shown = await system.get(f"/v1/incidents/{incident['id']}", system.caller())
    assert shown["contacts"][0] == first.id
    assert sorted(shown["contacts"][1:]) == sorted(call.id for call, _ in callers)
    assert "recording.incident-opened" in types_of(await system.audited(callers[0][0], 3 + 1 + 13))


async def test_an_incident_that_is_unknown_or_a_strangers_cannot_be_joined(system: System) -> None:
    ours, events = a_call(CAMBS)
    theirs = Contact()
    await system.publish(*events, theirs.reported("in Hertfordshire"), theirs.routed(HERTS, incident_force=HERTS))
    foreign = await system.incident_of(theirs, HERTS)
    for incident in (str(uuid7()), str(foreign), theirs.id):
        answer = await system.dispose(ours, {"disposition": "joined-incident", "incidentId": incident})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == "/incidentId"
    assert (await system.dispose(ours, ADVICE)).status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"disposition": "transferred"}, "/transferredTo"),
        (ADVICE | {"transferredTo": "essex"}, "/transferredTo"),
        (opening() | {"force": "atlantis"}, "/force"),
        ({"disposition": "joined-incident"}, ""),
        (ADVICE | {"incident": {"summary": "x"}}, ""),
        ({"disposition": "forgotten"}, "/disposition"),
        (opening(summary=""), "/incident/summary"),
        (opening(location={"kind": "point", "lat": 95, "lon": 0}), "/incident/location/lat"),
        (opening(location={"kind": "polygon", "exterior": [[52, 0], [52, 0.1], [52, 0.2]]}), "/incident/location"),
        (opening(location={"kind": "circle", "lat": 52, "lon": 0, "radiusM": 150_000}), "/incident/location/radiusM"),
        (ADVICE | {"colour": "blue"}, "/colour"),
    ],
)
async def test_a_disposition_that_makes_no_sense_says_where(
    system: System, body: dict[str, object], pointer: str
) -> None:
    call, events = a_call()
    await system.publish(*events)
    answer = await system.dispose(call, body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0].get("pointer", "") == pointer


@pytest.mark.parametrize("role", ["gateway", "auditor", "registrar", "partner"])
async def test_others_do_not_dispose(system: System, role: str) -> None:
    call, events = a_call()
    await system.publish(*events)
    assert (await system.dispose(call, ADVICE, system.caller(role))).status_code == 403
