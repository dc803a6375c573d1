"""Keys of others' streams: read from `hueandcry.keys`, kept in `key_copy`, and looked up for what is to be opened.

Invariants
  * Every copy of a service reads the topic, from where the table has come to; one of them, which holds an advisory
    lock, writes the table and its checkpoint in one statement. What is not in the table yet is in memory.
  * A key is on the topic before the first event that needs it. So a copy that has read the topic to the end that it had
    after the event was seen, and finds no key, knows that it is gone for good; until then it waits.
  * Nothing is opened with a key of a subject in `erased`, whatever the topic says, and whoever erases waits for those
    who are just opening (`copied_keys`, `refuse_key` in schema.sql).
  * What the topic says of this service's own streams is held against its own table; where it differs, the relay sends
    what stands there once more. So a relay that was paused and wakes cannot leave an erased key on the topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from libs.events.envelope import Event
from libs.events.log import kafka, metrics
from libs.events.log.broker import Broker
from libs.events.log.database import CONNECT_TIMEOUT_S, TRANSIENT, Connection
from libs.events.log.errors import Stopped
from libs.events.log.keyring import DESTROYED, Keyring
from libs.events.log.roles import CONSUMER, Address, Login
from libs.events.types import keys

__all__ = ["KeyCopies", "KeysMissing", "read_key", "written_key"]

log = structlog.get_logger(__name__)

READER = "keys"
FLUSH_S = 0.1
"""How often what was read goes into the table: memory has it at once."""
MOST_UNWRITTEN = 2_000
HELPING = 50
"""Records taken at once, while requests wait. With all that a fetch brings, and a write that waited for the disk,
reading keys added a fifth to p99 of intake at half its peak; so it adds a tenth."""
REMEMBERED_S = 2.0
"""How long memory has what the table has too: longer than any look-up takes."""
STANDBY_S = 0.5
SOON_S = 0.02
"""A key that is on its way is here by then; then the topic's end is asked for."""
INTERRUPTIONS: tuple[type[BaseException], ...] = (*TRANSIENT, *kafka.UNREACHABLE)

_LOCK = "SELECT pg_try_advisory_lock(1285, 2)"
_CHECKPOINT = """
INSERT INTO checkpoint AS c (reader, topic, partition, topic_id, next_offset) VALUES ($1, $2, $3, $4, 0)
ON CONFLICT (reader, topic, partition) DO UPDATE SET next_offset = c.next_offset
RETURNING topic_id, next_offset
"""
_POSITIONS = "SELECT partition, next_offset FROM checkpoint WHERE reader = $1 AND topic = $2"
_KEEP = "SELECT keep_keys($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_LOOK_UP = "SELECT source, subject, key, refused FROM copied_keys($1, $2, $3)"

PATIENCE_MS = 100
"""For records that do not come: so seldom an idle reader looks what else there is to do, and so long whoever asks for
the topic's end may wait for a fetch before it."""

LEISURELY_BYTES = 64 * 1024
"""Who opens nobody's events reads what the topic says of its own keys in such helpings, or twice a second."""

StreamName: TypeAlias = tuple[str, str]
"""(source, subject)"""


class KeysMissing(Exception):
    """Keys for these streams have not come yet, or are gone for good: wait (`KeyCopies.arrive`), then try again."""

    def __init__(self, streams: Iterable[StreamName]) -> None:
        super().__init__("no key yet")
        self.streams = frozenset(streams)


class _Known(NamedTuple):
    key: bytes
    """Wrapped; empty: a tombstone."""
    partition: TopicPartition
    offset: int
    at: float


def written_key(source: str, subject: str) -> bytes:
    """The Kafka key of a stream's key. A source holds no space."""
    return f"{source} {subject}".encode()


def read_key(key: bytes | None) -> StreamName | None:
    """The stream that a Kafka key names; None where it names none."""
    source, space, subject = (key or b"").decode(errors="replace").partition(" ")
    return (source, subject) if source and space and subject and "\0" not in source + subject else None


class KeyCopies:
    """Run `run()` in each copy of a service. `opens`: the topics whose events this service opens; keys of others are
    not kept."""

    def __init__(
        self, address: Address | Login, *, broker: Broker, keyring: Keyring, opens: Sequence[str] = ()
    ) -> None:
        self._login = address if isinstance(address, Login) else Login(address)
        self._broker = broker
        self._keyring = keyring
        self._opens = {topic.encode() for topic in opens}
        self._memory: dict[StreamName, _Known] = {}
        self._unwritten: dict[StreamName, bytes] = {}
        self._own: dict[str, bytes] = {}
        self._next: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._news = asyncio.Event()
        self._trouble: str | None = "the reader of keys has not started"

    def trouble(self) -> str | None:
        """For readiness: why no keys come, or None."""
        return self._trouble

    # Looking up -----------------------------------------------------------------------------------------------------

    async def opened(self, connection: Connection, events: Sequence[Event], gone: Container[StreamName]) -> list[Event]:
        """The events with what is sealed in them, in the transaction that makes something of it; what no key opens any
        more stays sealed.

        Raises KeysMissing for streams whose keys are not here and not known to be `gone`; Unopened for what was not
        sealed where it stands; UnknownMaster.
        """
        wanted = dict.fromkeys((event.source, event.subject) for event in events if event.is_sealed)
        if not wanted:
            return list(events)
        rows = await connection.fetch(
            _LOOK_UP, [name[0] for name in wanted], [name[1] for name in wanted], self._keyring.source
        )
        wrapped: dict[StreamName, bytes] = {}
        for row in rows:
            name = row["source"], row["subject"]
            recent = self._memory.get(name)
            if row["refused"]:
                wrapped[name] = DESTROYED
            elif recent is not None:
                wrapped[name] = recent.key
            elif row["key"] is not None:
                wrapped[name] = row["key"]
        if missing := [name for name in wanted if name not in wrapped and name not in gone]:
            raise KeysMissing(missing)
        secrets = {
            (source, subject): self._keyring.unwrap(key, subject=subject, source=source)
            for (source, subject), key in wrapped.items()
        }
        return [event.opened(secrets.get((event.source, event.subject), DESTROYED)) for event in events]

    async def opened_or_gone(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Of events whose keys were here before: what is not, is gone."""
        return await self.opened(connection, events, {(event.source, event.subject) for event in events})

    async def arrive(self, streams: Iterable[StreamName]) -> None:
        """Return when these keys have come, or all that the topic holds by now was read: then what is not here is gone.

        Raises what INTERRUPTIONS names.
        """
        wanted = set(streams)
        soon = time.monotonic() + SOON_S
        while not self._memory.keys() >= wanted and (left := soon - time.monotonic()) > 0:
            await self._heard(left)
        if self._memory.keys() >= wanted:
            return
        log.info("keys_awaited", streams=len(wanted))
        partitions = await self._partitions_of(wanted)
        ends = await self._reading().end_offsets(partitions)
        for tp, end in ends.items():
            # Its position, not the last record's: compaction may have left none before the end.
            while await self._reading().position(tp) < end:
                await self._heard(0.1)

    async def _partitions_of(self, streams: Iterable[StreamName]) -> list[TopicPartition]:
        count = len(self._next)
        if not count:
            raise OSError("the topic of keys is not read yet")
        return sorted({TopicPartition(keys.TOPIC, kafka.partition_of(written_key(*name), count)) for name in streams})

    def _reading(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise OSError("the topic of keys is not read at the moment")
        return self._consumer

    async def _heard(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    # Reading --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read until cancelled, whatever goes away and comes back; where it must not go on, stay stopped and say so."""
        while True:
            try:
                await self._read()
            except Stopped as stopped:
                self._trouble = f"stopped: {stopped}"
                metrics.STOPPED.labels(READER).set(1)
                log.error("reader_stopped", reader=READER, reason=str(stopped))
                await asyncio.Event().wait()
            except INTERRUPTIONS as error:
                self._trouble = f"no keys are read: {await self._broker.why(error)}"
                log.warning("keys_interrupted", error=type(error).__name__)
            finally:
                self._consumer = None
            await asyncio.sleep(STANDBY_S)

    async def _read(self) -> None:
        connection = await self._login.connect(
            CONSUMER,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=10,
            server_settings={
                "tcp_keepalives_idle": "1",
                "tcp_keepalives_interval": "1",
                "tcp_keepalives_count": "3",
                # Keys and checkpoint go in one transaction: of one that a crash loses, all is read again.
                "synchronous_commit": "off",
                "application_name": f"keys {self._keyring.source}",
            },
        )
        try:
            async with kafka.started(self._new_consumer()) as consumer:
                writes = bool(await connection.fetchval(_LOCK))
                await self._take_up(connection, consumer)
                self._consumer, self._trouble = consumer, None
                looked = flushed = time.monotonic()
                while True:
                    for tp, records in (await consumer.getmany(timeout_ms=PATIENCE_MS, max_records=HELPING)).items():
                        self._take(tp, records)
                    self._tell()
                    await asyncio.sleep(0)  # what is here already comes without a wait: whoever waits goes first
                    now = time.monotonic()
                    if not writes and now - looked > STANDBY_S:
                        looked = now
                        if writes := bool(await connection.fetchval(_LOCK)):
                            await self._take_up(connection, consumer)
                        else:
                            await self._look_what_is_written(connection)
                    elif writes and (now - flushed > FLUSH_S or len(self._unwritten) > MOST_UNWRITTEN):
                        await self._write(connection)
                        flushed = now
        finally:
            self._consumer = None
            connection.terminate()

    def _new_consumer(self) -> AIOKafkaConsumer:
        if not self._opens:
            return kafka.consumer(self._broker, READER, least_bytes=LEISURELY_BYTES)
        return kafka.consumer(self._broker, READER, quiet_ms=PATIENCE_MS)

    async def _take_up(self, connection: asyncpg.Connection[asyncpg.Record], consumer: AIOKafkaConsumer) -> None:
        """Begin where the table has come to."""
        topic = (await kafka.topics(consumer, [keys.TOPIC])).get(keys.TOPIC)
        if topic is None:
            raise OSError(f"there is no topic {keys.TOPIC}")
        partitions = [TopicPartition(keys.TOPIC, number) for number in topic.partitions]
        first = await consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for tp in partitions:
            row = await connection.fetchrow(_CHECKPOINT, READER, tp.topic, tp.partition, topic.id)
            if row is None or row["topic_id"] != topic.id:
                raise Stopped(f"{tp.topic} is not the topic this reader has read: it was made anew")
            self._written[tp] = row["next_offset"]
            # Compaction leaves gaps, and may have removed all there was before.
            self._next[tp] = max(row["next_offset"], first[tp])
            consumer.seek(tp, self._next[tp])
        self._unwritten.clear()
        self._own.clear()

    def _take(self, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        now = time.monotonic()
        for record in records:
            name = read_key(record.key)
            if name is None:
                log.error("unreadable", reader=READER, topic=record.topic, offset=record.offset)
                continue
            value = record.value or DESTROYED
            if name[0] == self._keyring.source:
                self._own[name[1]] = value
            elif not value or dict(record.headers).get(keys.OF_TOPIC) in self._opens:
                self._memory[name] = _Known(value, tp, record.offset, now)
                self._unwritten[name] = value
        self._next[tp] = records[-1].offset + 1

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _write(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """What was read since the last time, into the table."""
        moved = {tp: offset for tp, offset in self._next.items() if offset != self._written[tp]}
        if moved:
            kept = {name: key for name, key in self._unwritten.items() if key}
            gone = [name for name, key in self._unwritten.items() if not key]
            await connection.execute(
                _KEEP,
                READER,
                keys.TOPIC,
                [tp.partition for tp in moved],
                [self._written[tp] for tp in moved],
                [*moved.values()],
                [source for source, _ in kept] + [source for source, _ in gone],
                [subject for _, subject in kept] + [subject for _, subject in gone],
                [*kept.values(), *(DESTROYED for _ in gone)],
                [*self._own],
                [*self._own.values()],
            )
            self._written.update(moved)
            self._unwritten.clear()
            self._own.clear()
        self._forget()

    async def _look_what_is_written(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        for row in await connection.fetch(_POSITIONS, READER, keys.TOPIC):
            self._written[TopicPartition(keys.TOPIC, row["partition"])] = row["next_offset"]
        self._unwritten.clear()
        self._own.clear()
        self._forget()

    def _forget(self) -> None:
        """What the table has had for a while."""
        before = time.monotonic() - REMEMBERED_S
        for name in [
            name
            for name, known in self._memory.items()
            if known.at < before and known.offset < self._written.get(known.partition, 0)
        ]:
            del self._memory[name]
