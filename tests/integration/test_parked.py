"""What readers could not apply, as administrators see it: from the real tables, without a word of what was said."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from deploy.local.databases import Logins
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER
from libs.service import parked, refusals
from libs.service.issuer import Issuer
from libs.service.limits import Limits
from libs.service.rates import Rates
from libs.service.tokens import Verifier
from tests.unit.libs.service.issuing import AUDIENCE, LocalIssuer, issuing

NewDatabase = Callable[[str], Awaitable[Logins]]

HOLD = """
WITH s AS (
    INSERT INTO reader_stream (reader, source, subject) VALUES ('router', '/intake', $1)
    ON CONFLICT (reader, source, subject) DO UPDATE SET holding = true RETURNING id
)
INSERT INTO held
    (reader, stream, version, why, error, attempts, topic, partition, "offset", value, header_names, header_values)
SELECT 'router', s.id, $2, $3, $4, 3, 'hueandcry.contacts', 1, 7, 'Mrs Secret', $5, $6 FROM s
RETURNING id
"""


@pytest.fixture
async def local() -> AsyncIterator[LocalIssuer]:
    async with issuing() as started:
        yield started


@pytest.fixture
async def service(database: NewDatabase, local: LocalIssuer) -> AsyncIterator[FastAPI]:
    app = FastAPI(generate_unique_id_function=lambda route: route.name)
    app.include_router(parked.router)
    refusals.install(app)
    app.add_middleware(Limits)
    app.state.rates = Rates(rate_per_s=1000, at_once=256)
    app.state.verifier = Verifier(Issuer(local.url), audience=AUDIENCE)
    app.state.database = await Database.connect((await database("router")).url, source="/router", part=CONSUMER)
    yield app
    await app.state.database.close()


@pytest.fixture
async def client(service: FastAPI, local: LocalIssuer) -> AsyncIterator[httpx.AsyncClient]:
    bearer = {"Authorization": f"Bearer {local.token(roles=['administrator'])}"}
    transport = httpx.ASGITransport(service)
    async with httpx.AsyncClient(transport=transport, base_url="http://router", headers=bearer) as started:
        yield started


async def hold(service: FastAPI, subject: str, version: int, why: str, *, type_: bytes | None = b"t.v1") -> int:
    names, values = (["ce_type"], [type_]) if type_ is not None else ([], [])
    error = "ValueError('Mrs Secret, 07700 900123')" if why == "parked" else None
    database: Database = service.state.database
    return int(await database.fetchval(HOLD, subject, version, why, error, names, values))


async def test_parked_events_are_shown_without_what_they_say(service: FastAPI, client: httpx.AsyncClient) -> None:
    first = await hold(service, "c1", 4, "parked")
    await hold(service, "c1", 5, "behind")
    await hold(service, "c1", 6, "behind")
    await hold(service, "c2", 2, "gap")
    answer = await client.get("/v1/parked")
    assert answer.status_code == 200
    assert "Secret" not in answer.text
    (shown,) = answer.json()["items"]
    assert {
        name: shown[name] for name in ("id", "reader", "source", "subject", "version", "type", "error", "behind")
    } == {
        "id": first,
        "reader": "router",
        "source": "/intake",
        "subject": "c1",
        "version": 4,
        "type": "t.v1",
        "error": "ValueError",
        "behind": 2,
    }
    assert answer.json()["after"] is None
    everything = await client.get("/v1/parked?why=parked&why=behind&why=gap")
    assert [item["why"] for item in everything.json()["items"]] == ["parked", "behind", "behind", "gap"]


async def test_only_administrators_see_them(client: httpx.AsyncClient, local: LocalIssuer) -> None:
    for given, status in (({"Authorization": f"Bearer {local.token()}"}, 403), ({"Authorization": ""}, 401)):
        assert (await client.get("/v1/parked", headers=given)).status_code == status
        assert (await client.post("/v1/parked/1/replay", headers=given)).status_code == status


async def test_pages_follow_each_other(service: FastAPI, client: httpx.AsyncClient) -> None:
    ids = [await hold(service, f"c{i}", 1, "parked") for i in range(5)]
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = (await client.get(f"/v1/parked?limit=2&after={after}")).json()
        seen += [item["id"] for item in page["items"]]
        after = page["after"]
    assert seen == ids


async def test_a_replay_is_asked_for_once(service: FastAPI, client: httpx.AsyncClient) -> None:
    number = await hold(service, "c1", 1, "parked")
    first = await client.post(f"/v1/parked/{number}/replay")
    assert first.status_code == 202
    again = await client.post(f"/v1/parked/{number}/replay")
    assert again.json() == first.json()
    assert (await client.get("/v1/parked")).json()["items"][0]["replayAt"] == first.json()["replayAt"]


async def test_what_waits_for_another_is_not_replayed(service: FastAPI, client: httpx.AsyncClient) -> None:
    for version, why in ((2, "gap"), (3, "behind")):
        answer = await client.post(f"/v1/parked/{await hold(service, 'c1', version, why)}/replay")
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "conflict")


@pytest.mark.parametrize(("number", "status"), [("4711", 404), ("0", 422), ("x", 422), (str(2**63), 422), ("-1", 422)])
async def test_an_id_that_nobody_has_is_refused(client: httpx.AsyncClient, number: str, status: int) -> None:
    assert (await client.post(f"/v1/parked/{number}/replay")).status_code == status


async def test_a_message_that_had_no_headers_is_shown_too(service: FastAPI, client: httpx.AsyncClient) -> None:
    await hold(service, "c1", 1, "parked", type_=None)
    await hold(service, "c2", 1, "parked", type_=b"\xff\xfe")
    kinds = [item["type"] for item in (await client.get("/v1/parked")).json()["items"]]
    assert kinds == [None, "��"]


async def test_a_database_that_is_away_is_503(service: FastAPI, client: httpx.AsyncClient) -> None:
    await service.state.database.close()
    service.state.database = await Database.connect("postgresql://x@127.0.0.1:1/x", source="/router")
    answer = await client.get("/v1/parked")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
