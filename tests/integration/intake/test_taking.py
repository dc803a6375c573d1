"""A contact comes in on a channel, whatever else is away; what is wrong is refused and leaves nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.process import free_port
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.store import load
from libs.service import logs
from services.intake import reference
from tests.capturing import logged
from tests.conftest import NewDatabase
from tests.integration.intake import (
    CALL,
    CHANNELS,
    REPORT,
    Router,
    Tokens,
    a_copy,
    count,
    opened,
)
from tests.integration.logs import until


@pytest.mark.parametrize(("channel", "body"), CHANNELS)
async def test_a_contact_on_any_channel_is_on_disk_and_published(
    intake: httpx.AsyncClient, store: Database, router: Router, channel: str, body: dict[str, Any]
) -> None:
    answer = await intake.post(f"/v1/contacts/{channel}", json=body)
    assert answer.status_code == 201
    taken = answer.json()
    assert answer.headers["Location"] == f"/v1/contacts/{taken['id']}"
    assert reference.read(taken["reference"]) == taken["reference"]
    assert taken["routing"] == {"state": "pending"}
    [event] = await load(store, taken["id"])
    assert event.fact.channel == channel
    assert event.force == body.get("presentedForce")
    assert event.traceparent is not None
    await until(lambda: taken["id"] in router.seen)
    assert router.seen[taken["id"]] == [event]


async def test_a_reference_that_is_taken_is_drawn_again(
    intake: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = (await intake.post("/v1/contacts/telephone", json=CALL)).json()["reference"]
    draws = iter([taken, taken, free := reference.of(987_654_321)])
    monkeypatch.setattr(reference, "draw", lambda: next(draws))
    answer = await intake.post("/v1/contacts/telephone", json=CALL, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 201
    assert answer.json()["reference"] == free


CROSSED = {"kind": "polygon", "exterior": [[52, 0], [52.1, 0.1], [52, 0.1], [52.1, 0]]}


BAD: list[tuple[bytes, int, str | None]] = [
    (b"", 400, None),
    (b"{", 400, None),
    (b"[]", 422, ""),
    (b"null", 422, ""),
    (b'{"line": "\xff\xfe"}', 400, None),
    (b'{"line": "999", "words": "\\ud800"}', 400, None),
    (b'{"line": "999", "words": "planted\\u0000"}', 422, "/words"),
    (b'{"line": 999}', 422, "/line"),
    (b'{"line": "999", "planted": 1}', 422, "/planted"),
    (b'{"line": "999", "silent": 1}', 422, "/silent"),
    (b'{"line": "999", "callingNumber": "planted"}', 422, "/callingNumber"),
    (b'{"line": "999", "presentedForce": "No Such Force"}', 422, "/presentedForce"),
    (b'{"line": "999", "presentedAt": "2026-03-01T10:00:00"}', 422, "/presentedAt"),
    (
        b'{"line": "101", "locations": [{"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 191.5}}]}',
        422,
        "/locations/0/shape/lat",
    ),
    (
        json.dumps({"line": "101", "locations": [{"of": "caller", "source": "aml", "shape": CROSSED}]}).encode(),
        422,
        "/locations/0/shape",
    ),
    (b'{"line": "999", "words": "' + b"x" * 10_000_000 + b'"}', 413, None),
]


@pytest.mark.parametrize(("body", "status", "pointer"), BAD, ids=lambda value: str(value)[:40])
async def test_what_is_wrong_is_refused_with_its_place_and_nothing_is_stored(
    intake: httpx.AsyncClient, store: Database, body: bytes, status: int, pointer: str | None
) -> None:
    before = await count(store)
    refused = await intake.post("/v1/contacts/telephone", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == status, refused.text
    assert refused.headers["Content-Type"] == "application/problem+json"
    if pointer:
        assert refused.json()["errors"][0]["pointer"] == pointer
    for secret in ('"planted"', "191.5", "xxxx", "No Such"):
        assert secret not in refused.text
    assert await count(store) == before


async def test_a_body_that_is_not_said_to_be_json_is_refused(intake: httpx.AsyncClient) -> None:
    for headers in ({"Content-Type": "text/plain"}, {}):
        refused = await intake.post("/v1/contacts/telephone", content=json.dumps(CALL).encode(), headers=headers)
        assert refused.status_code == 415


async def test_without_a_token_of_a_gateway_nothing_is_taken(intake: httpx.AsyncClient, tokens: Tokens) -> None:
    for channel, body in CHANNELS:
        path = f"/v1/contacts/{channel}"
        assert (await intake.post(path, json=body, headers={"Authorization": ""})).status_code == 401
        assert (await intake.post(path, json=body, headers=tokens.handler("bedfordshire"))).status_code == 403


async def test_nothing_personal_is_logged(intake: httpx.AsyncClient) -> None:
    with logged() as stream:
        contact = await opened(intake, "web")
        await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "planted message"})
        await intake.post("/v1/contacts/web", json={**REPORT, "contactNumber": "planted"})
        await intake.get("/v1/contacts/07700900123")
        await asyncio.sleep(2 * logs.SOON_S)  # a request's line may wait for others
    text = stream.getvalue()
    assert text.count('"event":"request"') == 4
    for secret in ("planted", "Planted", "bicycle", "7700"):
        assert secret not in text


async def test_contacts_are_taken_while_kafka_is_down_and_drain_afterwards(
    database: NewDatabase, topics: Broker, tokens: Tokens, router: Router
) -> None:
    url = (await database("intake")).url
    async with a_copy(url, Broker(f"127.0.0.1:{free_port()}"), tokens) as cut_off:
        answers = [
            await cut_off.post("/v1/contacts/telephone", json=CALL, headers={"Prefer": "wait=1"} if i == 0 else {})
            for i in range(5)
        ]
        assert [answer.status_code for answer in answers] == [201] * 5
        assert answers[0].json()["routing"] == {"state": "pending"}
        contacts = [answer.json()["id"] for answer in answers]
        ended = await cut_off.post(f"/v1/contacts/{contacts[0]}/end", json={"reason": "completed"})
        assert ended.status_code == 200

        async def is_ready_and_says_what_it_lacks() -> bool:
            health = await cut_off.get("/readyz")
            lacks = {part["name"] for part in health.json().get("degraded", ())}
            return health.status_code == 200 and lacks >= {"publishing", "decisions", "waits"}

        await until(is_ready_and_says_what_it_lacks)
    assert not set(contacts) & set(router.seen)
    async with a_copy(url, topics, tokens):
        await until(lambda: set(contacts) <= set(router.seen) and len(router.seen[contacts[0]]) == 2)


async def test_without_postgresql_it_says_so_and_when_to_come_again(topics: Broker, tokens: Tokens) -> None:
    async with a_copy(f"postgresql://intake@127.0.0.1:{free_port()}/intake", topics, tokens) as cut_off:
        refused = await cut_off.post("/v1/contacts/telephone", json=CALL)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        health = await cut_off.get("/readyz")
        assert health.status_code == 503
        assert "PostgreSQL" in {part["name"] for part in health.json()["missing"]}
