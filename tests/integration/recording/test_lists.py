"""What is owed and what was opened, listed page by page for those whose it is."""

from __future__ import annotations

import pytest

from libs.events.envelope import Event
from services.recording.incidents import incident_id
from tests.integration.recording import (
    ADVICE,
    BEDS,
    Contact,
    System,
    until,
)

NAIVE = "W3RydWUsIjIwMjYtMDMtMDFUMDg6MDA6MDAiLCIwMThmMmY1ZS03YTFjLTdjM2QtOWExMC01YjFlNWE3ZDAwMDEiXQ"
"""A cursor as somebody else would make it: its time has no offset."""


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


async def test_what_its_owner_has_no_queue_for_is_owed_by_the_alliance_too(system: System) -> None:
    """A handler confirmed a force outside the alliance, whose people nobody here is: somebody must see it all the
    same."""
    call = Contact()
    await system.publish(call.received(), call.routed("essex", cause="no-queue", queue="alliance-default"))
    listing = {"disposition": "none", "force": "essex"}

    async def owed() -> bool:
        page = await system.get("/v1/contacts", system.caller("supervisor", BEDS, alliance=True), **listing)
        return [contact["id"] for contact in page["contacts"]] == [call.id]

    await until(owed)
    assert (await system.get("/v1/contacts", system.caller("supervisor", BEDS), **listing))["contacts"] == []
    stranger = await system.dispose(call, ADVICE, system.caller("supervisor", BEDS))
    assert stranger.status_code == 404
    disposed = await system.dispose(call, ADVICE, system.caller("supervisor", BEDS, alliance=True))
    assert disposed.status_code == 201


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
