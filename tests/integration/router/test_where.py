"""Where contacts go: into the queue of the force that owns the place, and what is heard later."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from libs.events.envelope import Event, to_headers
from libs.events.types import contacts
from libs.events.types.contacts import (
    ContactLegAdded,
    ContactLegEnded,
    ContactMessageAdded,
    ContactRectified,
    Location,
    RectifiedPersonal,
)
from libs.events.types.directory import EntityWithdrawn, QueueDefined
from libs.events.types.routing import (
    ContactAbandoned,
    ContactRouted,
)
from tests.conftest import FORCES
from tests.integration.router import World, at_sea, inside, on_the_border

BEDS, CAMBS, HERTS = FORCES


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
        assert entry["candidates"] == [{"force": CAMBS, "share": 1.0, "likelihood": 1.0}]
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


async def test_a_contact_moves_to_whose_place_it_is_once_the_place_is_put_right(routers: World) -> None:
    contact = await routers.receive(inside(CAMBS))
    [wrong] = await routers.until_facts(contact, 1)
    assert isinstance(wrong, ContactRouted)
    assert wrong.location_id is not None
    corrected = ContactRectified(
        rectification=str(uuid7()),
        by="dpo-1",
        authority="DPO/1",
        reason="found-wrong",
        member="location",
        location=Location(id=wrong.location_id, of="caller", source="aml"),
        personal=RectifiedPersonal(shape=inside(HERTS)),
    )
    await routers.say(contact, corrected)
    _, right = await routers.until_facts(contact, 2)
    assert isinstance(right, ContactRouted)
    assert (right.owning_force, right.queue, right.location_id) == (HERTS, f"{HERTS}-999", wrong.location_id)
    assert right.waiting_since == wrong.waiting_since


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


async def test_contacts_of_a_queue_that_the_directory_withdraws_go_where_they_belong_by_then(routers: World) -> None:
    """Nobody takes from a queue that is gone: its contacts would wait there for ever."""
    chats = QueueDefined(
        id="herts-chats", name="Chats", uri="sip:chats@herts.example", force=HERTS, channels=("online",), priority=1
    )
    subject = "queue/herts-chats"
    await routers.say_of_the_alliance(subject, 1, chats)
    await asyncio.sleep(1)
    waiting = [await routers.receive(inside(HERTS), channel="online") for _ in range(3)]
    for contact in waiting:
        [routed] = await routers.until_facts(contact, 1)
        assert isinstance(routed, ContactRouted)
        assert routed.queue == "herts-chats"
    ann = routers.token("ann", HERTS)
    taken = (await routers.claim("herts-chats", ann)).json()["contact"]
    await routers.say_of_the_alliance(subject, 2, EntityWithdrawn(entity=subject, reason="closed"))
    await asyncio.sleep(1)
    await routers.client.post(f"/v1/contacts/{taken}/release", headers=ann, json={})
    for contact in waiting:
        first, *_, last = await routers.until_facts(contact, 4 if contact == taken else 2)
        assert isinstance(first, ContactRouted)
        assert isinstance(last, ContactRouted)
        assert (last.queue, last.waiting_since) == (f"{HERTS}-online", first.waiting_since)
        assert await routers.queue_of(contact) == f"{HERTS}-online"
    order = [(await routers.claim(f"{HERTS}-online", ann)).json()["contact"] for _ in range(3)]
    assert order == waiting


async def test_a_leg_that_another_force_was_presented_with_moves_the_contact_nowhere(routers: World) -> None:
    contact = await routers.receive(inside(CAMBS), presented=BEDS)
    await routers.until_facts(contact, 1)
    leg = ContactLegAdded(leg_id=str(uuid7()), call_id="2", gateway="buddy", presented_force=HERTS)
    ended = ContactLegEnded(leg_id=contact, reason="network-failure", ended_at=datetime.now(UTC))
    await routers.say(contact, leg, ended, force=BEDS)
    await routers.settle()
    assert await routers.kinds(contact) == ["ContactRouted"]
    assert await routers.queue_of(contact) == f"{CAMBS}-999"
    await routers.message(contact, emergency=True)  # what is told after it is heard
    await routers.end(contact)
    assert isinstance((await routers.until_facts(contact, 2))[1], ContactAbandoned)
