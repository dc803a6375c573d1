"""The audit holds every event and nobody; read models are rebuilt while they are read."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from libs.events.envelope import Event, events_of
from libs.events.log.roles import CONSUMER, Login
from libs.events.types import access
from libs.events.types.contacts import ContactLegAdded, ContactLegEnded, ContactReceived, LegPersonal
from libs.events.types.directory import AreaChunkPublished
from services.recording.audit import AUDIT
from services.recording.incidents import incident_id
from services.recording.rebuild import rebuild
from tests.integration.recording import (
    BEDS,
    CAMBS,
    IN_CAMBS,
    Contact,
    System,
    a_call,
    opening,
    until,
)


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
    consumer = await Login(system.logins.url).connect(CONSUMER, server_settings={})
    try:
        held = await consumer.fetchval(
            "SELECT count(*) FROM audit_event WHERE position($1 in data) > 0", secret.encode()
        )
    finally:
        await consumer.close()
    assert held == 0


@pytest.mark.parametrize("role", ["handler", "recorder", "registrar", "gateway"])
async def test_the_audit_is_for_auditors_and_supervisors(system: System, role: str) -> None:
    answer = await system.client.get("/v1/audit", params={"contact": str(uuid7())}, headers=system.caller(role))
    assert answer.status_code == 403


async def test_the_audit_is_rebuilt_while_events_arrive_and_is_never_seen_missing(system: System) -> None:
    steady, events = a_call()
    await system.publish(*events)
    expected = await system.audited(steady, 3)
    consumer = await Login(system.logins.url).connect(CONSUMER, server_settings={})
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
        old = await consumer.fetchval("SELECT generation FROM projection WHERE name = 'audit'")
        before = await consumer.fetch(_AUDITED)
        arriving, watching = asyncio.create_task(arrive()), asyncio.create_task(watch())
        await asyncio.sleep(0.5)
        shown = await rebuild(AUDIT, system.logins.owner_url)
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(arriving, watching)
        assert looks > 10
        for report in arrived:
            await system.audited(report, 4)
        generations = await consumer.fetch("SELECT generation, state FROM projection WHERE name = 'audit'")
        assert [tuple(row) for row in generations] == [(old + 1, "live")]
        assert shown == old + 1
        after = await consumer.fetch(_AUDITED)
        assert {tuple(row) for row in before} <= {tuple(row) for row in after}
        elsewhere = [fact.TYPE for fact in (*access.FACTS, AreaChunkPublished)]
        own = {row["id"] for row in await consumer.fetch("SELECT id FROM event WHERE type <> ALL ($1)", elsewhere)}
        told = {id_ for id_, event in system.published.items() if event.type not in elsewhere}
        assert {row["id"] for row in after} == own | told
        assert len(after) == len(own) + len(told)
    finally:
        stop.set()
        await consumer.close()


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


async def test_the_audit_shows_each_leg_of_a_call_and_not_who_rang(system: System) -> None:
    call, events = a_call(CAMBS)
    number = "+447700900555"
    leg = ContactLegAdded(
        leg_id=str(uuid7()),
        call_id="2",
        gateway="buddy",
        presented_force=BEDS,
        personal=LegPersonal(calling_number=number),
    )
    gone = ContactLegEnded(leg_id=call.id, reason="network-failure", ended_at=datetime.now(UTC))
    legs = events_of([leg, gone], source="/intake", subject=call.id, after=call.versions["/intake"], force=CAMBS)
    await system.publish(*events, *legs)
    shown = await system.audited(call, len(events) + 2)
    assert [event["type"].split(".")[-2] for event in shown if event["source"] == "/intake"] == [
        "received",
        "leg-added",
        "leg-ended",
    ]
    assert number not in json.dumps(shown)
    theirs = system.caller("auditor", BEDS)
    answer = await system.client.get("/v1/audit", params={"contact": call.id}, headers=theirs)
    assert answer.status_code == 404, "whose trunk it came by the second time is not shown it for that"
