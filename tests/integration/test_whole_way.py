"""The main job, as its users do it: real places go in by REST on every channel, each contact is found once in the queue
of the force that owns the place, once as an incident, and whole in the audit.

The places are real ones from the shared data; without it, postcodes from the directory the product ships.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.logs import until
from tests.places import BANDS, SHARED, Place, band, real_places, shipped_places
from tests.system import System, system

SOME, MANY = 60, 1100
"""Places an alliance: of each `make test` and `make soak`."""
RIGHT = 0.998
"""Of many; what the shipped areas must reach. Of some, every one of them that is further from a border than CLEAR_M."""
CLEAR_M = 500
AT_ONCE = 24


@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    ("alliance", "count"),
    [
        ("east-midlands", SOME),  # most other tests are in the other one
        pytest.param("east-midlands", MANY, marks=pytest.mark.long),
        pytest.param("bedfordshire-cambridgeshire-hertfordshire", MANY, marks=pytest.mark.long),
    ],
)
async def test_every_contact_is_found_once_in_its_queue_once_as_an_incident_and_whole_in_the_audit(
    alliance: str, count: int, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    with system(tmp_path, alliance) as running:
        places = (real_places if SHARED.exists() else shipped_places)(running.forces, count)
        contacts = await take(running, places)
        assert len(contacts) == len(places), "a contact was doubled"

        queues = await queued(running, len(contacts))
        wrong = [place for contact, place in contacts.items() if _owner(queues[contact]) != place.owner]
        all_ = Counter(band(place.border_m) for place in places)
        right = all_ - Counter(band(place.border_m) for place in wrong)
        figures(_shares(alliance, right, all_))
        assert not [place for place in wrong if place.border_m > CLEAR_M]
        assert count < MANY or right.total() / all_.total() >= RIGHT

        claimed = await claim_and_dispose(running)
        on_the_phone_or_in_chat = {contact for contact, queue in queues.items() if not queue.endswith("-web")}
        assert sorted(claimed) == sorted(on_the_phone_or_in_chat), "a contact was claimed twice, or by nobody"

        incidents = await all_incidents(running, len(contacts))
        assert Counter(contact for incident in incidents for contact in incident["contacts"]) == dict.fromkeys(
            contacts, 1
        )
        assert len({incident["reference"] for incident in incidents}) == len(contacts)
        await check_audit(running, contacts, claimed)
        async with running.client("recording", "auditor") as client:
            owing = (await client.get("/v1/contacts", params={"disposition": "none"})).json()
        assert owing["contacts"] == []


def _owner(queue: str) -> str:
    return queue.rpartition("-")[0]


async def take(running: System, places: list[Place]) -> dict[str, Place]:
    """Post them all; some requests are sent twice with their key, as gateways do. Contact id to place."""
    taken: dict[str, Place] = {}
    references: set[str] = set()

    async with running.client("intake", "gateway") as client:

        async def post(index: int, place: Place) -> None:
            channel, body = as_contact(index, place, running.forces)
            headers = {"Idempotency-Key": f'"{uuid4()}"'}
            answers = [
                await client.post(f"/v1/contacts/{channel}", json=body, headers=headers)
                for _ in range(2 if index % 50 == 0 else 1)
            ]
            assert [answer.status_code for answer in answers] == [201] * len(answers), answers[0].text
            assert len({answer.json()["id"] for answer in answers}) == 1
            contact = answers[0].json()
            assert contact["reference"] not in references
            references.add(contact["reference"])
            taken[contact["id"]] = place

        await together(post(index, place) for index, place in enumerate(places))
    return taken


def as_contact(index: int, place: Place, members: list[str]) -> tuple[str, dict[str, Any]]:
    """A contact from a place, on each channel in turn. A call is presented to whoever recorded it in life, right or
    wrong; what is written names nobody."""
    shape = {"kind": "circle", "lat": place.lat, "lon": place.lon, "radiusM": 12.0}
    if index % 4 == 2:
        location = {
            "of": "incident",
            "source": "caller",
            "shape": {"kind": "point", "lat": place.lat, "lon": place.lon},
        }
        return "web", {"words": "A bicycle was taken.", "category": "theft", "locations": [location]}
    if index % 4 == 3:
        location = {"of": "caller", "source": "device", "shape": shape}
        return "online", {"medium": "chat", "words": "Somebody is at my door.", "locations": [location]}
    call: dict[str, Any] = {
        "line": "999" if index % 4 == 0 else "101",
        "callingNumber": f"+4477009{index % 100_000:05d}"[:13],
        "locations": [{"of": "caller", "source": "aml", "certaintyPercent": 68, "shape": shape}],
    }
    return "telephone", call | ({"presentedForce": place.reported_by} if place.reported_by in members else {})


async def queued(running: System, count: int) -> dict[str, str]:
    """Wait until all wait in queues; contact to queue. Fails on one that stands in two."""
    async with running.client("router", "supervisor") as client:

        async def all_there() -> bool:
            states = (await client.get("/v1/queues")).json()["queues"]
            return sum(state["queueLength"] for state in states) >= count

        await until(all_there, patience_s=120)
        states = (await client.get("/v1/queues")).json()["queues"]
        found: dict[str, str] = {}
        for state in states:
            async for entry in pages(client, f"/v1/queues/{state['id']}", "entries", "after"):
                assert entry["contact"] not in found, "a contact stands in two queues"
                found[entry["contact"]] = state["id"]
    assert len(found) == count, "a contact is in no queue"
    return found


async def claim_and_dispose(running: System) -> list[str]:
    """Handlers take what waits on the phone and in chats, deal with it, and say what it came to."""
    claimed: list[str] = []
    async with (
        running.client("router", "handler") as router,
        running.client("intake", "handler") as intake,
        running.client("recording", "handler") as recording,
    ):
        states = (await router.get("/v1/queues")).json()["queues"]
        kinds = ("-999", "-101", "-online", "-default")
        waiting = [state["id"] for state in states if state["queueLength"] and state["id"].endswith(kinds)]

        async def handle(queue: str) -> None:
            while (answer := await router.post(f"/v1/queues/{queue}/claim")).status_code == 200:
                contact = answer.json()["contact"]
                claimed.append(contact)
                ended = await intake.post(f"/v1/contacts/{contact}/end", json={"reason": "completed"})
                assert ended.status_code == 200, ended.text
                said = {"disposition": "incident-opened", "incident": {"summary": "As told."}}
                disposed = await recording.post(f"/v1/contacts/{contact}/disposition", json=said)
                assert disposed.status_code == 201, disposed.text
            assert answer.status_code == 204, answer.text

        await asyncio.gather(*(handle(queue) for queue in waiting for _ in range(2)))
    return claimed


async def all_incidents(running: System, count: int) -> list[dict[str, Any]]:
    """The list's incidents, each as it stands."""
    async with running.client("recording", "supervisor") as client:
        found: list[dict[str, Any]] = []

        async def all_there() -> bool:
            found[:] = [i async for i in pages(client, "/v1/incidents", "incidents", "cursor")]
            return len(found) >= count

        await until(all_there, patience_s=60)

        async def whole(at: int) -> None:
            # Its owner's supervisor; of what happened outside the alliance, one of a force whose contact led to it.
            for home in dict.fromkeys([found[at]["owningForce"], *running.forces]):
                headers = running.headers("supervisor", home=home)
                answer = await client.get(f"/v1/incidents/{found[at]['id']}", headers=headers)
                if answer.status_code != 404:
                    break
            assert answer.status_code == 200, answer.text
            found[at] = answer.json()

        await together(whole(at) for at in range(len(found)))
    return found


async def check_audit(running: System, contacts: Iterable[str], claimed: list[str]) -> None:
    """All events of each contact: its story whole, each stream by version, each event after its cause."""
    handled = Counter(
        {
            "contact.received": 1,
            "contact.ended": 1,
            "routing.routed": 1,
            "routing.answered": 1,
            "routing.closed": 1,
            "recording.contact-disposed": 1,
            "recording.incident-opened": 1,
        }
    )
    written = Counter(
        {
            "contact.received": 1,
            "routing.routed": 1,
            "recording.contact-disposed": 1,
            "recording.incident-opened": 1,
        }
    )
    taken = set(claimed)
    async with running.client("recording", "auditor") as client:

        async def check(contact: str) -> None:
            expected = handled if contact in taken else written
            events: list[dict[str, Any]] = []

            async def whole() -> bool:
                answer = await client.get("/v1/audit", params={"contact": contact})
                assert answer.status_code == 200, answer.text
                events[:] = answer.json()["events"]
                return len(events) >= expected.total()

            await until(whole, patience_s=60)
            kinds = [event["type"].removeprefix("uk.hueandcry.").removesuffix(".v1") for event in events]
            assert Counter(kinds) == expected
            assert kinds[0] == "contact.received"
            seen: set[str] = set()
            versions: Counter[tuple[str, str]] = Counter()
            for event in events:
                stream = (event["source"], event["subject"])
                versions[stream] += 1
                assert event["version"] == versions[stream], "a stream's events are out of order"
                cause = event["causationId"]
                assert cause is None or cause in seen, "an event stands before its cause"
                seen.add(event["id"])
                assert "personal" not in (event["data"] or {})

        await together(check(contact) for contact in contacts)


async def pages(client: httpx.AsyncClient, path: str, member: str, cursor: str, **asked: str) -> Any:
    """Every item of a paged answer."""
    params: dict[str, Any] = {"limit": 200, **asked}
    while True:
        answer = await client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page[member]:
            yield item
        if page["next"] is None:
            return
        params[cursor] = page["next"]


async def together(work: Iterable[Awaitable[None]]) -> None:
    """All of it, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(job: Awaitable[None]) -> None:
        async with gate:
            await job

    await asyncio.gather(*map(one, work))


def _shares(alliance: str, right: Counter[str], all_: Counter[str]) -> str:
    lines = [f"{alliance}: contacts in the queue of the force that owns the place, by distance from the border"]
    lines += [_share(name, right[name], all_[name]) for name in BANDS if all_[name]]
    return "\n".join([*lines, _share("all", right.total(), all_.total())])


def _share(name: str, right: int, count: int) -> str:
    return f"  {name:>14} {right:6} of {count:6}  {right / count:8.2%}"
