"""A service hears of erasures and obeys: once, in every copy's database, and before it opens anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest_asyncio

from deploy.local.databases import Logins
from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.erasures import Erasures, reader_of
from libs.events.log.roles import CONSUMER
from libs.events.log.store import load
from libs.events.types import Fact
from libs.events.types.erasures import TOPIC, ErasureConfirmed, SubjectErased, stream_of
from tests.conftest import NewDatabase
from tests.integration.logs import running, until


@pytest_asyncio.fixture
async def logins(database: NewDatabase) -> Logins:
    return await database("router")


@pytest_asyncio.fixture
async def router(logins: Logins) -> AsyncIterator[Database]:
    opened = await Database.connect(logins.url, source="/router", part=CONSUMER)
    yield opened
    await opened.close()


def erasures(database: Database, broker: Broker, **options: Any) -> Erasures:
    return Erasures("router", database=database, broker=broker, on_commit=lambda: None, **options)


async def say(broker: Broker, fact: Fact, source: str, subject: str, version: int) -> None:
    event = Event.of(fact, source=source, subject=stream_of(subject), version=version)
    async with kafka.started(kafka.producer(broker, "test")) as producer:
        await producer.send_and_wait(TOPIC, event.data, key=event.subject.encode(), headers=to_headers(event))


async def an_erasure(broker: Broker) -> str:
    subject = str(uuid4())
    await say(broker, SubjectErased(erased=subject), "/intake", subject, 1)
    return subject


async def refused(database: Database, subject: str) -> bool:
    return bool(await database.fetchval("SELECT EXISTS (SELECT FROM erased WHERE subject = $1)", subject))


async def confirmations(database: Database, subject: str) -> list[Event]:
    return [event for event in await load(database, stream_of(subject)) if isinstance(event.fact, ErasureConfirmed)]


async def test_keys_are_refused_and_that_is_said_once_however_many_copies_hear_it(
    router: Database, empty_topics: Broker
) -> None:
    subjects = [await an_erasure(empty_topics) for _ in range(5)]
    for subject in subjects:
        await router.execute("INSERT INTO key_copy VALUES ('/intake', $1, 'a key')", subject)
    copies = [erasures(router, empty_topics) for _ in range(2)]
    async with running(*(copy.run() for copy in copies)):
        await asyncio.gather(*(copy.known() for copy in copies))
    for subject in subjects:
        assert await refused(router, subject)
        assert await router.fetchval("SELECT count(*) FROM key_copy WHERE subject = $1", subject) == 0
        [confirmed] = await confirmations(router, subject)
        assert (confirmed.fact.erased, confirmed.fact.service, confirmed.version) == (subject, "router", 1)


async def test_nothing_is_known_before_every_erasure_of_the_start_is_obeyed(
    router: Database, empty_topics: Broker
) -> None:
    subject = await an_erasure(empty_topics)
    go = asyncio.Event()

    async def held_up(*_: Any) -> None:
        await go.wait()

    slow = erasures(router, empty_topics, hear=held_up)
    async with running(slow.run()):
        waiting = asyncio.create_task(slow.known())
        await until(lambda: slow.reader.trouble() is None)
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert not await refused(router, subject)
        go.set()
        await waiting
        assert await refused(router, subject)


async def test_where_nothing_was_ever_erased_nobody_waits(router: Database, empty_topics: Broker) -> None:
    made = erasures(router, empty_topics)
    async with running(made.run()):
        async with asyncio.timeout(20):
            await made.known()
        await until(lambda: made.trouble() is None)


async def test_a_database_that_was_set_back_hears_of_erasures_again_and_does_not_confirm_twice(
    router: Database, logins: Logins, empty_topics: Broker
) -> None:
    subject = await an_erasure(empty_topics)
    first = erasures(router, empty_topics)
    async with running(first.run()):
        await first.known()
    owner = await asyncpg.connect(logins.owner_url)  # what no part of a service may: as a backup would have it
    for statement in (
        "DELETE FROM inbox WHERE stream IN (SELECT id FROM reader_stream WHERE reader = $1)",
        "DELETE FROM reader_stream WHERE reader = $1",
        "DELETE FROM checkpoint WHERE reader = $1",
    ):
        await owner.execute(statement, reader_of("router"))
    await owner.execute("DELETE FROM erased WHERE subject = $1", subject)
    await owner.close()
    again = erasures(router, empty_topics)
    async with running(again.run()):
        await again.known()
    assert await refused(router, subject)
    assert len(await confirmations(router, subject)) == 1
