"""Intake through its REST API, on the real PostgreSQL and the real Kafka; two copies share one database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from deploy.local.process import free_port
from libs.events.envelope import Event, Malformed
from libs.events.log.database import Database
from libs.events.log.store import load
from libs.events.types.routing import ContactRouted
from services.intake import decisions, reference
from tests.capturing import logged
from tests.conftest import NewDatabase
from tests.integration.intake import CALL, CHAT, REPORT, Router, Tokens, a_copy, an_issuer, bearer, ready
from tests.integration.logs import until

CHANNELS = [("telephone", CALL), ("web", REPORT), ("online", CHAT)]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(tmp_path_factory.mktemp("secrets")) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def url(database: NewDatabase) -> str:
    return (await database("intake")).url


@pytest_asyncio.fixture(scope="module")
async def store(url: str) -> AsyncIterator[Database]:
    opened = await Database.connect(url, source="/intake")
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="module")
async def copies(url: str, topics: str, tokens: Tokens) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with a_copy(url, topics, tokens) as one, a_copy(url, topics, tokens) as other:
        await until(lambda: ready(one))
        await until(lambda: ready(other))
        yield one, other


@pytest_asyncio.fixture(scope="module")
async def router(topics: str) -> AsyncIterator[Router]:
    async with Router(topics).at_work() as working:
        yield working


@pytest.fixture
def intake(copies: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> httpx.AsyncClient:
    return copies[0]


async def opened(intake: httpx.AsyncClient, channel: str = "telephone", **change: Any) -> str:
    answer = await intake.post(f"/v1/contacts/{channel}", json={**dict(CHANNELS)[channel], **change})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def count(store: Database) -> int:
    found: int = await store.fetchval("SELECT count(*) FROM event")
    return found


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


async def test_a_reference_that_is_taken_is_drawn_again(
    intake: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = (await intake.post("/v1/contacts/telephone", json=CALL)).json()["reference"]
    draws = iter([taken, taken, free := reference.of(987_654_321)])
    monkeypatch.setattr(reference, "draw", lambda: next(draws))
    answer = await intake.post("/v1/contacts/telephone", json=CALL, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 201
    assert answer.json()["reference"] == free


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
    assert routed["candidates"] == [{"force": "cambridgeshire", "share": 1.0}]
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


async def test_a_late_decision_never_overwrites_a_newer_one(store: Database) -> None:
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
    latest = await decisions.latest_decision(store, contact)
    assert latest is not None
    assert (latest.version, latest.routed.queue) == (3, "c")


async def test_a_decision_that_nobody_could_read_back_is_not_kept(store: Database) -> None:
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
    assert await decisions.latest_decision(store, broken.subject) is None


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


async def test_of_locations_that_arrive_at_once_none_is_lost(
    copies: tuple[httpx.AsyncClient, httpx.AsyncClient], tokens: Tokens
) -> None:
    contact = await opened(copies[0])
    answers = await asyncio.gather(
        *(
            copies[i % 2].post(
                f"/v1/contacts/{contact}/locations",
                json={"of": "caller", "source": "aml", "shape": {"kind": "point", "lat": 52 + i / 100, "lon": 0}},
            )
            for i in range(15)
        )
    )
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


@pytest.mark.parametrize("contact", [str(uuid4()), "2222-2223", "nonsense", "%20", "a" * 64, "{" + str(uuid4()) + "}"])
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


@pytest.mark.parametrize("key", ["", " ", "k" * 256, '"open'])
async def test_a_key_that_is_none_is_refused(intake: httpx.AsyncClient, key: str) -> None:
    refused = await intake.post("/v1/contacts/telephone", json=CALL, headers={"Idempotency-Key": key})
    assert refused.status_code == 400


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
    text = stream.getvalue()
    assert text.count('"event":"request"') == 4
    for secret in ("planted", "Planted", "bicycle", "7700"):
        assert secret not in text


async def test_contacts_are_taken_while_kafka_is_down_and_drain_afterwards(
    database: NewDatabase, topics: str, tokens: Tokens, router: Router
) -> None:
    url = (await database("intake")).url
    async with a_copy(url, f"127.0.0.1:{free_port()}", tokens) as cut_off:
        answers = [
            await cut_off.post("/v1/contacts/telephone", json=CALL, headers={"Prefer": "wait=1"} if i == 0 else {})
            for i in range(5)
        ]
        assert [answer.status_code for answer in answers] == [201] * 5
        assert answers[0].json()["routing"] == {"state": "pending"}
        contacts = [answer.json()["id"] for answer in answers]
        ended = await cut_off.post(f"/v1/contacts/{contacts[0]}/end", json={"reason": "completed"})
        assert ended.status_code == 200
        health = await cut_off.get("/readyz")
        assert health.status_code == 200
        assert {part["name"] for part in health.json()["degraded"]} >= {"publishing", "decisions", "waits"}
    assert not set(contacts) & set(router.seen)
    async with a_copy(url, topics, tokens):
        await until(lambda: set(contacts) <= set(router.seen) and len(router.seen[contacts[0]]) == 2)


async def test_without_postgresql_it_says_so_and_when_to_come_again(topics: str, tokens: Tokens) -> None:
    async with a_copy(f"postgresql://intake@127.0.0.1:{free_port()}/intake", topics, tokens) as cut_off:
        refused = await cut_off.post("/v1/contacts/telephone", json=CALL)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        health = await cut_off.get("/readyz")
        assert health.status_code == 503
        assert "PostgreSQL" in {part["name"] for part in health.json()["missing"]}
