"""Keys of streams on their way: made with the stream, on Kafka before what needs them, kept by who opens it; on the
real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from libs.events.envelope import Event, events_of, to_headers
from libs.events.log import kafka, store
from libs.events.log.broker import Broker
from libs.events.log.consumer import SharedReader
from libs.events.log.database import Connection, Database
from libs.events.log.errors import Conflict
from libs.events.log.key_copies import KeyCopies, written_key
from libs.events.log.keyring import DESTROYED, Keyring, new_master
from libs.events.log.relay import Relay
from libs.events.log.roles import CONSUMER, READER, WRITER
from libs.events.log.scope import Access, Scope
from libs.events.log.store import Append
from libs.events.types import keys
from libs.events.types.contacts import TOPIC, ContactMessageAdded, MessagePersonal
from tests.conftest import NewDatabase
from tests.integration.logs import SOURCE, running, until

MASTER = new_master()


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(SOURCE, MASTER.line)


@pytest_asyncio.fixture
async def source(database: NewDatabase) -> AsyncIterator[Database]:
    db = await Database.connect((await database("intake")).url, source=SOURCE, part=CONSUMER)
    yield db
    await db.close()


class Target:
    """A reader's database, with a table that shows what was read and in which words, and what reads into it."""

    def __init__(self, db: Database, broker: Broker) -> None:
        self.db = db
        self.copies = KeyCopies(db.login, broker=broker, keyring=Keyring("/router", MASTER.line), opens=[TOPIC])
        self.reader = SharedReader(
            name="router", topics=[TOPIC], apply=_show, database=db, broker=broker, keys=self.copies
        )

    async def texts(self, subject: str) -> list[str | None]:
        rows = await self.db.fetch("SELECT text FROM shown WHERE subject = $1 ORDER BY version", subject)
        return [row["text"] for row in rows]

    async def has_read(self, count: int) -> bool:
        return bool(await self.db.fetchval("SELECT count(*) >= $1 FROM shown", count))


async def _show(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    facts = [(event.subject, event.version, event.fact.personal) for event in events]
    await connection.executemany(
        "INSERT INTO shown VALUES ($1, $2, $3)", [(*fact[:2], fact[2] and fact[2].text) for fact in facts]
    )
    return ()


async def _target(database: NewDatabase, broker: Broker) -> Target:
    logins = await database("router")
    owner = await asyncpg.connect(logins.owner_url)
    await owner.execute("CREATE TABLE shown (subject text, version bigint, text text, PRIMARY KEY (subject, version))")
    await owner.execute("GRANT ALL ON shown TO router_consumer")
    await owner.close()
    return Target(await Database.connect(logins.url, source="/router", part=CONSUMER), broker)


@pytest_asyncio.fixture
async def target(database: NewDatabase, empty_topics: Broker) -> AsyncIterator[Target]:
    target = await _target(database, empty_topics)
    yield target
    await target.db.close()


def said(keyring: Keyring, texts: Sequence[str], subject: str | None = None) -> Append:
    """A new stream in which these words stand."""
    subject = subject or str(uuid4())
    key = keyring.new(subject)
    facts = [
        ContactMessageAdded(message_id=str(n), sender="caller", personal=MessagePersonal(text=text))
        for n, text in enumerate(texts)
    ]
    return Append(subject, 0, events_of(facts, source=SOURCE, subject=subject, after=0, key=key.secret), key=key.new)


async def publish(broker: Broker, *records: tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]) -> None:
    """Put records on topics by hand: topic, key, value, headers."""
    async with kafka.started(kafka.producer(broker, "test")) as producer:
        for topic, key, value, headers in records:
            await producer.send_and_wait(topic, value, key=key, headers=headers)


def event_record(event: Event) -> tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]:
    return TOPIC, event.subject.encode(), event.data, to_headers(event)


def key_record(subject: str, key: bytes | None) -> tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]:
    return keys.TOPIC, written_key(SOURCE, subject), key, [(keys.OF_TOPIC, TOPIC.encode())]


async def everything(broker: Broker, topic: str) -> list[ConsumerRecord]:
    """Each partition's in order."""
    async with kafka.started(AIOKafkaConsumer(**broker.options(), auto_offset_reset="earliest")) as consumer:
        known = await kafka.topics(consumer, [topic])
        if topic not in known:
            return []  # it was made this moment
        partitions = [TopicPartition(topic, number) for number in known[topic].partitions]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return found


async def latest_keys(broker: Broker) -> dict[bytes, bytes | None]:
    return {record.key: record.value for record in await everything(broker, keys.TOPIC)}


# On their way ---------------------------------------------------------------------------------------------------------


async def test_a_key_is_acknowledged_before_the_event_that_needs_it_is_sent(
    source: Database, empty_topics: Broker, keyring: Keyring
) -> None:
    appends = [said(keyring, ["one", "two"]) for _ in range(60)]
    async with running(Relay(source.dsn, broker=empty_topics, source=SOURCE).run()):
        for append in appends:
            await store.append(source, [append])
            await asyncio.sleep(0.005)
        await until(lambda: _sent(empty_topics, 120))
    keyed = {record.key: record.timestamp for record in await everything(empty_topics, keys.TOPIC)}
    assert len(keyed) == 60, "one key a stream, sent once"
    for record in await everything(empty_topics, TOPIC):
        assert keyed[written_key(SOURCE, record.key.decode())] <= record.timestamp


async def _sent(broker: Broker, count: int) -> bool:
    return len(await everything(broker, TOPIC)) >= count


_KILLED = """
import asyncio, os, signal, sys
from libs.events.log.broker import Broker
from libs.events.log.relay import Relay

class Killed(Relay):
    async def _send_keys(self, producer, changed):
        if sys.argv[2] == "before the key":
            os.kill(os.getpid(), signal.SIGKILL)
        await super()._send_keys(producer, changed)

    async def _send(self, producer, events):
        if sys.argv[2] == "between key and event":
            os.kill(os.getpid(), signal.SIGKILL)
        await super()._send(producer, events)
        os.kill(os.getpid(), signal.SIGKILL)

servers, username, password = sys.argv[3:]
broker = Broker(servers, username=username, password=password)
asyncio.run(Killed(sys.argv[1], broker=broker, source="/intake").run())
"""


@pytest.mark.parametrize("when", ["before the key", "between key and event", "after the event"])
async def test_a_relay_killed_on_the_way_leaves_no_event_that_can_never_be_read(
    source: Database, target: Target, empty_topics: Broker, keyring: Keyring, when: str
) -> None:
    append = said(keyring, ["under the gnome"])
    await store.append(source, [append])
    command = [sys.executable, "-c", _KILLED, source.dsn, when, empty_topics.servers]
    command += [str(empty_topics.username), str(empty_topics.password)]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=Path(__file__).parents[2], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    names = await latest_keys(empty_topics)
    assert bool(names) == (when != "before the key")
    assert bool(await everything(empty_topics, TOPIC)) == (when == "after the event")
    relay = Relay(source.dsn, broker=empty_topics, source=SOURCE)
    async with running(target.copies.run(), target.reader.run(), relay.run()):
        await until(lambda: target.has_read(1))
        assert await target.texts(append.subject) == ["under the gnome"]


async def test_who_starts_anew_reads_it_all(
    source: Database, target: Target, database: NewDatabase, empty_topics: Broker, keyring: Keyring
) -> None:
    appends = [said(keyring, [f"{n}", f"{n} again"]) for n in range(100)]
    async with running(
        Relay(source.dsn, broker=empty_topics, source=SOURCE).run(), target.copies.run(), target.reader.run()
    ):
        await store.append(source, appends)
        await until(lambda: target.has_read(200))
        for n, append in enumerate(appends):
            assert await target.texts(append.subject) == [f"{n}", f"{n} again"]
    later = await _target(database, empty_topics)
    try:
        async with running(later.copies.run(), later.reader.run()):
            await until(lambda: later.has_read(200))
            await until(lambda: _copies_are(later.db, 100))
        assert await later.texts(appends[7].subject) == ["7", "7 again"]
    finally:
        await later.db.close()


async def test_a_copy_that_stands_by_opens_what_it_reads_and_takes_over(
    source: Database, target: Target, empty_topics: Broker, keyring: Keyring
) -> None:
    """Two copies of a service: one writes the table of keys, the other applies the events."""
    other = KeyCopies(target.db.login, broker=empty_topics, keyring=Keyring("/router", MASTER.line), opens=[TOPIC])
    relay = Relay(source.dsn, broker=empty_topics, source=SOURCE)
    async with running(relay.run()):
        async with running(other.run()):
            await until(lambda: other.trouble() is None)
            async with running(target.copies.run(), target.reader.run()):
                await store.append(source, [said(keyring, ["first"])])
                await until(lambda: target.has_read(1))
                # The writing copy goes, the one that stood by writes on.
                other_gone = [said(keyring, ["second"]), said(keyring, ["third"])]
        async with running(target.copies.run(), target.reader.run()):
            await store.append(source, other_gone)
            await until(lambda: target.has_read(3))
            await until(lambda: _copies_are(target.db, 3))
    assert [await target.texts(append.subject) for append in other_gone] == [["second"], ["third"]]


async def _copies_are(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) = $1 FROM key_copy", count))


# Missing, gone, moved -------------------------------------------------------------------------------------------------


async def test_what_needs_a_key_waits_until_the_topic_of_keys_is_read(
    target: Target, empty_topics: Broker, keyring: Keyring
) -> None:
    append = said(keyring, ["late"])
    async with running(target.reader.run()):
        await publish(empty_topics, key_record(append.subject, append.key), event_record(append.events[0]))
        await until(lambda: "keys" in (target.reader.trouble() or ""))
        assert not await target.has_read(1)
        async with running(target.copies.run()):
            await until(lambda: target.has_read(1))
    assert await target.texts(append.subject) == ["late"]


async def test_an_event_whose_key_is_not_there_when_the_topic_was_read_to_its_end_is_taken_without(
    target: Target, empty_topics: Broker, keyring: Keyring
) -> None:
    gone, there = said(keyring, ["gone"]), said(keyring, ["there"])
    async with running(target.copies.run(), target.reader.run()):
        await publish(
            empty_topics,
            event_record(gone.events[0]),
            key_record(there.subject, there.key),
            event_record(there.events[0]),
        )
        await until(lambda: target.has_read(2))
    assert await target.texts(gone.subject) == [None]
    assert await target.texts(there.subject) == ["there"]
    assert await target.db.fetchval("SELECT count(*) FROM held") == 0


async def test_a_destroyed_key_opens_nothing_more_and_its_copies_go(
    target: Target, empty_topics: Broker, keyring: Keyring
) -> None:
    append = said(keyring, ["before", "after"])
    async with running(target.copies.run(), target.reader.run()):
        await publish(empty_topics, key_record(append.subject, append.key), event_record(append.events[0]))
        await until(lambda: target.has_read(1))
        await until(lambda: _copies_are(target.db, 1))
        await publish(empty_topics, key_record(append.subject, None))
        await until(lambda: _copies_are(target.db, 0))
        await publish(empty_topics, event_record(append.events[1]))
        await until(lambda: target.has_read(2))
    assert await target.texts(append.subject) == ["before", None]


async def test_a_refused_key_is_never_taken_whatever_the_topic_says(
    target: Target, empty_topics: Broker, keyring: Keyring
) -> None:
    append = said(keyring, ["before", "after"])
    async with running(target.copies.run(), target.reader.run()):
        await publish(empty_topics, key_record(append.subject, append.key), event_record(append.events[0]))
        await until(lambda: target.has_read(1))
        await until(lambda: _copies_are(target.db, 1))
        await target.db.execute("SELECT refuse_key($1)", append.subject)
        assert await _copies_are(target.db, 0)
        other = said(keyring, ["a mark"])
        await publish(empty_topics, key_record(append.subject, append.key), key_record(other.subject, other.key))
        await until(lambda: _copies_are(target.db, 1))  # the mark's: what came before it was read, and not kept
        await publish(empty_topics, event_record(append.events[1]))
        await until(lambda: target.has_read(2))
    assert await target.texts(append.subject) == ["before", None]


async def test_sealed_words_that_were_moved_to_another_contact_are_parked_and_harm_nobody_else(
    target: Target, empty_topics: Broker, keyring: Keyring
) -> None:
    whole, moved = said(keyring, ["whole"]), said(keyring, ["other"])
    thief = msgspec.structs.replace(moved.events[0], data=whole.events[0].data)
    async with running(target.copies.run(), target.reader.run()):
        await publish(
            empty_topics,
            key_record(whole.subject, whole.key),
            key_record(moved.subject, moved.key),
            event_record(thief),
            event_record(whole.events[0]),
        )
        await until(lambda: target.has_read(1))
        await until(lambda: _held(target.db))
        await until(lambda: _dead(empty_topics))
    assert await target.texts(whole.subject) == ["whole"]
    assert await target.texts(moved.subject) == []
    [held] = await target.db.fetch("SELECT value FROM held")
    [dead] = await everything(empty_topics, "hueandcry.deadletter.router")
    assert held["value"] == dead.value == thief.data
    assert b"whole" not in dead.value


async def _dead(broker: Broker) -> bool:
    return bool(await everything(broker, "hueandcry.deadletter.router"))


async def _held(db: Database) -> bool:
    return bool(await db.fetchval("SELECT count(*) = 1 FROM held WHERE why = 'parked'"))


async def test_a_key_that_a_woken_relay_puts_on_its_tombstone_is_gone_in_the_end(
    source: Database, empty_topics: Broker, keyring: Keyring
) -> None:
    append = said(keyring, ["once"])
    await store.append(source, [append])
    ended = ContactMessageAdded(message_id="end", sender="system")
    [event] = events_of([ended], source=SOURCE, subject=append.subject, after=1)
    copies = KeyCopies(source.login, broker=empty_topics, keyring=keyring)
    name = written_key(SOURCE, append.subject)
    async with running(Relay(source.dsn, broker=empty_topics, source=SOURCE).run(), copies.run()):
        await until(lambda: _latest_is(empty_topics, name, append.key))
        await store.append(source, [Append(append.subject, 1, [event], key=DESTROYED)])
        await until(lambda: _latest_is(empty_topics, name, None))
        await publish(empty_topics, key_record(append.subject, append.key))
        await until(lambda: _latest_is(empty_topics, name, None, least=4))
    assert await source.fetchval("SELECT key FROM stream WHERE subject = $1", append.subject) == DESTROYED


async def _latest_is(broker: Broker, name: bytes, key: bytes | None, *, least: int = 1) -> bool:
    values = [record.value for record in await everything(broker, keys.TOPIC) if record.key == name]
    return len(values) >= least and values[-1] == key


# In the row -----------------------------------------------------------------------------------------------------------


async def test_nothing_that_says_who_somebody_is_can_be_appended_unsealed(source: Database) -> None:
    fact = ContactMessageAdded(message_id="1", sender="caller", personal=MessagePersonal(text="planted"))
    events = events_of([fact], source=SOURCE, subject="s", after=0)
    with pytest.raises(ValueError, match="not sealed"):
        await store.append(source, [Append("s", 0, events)])


async def test_a_stream_gets_one_key_and_one_that_is_destroyed_never_another(
    source: Database, keyring: Keyring
) -> None:
    append = said(keyring, ["x"])
    await store.append(source, [append])
    ended = ContactMessageAdded(message_id="n", sender="system")

    def next_one(after: int, key: bytes | None) -> Append:
        return Append(
            append.subject, after, events_of([ended], source=SOURCE, subject=append.subject, after=after), key=key
        )

    with pytest.raises(Conflict):
        await store.append(source, [next_one(1, keyring.new(append.subject).new)])
    await store.append(source, [next_one(1, None)])
    assert await _key(source, append.subject) == append.key
    await store.append(source, [next_one(2, DESTROYED)])
    with pytest.raises(Conflict):
        await store.append(source, [next_one(3, keyring.new(append.subject).new)])
    await store.append(source, [next_one(3, None)])
    assert await _key(source, append.subject) == DESTROYED


async def _key(db: Database, subject: str) -> bytes | None:
    key: bytes | None = await db.fetchval("SELECT stream_key($1)", subject)
    return key


async def test_a_subject_that_is_refused_before_its_stream_begins_begins_without_a_key(
    source: Database, keyring: Keyring
) -> None:
    subject = str(uuid4())
    assert await _key(source, subject) is None
    await source.execute("SELECT refuse_key($1)", subject)
    assert await _key(source, subject) == DESTROYED
    with pytest.raises(Conflict):
        await store.append(source, [said(keyring, ["x"], subject)])
    ended = ContactMessageAdded(message_id="n", sender="system")
    await store.append(source, [Append(subject, 0, events_of([ended], source=SOURCE, subject=subject, after=0))])
    assert await _key(source, subject) == DESTROYED


async def test_a_key_is_made_for_nobody_who_is_being_refused_at_that_moment(source: Database, keyring: Keyring) -> None:
    for _ in range(20):
        append = said(keyring, ["x"])
        await asyncio.gather(
            source.execute("SELECT refuse_key($1)", append.subject),
            store.append(source, [append]),
            return_exceptions=True,
        )
        assert await source.fetchval("SELECT key FROM stream WHERE subject = $1", append.subject) == DESTROYED


async def test_callers_parts_see_the_keys_of_what_they_may_read_and_no_others(
    source: Database, keyring: Keyring
) -> None:
    mine, other = (said(keyring, ["x"]) for _ in range(2))
    for append, force in ((mine, "bedfordshire"), (other, "cambridgeshire")):
        await store.append(source, [msgspec.structs.replace(append, access=[Access("owning", force)])])
    for part in (READER, WRITER):
        database = await Database.connect(source.dsn, source=SOURCE, part=part)
        try:
            async with database.transaction() as connection:
                await connection.execute("SELECT set_scope($1, NULL)", ["bedfordshire"])
                rows = await connection.fetch("SELECT subject, key FROM stream")
                assert [(row["subject"], row["key"]) for row in rows] == [(mine.subject, mine.key)]
            assert await database.fetch("SELECT subject, key FROM stream") == []
        finally:
            await database.close()
    reader = await Database.connect(source.dsn, source=SOURCE, part=READER)
    try:
        stream = await store.load_keyed(reader, mine.subject, Scope(["bedfordshire"]))
        assert [event.fact.personal.text for event in keyring.opened(*stream)] == ["x"]
        assert await store.load_keyed(reader, other.subject, Scope(["bedfordshire"])) == ([], None)
    finally:
        await reader.close()
