"""Shared readers where tests of a quiet day do not look: batches too slow for a transaction, partitions that change
hands in the middle of one, the database away for longer than Kafka waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

import asyncpg
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.consumer import Apply, SharedReader
from libs.events.log.database import Connection, Database
from libs.events.log.errors import Unavailable
from libs.events.log.roles import CONSUMER
from libs.events.log.store import Append
from libs.events.types.contacts import TOPIC
from tests.conftest import NewDatabase
from tests.integration.logs import an_append, running, until

READER = "router"
"""A group that has a dead-letter topic."""


@pytest_asyncio.fixture
async def target(database: NewDatabase) -> AsyncIterator[Database]:
    """A reader's database, with a table that shows what was applied and how often."""
    logins = await database("router")
    owner = await asyncpg.connect(logins.owner_url)
    await owner.execute("CREATE TABLE shown (subject text, version bigint)")
    await owner.execute("GRANT ALL ON shown TO router_consumer")
    await owner.close()
    db = await Database.connect(logins.url, source="/router", part=CONSUMER)
    yield db
    await db.close()


async def show(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    await connection.executemany(
        "INSERT INTO shown (subject, version) VALUES ($1, $2)", [(event.subject, event.version) for event in events]
    )
    return ()


def a_reader(db: Database, broker: Broker, apply: Apply, park_limit: int = 20) -> SharedReader:
    return SharedReader(name=READER, topics=[TOPIC], apply=apply, database=db, broker=broker, park_limit=park_limit)


async def publish(broker: Broker, appends: Sequence[Append]) -> None:
    async with kafka.started(kafka.producer(broker, "test")) as producer:
        sent = [
            await producer.send(TOPIC, event.data, key=event.subject.encode(), headers=to_headers(event))
            for append in appends
            for event in append.events
        ]
        await asyncio.gather(*sent)


async def count(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM shown"))


async def test_a_batch_too_slow_for_one_transaction_is_done_in_parts(target: Database, empty_topics: Broker) -> None:
    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        await connection.execute("SELECT pg_sleep($1)", 0.01 * len(events))
        return await show(connection, events)

    await publish(empty_topics, [an_append(count=5) for _ in range(100)])
    async with running(a_reader(target, empty_topics, apply).run()):
        await until(lambda: _shows(target, 500), patience_s=40)


async def test_one_bad_event_among_many_slow_ones_keeps_nobody_waiting(target: Database, empty_topics: Broker) -> None:
    """What cannot be applied is looked for one subject at a time; all of a batch's subjects take longer than a
    transaction may."""
    poisoned, others = an_append(), [an_append() for _ in range(450)]

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        await connection.execute("SELECT pg_sleep(0.005)")
        if any(event.subject == poisoned.subject for event in events):
            raise ArithmeticError
        return await show(connection, events)

    await publish(empty_topics, [*others[:200], poisoned, *others[200:]])
    async with running(a_reader(target, empty_topics, apply).run()):
        await until(lambda: _shows(target, 450), patience_s=40)
        assert await _holds(target, 1)


async def test_partitions_that_go_to_another_copy_in_the_middle_of_a_batch_stop_nobody(
    target: Database, empty_topics: Broker
) -> None:
    away = asyncio.Event()
    asked = asyncio.Event()

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        asked.set()
        if not away.is_set():
            raise Unavailable("PostgreSQL: for the time being")
        return await show(connection, events)

    await publish(empty_topics, [an_append(count=2) for _ in range(60)])
    first, second = a_reader(target, empty_topics, apply), a_reader(target, empty_topics, apply)
    async with running(first.run()):
        await asked.wait()
        async with running(second.run()):
            await until(lambda: second.trouble() != "the reader has not started")
            await asyncio.sleep(6)
            away.set()
            await until(lambda: _shows(target, 120))
            await publish(empty_topics, [an_append(count=2) for _ in range(60)])
            await until(lambda: _shows(target, 240))
            assert (first.trouble(), second.trouble()) == (None, None)


async def test_one_bad_event_is_counted_once_however_often_its_batch_is_tried(
    target: Database, empty_topics: Broker
) -> None:
    poisoned, other = an_append(), an_append()
    conflicts = 10

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        nonlocal conflicts
        if any(event.subject == poisoned.subject for event in events):
            raise ArithmeticError
        await show(connection, events)
        conflicts -= 1
        return [an_append(other.subject, after=3 if conflicts > 0 else 0)]  # somebody else is quicker

    await publish(empty_topics, [poisoned, other])
    reader = a_reader(target, empty_topics, apply, park_limit=3)
    async with running(reader.run()):
        await until(lambda: _shows(target, 1))
        assert reader.trouble() is None


async def test_a_dead_letter_topic_that_does_not_answer_keeps_nobody_waiting(
    target: Database, empty_topics: Broker
) -> None:
    async with _admin(empty_topics) as admin:
        await admin.delete_topics(["hueandcry.deadletter.router"])
    poisoned = an_append()

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        if any(event.subject == poisoned.subject for event in events):
            raise ArithmeticError
        return await show(connection, events)

    clock = asyncio.get_running_loop()
    async with running(a_reader(target, empty_topics, apply).run()):
        await publish(empty_topics, [poisoned])
        await until(lambda: _holds(target, 1))
        for number in range(1, 13):
            began = clock.time()
            await publish(empty_topics, [an_append()])
            await until(lambda number=number: _shows(target, number))  # type: ignore[misc]
            assert clock.time() - began < 3


async def test_a_message_that_no_table_could_hold_is_parked_and_stops_nobody(
    target: Database, empty_topics: Broker
) -> None:
    append = an_append()
    whole = dict(to_headers(append.events[0]))
    changes = [
        {"ce_subject": b"a\0b"},
        {"ce_subject": token_hex(4_000).encode()},
        {"ce_source": token_hex(4_000).encode()},
        {"ce_id": b"none", "x\0y": b""},
        {"ce_type": b"a\0b"},
    ]
    reader = a_reader(target, empty_topics, show)
    async with running(reader.run()):
        async with kafka.started(kafka.producer(empty_topics, "test")) as producer:
            for change in changes:
                await producer.send_and_wait(TOPIC, b"{}", key=b"x", headers=list((whole | change).items()))
        await publish(empty_topics, [append])
        await until(lambda: _shows(target, 1))
        await until(lambda: _holds(target, len(changes)))
        assert reader.trouble() is None


async def _shows(db: Database, number: int) -> bool:
    return await count(db) == number


async def _holds(db: Database, number: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM held") == number)


@asynccontextmanager
async def _admin(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**broker.options())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
