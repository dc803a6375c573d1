"""A call that the network presents twice is one contact with two legs, whichever gateways it comes by."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.events.envelope import Event
from libs.events.log.database import Database
from libs.events.types.contacts import ContactLegAdded, ContactLegEnded
from libs.service.trace import PURPOSE
from tests.integration.intake import CALL, Router, Tokens, bearer, opened
from tests.integration.logs import until

LEG: dict[str, Any] = {"callId": "leg-2", "trunk": "buddy-7", "presentedForce": "hertfordshire"}
PLACE: dict[str, Any] = {"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 52.1, "lon": 0.1}}


@pytest.fixture
def buddy(tokens: Tokens) -> dict[str, str]:
    """Another gateway, which serves Bedfordshire's trunks."""
    return bearer(tokens.of("gateway", subject="gw-buddy", forces=("bedfordshire",)))


async def shown(intake: httpx.AsyncClient, contact: str, tokens: Tokens) -> dict[str, Any]:
    answer = await intake.get(f"/v1/contacts/{contact}", headers=tokens.handler("bedfordshire"))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_call_presented_again_by_another_gateway_of_the_alliance_is_one_contact_with_two_legs(
    intake: httpx.AsyncClient, tokens: Tokens, buddy: dict[str, str], router: Router
) -> None:
    contact = await opened(intake, callId="leg-1")
    body = LEG | {"callingNumber": "07700 900987", "presentedAt": "2026-03-01T10:00:00Z"}
    added = await intake.post(f"/v1/contacts/{contact}/legs", json=body, headers=buddy)
    assert added.status_code == 201, added.text
    assert added.json()["contact"] == contact
    first, second = (await shown(intake, contact, tokens))["legs"]
    assert (first["id"], first["gateway"], first["callId"], first["callingNumber"]) == (
        *(contact, "gw-1", "leg-1"),
        "+447700900123",
    )
    assert second["id"] == added.json()["id"]
    assert (second["gateway"], second["callId"], second["trunk"]) == ("gw-buddy", "leg-2", "buddy-7")
    assert (second["presentedForce"], second["callingNumber"]) == ("hertfordshire", "+447700900987")
    await until(lambda: len(router.seen.get(contact, ())) == 2)
    event: Event = router.seen[contact][1]
    assert isinstance(event.fact, ContactLegAdded)
    assert event.force == "bedfordshire", "it is still whom the contact was presented to"


async def test_a_leg_is_added_once_however_often_it_is_told(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], tokens: Tokens, buddy: dict[str, str]
) -> None:
    contact = await opened(copies[0], callId="leg-1")
    key = {"Idempotency-Key": str(uuid4())}
    told = await asyncio.gather(
        *(
            copies[number % 2].post(
                f"/v1/contacts/{contact}/legs", json=LEG, headers=buddy | (key if number % 3 else {})
            )
            for number in range(12)
        )
    )
    assert {answer.status_code for answer in told} == {201}
    assert len({answer.json()["id"] for answer in told}) == 1
    assert len((await shown(copies[1], contact, tokens))["legs"]) == 2
    first = await copies[0].post(f"/v1/contacts/{contact}/legs", json={"callId": "leg-1"})
    assert (first.status_code, first.json()["id"]) == (201, contact), "the first leg is the contact's own beginning"


async def test_a_leg_is_told_where_to_ring(intake: httpx.AsyncClient, buddy: dict[str, str], router: Router) -> None:
    contact = await opened(intake)
    url = f"/v1/contacts/{contact}/legs"
    assert (await intake.post(url, json=LEG, headers=buddy)).json()["routing"] == {"state": "pending"}
    await router.publish(contact, owner="cambridgeshire")

    async def routed() -> bool:
        told = (await intake.post(url, json=LEG, headers=buddy)).json()["routing"]
        return bool(told["state"] == "routed" and told["queue"] == "cambridgeshire-999")

    await until(routed)


async def test_a_gateway_that_adds_a_leg_may_add_to_the_contact_and_is_not_shown_it(
    intake: httpx.AsyncClient, tokens: Tokens, buddy: dict[str, str]
) -> None:
    contact = await opened(intake)
    url = f"/v1/contacts/{contact}"
    steps = (("locations", PLACE), ("messages", {"text": "hurry"}))
    for step, body in steps:
        assert (await intake.post(f"{url}/{step}", json=body, headers=buddy)).status_code == 404, "it has no leg yet"
    added = await intake.post(f"{url}/legs", json=LEG, headers=buddy)
    assert set(added.json()) == {"id", "contact", "callId", "knownAt", "routing"}
    for step, body in steps:
        assert (await intake.post(f"{url}/{step}", json=body, headers=buddy)).status_code == 201
    hidden = await intake.get(url, headers=buddy)
    nobodys = await intake.get(f"/v1/contacts/{uuid4()}", headers=buddy)
    assert hidden.status_code == 404
    assert hidden.json() | {"requestId": None} == nobodys.json() | {"requestId": None}
    both = bearer(tokens.of("gateway", "handler", subject="gw-buddy", forces=("hertfordshire",)))
    assert (await intake.get(url, headers=both)).status_code == 404, "a leg shows it to no other role either"
    theirs = bearer(tokens.of("gateway", "handler", subject="gw-buddy", forces=("bedfordshire",)))
    theirs |= {PURPOSE: "quality"}
    assert (await intake.get(url, headers=theirs)).status_code == 200


@pytest.mark.parametrize(
    ("forces", "alliance"), [((), False), (("hertfordshire",), False), (("hertfordshire", "cambridgeshire"), True)]
)
async def test_to_a_gateway_of_other_forces_a_contact_is_not_there(
    intake: httpx.AsyncClient, tokens: Tokens, answering: Database, forces: tuple[str, ...], alliance: bool
) -> None:
    contact = await opened(intake)
    stranger = bearer(tokens.of("gateway", subject="gw-stranger", forces=forces, alliance=alliance))
    there, nowhere = [
        await intake.post(f"/v1/contacts/{id_}/legs", json=LEG, headers=stranger) for id_ in (contact, str(uuid4()))
    ]
    assert there.status_code == 404
    assert there.json() | {"requestId": None} == nowhere.json() | {"requestId": None}


async def test_the_contact_ends_with_its_last_leg(
    intake: httpx.AsyncClient, tokens: Tokens, buddy: dict[str, str], router: Router
) -> None:
    contact = await opened(intake)
    url = f"/v1/contacts/{contact}"
    assert (await intake.post(f"{url}/legs", json=LEG, headers=buddy)).status_code == 201
    gone = {"reason": "network-failure"}
    for _ in range(2):
        first = await intake.post(f"{url}/end", json=gone)
        assert (first.status_code, first.json()["goesOn"]) == (200, True), first.text
    assert (await shown(intake, contact, tokens))["ended"] is None
    told = await intake.post(f"{url}/messages", json={"text": "still here"}, headers=buddy)
    assert told.status_code == 201, "the conversation goes on"
    assert (await intake.post(f"{url}/end", json={"reason": "timed-out"})).status_code == 409
    last = await intake.post(f"{url}/end", json={"reason": "caller-ended", "callId": "leg-2"}, headers=buddy)
    assert (last.status_code, last.json()["goesOn"]) == (200, False), last.text
    after = await shown(intake, contact, tokens)
    assert after["ended"]["reason"] == "caller-ended"
    assert [leg["ended"] and leg["ended"]["reason"] for leg in after["legs"]] == ["network-failure", None]
    await until(lambda: len(router.seen.get(contact, ())) == 5)
    assert isinstance(router.seen[contact][2].fact, ContactLegEnded)
    assert router.seen[contact][4].type.endswith("contact.ended.v1")
    late = await intake.post(f"{url}/legs", json=LEG | {"callId": "leg-3"}, headers=buddy)
    assert late.status_code == 409
    assert "open a new one" in late.json()["detail"]


async def test_staff_end_the_contact_with_all_its_legs_and_none_of_them_alone(
    intake: httpx.AsyncClient, tokens: Tokens, buddy: dict[str, str]
) -> None:
    contact = await opened(intake)
    url = f"/v1/contacts/{contact}/end"
    await intake.post(f"/v1/contacts/{contact}/legs", json=LEG, headers=buddy)
    staff = tokens.handler("bedfordshire")
    one = await intake.post(url, json={"reason": "completed", "callId": "leg-2"}, headers=staff)
    assert (one.status_code, one.json()["errors"][0]["pointer"]) == (422, "/callId")
    whole = await intake.post(url, json={"reason": "completed"}, headers=staff)
    assert (whole.status_code, whole.json()["goesOn"]) == (200, False)


async def test_only_a_call_has_legs(intake: httpx.AsyncClient) -> None:
    contact = await opened(intake, "online")
    answer = await intake.post(f"/v1/contacts/{contact}/legs", json=LEG)
    assert answer.status_code == 409
    assert "only a call has legs" in answer.json()["detail"]


async def test_a_call_presented_again_while_its_first_leg_is_being_taken_is_not_taken_twice(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], tokens: Tokens, buddy: dict[str, str]
) -> None:
    """Legs, ends and places that come at once all hold."""
    contact = await opened(copies[0], callId="leg-1")
    url = f"/v1/contacts/{contact}"
    answers = await asyncio.gather(
        *(
            copies[number % 2].post(f"{url}/legs", json={"callId": f"more-{number}"}, headers=buddy)
            for number in range(8)
        ),
        *(copies[number % 2].post(f"{url}/locations", json=PLACE) for number in range(4)),
    )
    assert {answer.status_code for answer in answers} == {201}
    after = await shown(copies[0], contact, tokens)
    assert len(after["legs"]) == 9
    assert len(after["locations"]) == len(CALL["locations"]) + 4
