"""Intake on the real PostgreSQL and the real Kafka: two copies share one database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER, READER
from tests.conftest import NewDatabase
from tests.integration.intake import (
    Router,
    Tokens,
    a_copy,
    an_issuer,
    ready,
)
from tests.integration.logs import until


@pytest.fixture(scope="package")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(tmp_path_factory.mktemp("secrets")) as made:
        yield made


@pytest_asyncio.fixture(scope="package")
async def url(database: NewDatabase) -> str:
    return (await database("intake")).url


@pytest_asyncio.fixture(scope="package")
async def store(url: str) -> AsyncIterator[Database]:
    opened = await Database.connect(url, source="/intake", part=CONSUMER)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="package")
async def answering(url: str) -> AsyncIterator[Database]:
    """The same database, as the service reads it for its callers."""
    opened = await Database.connect(url, source="/intake", part=READER)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="package")
async def copies(
    url: str, topics: Broker, tokens: Tokens
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with a_copy(url, topics, tokens) as one, a_copy(url, topics, tokens) as other:
        await until(lambda: ready(one))
        await until(lambda: ready(other))
        yield one, other


@pytest_asyncio.fixture(scope="package")
async def router(topics: Broker) -> AsyncIterator[Router]:
    async with Router(topics).at_work() as working:
        yield working


@pytest.fixture
def intake(copies: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> httpx.AsyncClient:
    return copies[0]
