"""Into whose hands contacts go: one at a time, each once, whoever else reaches for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uuid_utils.compat import uuid7

from libs.events.types.routing import (
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
)
from tests.conftest import FORCES
from tests.integration.router import World, inside, on_the_border

BEDS, CAMBS, HERTS = FORCES


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


async def test_a_claim_sent_again_says_so_when_another_handler_has_the_contact_by_now(routers: World) -> None:
    """The first answer was lost, a supervisor gave the contact back, another handler took it: it is not the first's."""
    contact = await routers.receive(inside(BEDS))
    await routers.until_facts(contact, 1)
    ann, key = routers.token("ann", BEDS), {"Idempotency-Key": f'"{uuid7()}"'}
    assert (await routers.claim(f"{BEDS}-999", ann, headers=key)).json()["contact"] == contact
    await routers.client.post(
        f"/v1/contacts/{contact}/release", headers=routers.token("sue", BEDS, role="supervisor"), json={}
    )
    waits_again = await routers.claim(f"{BEDS}-999", ann, headers=key)
    assert waits_again.status_code == 409
    assert (await routers.claim(f"{BEDS}-999", routers.token("bob", BEDS))).json()["contact"] == contact
    is_anothers = await routers.claim(f"{BEDS}-999", ann, headers=key)
    assert is_anothers.status_code == 409


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
