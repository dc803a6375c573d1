"""Erasure at intake, on the real PostgreSQL and the real Kafka: refused while anything stands, final when done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.types import Fact
from libs.events.types.erasures import ErasureConfirmed, Service, stream_of
from libs.events.types.recording import ContactJoined, CrimeCancelled, IncidentCrimed, IncidentOpened
from libs.service.trace import PURPOSE
from tests.integration.intake import CALL, Router, Tokens, bearer, opened
from tests.integration.logs import until

ASKED = {"authority": "DPO/2026/117", "reason": "request"}
HOLD = {"authority": "CPS/9", "reason": "criminal-proceedings"}


class Others:
    """Recording's and the router's words, as they would say them on the real Kafka."""

    def __init__(self, broker: Broker) -> None:
        self._producer = kafka.producer(broker, "test-others")

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Others]:
        await self._producer.start()
        try:
            yield self
        finally:
            await self._producer.stop()

    async def say(self, fact: Fact, source: str, subject: str, version: int) -> None:
        event = Event.of(fact, source=source, subject=subject, version=version)
        await self._producer.send_and_wait(fact.TOPIC, event.data, key=subject.encode(), headers=to_headers(event))

    async def open_incident(self, contact: str) -> str:
        incident = str(uuid4())
        fact = IncidentOpened(
            reference=f"INC-{incident[:8]}",
            owning_force="bedfordshire",
            owned_because="handler",
            contact=contact,
            opened_by="anna",
            reported_at=datetime.now(UTC),
        )
        await self.say(fact, "/recording", incident, 1)
        return incident

    async def confirm(self, contact: str, *services: Service) -> None:
        for service in services:
            fact = ErasureConfirmed(erased=contact, service=service)
            await self.say(fact, f"/{service}", stream_of(contact), 1)


@pytest_asyncio.fixture(scope="module")
async def others(topics: Broker) -> AsyncIterator[Others]:
    async with Others(topics).at_work() as working:
        yield working


@pytest.fixture(scope="module")
def officer(tokens: Tokens) -> dict[str, str]:
    token = tokens.of("data-protection", "registrar", "auditor", subject="dpo-1", forces=("cambridgeshire",))
    return bearer(token) | {PURPOSE: "subject-access"}


@pytest_asyncio.fixture
async def contact(intake: httpx.AsyncClient, router: Router, officer: dict[str, str]) -> str:
    """One that Cambridgeshire owns."""
    made = await opened(intake, name="Ada Wren")
    await router.publish(made)
    await until(lambda: _visible(intake, made, officer))
    return made


async def _visible(intake: httpx.AsyncClient, contact: str, officer: dict[str, str]) -> bool:
    return (await intake.get(f"/v1/contacts/{contact}/erasure", headers=officer)).status_code == 200


async def hindrances(intake: httpx.AsyncClient, contact: str, officer: dict[str, str]) -> list[dict[str, Any]]:
    answer = await intake.get(f"/v1/contacts/{contact}/erasure", headers=officer)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "none"
    return list(answer.json()["hindrances"])


async def test_an_erased_contact_shows_facts_and_nobody_and_says_so(
    intake: httpx.AsyncClient, contact: str, officer: dict[str, str], tokens: Tokens, others: Others, store: Database
) -> None:
    url, handler = f"/v1/contacts/{contact}", tokens.handler("cambridgeshire")
    before = (await intake.get(url, headers=handler)).json()
    assert before["person"]["name"] == "Ada Wren"
    assert before["erasedAt"] is None

    answer = await intake.post(f"{url}/erasure", json=ASKED, headers=officer)
    assert answer.status_code == 202, answer.text
    erasure = answer.json()
    assert (erasure["by"], erasure["authority"], erasure["reason"]) == ("dpo-1", "DPO/2026/117", "request")
    assert erasure["state"] == "confirming"

    after = (await intake.get(url, headers=handler)).json()
    assert after["erasedAt"] == erasure["erasedAt"]
    assert after["person"] is None
    assert [location["shape"] for location in after["locations"]] == [None]
    same = {name: after[name] for name in ("reference", "line", "presentedForce", "receivedAt", "routing")}
    assert same == {name: before[name] for name in same}

    await others.confirm(contact, "router", "recording")

    async def confirmed() -> bool:
        return bool((await intake.get(f"{url}/erasure", headers=officer)).json()["state"] == "confirmed")

    await until(confirmed)  # by intake itself too
    shown = (await intake.get(f"{url}/erasure", headers=officer)).json()
    assert sorted(one["service"] for one in shown["confirmed"]) == ["intake", "recording", "router"]
    assert shown["awaited"] == []
    at = datetime.fromisoformat(shown["erasedAt"])
    remains = {one["where"]: datetime.fromisoformat(one["until"]) - at for one in shown["remains"]}
    assert remains == {
        "broker": timedelta(days=1),
        "feeds": timedelta(days=7, hours=2),
        "database": timedelta(days=30),
        "backups": timedelta(days=35),
    }
    again = await intake.post(f"{url}/erasure", json=ASKED, headers=officer)
    assert (again.status_code, again.json()) == (200, shown)
    assert await store.fetchval("SELECT key FROM stream WHERE subject = $1", contact) == b""


async def test_an_erasure_is_refused_while_a_hold_or_a_duty_stands_and_the_refusal_names_it(
    intake: httpx.AsyncClient, contact: str, officer: dict[str, str]
) -> None:
    url = f"/v1/contacts/{contact}"
    placed = await intake.post(f"{url}/holds", json=HOLD, headers=officer)
    assert placed.status_code == 201, placed.text
    until_ = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    duty = await intake.post(
        f"{url}/duties", json={"authority": "RRD/4", "reason": "police-information", "until": until_}, headers=officer
    )
    assert duty.status_code == 201, duty.text
    refused = await intake.post(f"{url}/erasure", json=ASKED, headers=officer)
    assert refused.status_code == 409
    assert [(one["kind"], one["id"], one["authority"]) for one in refused.json()["hindrances"]] == [
        ("legal-hold", placed.json()["id"], "CPS/9"),
        ("retention-duty", duty.json()["id"], "RRD/4"),
    ]
    assert await hindrances(intake, contact, officer) == refused.json()["hindrances"]
    for kind, made in (("holds", placed), ("duties", duty)):
        lifted = await intake.post(
            f"{url}/{kind}/{made.json()['id']}/lift", json={"authority": "CPS/9"}, headers=officer
        )
        assert lifted.status_code == 200, lifted.text
    assert (await intake.post(f"{url}/erasure", json=ASKED, headers=officer)).status_code == 202
    assert (await intake.post(f"{url}/holds", json=HOLD, headers=officer)).status_code == 409


async def test_a_hold_that_is_sent_again_with_its_key_is_one_hold(
    intake: httpx.AsyncClient, contact: str, officer: dict[str, str]
) -> None:
    headers = {**officer, "Idempotency-Key": str(uuid4())}
    first, second = [await intake.post(f"/v1/contacts/{contact}/holds", json=HOLD, headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    assert len(await hindrances(intake, contact, officer)) == 1


async def test_an_erasure_is_refused_while_a_crime_stands_that_the_contact_led_to(
    intake: httpx.AsyncClient, contact: str, officer: dict[str, str], others: Others
) -> None:
    incident = await others.open_incident(str(uuid4()))
    await others.say(ContactJoined(contact=contact, by="anna"), "/recording", incident, 2)
    await others.say(IncidentCrimed(crime="40/1/26", by="rec"), "/recording", incident, 3)

    async def stands() -> bool:
        return bool(await hindrances(intake, contact, officer))

    await until(stands)
    refused = await intake.post(f"/v1/contacts/{contact}/erasure", json=ASKED, headers=officer)
    assert refused.status_code == 409
    [named] = refused.json()["hindrances"]
    assert (named["kind"], named["id"], named["authority"]) == ("crime", incident, "40/1/26")
    await others.say(CrimeCancelled(crime="40/1/26", by="reg"), "/recording", incident, 4)

    async def stands_no_more() -> bool:
        return not await hindrances(intake, contact, officer)

    await until(stands_no_more)
    erased = await intake.post(f"/v1/contacts/{contact}/erasure", json=ASKED, headers=officer)
    assert erased.status_code == 202
    assert erased.json()["incidents"] == [incident]


async def test_of_a_hold_and_an_erasure_at_once_one_is_refused(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], router: Router, officer: dict[str, str]
) -> None:
    for _ in range(10):
        made = await opened(copies[0])
        await router.publish(made)
        await until(lambda made=made: _visible(copies[0], made, officer))  # type: ignore[misc]
        hold, erasure = await asyncio.gather(
            copies[0].post(f"/v1/contacts/{made}/holds", json=HOLD, headers=officer),
            copies[1].post(f"/v1/contacts/{made}/erasure", json=ASKED, headers=officer),
        )
        assert (hold.status_code, erasure.status_code) in {(201, 409), (409, 202)}, (hold.text, erasure.text)
        shown = (await copies[0].get(f"/v1/contacts/{made}", headers=officer)).json()
        assert (shown["erasedAt"] is None) == (hold.status_code == 201)


async def test_what_is_added_while_a_contact_is_erased_is_refused_or_gone_with_it(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], contact: str, officer: dict[str, str], tokens: Tokens
) -> None:
    url = f"/v1/contacts/{contact}"
    *added, erased = await asyncio.gather(
        *(copies[n % 2].post(f"{url}/messages", json={"text": f"words {n}"}) for n in range(8)),
        copies[1].post(f"{url}/erasure", json=ASKED, headers=officer),
    )
    assert erased.status_code == 202, erased.text
    assert {answer.status_code for answer in added} <= {201, 409}
    late = await copies[0].post(f"{url}/locations", json=CALL["locations"][0])
    assert late.status_code == 409
    shown = (await copies[0].get(url, headers=tokens.handler("cambridgeshire"))).json()
    assert len(shown["messages"]) == sum(answer.status_code == 201 for answer in added)
    assert {message["text"] for message in shown["messages"]} <= {None}


async def test_the_presented_force_is_not_the_one_to_erase(
    intake: httpx.AsyncClient, contact: str, tokens: Tokens
) -> None:
    headers = bearer(tokens.of("data-protection", subject="dpo-2", forces=("bedfordshire",)))
    url = f"/v1/contacts/{contact}/erasure"
    assert (await intake.post(url, json=ASKED, headers=headers)).status_code == 404
    assert (await intake.get(url, headers=headers)).status_code == 404


async def test_what_is_put_right_is_shown_to_all_and_what_was_wrong_to_auditors_alone(
    intake: httpx.AsyncClient, contact: str, officer: dict[str, str], tokens: Tokens
) -> None:
    url, handler = f"/v1/contacts/{contact}", tokens.handler("cambridgeshire")
    key = {"Idempotency-Key": str(uuid4())}
    body = {"member": "name", "text": "Ada Swan", "authority": "DPO/2", "reason": "request"}
    answers = [await intake.post(f"{url}/rectifications", json=body, headers={**officer, **key}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    shown = await intake.get(url, headers=handler)
    assert shown.json()["person"]["name"] == "Ada Swan"
    assert "Wren" not in shown.text
    listed = await intake.get(f"{url}/rectifications", headers=officer)
    [correction] = listed.json()["corrections"]
    assert (correction["before"], correction["after"], correction["by"]) == ("Ada Wren", "Ada Swan", "dpo-1")
    for roles in (("data-protection",), ("registrar",), ("handler",), ("supervisor",)):
        other = bearer(tokens.of(*roles, subject="other", forces=("cambridgeshire",)))
        assert (await intake.get(f"{url}/rectifications", headers=other)).status_code == 403
    assert (await intake.post(f"{url}/erasure", json=ASKED, headers=officer)).status_code == 202
    [correction] = (await intake.get(f"{url}/rectifications", headers=officer)).json()["corrections"]
    assert (correction["before"], correction["after"], correction["member"]) == (None, None, "name")
