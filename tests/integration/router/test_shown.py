"""What is shown to whom, and what a copy that dies leaves to the other."""

from __future__ import annotations

import asyncio

from uuid_utils.compat import uuid7

from tests.conftest import FORCES
from tests.integration.router import World, inside, start_router, until_ready

BEDS, CAMBS, HERTS = FORCES


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


async def test_a_dead_copys_work_is_taken_over(routers: World) -> None:
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
        child, client = start_router(routers.database.dsn, routers.broker, routers.issuer, victim.log.parent)
        routers.copies.append(child)
        routers.clients.append(client)
    await until_ready(child, client)
    page = (await client.get(f"/v1/queues/{BEDS}-999", headers=routers.token("ann", BEDS))).json()
    assert page["queueLength"] == 24
