"""An incident becomes a crime by the word of who owns it, once however often it is said, and the audit tells."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tests.integration.recording import BEDS, CAMBS, IN_CAMBS, System, a_call, opening, types_of, until

CRIME = {"reference": "35/4711/26"}


async def an_incident(system: System) -> tuple[object, str]:
    """Cambridgeshire's, of a contact of its own."""
    call, events = a_call()
    await system.publish(*events)
    answer = await system.dispose(call, opening(location=IN_CAMBS))
    assert answer.status_code == 201, answer.text
    return call, str(answer.json()["incident"]["id"])


async def test_an_incident_is_a_crime_once_and_its_history_says_who_said_so(system: System) -> None:
    call, incident = await an_incident(system)
    url, recorder = f"/v1/incidents/{incident}/crime", system.caller("recorder", CAMBS, subject="rec-1")
    answers = await asyncio.gather(*(system.clients[n % 2].post(url, json=CRIME, headers=recorder) for n in range(6)))
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert {tuple(answer.json()["crimes"]) for answer in answers} == {("35/4711/26",)}
    shown = await system.get(f"/v1/incidents/{incident}", recorder)
    assert (shown["crimes"], shown["version"]) == (["35/4711/26"], 2)
    history = await system.audited(call, 6)  # type: ignore[arg-type]
    assert types_of(history).count("recording.incident-crimed") == 1
    [crimed] = [event for event in history if event["type"].endswith("incident-crimed.v1")]
    assert crimed["data"] == {"crime": "35/4711/26", "by": "rec-1"}


async def test_the_registrar_alone_says_that_it_is_no_crime(system: System) -> None:
    _, incident = await an_incident(system)
    url = f"/v1/incidents/{incident}/crime"
    recorder, registrar = (system.caller(role, CAMBS, subject=role) for role in ("recorder", "registrar"))
    assert (await system.client.post(url, json=CRIME, headers=recorder)).status_code == 200
    assert (await system.client.post(f"{url}/cancel", json=CRIME, headers=recorder)).status_code == 403
    cancelled = await system.client.post(f"{url}/cancel", json=CRIME, headers=registrar)
    assert (cancelled.status_code, cancelled.json()["crimes"]) == (200, [])
    assert (await system.client.post(f"{url}/cancel", json=CRIME, headers=registrar)).status_code == 409
    assert (await system.client.post(url, json=CRIME, headers=recorder)).json()["crimes"] == ["35/4711/26"]


async def test_who_does_not_own_the_incident_does_not_make_it_a_crime(system: System) -> None:
    """Also where his contact reported it, and he sees it."""
    call, events = a_call(BEDS)
    await system.publish(*events)
    opened = await system.dispose(call, opening(location=IN_CAMBS), system.caller("supervisor", BEDS))
    assert opened.status_code == 201, opened.text
    incident, recorder = opened.json()["incident"]["id"], system.caller("recorder", BEDS, subject="rec-2")

    async def seen() -> bool:
        return (await system.client.get(f"/v1/incidents/{incident}", headers=recorder)).status_code == 200

    await until(seen)
    assert (
        await system.client.post(f"/v1/incidents/{incident}/crime", json=CRIME, headers=recorder)
    ).status_code == 404
    absent = await system.client.post(f"/v1/incidents/{uuid4()}/crime", json=CRIME, headers=recorder)
    assert absent.status_code == 404
