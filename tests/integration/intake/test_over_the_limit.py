"""A gateway that asks too much is refused, whatever it asks, but for emergencies: those are always taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from libs.service.access import ACCESS
from tests.integration.intake import CALL, CHAT, REPORT, Tokens, a_copy, bearer, opened

LOCATION: dict[str, Any] = CALL["locations"][0]
QUIET = CALL | {"line": "101"}


@pytest_asyncio.fixture(scope="module")
async def contacts(copies: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> dict[str, str]:
    """What the gateway brought while it kept to its limits."""
    intake = copies[0]
    return {
        "emergency": await asyncio.create_task(opened(intake, "telephone")),
        "101": await asyncio.create_task(opened(intake, "telephone", line="101")),
        "chat": await asyncio.create_task(opened(intake, "online")),
    }


@pytest_asyncio.fixture(scope="module")
async def strict(url: str, topics: str, tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    """A copy whose gateway has asked all that it may for the next hours."""
    async with a_copy(url, topics, tokens, client_rate_per_s=0.0001) as copy:
        while (await asyncio.create_task(copy.get("/v1/contacts/none"))).status_code != 429:
            pass  # in a task: what a request knows of itself must not stay with the fixture's
        yield copy


@pytest.mark.parametrize(
    ("channel", "body"),
    [
        ("telephone", CALL),
        ("online", {"medium": "sms", "line": "999", "words": "help"}),
        ("online", CHAT | {"emergency": True}),
        ("web", REPORT | {"emergency": True}),
    ],
)
async def test_an_emergency_is_taken_whatever_its_gateway_has_asked(
    strict: httpx.AsyncClient, channel: str, body: dict[str, Any]
) -> None:
    spared = REGISTRY.get_sample_value("hueandcry_emergencies_spared_total") or 0
    for _ in range(3):
        assert (await strict.post(f"/v1/contacts/{channel}", json=body)).status_code == 201
    assert REGISTRY.get_sample_value("hueandcry_emergencies_spared_total") == spared + 3


@pytest.mark.parametrize(("channel", "body"), [("telephone", QUIET), ("online", CHAT), ("web", REPORT)])
async def test_what_is_no_emergency_is_refused_and_told_when_to_come_again(
    strict: httpx.AsyncClient, channel: str, body: dict[str, Any]
) -> None:
    answer = await strict.post(f"/v1/contacts/{channel}", json=body)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["type"].endswith("too-many-requests")


async def test_what_belongs_to_an_emergency_is_taken_and_else_refused(
    strict: httpx.AsyncClient, contacts: dict[str, str]
) -> None:
    for step, body in (("locations", LOCATION), ("messages", {"text": "hurry"})):
        answers = {
            name: (await strict.post(f"/v1/contacts/{id_}/{step}", json=body)).status_code
            for name, id_ in contacts.items()
        }
        assert answers == {"emergency": 201, "101": 429, "chat": 429}, step
    end = {"reason": "caller-ended"}
    assert (await strict.post(f"/v1/contacts/{contacts['101']}/end", json=end)).status_code == 429
    assert (await strict.post(f"/v1/contacts/{contacts['emergency']}/end", json=end)).status_code == 200


async def test_the_message_that_makes_a_chat_an_emergency_is_taken(
    strict: httpx.AsyncClient, copies: tuple[httpx.AsyncClient, httpx.AsyncClient]
) -> None:
    chat = await opened(copies[0], "online")
    url = f"/v1/contacts/{chat}/messages"
    assert (await strict.post(url, json={"text": "a"})).status_code == 429
    assert (await strict.post(url, json={"text": "he has a knife", "emergency": True})).status_code == 201
    assert (await strict.post(url, json={"text": "a"})).status_code == 201


async def test_another_gateway_is_not_refused(strict: httpx.AsyncClient, tokens: Tokens) -> None:
    other = bearer(tokens.of("gateway", subject="another-gateway"))
    assert (await strict.post("/v1/contacts/telephone", json=QUIET, headers=other)).status_code == 201


def test_every_operation_that_brings_or_adds_to_a_contact_spares_emergencies() -> None:
    sparing = {name for name, rule in ACCESS.items() if rule.spares_emergencies}
    brings = {
        name
        for name, rule in ACCESS.items()
        if "gateway" in rule.roles and not name.startswith(("get", "list", "show"))
    }
    assert sparing == brings - {"locate", "locate_shape", "lost", "retrieve_versions"}
