"""LoST over HTTP, on the directory's real store: tokens, limits, and the boundaries that rule."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
import shapely
from lxml import etree

from libs.events.log.database import Database
from libs.places.grid import to_wgs84
from libs.service.access import ACCESS
from libs.service.caller import ROLES
from services.directory.alliance_file import SHIPPED, read
from services.directory.app import make_app
from services.directory.areas import Areas
from services.directory.known import known_forces
from services.directory.load import load
from services.directory.settings import DirectorySettings
from tests.conformance.lost.given import GRAMMAR, LOST, find, texts
from tests.conftest import NewDatabase
from tests.integration.intake import Tokens, an_issuer, bearer
from tests.integration.logs import until
from tests.unit.libs.alliance.areas import square

THREE = read(SHIPPED / "bedfordshire-cambridgeshire-hertfordshire.toml")
NOBODY = "127.0.0.1:1"
"""Where no Kafka listens."""
IN_BEDFORDSHIRE = "{} {}".format(*to_wgs84(505_000, 255_000))
MOVED = "{} {}".format(*to_wgs84(512_000, 255_000))
"""Cambridgeshire's by the boundaries "one", Bedfordshire's by "two"."""
SENT_AS = {"Content-Type": "application/lost+xml"}


def areas(generation: str, **other: shapely.Geometry) -> Areas:
    three = {"bedfordshire": square(0), "cambridgeshire": square(1), "hertfordshire": square(2)}
    return Areas(generation, "squares of our own", 20.0, three | other)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(tmp_path_factory.mktemp("issuer")) as issued:
        yield issued


@pytest_asyncio.fixture
async def store(database: NewDatabase) -> AsyncIterator[tuple[Database, str]]:
    url = (await database("directory")).url
    opened = await Database.connect(url, source="/directory")
    yield opened, url
    await opened.close()


@pytest_asyncio.fixture
async def client(store: tuple[Database, str], tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway's, of a directory in which nothing is loaded yet."""
    settings = DirectorySettings(database_url=store[1], kafka_bootstrap_servers=NOBODY, oidc_issuer=tokens.issuer_url)
    app = make_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
            base_url="http://directory",
            headers=bearer(tokens.of("gateway")),
        ) as opened,
    ):
        yield opened


async def ask(client: httpx.AsyncClient, message: str) -> Any:
    answer = await client.post("/lost", content=message, headers=SENT_AS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/lost+xml"
    assert answer.headers["cache-control"] == "no-store"
    root = etree.fromstring(answer.content)
    GRAMMAR.assertValid(root)
    return root


async def rules(client: httpx.AsyncClient, generation: str) -> bool:
    answer = await client.get("/v1/alliance")
    return answer.status_code == 200 and answer.json()["generation"] == generation


async def test_a_gateway_is_told_the_queue_and_when_that_was_last_changed(
    client: httpx.AsyncClient, store: tuple[Database, str]
) -> None:
    unloaded = await client.post("/lost", content=find(IN_BEDFORDSHIRE), headers=SENT_AS)
    assert (unloaded.status_code, unloaded.headers["retry-after"]) == (503, "1")
    before = datetime.now(UTC)
    await load(store[0], THREE, known_forces(), areas("one"))
    await until(lambda: rules(client, "one"))
    first = await ask(client, find(IN_BEDFORDSHIRE))
    assert texts(first, "//l:uri") == ["sip:bedfordshire-999@queues.bch.example"]
    [updated] = map(datetime.fromisoformat, texts(first, "//@lastUpdated"))
    assert before <= updated <= datetime.now(UTC)
    [key] = texts(first, "//@key")
    by_key = f'<getServiceBoundary xmlns="{LOST}" key="{key}"/>'
    assert len(texts(await ask(client, by_key), "//gml:posList")) == 1

    await load(store[0], THREE, known_forces(), areas("two", bedfordshire=square(0.5), cambridgeshire=square(1.5)))
    await until(lambda: rules(client, "two"))
    second = await ask(client, find(IN_BEDFORDSHIRE))
    assert texts(second, "//@sourceId")[0] == texts(first, "//@sourceId")[0]
    assert min(map(datetime.fromisoformat, texts(second, "//@lastUpdated"))) > updated
    assert texts(await ask(client, by_key), "/l:errors/l:notFound/@message") != []
    assert texts(await ask(client, find(MOVED)), "//l:uri") == ["sip:bedfordshire-999@queues.bch.example"]
    then = await ask(client, find(MOVED, after=f"<asOf>{updated.isoformat()}</asOf>"))
    assert texts(then, "//l:uri") == ["sip:cambridgeshire-999@queues.bch.example"]
    assert list(map(datetime.fromisoformat, texts(then, "//@lastUpdated"))) == [updated]
    assert texts(then, "//@expires") == ["NO-CACHE"]
    as_before = find(IN_BEDFORDSHIRE, after=f"<asOf>{(before - timedelta(days=1)).isoformat()}</asOf>")
    assert texts(await ask(client, as_before), "/l:errors/l:notFound/@message") != []


async def test_what_is_wrong_in_lost_is_said_in_lost_and_what_is_wrong_before_in_a_problem_document(
    client: httpx.AsyncClient, store: tuple[Database, str], tokens: Tokens
) -> None:
    await load(store[0], THREE, known_forces(), areas("one"))
    await until(lambda: rules(client, "one"))
    message = find(IN_BEDFORDSHIRE)
    for content in ("", "<", "{}", "<a/>", "\x00", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'):
        assert texts(await ask(client, content), "/l:errors/l:badRequest/@message") != []
    for media_type in ("application/xml", "text/xml; charset=utf-8", "Application/LoST+XML"):
        answer = await client.post("/lost", content=message, headers={"Content-Type": media_type})
        assert answer.status_code == 200

    async def problem(status: int, content: str | bytes = message, **headers: str) -> None:
        answer = await client.post("/lost", content=content, headers=SENT_AS | headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    await problem(401, Authorization="")
    await problem(415, **{"Content-Type": "text/plain"})
    await problem(415, **{"Content-Type": ""})
    await problem(413, b"<a>" + b"52.1 0.1 " * 1_000_000 + b"</a>")
    for role in sorted(ROLES):
        if role in ACCESS["lost"].roles:
            answer = await client.post("/lost", content=message, headers=SENT_AS | bearer(tokens.of(role)))
            assert answer.status_code == 200
        else:
            await problem(403, **bearer(tokens.of(role)))
