"""A contact grows, ends and is shown to those who may see it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx
import pytest

from tests.integration.intake import (
    CALL,
    Router,
    Tokens,
    bearer,
    opened,
)
from tests.integration.logs import until


async def test_a_contact_grows_and_ends_and_is_shown_as_it_stands(
    intake: httpx.AsyncClient, tokens: Tokens, router: Router
) -> None:
    contact = await opened(intake)
    place = {"of": "incident", "source": "caller", "shape": {"kind": "postcode", "postcode": "sg86na"}}
    located = await intake.post(f"/v1/contacts/{contact}/locations", json=place)
    written = await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "hurry", "emergency": True})
    staff = tokens.handler("bedfordshire")
    noted = await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "noted"}, headers=staff)
    ended = await intake.post(f"/v1/contacts/{contact}/end", json={"reason": "completed"}, headers=staff)
    assert [a.status_code for a in (located, written, noted, ended)] == [201, 201, 201, 200]

    shown = (await intake.get(f"/v1/contacts/{contact}", headers=staff)).json()
    assert [place["of"] for place in shown["locations"]] == ["caller", "incident"]
    assert shown["locations"][0]["shape"] == {"kind": "circle", "lat": 52.0482, "lon": -0.0243, "radiusM": 20.0}
    assert shown["locations"][1]["id"] == located.json()["id"]
    assert shown["locations"][1]["shape"] == {"kind": "postcode", "postcode": "SG8 6NA"}
    assert [(m["id"], m["sender"], m["text"]) for m in shown["messages"]] == [
        (written.json()["id"], "caller", "hurry"),
        (noted.json()["id"], "handler", "noted"),
    ]
    assert shown["person"]["callingNumber"] == "+447700900123"
    assert shown["ended"] == {"reason": "completed", "endedAt": ended.json()["endedAt"]}
    assert shown["version"] == 5
    await until(lambda: len(router.seen.get(contact, ())) == 5)
    assert [event.version for event in router.seen[contact]] == [1, 2, 3, 4, 5]


async def test_after_the_end_a_location_is_taken_a_message_refused_and_the_same_end_answered_alike(
    intake: httpx.AsyncClient,
) -> None:
    contact = await opened(intake)
    key = {"Idempotency-Key": str(uuid4())}
    said = await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "hello"}, headers=key)
    end = {"reason": "caller-ended", "endedAt": "2026-03-01T10:00:00+00:00"}
    first = await intake.post(f"/v1/contacts/{contact}/end", json=end)
    again = await intake.post(f"/v1/contacts/{contact}/end", json=end)
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (200, first.json())
    other = await intake.post(f"/v1/contacts/{contact}/end", json={"reason": "timed-out"})
    assert other.status_code == 409
    late = await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "too late"})
    assert late.status_code == 409
    assert "open a new one" in late.json()["detail"]
    repeated = await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "hello"}, headers=key)
    assert (repeated.status_code, repeated.json()) == (201, said.json())
    place = {"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 52.1, "lon": 0.1}}
    assert (await intake.post(f"/v1/contacts/{contact}/locations", json=place)).status_code == 201


async def test_of_locations_that_arrive_at_once_none_is_lost(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], tokens: Tokens
) -> None:
    contact = await opened(copies[0])

    async def place(number: int) -> httpx.Response:
        """Sent again with its key, as gateways do, where a busy intake says 503."""
        shape = {"kind": "point", "lat": 52 + number / 100, "lon": 0}
        body = {"of": "caller", "source": "aml", "shape": shape}
        key = {"Idempotency-Key": f'"place-{number}"'}
        for _ in range(20):
            answer = await copies[number % 2].post(f"/v1/contacts/{contact}/locations", json=body, headers=key)
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.2)
        return answer

    answers = await asyncio.gather(*map(place, range(15)))
    assert {answer.status_code for answer in answers} == {201}
    shown = await copies[1].get(f"/v1/contacts/{contact}", headers=tokens.handler("bedfordshire"))
    assert {place["id"] for place in shown.json()["locations"]} >= {answer.json()["id"] for answer in answers}
    assert len(shown.json()["locations"]) == 16


async def test_a_contact_is_seen_by_those_it_was_presented_to_or_is_owned_by_and_by_nobody_else(
    intake: httpx.AsyncClient, tokens: Tokens, router: Router
) -> None:
    contact = await opened(intake)
    path = f"/v1/contacts/{contact}"

    async def status(headers: dict[str, str]) -> int:
        return (await intake.get(path, headers=headers)).status_code

    assert await status(tokens.handler("bedfordshire")) == 200
    assert await status(tokens.handler("cambridgeshire", "hertfordshire", alliance=True)) == 404
    assert await status(bearer(tokens.of("gateway", subject="gw-2", forces=("bedfordshire",)))) == 404
    assert await status(bearer(tokens.of("finance", forces=("bedfordshire",)))) == 403
    await router.publish(contact, owner="cambridgeshire")

    async def owner_sees() -> bool:
        return await status(tokens.handler("cambridgeshire")) == 200

    await until(owner_sees)
    assert await status(tokens.handler("bedfordshire")) == 200
    assert await status(tokens.handler("hertfordshire")) == 404
    place = {"of": "caller", "source": "handler", "shape": {"kind": "point", "lat": 52.1, "lon": 0.1}}
    for headers, expected in ((tokens.handler("hertfordshire"), 404), (tokens.handler("cambridgeshire"), 201)):
        assert (await intake.post(f"{path}/locations", json=place, headers=headers)).status_code == expected


async def test_a_contact_of_no_known_force_is_the_alliances(intake: httpx.AsyncClient, tokens: Tokens) -> None:
    contact = await opened(intake, "web")
    for headers, expected in (
        (tokens.handler("bedfordshire"), 404),
        (tokens.handler("bedfordshire", alliance=True), 200),
    ):
        assert (await intake.get(f"/v1/contacts/{contact}", headers=headers)).status_code == expected


async def test_what_its_owner_has_no_queue_for_is_shown_to_who_takes_it_from_the_alliances(
    intake: httpx.AsyncClient, tokens: Tokens, router: Router
) -> None:
    contact = await opened(intake, "web")
    await router.publish(contact, owner="essex", cause="no-queue")

    async def status(headers: dict[str, str]) -> int:
        return (await intake.get(f"/v1/contacts/{contact}", headers=headers)).status_code

    async def owner_sees() -> bool:
        return await status(tokens.handler("essex")) == 200

    await until(owner_sees)
    assert await status(tokens.handler("bedfordshire", alliance=True)) == 200
    assert await status(tokens.handler("bedfordshire")) == 404


async def test_a_gateway_is_shown_what_it_brought_without_what_identifies_a_person(intake: httpx.AsyncClient) -> None:
    contact = await opened(intake)
    await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "planted message"})
    shown = await intake.get(f"/v1/contacts/{contact}")
    assert shown.json()["person"] is None
    assert shown.json()["locations"][0]["shape"] is None
    assert shown.json()["messages"][0]["text"] is None
    for secret in ("7700", "planted", "52.04"):
        assert secret not in shown.text


async def test_a_contact_is_found_by_the_reference_that_somebody_read_out(
    intake: httpx.AsyncClient, tokens: Tokens
) -> None:
    taken = (await intake.post("/v1/contacts/telephone", json=CALL)).json()
    read_out = taken["reference"].lower().replace("-", " ")
    found = await intake.get(f"/v1/contacts/{read_out}", headers=tokens.handler("bedfordshire"))
    assert found.json()["id"] == taken["id"]
    unseen = await intake.get(f"/v1/contacts/{read_out}", headers=tokens.handler("hertfordshire"))
    assert unseen.status_code == 404


STRANGE = "01a20379-d7f8-4569-9982-8f548013302d"


@pytest.mark.parametrize("contact", [STRANGE, "2222-2223", "nonsense", "%20", "a" * 64, "{" + STRANGE + "}"])
async def test_a_strangers_id_is_not_found_whatever_is_asked_of_it(intake: httpx.AsyncClient, contact: str) -> None:
    place = {"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 52.1, "lon": 0.1}}
    asked = [
        await intake.get(f"/v1/contacts/{contact}"),
        await intake.post(f"/v1/contacts/{contact}/locations", json=place),
        await intake.post(f"/v1/contacts/{contact}/messages", json={"text": "x"}),
        await intake.post(f"/v1/contacts/{contact}/end", json={"reason": "completed"}),
    ]
    assert [answer.status_code for answer in asked] == [404] * 4


async def test_staff_speak_for_themselves_alone(intake: httpx.AsyncClient, tokens: Tokens) -> None:
    contact = await opened(intake)
    claimed = {"text": "I confess", "sender": "caller"}
    refused = await intake.post(
        f"/v1/contacts/{contact}/messages", json=claimed, headers=tokens.handler("bedfordshire")
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/sender"
    assert (await intake.post(f"/v1/contacts/{contact}/messages", json=claimed)).status_code == 201
