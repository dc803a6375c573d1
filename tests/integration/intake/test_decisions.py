"""The router's decision: waited for, kept, never overwritten by an older one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from libs.events.envelope import Event, Malformed
from libs.events.log.database import Database
from libs.events.log.scope import ALLIANCE, Scope
from libs.events.types.routing import ContactRouted
from services.intake import decisions
from tests.integration.intake import (
    CALL,
    CHAT,
    Router,
)
from tests.integration.logs import until


async def test_a_wait_is_answered_with_the_decision_and_its_retry_on_the_other_copy_too(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], router: Router
) -> None:
    body = {**CALL, "callId": "route-me"}
    headers = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=5"}
    first = await copies[0].post("/v1/contacts/telephone", json=body, headers=headers)
    assert first.status_code == 201
    assert first.headers["Preference-Applied"] == "wait=5"
    routed = first.json()["routing"]
    assert routed["state"] == "routed"
    assert routed["owningForce"] == "cambridgeshire"
    assert routed["queue"] == "cambridgeshire-999"
    assert routed["recipientUri"] == "sip:cambridgeshire-999@example.org"
    assert routed["provisional"] is False
    assert routed["cause"] == "location"
    assert routed["candidates"] == [{"force": "cambridgeshire", "share": 1.0, "likelihood": None}]
    again = await copies[1].post("/v1/contacts/telephone", json=body, headers=headers)
    assert again.json() == first.json()


async def test_of_many_waits_at_once_on_two_copies_none_is_left_unanswered(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], router: Router
) -> None:
    answers = await asyncio.gather(
        *(
            copies[i % 2].post(
                "/v1/contacts/online", json={**CHAT, "conversationId": f"route-{i}"}, headers={"Prefer": "wait=9"}
            )
            for i in range(40)
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["routing"]["state"] for answer in answers} == {"routed"}


async def test_a_wait_that_is_over_says_pending_and_the_decision_comes_with_get(
    intake: httpx.AsyncClient, router: Router
) -> None:
    answer = await intake.post("/v1/contacts/telephone", json=CALL, headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.json()["routing"] == {"state": "pending"}
    contact = answer.json()["id"]
    await router.publish(contact)

    async def is_routed() -> bool:
        shown = await intake.get(f"/v1/contacts/{contact}")
        return bool(shown.json()["routing"]["state"] == "routed")

    await until(is_routed)


async def test_a_late_decision_never_overwrites_a_newer_one(store: Database, answering: Database) -> None:
    contact = str(uuid4())

    def decision(version: int, queue: str) -> Event:
        fact = ContactRouted(
            cause="presented",
            queue=queue,
            recipient_uri="sip:q@example.org",
            priority=1,
            contact_version=1,
            waiting_since=datetime.now(UTC),
        )
        return Event.of(fact, source="/router", subject=contact, version=version)

    for batch in ([decision(1, "a"), decision(3, "c")], [decision(2, "b")], [decision(3, "again")]):
        async with store.transaction() as connection:
            assert await decisions.keep(connection, batch) == ()
    latest = await decisions.latest_decision(answering, Scope([ALLIANCE]), contact)
    assert latest is not None
    assert (latest.version, latest.routed.queue) == (3, "c")


async def test_a_decision_that_nobody_could_read_back_is_not_kept(store: Database, answering: Database) -> None:
    broken = Event(
        id=uuid4(),
        type=ContactRouted.TYPE,
        source="/router",
        subject=str(uuid4()),
        version=1,
        time=datetime.now(UTC),
        data=b'{"cause": "location"}',
    )
    with pytest.raises(Malformed):
        async with store.transaction() as connection:
            await decisions.keep(connection, [broken])
    assert await decisions.latest_decision(answering, Scope([ALLIANCE]), broken.subject) is None
