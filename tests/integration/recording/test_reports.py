"""A report made whole opens its incident by itself, once."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import pytest

from libs.events.log.roles import CONSUMER, Login
from libs.events.types.shapes import Point
from services.recording.incidents import incident_id
from tests.integration.recording import (
    CAMBS,
    HERTS,
    Contact,
    System,
    types_of,
)


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
    consumer = await Login(system.logins.url).connect(CONSUMER, server_settings={})
    try:
        counted = await consumer.fetch(
            "SELECT subject, count(*) AS events FROM event WHERE subject = ANY ($1) GROUP BY subject",
            [name for report in reports for name in (report.id, incident_id(report.id))],
        )
    finally:
        await consumer.close()
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
    consumer = await Login(system.logins.url).connect(CONSUMER, server_settings={})
    try:
        return int(await consumer.fetchval("SELECT count(*) FROM report WHERE contact = $1", UUID(contact.id)))
    finally:
        await consumer.close()
