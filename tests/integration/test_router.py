"""The router on the real PostgreSQL and Kafka, in two copies: where contacts go, and into whose hands."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from deploy.local.topics import recreate_topics
from libs.events.envelope import Event, to_headers
from libs.events.types import contacts
from libs.events.types.contacts import ContactMessageAdded
from libs.events.types.routing import (
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
)
from tests.conftest import FORCES, NewDatabase
from tests.integration.routers import World, at_sea, inside, on_the_border, start_router, until_ready, world

BEDS, CAMBS, HERTS = FORCES


@pytest_asyncio.fixture(scope="module")
async def routers(kafka: Kafka, database: NewDatabase) -> AsyncIterator[World]:
    await recreate_topics(kafka.bootstrap_servers, FORCES)
    with tempfile.TemporaryDirectory(prefix="hueandcry-router-") as folder:
        async with world((await database("router")).url, kafka.bootstrap_servers, Path(folder)) as started:
            yield started


@pytest_asyncio.fixture(autouse=True)
async def _empty_queues(routers: World) -> None:
    """Contacts that another test left waiting are nobody's here."""
    await routers.database.execute("DELETE FROM queue_entry")


# Where a contact goes -----------------------------------------------------------------------------------------------


async def test_a_contact_waits_in_its_owners_queue_and_both_copies_show_it(routers: World) -> None:
    contact = await routers.receive(inside(CAMBS), presented=BEDS)
    [routed] = await routers.until_facts(contact, 1)
    assert isinstance(routed, ContactRouted)
    assert (routed.owning_force, routed.presented_force, routed.cause) == (CAMBS, BEDS, "location")
    who = routers.token("ann", CAMBS)
    for client in routers.clients:
        answer = await client.get(f"/v1/queues/{CAMBS}-999", headers=who)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert (page["queueLength"], page["state"], page["next"]) == (1, "Active", None)
        assert page["queueUri"] == f"sip:{CAMBS}-999@alliance.example"
        assert page["queueMaxLength"] == 10_000
        [entry] = page["entries"]
        assert (entry["contact"], entry["reference"], entry["priority"]) == (contact, contact[-6:], 1)
        assert entry["candidates"] == [{"force": CAMBS, "share": 1.0}]
        assert (entry["provisional"], entry["channel"]) == (False, "telephone")
        assert page["oldestWaitingSince"] == entry["waitingSince"]
        assert 0 <= page["directoryAgeSeconds"] < 10


async def test_near_a_border_the_presented_force_has_it_until_somebody_says(routers: World) -> None:
    presented = await routers.receive(on_the_border(BEDS), presented=CAMBS)
    stranger = await routers.receive(on_the_border(BEDS), presented=HERTS)
    [first] = await routers.until_facts(presented, 1)
    [second] = await routers.until_facts(stranger, 1)
    assert isinstance(first, ContactRouted)
    assert isinstance(second, ContactRouted)
    assert (first.owning_force, first.cause, first.provisional) == (CAMBS, "border-presented", True)
    assert (second.owning_force, second.cause, second.provisional) == (BEDS, "border-largest-share", True)
    assert {candidate.force for candidate in first.candidates} == {BEDS, CAMBS}


async def test_what_cannot_be_placed_waits_in_the_default_queue_for_the_alliances_own(routers: World) -> None:
    nowhere = await routers.receive()
    at_large = await routers.receive(at_sea(), presented="unheard-of")
    for contact, cause in ((nowhere, "no-location-no-presented-force"), (at_large, "outside-areas")):
        [routed] = await routers.until_facts(contact, 1)
        assert isinstance(routed, ContactRouted)
        assert (routed.owning_force, routed.queue, routed.cause) == (None, "alliance-default", cause)
        assert (
            await routers.client.get(f"/v1/contacts/{contact}", headers=routers.token("a", BEDS))
        ).status_code == 404
        own = routers.token("b", BEDS, alliance=True)
        assert (await routers.client.get(f"/v1/contacts/{contact}", headers=own)).status_code == 200
    assert (await routers.claim("alliance-default", routers.token("a", BEDS, CAMBS, HERTS))).status_code == 404
    taken = await routers.claim("alliance-default", routers.token("b", BEDS, alliance=True))
    assert taken.json()["contact"] == nowhere


async def test_a_later_location_moves_a_waiting_contact_and_both_decisions_stay_on_record(routers: World) -> None:
    contact = await routers.receive(presented=BEDS)
    await routers.until_facts(contact, 1)
    await routers.locate(contact, inside(HERTS))
    await routers.until_facts(contact, 2)
    assert await routers.queue_of(contact) == f"{HERTS}-999"
    answer = await routers.client.get(f"/v1/contacts/{contact}", headers=routers.token("ann", HERTS))
    shown = answer.json()
    assert [(d["owningForce"], d["cause"], d["contactVersion"]) for d in shown["decisions"]] == [
        (BEDS, "presented", 1),
        (HERTS, "location", 2),
    ]
    first, second = await routers.facts(contact)
    assert isinstance(first, ContactRouted)
    assert isinstance(second, ContactRouted)
    assert first.waiting_since == second.waiting_since
    assert shown["status"] == "waiting"


async def test_an_emergency_in_a_chat_moves_it_to_the_forces_emergency_queue(routers: World) -> None:
    contact = await routers.receive(inside(BEDS), channel="online")
    await routers.until_facts(contact, 1)
    assert await routers.queue_of(contact) == f"{BEDS}-online"
    await routers.message(contact)
    await routers.message(contact, emergency=True)
    await routers.until_facts(contact, 2)
    assert await routers.queue_of(contact) == f"{BEDS}-999"


async def test_a_call_that_ends_while_it_waits_is_abandoned_and_nobody_is_offered_it(routers: World) -> None:
    contact = await routers.receive(inside(BEDS))
    await routers.end(contact)
    _, abandoned = await routers.until_facts(contact, 2)
    assert isinstance(abandoned, ContactAbandoned)
    assert abandoned.queue == f"{BEDS}-999"
    assert (await routers.claim(f"{BEDS}-999", routers.token("ann", BEDS))).status_code == 204


async def test_a_report_made_whole_is_not_abandoned_and_a_recorder_takes_it(routers: World) -> None:
    contact = await routers.receive(inside(BEDS), channel="web")
    await routers.end(contact)
    await routers.settle()
    assert await routers.kinds(contact) == ["ContactRouted"]
    taken = await routers.claim(f"{BEDS}-web", routers.token("rec", BEDS, role="recorder"))
    assert (taken.json()["contact"], taken.json()["needsHandler"]) == (contact, False)


async def test_a_contact_whose_facts_cannot_be_read_is_queued_from_its_envelope(routers: World) -> None:
    contact = str(uuid7())
    message = ContactMessageAdded(message_id="x", sender="caller")
    event = Event.of(message, source="/intake", subject=contact, version=1, force=CAMBS)
    headers = [(n, b"uk.hueandcry.contact.received.v1" if n == "ce_type" else v) for n, v in to_headers(event)]
    await routers.producer.send_and_wait(contacts.TOPIC, b'{"channel": 7}', key=contact.encode(), headers=headers)
    [routed] = await routers.until_facts(contact, 1, patience_s=30)
    assert isinstance(routed, ContactRouted)
    assert (routed.cause, routed.queue, routed.provisional) == ("unprocessable", f"{CAMBS}-999", True)
    parked = await routers.database.fetchval(
        "SELECT count(*) FROM held WHERE why = 'parked' AND key = $1", contact.encode()
    )
    assert parked == 1
    taken = await routers.claim(f"{CAMBS}-999", routers.token("ann", CAMBS))
    assert (taken.json()["contact"], taken.json()["reference"]) == (contact, None)
    owner = await routers.client.post(
        f"/v1/contacts/{contact}/owner", headers=routers.token("ann", CAMBS), json={"owningForce": HERTS}
    )
    assert (owner.status_code, owner.json()["owningForce"], owner.json()["confirmed"]) == (200, HERTS, True)


async def test_a_later_fact_that_cannot_be_read_leaves_the_contact_where_it_waits(routers: World) -> None:
    contact = await routers.receive(inside(BEDS))
    await routers.until_facts(contact, 1)
    event = Event.of(ContactMessageAdded(message_id="x", sender="caller"), source="/intake", subject=contact, version=2)
    await routers.producer.send_and_wait(contacts.TOPIC, b"{", key=contact.encode(), headers=to_headers(event))
    routers.versions[contact] = 2
    await routers.end(contact)
    await routers.settle()
    held = await routers.database.fetch("SELECT why FROM held WHERE key = $1 ORDER BY version", contact.encode())
    assert [row["why"] for row in held] == ["parked", "behind"]
    assert await routers.kinds(contact) == ["ContactRouted"]
    assert (await routers.claim(f"{BEDS}-999", routers.token("ann", BEDS))).json()["contact"] == contact


# Into whose hands ---------------------------------------------------------------------------------------------------


async def test_the_most_urgent_is_taken_first_and_then_who_has_waited_longest(routers: World) -> None:
    chats = [await routers.receive(inside(BEDS), channel="online") for _ in range(3)]
    late = await routers.receive(inside(BEDS), channel="online", emergency=True)
    for contact in (*chats, late):
        await routers.until_facts(contact, 1)
    who = routers.token("ann", BEDS, site="north")
    taken = (await routers.claim(f"{BEDS}-999", who)).json()
    assert (taken["contact"], taken["answeringForce"], taken["answeringSite"]) == (late, BEDS, "north")
    assert taken["waitedSeconds"] > 0
    order = [(await routers.claim(f"{BEDS}-online", who)).json()["contact"] for _ in range(3)]
    assert order == chats
    assert (await routers.claim(f"{BEDS}-online", who)).status_code == 204


async def drain(routers: World, queue: str, number: int, over: asyncio.Event) -> list[dict[str, Any]]:
    """One handler, on one copy, who takes contacts until nobody waits and `over` is set."""
    client = routers.clients[number % len(routers.clients)]
    who = routers.token(f"handler-{number}", BEDS, CAMBS, HERTS)
    mine = []
    while True:
        last_round = over.is_set()
        answer = await routers.claim(queue, who, client=client)
        assert answer.status_code in (200, 204), answer.text
        if answer.status_code == 200:
            mine.append(answer.json())
        elif last_round:
            return mine
        else:
            await asyncio.sleep(0.02)


async def test_twenty_handlers_on_two_copies_never_get_one_contact_twice(routers: World) -> None:
    waiting = {await routers.receive(inside(BEDS)) for _ in range(150)}
    for contact in waiting:
        await routers.until_facts(contact, 1)
    over = asyncio.Event()
    over.set()
    hands = await asyncio.gather(*(drain(routers, f"{BEDS}-999", number, over) for number in range(20)))
    taken = [answer["contact"] for mine in hands for answer in mine]
    assert Counter(taken) == Counter(waiting)
    for number, mine in enumerate(hands):
        for answer in mine:
            routed, answered = await routers.facts(answer["contact"])
            assert isinstance(routed, ContactRouted)
            assert isinstance(answered, ContactAnswered)
            assert answered.handler == f"handler-{number}"


async def test_contacts_that_move_and_end_while_handlers_take_them_are_neither_lost_nor_doubled(routers: World) -> None:
    over = asyncio.Event()
    queues = [f"{force}-999" for force in FORCES]
    handlers = [asyncio.create_task(drain(routers, queues[number % 3], number, over)) for number in range(18)]

    async def live(number: int) -> str:
        contact = await routers.receive(inside(BEDS), presented=BEDS)
        await asyncio.sleep(number % 7 / 100)
        await routers.locate(contact, inside(CAMBS))
        await routers.locate(contact, inside(HERTS))
        if number % 3 == 0:
            await routers.end(contact)
        return contact

    lives = await asyncio.gather(*(live(number) for number in range(150)))
    await routers.settle()
    over.set()
    hands = [answer["contact"] for mine in await asyncio.gather(*handlers) for answer in mine]
    assert [contact for contact, times in Counter(hands).items() if times > 1] == []
    for contact in lives:
        facts = await routers.facts(contact)
        kinds = [type(fact).__name__ for fact in facts]
        assert kinds.count("ContactAnswered") + kinds.count("ContactAbandoned") == 1, kinds
        assert (contact in hands) == ("ContactAnswered" in kinds)
        assert isinstance(facts[0], ContactRouted)
        last = [fact for fact in facts if isinstance(fact, ContactRouted)][-1]
        assert last.owning_force == HERTS
        assert {fact.waiting_since for fact in facts if isinstance(fact, ContactRouted)} == {facts[0].waiting_since}
    assert await routers.database.fetchval("SELECT count(*) FROM queue_entry") == 0


async def test_a_claim_sent_again_with_its_key_takes_no_second_contact(routers: World) -> None:
    for _ in range(4):
        await routers.until_facts(await routers.receive(inside(BEDS)), 1)
    who = routers.token("ann", BEDS)
    key = {"Idempotency-Key": f'"{uuid7()}"'}
    answers = await asyncio.gather(
        *(routers.claim(f"{BEDS}-999", who, headers=key, client=routers.clients[n % 2]) for n in range(6))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert await routers.database.fetchval("SELECT count(*) FROM queue_entry") == 3
    other = await routers.claim(f"{BEDS}-101", who, headers=key)
    assert (other.status_code, other.json()["type"].rpartition("/")[2]) == (422, "idempotency-mismatch")
    elsewhere = await routers.claim(f"{BEDS}-999", routers.token("bob", BEDS), headers=key)
    assert elsewhere.json()["contact"] != answers[0].json()["contact"]


async def test_a_contact_given_back_is_the_next_to_be_taken_at_its_old_place_in_time(routers: World) -> None:
    first = await routers.receive(inside(BEDS))
    await routers.until_facts(first, 1)
    second = await routers.receive(inside(BEDS))
    await routers.until_facts(second, 1)
    ann, bob = routers.token("ann", BEDS), routers.token("bob", BEDS)
    assert (await routers.claim(f"{BEDS}-999", ann)).json()["contact"] == first
    path = f"/v1/contacts/{first}/release"
    assert (await routers.client.post(path, headers=bob)).status_code == 403
    assert (await routers.client.post(path, headers=routers.token("x", HERTS))).status_code == 404
    back = await routers.client.post(path, headers=ann, json={"reason": "technical"})
    assert (back.status_code, back.json()["status"], back.json()["handler"]) == (200, "waiting", None)
    assert (await routers.client.post(path, headers=ann)).status_code == 409
    again = (await routers.claim(f"{BEDS}-999", bob)).json()
    assert again["contact"] == first
    steered = await routers.client.post(path, headers=routers.token("sup", BEDS, role="supervisor"))
    assert steered.status_code == 200
    facts = await routers.facts(first)
    assert [type(f).__name__ for f in facts[1:]] == [
        "ContactAnswered",
        "ContactReleased",
        "ContactAnswered",
        "ContactReleased",
    ]
    assert [f.handler for f in facts if isinstance(f, ContactReleased)] == ["ann", "bob"]


async def test_a_contact_that_ends_in_a_handlers_hands_is_closed(routers: World) -> None:
    contact = await routers.receive(inside(BEDS))
    await routers.until_facts(contact, 1)
    who = routers.token("ann", BEDS)
    await routers.claim(f"{BEDS}-999", who)
    await routers.locate(contact, inside(HERTS))
    await routers.end(contact)
    _, answered, moved, closed = await routers.until_facts(contact, 4)
    assert isinstance(answered, ContactAnswered)
    assert isinstance(moved, ContactRouted)
    assert isinstance(closed, ContactClosed)
    assert (moved.owning_force, closed.handler) == (HERTS, "ann")
    assert await routers.queue_of(contact) is None
    shown = (await routers.client.get(f"/v1/contacts/{contact}", headers=who)).json()
    assert (shown["status"], shown["handler"], shown["owningForce"]) == ("closed", "ann", HERTS)


async def test_a_confirmed_owner_moves_a_waiting_contact_and_no_location_overrides_it(routers: World) -> None:
    contact = await routers.receive(on_the_border(BEDS), presented=BEDS)
    await routers.until_facts(contact, 1)
    who = routers.token("ann", BEDS)
    path = f"/v1/contacts/{contact}/owner"
    unknown = await routers.client.post(path, headers=who, json={"owningForce": "atlantis"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/owningForce")
    answer = await routers.client.post(path, headers=who, json={"owningForce": CAMBS})
    assert (answer.status_code, answer.json()["queue"], answer.json()["provisional"]) == (200, f"{CAMBS}-999", False)
    assert await routers.queue_of(contact) == f"{CAMBS}-999"
    await routers.locate(contact, inside(HERTS))
    await routers.settle()
    assert await routers.kinds(contact) == ["ContactRouted", "OwnerConfirmed", "ContactRouted"]
    assert (await routers.client.post(path, headers=who, json={"owningForce": CAMBS})).status_code == 200
    assert len(await routers.facts(contact)) == 3


async def test_two_handlers_who_confirm_at_once_are_both_heard_in_an_order(routers: World) -> None:
    contact = await routers.receive(inside(BEDS))
    await routers.until_facts(contact, 1)
    who = routers.token("ann", BEDS, CAMBS, HERTS)
    answers = await asyncio.gather(
        *(
            routers.client.post(f"/v1/contacts/{contact}/owner", headers=who, json={"owningForce": force})
            for force in (CAMBS, HERTS) * 3
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    facts = await routers.facts(contact)
    last = [fact for fact in facts if isinstance(fact, ContactRouted)][-1]
    assert await routers.queue_of(contact) == last.queue


async def test_a_row_without_a_waiting_contact_stops_nobody(routers: World) -> None:
    gone = await routers.receive(inside(BEDS))
    await routers.until_facts(gone, 1)
    who = routers.token("ann", BEDS)
    row = await routers.database.fetchrow("SELECT * FROM queue_entry WHERE contact = $1", gone)
    assert row is not None
    await routers.claim(f"{BEDS}-999", who)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await routers.database.execute(f"INSERT INTO queue_entry VALUES ({places})", *row.values())
    real = await routers.receive(inside(BEDS))
    await routers.until_facts(real, 1)
    assert (await routers.claim(f"{BEDS}-999", who)).json()["contact"] == real
    assert (await routers.claim(f"{BEDS}-999", who)).status_code == 204


# What is shown ------------------------------------------------------------------------------------------------------


async def test_a_force_sees_its_own_queues_and_contacts_only(routers: World) -> None:
    contact = await routers.receive(inside(BEDS))
    await routers.until_facts(contact, 1)
    for forces, own, seen in (((BEDS,), False, 4), ((HERTS,), False, 4), ((BEDS, HERTS), True, 9), ((), False, 0)):
        who = routers.token("ann", *forces, alliance=own)
        queues = (await routers.client.get("/v1/queues", headers=who)).json()["queues"]
        assert len(queues) == seen
        assert {queue["force"] for queue in queues} == {*forces} | ({None} if own else set())
        expected = 200 if BEDS in forces else 404
        assert (await routers.client.get(f"/v1/queues/{BEDS}-999", headers=who)).status_code == expected
        assert (await routers.client.get(f"/v1/contacts/{contact}", headers=who)).status_code == expected
        if BEDS not in forces:
            assert (await routers.claim(f"{BEDS}-999", who)).status_code == 404
            path = f"/v1/contacts/{contact}/owner"
            body = {"owningForce": HERTS}
            assert (await routers.client.post(path, headers=who, json=body)).status_code == 404
    gateway = routers.token("gw", BEDS, role="gateway")
    assert (await routers.claim(f"{BEDS}-999", gateway)).status_code == 403
    assert (await routers.client.get("/v1/queues")).status_code == 401
    assert await routers.kinds(contact) == ["ContactRouted"]


async def test_a_queue_is_read_in_pages_in_the_order_in_which_it_is_taken(routers: World) -> None:
    waiting = []
    for _ in range(5):
        waiting.append(await routers.receive(inside(BEDS), channel="web"))
        await routers.until_facts(waiting[-1], 1)
    who = routers.token("ann", BEDS)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await routers.client.get(f"/v1/queues/{BEDS}-web", headers=who, params={"limit": "2"} | after)).json()
        assert page["queueLength"] == 5
        seen += [entry["contact"] for entry in page["entries"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == waiting
    bad = await routers.client.get(f"/v1/queues/{BEDS}-web", headers=who, params={"after": "x"})
    assert (bad.status_code, bad.json()["errors"][0]["parameter"]) == (422, "after")


async def test_what_is_wrong_is_said(routers: World) -> None:
    who = routers.token("ann", BEDS, CAMBS)
    assert (await routers.client.get("/v1/queues/nowhere-999", headers=who)).status_code == 404
    assert (await routers.client.get(f"/v1/contacts/{uuid7()}", headers=who)).status_code == 404
    assert (await routers.client.post(f"/v1/contacts/{uuid7()}/release", headers=who)).status_code == 404
    assert (await routers.client.get("/v1/contacts/not-a-uuid", headers=who)).status_code == 422
    foreign = await routers.claim(f"{BEDS}-999", who, json={"answeringForce": HERTS})
    assert (foreign.status_code, foreign.json()["errors"][0]["pointer"]) == (422, "/answeringForce")
    extra = await routers.claim(f"{BEDS}-999", who, json={"nonsense": 1})
    assert extra.status_code == 422
    assert (await routers.claim(f"{BEDS}-999", who, headers={"Idempotency-Key": '""'})).status_code == 400


async def test_nobody_waited_in_a_circle_and_nothing_broke(routers: World) -> None:
    """After all of the above: what the copies logged."""
    for copy in routers.copies:
        log = copy.log.read_text()
        assert "boundaries_in_use" in log
        for word in ("Deadlock", "unhandled error", "+447700900123"):
            assert word not in log


# A copy dies --------------------------------------------------------------------------------------------------------


async def test_a_dead_copys_work_is_taken_over(routers: World) -> None:
    """The last test of the module: it kills a copy, and starts another in its place."""
    victim, client = routers.copies.pop(), routers.clients.pop()
    try:
        victim.kill()
        started = asyncio.get_running_loop().time()
        waiting = [await routers.receive(inside(BEDS)) for _ in range(24)]  # more than there are partitions
        for contact in waiting:
            await routers.until_facts(contact, 1, patience_s=30)
        print(f"all routed {asyncio.get_running_loop().time() - started:.1f} s after the kill")
    finally:
        await client.aclose()
    folder = victim.log.parent
    child, client = start_router(routers.database.dsn, routers.servers, routers.issuer, folder)
    try:
        await until_ready(child, client)
        page = (await client.get(f"/v1/queues/{BEDS}-999", headers=routers.token("ann", BEDS))).json()
        assert page["queueLength"] == 24
    finally:
        await client.aclose()
        assert child.stop(10), "it did not stop by itself"
