"""A request that is sent again with its `Idempotency-Key` happens once, on whichever copy."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.events.log.database import Database
from libs.events.log.store import load
from tests.integration.intake import (
    CALL,
    CHANNELS,
    Tokens,
    bearer,
    count,
    opened,
)


@pytest.mark.parametrize(("channel", "body"), CHANNELS)
async def test_the_same_key_and_body_answer_the_same_contact_on_either_copy(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], store: Database, channel: str, body: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": f'"{uuid4()}"'}
    first = await copies[0].post(f"/v1/contacts/{channel}", json=body, headers=key)
    before = await count(store)
    again = await copies[1].post(
        f"/v1/contacts/{channel}",
        content=json.dumps(body, indent=4),
        headers={**key, "Content-Type": "application/json"},
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    assert await count(store) == before


async def test_the_same_key_with_another_body_is_refused_and_nothing_is_stored(
    intake: httpx.AsyncClient, store: Database
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    await intake.post("/v1/contacts/telephone", json=CALL, headers=key)
    before = await count(store)
    refused = await intake.post("/v1/contacts/telephone", json={**CALL, "silent": True}, headers=key)
    assert refused.status_code == 422
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"].endswith("/idempotency-mismatch")
    assert await count(store) == before


async def test_another_gateway_may_use_the_same_key(intake: httpx.AsyncClient, tokens: Tokens) -> None:
    key = {"Idempotency-Key": "call-1"}
    mine = await intake.post("/v1/contacts/telephone", json=CALL, headers=key)
    theirs = await intake.post(
        "/v1/contacts/telephone",
        json={**CALL, "words": "other"},
        headers={**key, **bearer(tokens.of("gateway", subject="gw-2"))},
    )
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_requests_at_once_with_one_key_are_all_answered_with_one_contact(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], store: Database
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    before = await count(store)
    answers = await asyncio.gather(
        *(copies[i % 2].post("/v1/contacts/telephone", json=CALL, headers=key) for i in range(30))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.json()["reference"] for answer in answers}) == 1
    assert await count(store) == before + 1


async def test_at_once_with_one_key_and_two_bodies_one_body_wins_and_the_other_is_refused(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], store: Database
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    before = await count(store)
    answers = await asyncio.gather(
        *(
            copies[i % 2].post("/v1/contacts/telephone", json={**CALL, "silent": i % 3 == 0}, headers=key)
            for i in range(30)
        )
    )
    assert sorted({answer.status_code for answer in answers}) == [201, 422]
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert len({i % 3 == 0 for i, answer in enumerate(answers) if answer.status_code == 201}) == 1
    assert await count(store) == before + 1


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        (
            "locations",
            {"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 52, "lon": 0}},
            {"of": "other"},
        ),
        ("messages", {"text": "hello"}, {"text": "another"}),
        ("end", {"reason": "completed"}, {"reason": "timed-out"}),
    ],
)
async def test_what_is_added_under_one_key_is_added_once(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient],
    store: Database,
    path: str,
    body: dict[str, Any],
    other: dict[str, Any],
) -> None:
    contact, stranger = await opened(copies[0]), await opened(copies[0])
    key = {"Idempotency-Key": str(uuid4())}
    answers = await asyncio.gather(
        *(copies[i % 2].post(f"/v1/contacts/{contact}/{path}", json=body, headers=key) for i in range(10))
    )
    assert {answer.status_code for answer in answers} == {200 if path == "end" else 201}
    assert len({answer.text for answer in answers}) == 1
    assert len(await load(store, contact)) == 2
    mismatched = await copies[0].post(f"/v1/contacts/{contact}/{path}", json={**body, **other}, headers=key)
    elsewhere = await copies[0].post(f"/v1/contacts/{stranger}/{path}", json=body, headers=key)
    assert [a.json()["type"].rpartition("/")[2] for a in (mismatched, elsewhere)] == ["idempotency-mismatch"] * 2
    assert len(await load(store, stranger)) == 1


@pytest.mark.parametrize("key", ["", " ", "k" * 256, '"open'])
async def test_a_key_that_is_none_is_refused(intake: httpx.AsyncClient, key: str) -> None:
    refused = await intake.post("/v1/contacts/telephone", json=CALL, headers={"Idempotency-Key": key})
    assert refused.status_code == 400
