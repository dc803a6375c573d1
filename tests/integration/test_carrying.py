"""Committed, published, applied: the relay, shared readers and own readers on the real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.producer.sender import SendProduceReqHandler

from libs.events.envelope import Event, from_message, to_headers
from libs.events.log import kafka, store
from libs.events.log.broker import Broker
from libs.events.log.consumer import Apply, Parked, SharedReader
from libs.events.log.database import Connection, Database
from libs.events.log.own_reader import OwnReader
from libs.events.log.relay import Relay
from libs.events.log.roles import CONSUMER, RELAY
from libs.events.log.store import Append
from libs.events.types.contacts import TOPIC
from tests.conftest import NewDatabase
from tests.integration.logs import SOURCE, an_append, numbers, running, until

READER = "router"
"""A group that has a dead-letter topic."""


@pytest_asyncio.fixture
async def source(database: NewDatabase) -> AsyncIterator[Database]:
    db = await Database.connect((await database("intake")).url, source=SOURCE, part=CONSUMER)
    yield db
    await db.close()


@pytest_asyncio.fixture
async def target(database: NewDatabase) -> AsyncIterator[Database]:
    """A reader's database, with a table that shows what was applied and how often."""
    logins = await database("router")
    owner = await asyncpg.connect(logins.owner_url)
    await owner.execute("CREATE TABLE shown (subject text, version bigint, number int, nth bigserial)")
    await owner.execute("GRANT ALL ON shown, shown_nth_seq TO router_consumer")
    await owner.close()
    db = await Database.connect(logins.url, source="/router", part=CONSUMER)
    yield db
    await db.close()


async def show(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    await connection.executemany(
        "INSERT INTO shown (subject, version, number) VALUES ($1, $2, $3)",
        [(event.subject, event.version, int(event.fact.message_id)) for event in events],
    )
    return ()


async def shown(db: Database, subject: str) -> list[int]:
    rows = await db.fetch("SELECT number FROM shown WHERE subject = $1 ORDER BY nth", subject)
    return [row["number"] for row in rows]


def a_reader(db: Database, broker: Broker, apply: Apply = show, **options: object) -> SharedReader:
    return SharedReader(
        name=READER,
        topics=[TOPIC],
        apply=apply,
        database=db,
        broker=broker,
        **options,  # type: ignore[arg-type]
    )


async def publish(broker: Broker, *appends: Append) -> None:
    """Put events on the topic by hand, in the order given."""
    producer = kafka.producer(broker, "test")
    await producer.start()
    for append in appends:
        for event in append.events:
            await producer.send_and_wait(TOPIC, event.data, key=event.subject.encode(), headers=to_headers(event))
    await producer.stop()


async def everything(broker: Broker) -> list[Event]:
    consumer = AIOKafkaConsumer(**broker.options(), auto_offset_reset="earliest")
    await consumer.start()
    topics = await kafka.topics(consumer, [TOPIC])
    partitions = [TopicPartition(TOPIC, number) for number in topics[TOPIC].partitions]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    await consumer.seek_to_beginning(*partitions)
    found: list[Event] = []
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=500)).values():
            found += [from_message(record.headers, record.value) for record in records]
    await consumer.stop()
    return found


async def test_the_relay_publishes_what_is_committed_once_and_in_order(source: Database, empty_topics: Broker) -> None:
    relays = [Relay(source.dsn, broker=empty_topics, source=SOURCE) for _ in range(2)]
    subjects = [str(uuid4()) for _ in range(20)]
    async with running(*(relay.run() for relay in relays)):
        for round_ in range(10):
            async with source.transaction() as connection:
                await store.append(connection, [an_append(s, after=round_ * 3, count=3) for s in subjects])
        await until(lambda: _position_is(source, 600))
    events = await everything(empty_topics)
    assert len(events) == 600
    for subject in subjects:
        assert [e.version for e in events if e.subject == subject] == list(range(1, 31))
        assert [e.fact for e in events if e.subject == subject] == [e.fact for e in await store.load(source, subject)]
    assert {e.source for e in events} == {SOURCE}


async def _position_is(db: Database, position: int) -> bool:
    relay = await db.login.connect(RELAY, server_settings={})
    try:
        return bool(await relay.fetchval("SELECT position FROM relay") == position)
    finally:
        await relay.close()


async def test_a_relay_that_loses_its_connection_goes_on_and_leaves_nothing_out(
    source: Database, empty_topics: Broker
) -> None:
    relay = Relay(source.dsn, broker=empty_topics, source=SOURCE)
    login = await asyncpg.connect(source.dsn)
    async with running(relay.run()):
        for _ in range(5):
            async with source.transaction() as connection:
                await store.append(connection, [an_append(count=10) for _ in range(10)])
            await login.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'relay %'"
                " AND datname = current_database() AND usename = current_user"
            )
            await asyncio.sleep(0.3)
        await until(lambda: _position_is(source, 500))
    await login.close()
    assert len({event.id for event in await everything(empty_topics)}) == 500


async def test_what_is_sent_at_once_goes_in_one_request(
    source: Database, empty_topics: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[set[TopicPartition]] = []
    create = SendProduceReqHandler.create_request

    def create_and_tell(self: SendProduceReqHandler) -> object:
        requests.append(set(self._batches))
        return create(self)

    monkeypatch.setattr(SendProduceReqHandler, "create_request", create_and_tell)
    async with running(Relay(source.dsn, broker=empty_topics, source=SOURCE).run()):
        for position in (200, 400):
            requests.clear()  # a topic just made may have no leaders yet: then the first time it is sent again
            async with source.transaction() as connection:
                await store.append(connection, [an_append() for _ in range(200)])
            await until(lambda position=position: _position_is(source, position))
    [partitions] = requests
    assert len(partitions) > 1
    assert {tp.topic for tp in partitions} == {TOPIC}
    assert len(await everything(empty_topics)) == 400


async def test_an_event_of_a_clock_that_is_hours_ahead_is_published_and_blocks_nobody(
    source: Database, empty_topics: Broker
) -> None:
    ahead, after = an_append(), an_append()
    events = [msgspec.structs.replace(ahead.events[0], time=datetime.now(UTC) + timedelta(hours=3))]
    async with running(Relay(source.dsn, broker=empty_topics, source=SOURCE).run()):
        for append in (Append(ahead.subject, 0, events), after):
            async with source.transaction() as connection:
                await store.append(connection, [append])
        await until(lambda: _position_is(source, 2))
    assert {event.id for event in await everything(empty_topics)} == {events[0].id, after.events[0].id}


async def test_a_reader_applies_each_event_once_and_in_order(target: Database, empty_topics: Broker) -> None:
    appends = [an_append(count=5) for _ in range(50)]
    async with running(a_reader(target, empty_topics).run()):
        await publish(empty_topics, *appends)
        await publish(empty_topics, *appends[:20])  # a relay that woke and sent again
        await until(lambda: _count_is(target, 250))
        await asyncio.sleep(0.5)
    assert await target.fetchval("SELECT count(*) FROM shown") == 250
    for append in appends:
        assert await shown(target, append.subject) == [1, 2, 3, 4, 5]


async def _count_is(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM shown") == count)


async def test_a_gap_holds_its_own_stream_until_the_missing_one_comes(target: Database, empty_topics: Broker) -> None:
    whole, other = an_append(count=4), an_append(count=2)
    first, missing, *rest = whole.events
    async with running(a_reader(target, empty_topics).run()):
        await publish(empty_topics, Append(whole.subject, 0, [first, *rest]), other)
        await until(lambda: _count_is(target, 3))
        assert await shown(target, other.subject) == [1, 2]
        assert await target.fetchval("SELECT count(*) FROM held WHERE why = 'gap'") == 2
        await publish(empty_topics, Append(whole.subject, 0, [missing]))
        await until(lambda: _count_is(target, 6))
    assert await shown(target, whole.subject) == [1, 2, 3, 4]
    assert await target.fetchval("SELECT count(*) FROM held") == 0


async def test_a_fork_stops_the_reader_and_applies_nothing_of_it(target: Database, empty_topics: Broker) -> None:
    good = an_append(count=2)
    forked = an_append(good.subject, after=1, count=2)  # version 2 again, as another event
    reader = a_reader(target, empty_topics)
    async with running(reader.run()):
        await publish(empty_topics, good)
        await until(lambda: _count_is(target, 2))
        await publish(empty_topics, forked)
        await until(lambda: "fork" in (reader.trouble() or ""))
    assert await shown(target, good.subject) == [1, 2]


async def test_a_poisoned_event_is_parked_with_its_stream_and_replayed(target: Database, empty_topics: Broker) -> None:
    poisoned, others = an_append(count=6), [an_append(count=3) for _ in range(10)]
    broken = True

    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        await show(connection, events)
        if broken and any(e.subject == poisoned.subject and e.version == 4 for e in events):
            raise ArithmeticError("+447700900123 said something odd")
        return ()

    async with running(a_reader(target, empty_topics, apply).run()):
        await publish(empty_topics, *others[:5], poisoned, *others[5:])
        await until(lambda: _count_is(target, 33))
        await until(lambda: target_held(target, 3))
        assert await shown(target, poisoned.subject) == [1, 2, 3]
        held = await target.fetch("SELECT version, why, error FROM held ORDER BY version")
        assert [(row["version"], row["why"]) for row in held] == [(4, "parked"), (5, "behind"), (6, "behind")]
        assert "ArithmeticError in apply" in held[0]["error"]
        assert "+447700900123" not in held[0]["error"], "what an error says may be personal"
        await publish(empty_topics, an_append(poisoned.subject, after=6))
        await until(lambda: target_held(target, 4))
        await until(lambda: _dead_lettered(target))
        broken = False
        await target.execute("UPDATE held SET replay_at = now() WHERE why = 'parked'")
        await until(lambda: _count_is(target, 37))
    assert await shown(target, poisoned.subject) == [1, 2, 3, 4, 5, 6, 7]
    assert await target.fetchval("SELECT count(*) FROM held") == 0


async def target_held(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM held") == count)


async def _dead_lettered(db: Database) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM held WHERE dead_lettered_at IS NOT NULL") == 1)


async def test_a_message_that_is_no_event_is_parked_and_blocks_nobody(target: Database, empty_topics: Broker) -> None:
    append = an_append(count=2)
    parked: list[Parked] = []

    async def on_park(connection: Connection, failure: Parked) -> Sequence[Append]:
        parked.append(failure)
        return ()

    async with running(a_reader(target, empty_topics, on_park=on_park).run()):
        producer = kafka.producer(empty_topics, "test")
        await producer.start()
        await producer.send_and_wait(TOPIC, b"\xff\x00", key=append.subject.encode(), headers=[("ce_id", b"\xff")])
        await producer.stop()
        await publish(empty_topics, append)
        await until(lambda: _count_is(target, 2))
        await until(lambda: target_held(target, 1))
    assert parked
    assert parked[0].event is None


async def test_a_reader_that_would_park_everything_stops(target: Database, empty_topics: Broker) -> None:
    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        raise ArithmeticError("a bad deploy")

    reader = a_reader(target, empty_topics, apply, park_limit=5)
    async with running(reader.run()):
        await publish(empty_topics, *(an_append() for _ in range(30)))
        await until(lambda: "could not be applied" in (reader.trouble() or ""))
    assert await target.fetchval("SELECT count(*) FROM held") <= 5


async def test_two_copies_share_the_work_and_apply_nothing_twice(target: Database, empty_topics: Broker) -> None:
    """One copy is cut off in the middle without a word: the other takes over, and every event has its effect once."""
    appends = [an_append(count=4) for _ in range(200)]
    second = a_reader(target, empty_topics)
    async with running(second.run()):
        async with running(a_reader(target, empty_topics).run()):
            await publish(empty_topics, *appends[:100])
            await until(lambda: _more_than(target, 150))
        await publish(empty_topics, *appends[100:])
        await until(lambda: _count_is(target, 800))
        await asyncio.sleep(0.5)
    assert await target.fetchval("SELECT count(*) FROM shown") == 800
    for append in appends:
        assert await shown(target, append.subject) == [1, 2, 3, 4]


async def _more_than(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM shown") > count)


async def test_what_a_reader_decides_is_appended_with_its_checkpoint(target: Database, empty_topics: Broker) -> None:
    async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
        streams = await store.load_many(connection, [event.subject for event in events])
        return [
            an_append(subject, after=len(stored), count=sum(e.subject == subject for e in events))
            for subject, stored in streams.items()
        ]

    appends = [an_append(count=3) for _ in range(30)]
    async with running(a_reader(target, empty_topics, apply).run()):
        await publish(empty_topics, *appends, *appends[:10])
        await until(lambda: _events_are(target, 90))
        await asyncio.sleep(0.5)
    for append in appends:
        assert numbers(await store.load(target, append.subject)) == [1, 2, 3]


async def _events_are(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM event") == count)


async def test_an_own_reader_knows_when_it_has_all_there_is(empty_topics: Broker) -> None:
    before, after = an_append(count=5), an_append(count=2)
    await publish(empty_topics, before, before)
    seen: list[Event] = []
    late: list[Event] = []
    all_, new = (
        OwnReader(name=name, topics=[TOPIC], on_event=on, broker=empty_topics, from_start=start)
        for name, on, start in (("all", seen.append, True), ("new", late.append, False))
    )
    async with running(all_.run(), new.run()):
        await asyncio.wait_for(all_.caught_up.wait(), 20)
        await asyncio.wait_for(new.caught_up.wait(), 20)
        assert numbers(seen) == [1, 2, 3, 4, 5], "what comes twice is dropped"
        await publish(empty_topics, after)
        await until(lambda: len(late) == 2 and len(seen) == 7)
        await asyncio.sleep(1)
        assert all_.age_s() < 5
        assert all_.trouble() is None


async def test_an_own_reader_waits_for_a_topic_that_is_not_there_yet(empty_topics: Broker) -> None:
    topic = f"hueandcry.test-{uuid4()}"
    reader = OwnReader(name="early", topics=[topic], on_event=print, broker=empty_topics, from_start=True)
    admin = AIOKafkaAdminClient(**empty_topics.options())
    await admin.start()
    async with running(reader.run()) as [task]:
        await until(lambda: "OSError" in (reader.trouble() or ""))
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await until(reader.caught_up.is_set)
        assert not task.done()
    await admin.delete_topics([topic])
    await admin.close()
