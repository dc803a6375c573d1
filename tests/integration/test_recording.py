"""Recording on the real PostgreSQL and the real Kafka: two copies of the service on one database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from deploy.local.topics import recreate_topics
from libs.events.envelope import Event
from libs.events.types.contacts import ContactReceived
from libs.events.types.directory import AreaChunkPublished
from libs.events.types.shapes import Point
from services.recording import desk
from services.recording.audit import AUDIT
from services.recording.incidents import incident_id
from services.recording.rebuild import rebuild
from tests.conftest import FORCES, NewDatabase
from tests.integration.recording_parts import (
    BEDS,
    CAMBS,
    HERTS,
    IN_CAMBS,
    IN_HERTS,
    ON_THE_BORDER,
    Contact,
    System,
    a_call,
    running_system,
    types_of,
    until,
)

ADVICE = {"disposition": "advice"}
NAIVE = "W3RydWUsIjIwMjYtMDMtMDFUMDg6MDA6MDAiLCIwMThmMmY1ZS03YTFjLTdjM2QtOWExMC01YjFlNWE3ZDAwMDEiXQ"
"""A cursor as somebody else would make it: its time has no offset."""


def opening(**incident: object) -> dict[str, object]:
    return {
        "disposition": "incident-opened",
        "incident": {"summary": "a bicycle, gone", "category": "theft", **incident},
    }


@pytest_asyncio.fixture(scope="module")
async def system(
    database: NewDatabase, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    await recreate_topics(kafka.bootstrap_servers, FORCES)
    secrets: Path = tmp_path_factory.mktemp("secrets")
    async with running_system(await database("recording"), kafka.bootstrap_servers, secrets) as running:
        yield running


# A report made whole --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["received", "routed"])
async def test_a_whole_report_opens_its_incident_by_itself_whichever_fact_comes_first(
    system: System, first: str
) -> None:
    report = Contact()
    received, routed = report.reported("my bicycle was taken"), report.routed(CAMBS, incident_force=HERTS)
    if first == "received":
        await system.publish(received)
        await asyncio.sleep(0.5)
        await system.publish(routed)
    else:
        await system.publish(routed)
        await asyncio.sleep(0.5)
        await system.publish(received)
    incident = await system.incident_of(report)
    assert incident == UUID(incident_id(report.id))
    shown = await system.get(f"/v1/incidents/{incident}", system.caller("recorder", HERTS))
    assert (shown["owningForce"], shown["ownedBecause"], shown["provisional"]) == (HERTS, "incident-location", False)
    assert (shown["summary"], shown["category"]) == ("my bicycle was taken", "theft")
    assert json.loads(shown["place"]) == {"kind": "point", "lat": 52.2, "lon": 0.12}
    assert (shown["openedBy"], shown["contacts"], shown["version"]) == ("recording", [report.id], 1)
    assert shown["reportedAt"] == report.received_at.isoformat().replace("+00:00", "Z")
    assert await _kept_reports(system, report) == 0


async def test_reports_told_many_times_to_two_copies_open_one_incident_each(system: System) -> None:
    reports = [Contact() for _ in range(40)]
    received = [report.reported("again and again") for report in reports]
    routed = [report.routed(CAMBS) for report in reports]
    await asyncio.gather(
        system.publish(*received, *received), system.publish(*routed, *routed), system.publish(*routed, *received)
    )
    for report in reports:
        await system.audited(report, 4)
    await system.publish(*received, *routed)
    probe = Contact()
    await system.publish(probe.reported("the last"), probe.routed(CAMBS))
    await system.audited(probe, 4)
    owner = await asyncpg.connect(system.logins.owner_url)
    try:
        counted = await owner.fetch(
            "SELECT subject, count(*) AS events FROM event WHERE subject = ANY ($1) GROUP BY subject",
            [name for report in reports for name in (report.id, incident_id(report.id))],
        )
    finally:
        await owner.close()
    assert [row["events"] for row in counted] == [1] * 80
    for report in reports:
        assert types_of(await system.audit(report)) == [
            "contact.received",
            "routing.routed",
            "recording.contact-disposed",
            "recording.incident-opened",
        ]


async def test_a_report_that_somebody_disposed_of_first_opens_nothing(system: System) -> None:
    report = Contact()
    await system.publish(report.reported("never mind", at=Point(lat=52.2, lon=0.1)))
    supervisor = system.caller("supervisor", alliance=True)
    answer = await system.dispose(report, {"disposition": "no-police-matter"}, supervisor)
    assert answer.status_code == 201, answer.text
    await system.publish(report.routed(CAMBS))
    events = await system.audited(report, 3)
    assert types_of(events)[-1] == "routing.routed" or "routing.routed" in types_of(events)
    await asyncio.sleep(0.5)
    assert "recording.incident-opened" not in types_of(await system.audit(report))
    assert await _kept_reports(system, report) == 0


async def _kept_reports(system: System, contact: Contact) -> int:
    owner = await asyncpg.connect(system.logins.owner_url)
    try:
        return int(await owner.fetchval("SELECT count(*) FROM report WHERE contact = $1", UUID(contact.id)))
    finally:
        await owner.close()


# Dispositions ---------------------------------------------------------------------------------------------------------


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
    stranger = await system.client.get(f"/v1/incidents/{incident}", headers=system.caller("recorder", BEDS))
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


# What is owed ---------------------------------------------------------------------------------------------------------


async def test_a_contact_without_a_disposition_is_counted_and_listed_ended_ones_first(system: System) -> None:
    force = "owing-force"
    waiting, ended, done = Contact(), Contact(), Contact()
    for call in (waiting, ended, done):
        await system.publish(call.received(presented_force=force), call.routed(force), call.answered(force=force))
    await system.publish(ended.ended())
    handler, listing = system.caller("handler", force), {"disposition": "none", "force": force}
    assert (await system.dispose(done, ADVICE, handler)).status_code == 201

    async def look() -> bool:
        page = await system.get("/v1/contacts", handler, **listing)
        return bool(page["counts"] == [{"force": force, "open": 1, "ended": 1}])

    await until(look)
    page = await system.get("/v1/contacts", handler, **listing)
    assert [contact["id"] for contact in page["contacts"]] == [ended.id, waiting.id]
    one = await system.get("/v1/contacts", handler, **listing, limit=1)
    rest = await system.get("/v1/contacts", handler, **listing, limit=1, cursor=one["next"])
    assert [contact["id"] for contact in one["contacts"] + rest["contacts"]] == [ended.id, waiting.id]
    assert rest["next"] is None
    hidden = await system.get("/v1/contacts", system.caller("handler", BEDS), **listing)
    assert (hidden["counts"], hidden["contacts"]) == ([], [])

    async def measured() -> bool:
        lines = (await system.client.get("/metrics")).text.splitlines()
        name = "hueandcry_recording_contacts_without_disposition"
        return {f'{name}{{ended="{yes}",force="{force}"}} 1.0' for yes in ("no", "yes")} <= set(lines)

    await until(measured)


async def test_a_contact_whose_own_facts_cannot_be_read_is_still_owed(system: System) -> None:
    force = "unread-force"
    call = Contact()
    good = call.received()
    bad = Event(**{name: getattr(good, name) for name in good.__struct_fields__} | {"data": b'{"reference":7}'})
    await system.publish(bad, call.routed(force, cause="unprocessable"))
    handler = system.caller("supervisor", force)

    async def look() -> bool:
        page = await system.get("/v1/contacts", handler, disposition="none", force=force)
        return [contact["id"] for contact in page["contacts"]] == [call.id]

    await until(look)
    (entry,) = [event for event in await system.audited(call, 2, force) if event["source"] == "/intake"]
    assert entry["data"] == {"reference": 7}
    assert (await system.dispose(call, ADVICE, handler)).status_code == 201


# Incidents ------------------------------------------------------------------------------------------------------------


async def test_incidents_are_listed_for_their_forces_newest_first_and_page_by_page(system: System) -> None:
    mine, other = "listing-force", "other-force"
    reports = [Contact() for _ in range(7)]
    for n, report in enumerate(reports):
        owner = mine if n != 3 else other
        await system.publish(report.reported(f"report {n}"), report.routed(other, incident_force=owner))
    registrar = system.caller("registrar", mine)
    expected = sorted((incident_id(report.id) for n, report in enumerate(reports) if n != 3), reverse=True)

    async def look() -> bool:
        return len((await system.get("/v1/incidents", registrar))["incidents"]) == 6

    await until(look)
    found, cursor = [], None
    while True:
        page = await system.get("/v1/incidents", registrar, limit=4, **({"cursor": cursor} if cursor else {}))
        found += [incident["id"] for incident in page["incidents"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == expected
    both = await system.get("/v1/incidents", system.caller("recorder", mine, other))
    assert len(both["incidents"]) == 7
    reporting = await system.get("/v1/incidents", system.caller("recorder", other))
    assert len(reporting["incidents"]) == 7
    owned = await system.get("/v1/incidents", system.caller("recorder", other), force=other)
    assert [incident["id"] for incident in owned["incidents"]] == [incident_id(reports[3].id)]
    assert all("summary" not in incident for incident in both["incidents"])
    assert (await system.get("/v1/incidents", system.caller("recorder", BEDS), force=mine))["incidents"] == []


@pytest.mark.parametrize("cursor", ["x", "bm90IGpzb24", "WzEsMl0", "é", "WyJhIl0", NAIVE])
async def test_a_cursor_that_we_did_not_give_is_refused(system: System, cursor: str) -> None:
    for path, query in (("/v1/incidents", {}), ("/v1/contacts", {"disposition": "none"})):
        answer = await system.client.get(path, params={"cursor": cursor, **query}, headers=system.caller())
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "cursor"


# Audit ----------------------------------------------------------------------------------------------------------------


async def test_the_audit_holds_every_event_in_order_and_nothing_personal(system: System) -> None:
    call, events = a_call(CAMBS)
    secret = "Wrenfield-Oakapple"
    received = ContactReceived(
        reference="R",
        channel="telephone",
        medium="voice",
        gateway="g",
        personal={"name": secret},  # type: ignore[arg-type]
    )
    events[0] = Event(
        **{name: getattr(events[0], name) for name in events[0].__struct_fields__}
        | {"data": Event.of(received, source="/intake", subject=call.id, version=1).data}
    )
    call.versions["/intake"] = 1
    await system.publish(*events, call.ended())
    body = {**opening(summary=secret, location=IN_CAMBS), "note": secret}
    assert (await system.dispose(call, body)).status_code == 201
    shown = await system.audited(call, 6)
    assert secret not in json.dumps(shown)
    assert [event["type"].split(".")[-2] for event in shown if event["source"] != "/intake"] == [
        "routed",
        "answered",
        "contact-disposed",
        "incident-opened",
    ]
    places = {event["id"]: place for place, event in enumerate(shown)}
    for place, event in enumerate(shown):
        assert event["causationId"] is None or places[event["causationId"]] < place
    assert shown[0]["type"] == "uk.hueandcry.contact.received.v1"
    owner = await asyncpg.connect(system.logins.owner_url)
    try:
        held = await owner.fetchval("SELECT count(*) FROM audit_event WHERE position($1 in data) > 0", secret.encode())
    finally:
        await owner.close()
    assert held == 0


@pytest.mark.parametrize("role", ["handler", "recorder", "registrar", "gateway"])
async def test_the_audit_is_for_auditors_and_supervisors(system: System, role: str) -> None:
    answer = await system.client.get("/v1/audit", params={"contact": str(uuid7())}, headers=system.caller(role))
    assert answer.status_code == 403


async def test_the_audit_is_rebuilt_while_events_arrive_and_is_never_seen_missing(system: System) -> None:
    steady, events = a_call()
    await system.publish(*events)
    expected = await system.audited(steady, 3)
    owner = await asyncpg.connect(system.logins.owner_url)
    stop = asyncio.Event()
    arrived: list[Contact] = []
    looks = 0

    async def arrive() -> None:
        while not stop.is_set():
            report = Contact()
            await system.publish(report.reported("while it is rebuilt"), report.routed(CAMBS))
            arrived.append(report)
            await asyncio.sleep(0.02)

    async def watch() -> None:
        nonlocal looks
        while not stop.is_set():
            assert await system.audit(steady) == expected
            looks += 1

    try:
        old = await owner.fetchval("SELECT generation FROM projection WHERE name = 'audit'")
        before = await owner.fetch(_AUDITED)
        arriving, watching = asyncio.create_task(arrive()), asyncio.create_task(watch())
        await asyncio.sleep(0.5)
        shown = await rebuild(AUDIT, system.logins.owner_url)
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(arriving, watching)
        assert looks > 10
        for report in arrived:
            await system.audited(report, 4)
        generations = await owner.fetch("SELECT generation, state FROM projection WHERE name = 'audit'")
        assert [tuple(row) for row in generations] == [(old + 1, "live")]
        assert shown == old + 1
        after = await owner.fetch(_AUDITED)
        assert {tuple(row) for row in before} <= {tuple(row) for row in after}
        own = {row["id"] for row in await owner.fetch("SELECT id FROM event")}
        told = {id_ for id_, event in system.published.items() if event.type != AreaChunkPublished.TYPE}
        assert {row["id"] for row in after} == own | told
        assert len(after) == len(own) + len(told)
    finally:
        stop.set()
        await owner.close()


_AUDITED = "SELECT id, source, subject, version, type, time, force, causation_id, data FROM audit_event"


async def test_the_list_of_incidents_is_rebuilt_from_the_command_line(system: System) -> None:
    report, force = Contact(), "rebuilding-force"
    await system.publish(report.reported("before"), report.routed(force))
    registrar = system.caller("registrar", force)

    async def listed() -> object:
        return (await system.get("/v1/incidents", registrar))["incidents"]

    before = await until(listed)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.recording", "rebuild", "incidents"),
        env={**os.environ, "MIGRATION_DATABASE_URL": system.logins.owner_url},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert said.decode().endswith("incidents: generation 2 is shown\n")
    assert await listed() == before
    later = Contact()
    await system.publish(later.reported("after"), later.routed(force))

    async def both() -> bool:
        incidents = await listed()
        return isinstance(incidents, list) and [each["id"] for each in incidents] == [
            incident_id(later.id),
            incident_id(report.id),
        ]

    await until(both)
