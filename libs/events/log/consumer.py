"""A shared reader: Kafka -> handler, at least once on the wire, once in effect.

Invariants
  * What a batch does, the versions of its streams and the checkpoint are one transaction. The checkpoint moves only
    from where this copy thought it was, so a copy that has lost a partition and does not know it changes nothing.
  * No event is skipped. What cannot be applied is parked in that transaction, later events of its subject behind it,
    for people to see and replay; the dead-letter topic is fed from those rows.
  * A reader that would park everything stops instead (`park_limit` in a minute), as it does at a fork and where a topic
    was made anew. One that is given `on_park` goes on: it has a way to do the least that must be done.
  * A batch that takes longer than a transaction may is done in smaller parts: it is never tried as it was for ever.

Copies of a reader share its partitions as a Kafka group; offsets live in the database, never in Kafka.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from libs.events.envelope import Event
from libs.events.log import held, inbox, kafka, metrics
from libs.events.log.broker import Broker
from libs.events.log.database import TRANSIENT, Connection, Database
from libs.events.log.errors import Conflict, Stopped, described
from libs.events.log.inbox import Message
from libs.events.log.key_copies import KeyCopies, KeysMissing, StreamName
from libs.events.log.store import Append
from libs.events.log.taking import AGAIN, Apply, OnPark, Parked, Taker

__all__ = ["Apply", "OnPark", "Parked", "SharedReader"]

log = structlog.get_logger(__name__)

MAX_RECORDS = 500
AT_ONCE_ONE_BY_ONE = 50
"""Messages in a transaction while failing events are looked for: a subject by itself costs as much as a whole batch."""
SLOW_S, QUICK_S = 1.0, 0.5
"""A transaction may last two seconds: one that failed after this long is tried with half as many messages, and after
one that was quick the next may have twice as many."""
TRIES = 3
"""How often a batch is tried before its failing events are looked for one subject at a time."""
TEND_S = 1.0
"""How often replays, gaps and dead letters are looked at."""
INTERRUPTIONS: tuple[type[BaseException], ...] = (*TRANSIENT, *kafka.UNREACHABLE)

_CHECKPOINT = """
INSERT INTO checkpoint AS c (reader, topic, partition, topic_id, next_offset) VALUES ($1, $2, $3, $4, 0)
ON CONFLICT (reader, topic, partition) DO UPDATE SET next_offset = c.next_offset
RETURNING topic_id, next_offset
"""
_POSITION = "SELECT next_offset FROM checkpoint WHERE (reader, topic, partition) = ($1, $2, $3)"
_MOVE = """
UPDATE checkpoint AS c SET next_offset = k.after
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS k (topic, partition, before, after)
WHERE (c.reader, c.topic, c.partition, c.next_offset) = ($1, k.topic, k.partition, k.before)
RETURNING c.partition
"""

Batch: TypeAlias = dict[TopicPartition, list[Message]]


class _Lost(Exception):
    """The checkpoint is not where this copy thought: another copy has the partition, or had it meanwhile."""


class SharedReader:
    """Reads topics as one of a group of copies and applies each event once.

    `apply(connection, events)` runs inside the batch's transaction with new events only, each stream's in order. It may
    run again with the same events after a rollback, so it keeps nothing in memory. It returns at most one Append a
    subject; they are appended last. Conflict and database errors: the batch is tried again. Any other error: tried
    three times, then its subject's events are parked. With `keys` the events are opened before, and wait for their
    keys; only where one is gone for good, an event comes without what was sealed.
    """

    def __init__(
        self,
        *,
        name: str,
        topics: Sequence[str],
        apply: Apply,
        database: Database,
        broker: Broker,
        on_park: OnPark | None = None,
        park_limit: int = 20,
        on_commit: Callable[[], None] = lambda: None,
        keys: KeyCopies | None = None,
    ) -> None:
        self.name = name
        self.topics = tuple(topics)
        self._keys = keys
        self._gone: set[StreamName] = set()
        """Whose keys are gone for good, of the batch that is being applied."""
        self._taker = Taker(name, apply if keys is None else self._opening(apply, keys), on_park, park_limit)
        self._database = database
        self._broker = broker
        self._on_commit = on_commit
        self._next: dict[TopicPartition, int] = {}
        self._most = MAX_RECORDS
        """Messages in one transaction, by how long the last ones took."""
        self._not_taken_up: Exception | None = None
        self._trouble: str | None = "the reader has not started"

    def _opening(self, apply: Apply, keys: KeyCopies) -> Apply:
        async def opened(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
            return await apply(connection, await keys.opened(connection, events, self._gone))

        return opened

    async def _await_keys(self, missing: KeysMissing) -> None:
        """Until the keys are here, or known to be gone; while nobody can tell, a moment."""
        assert self._keys is not None, "only what is opened misses a key"
        try:
            await self._keys.arrive(missing.streams)
        except INTERRUPTIONS as error:
            self._trouble = f"waits for keys: {await self._broker.why(error)}"
            await asyncio.sleep(0.2)
        else:
            self._gone |= missing.streams

    def trouble(self) -> str | None:
        """For readiness: why this reader does not read now, or None."""
        return self._trouble

    async def run(self) -> None:
        """Read until cancelled, whatever goes away and comes back. Where it must not go on, stay stopped and say so."""
        while True:
            try:
                await self._read()
            except Stopped as stopped:
                self._trouble = f"stopped: {stopped}"
                metrics.STOPPED.labels(self.name).set(1)
                log.error("reader_stopped", reader=self.name, reason=str(stopped))
                await asyncio.Event().wait()
            except INTERRUPTIONS as error:
                self._trouble = f"does not read: {await self._broker.why(error)}"
                log.warning("reader_interrupted", reader=self.name, error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _read(self) -> None:
        # Of its database too: the copies at a second site, with a database of their own, must hear everything as well.
        group = f"{self.name}@{self._database.source.strip('/').replace('/', '.')}"
        consumer = kafka.consumer(self._broker, self.name, group=group)
        self._next.clear()
        self._not_taken_up = None
        consumer.subscribe(self.topics, listener=_Assignment(self, consumer))
        tended = 0.0
        # Beside the reading: a dead-letter topic without a leader answers after ten seconds, and contacts would wait.
        beside = asyncio.create_task(self._look_after_held())
        try:
            async with kafka.started(consumer):
                while not beside.done():
                    fetched = await self._fetch(consumer)
                    batch = {tp: [*map(inbox.read, records)] for tp, records in fetched.items() if tp in self._next}
                    if batch:
                        await self._apply_until_done(consumer, batch)
                    if time.monotonic() - tended > TEND_S:
                        await self._replay_asked_for()
                        tended = time.monotonic()
                beside.result()
        except OffsetOutOfRangeError as error:
            raise Stopped(f"Kafka no longer has what this reader has not read: {error}") from error
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)

    async def _fetch(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, list[ConsumerRecord]]:
        fetched: dict[TopicPartition, list[ConsumerRecord]] = {}
        with contextlib.suppress(NoOffsetForPartitionError):  # one that came this moment is just being taken up
            fetched = await consumer.getmany(timeout_ms=200, max_records=MAX_RECORDS)
        if self._not_taken_up is not None:
            raise self._not_taken_up
        return fetched

    async def assigned(self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> None:
        """Take each new partition up where the database says this reader has come to.

        Called by aiokafka, which swallows what it raises: that is kept for the loop.
        """
        try:
            await self._take_up(consumer, partitions)
        except Exception as error:
            self._not_taken_up = error

    async def _take_up(self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> None:
        self._next = {tp: offset for tp, offset in self._next.items() if tp in partitions}
        ids = {name: topic.id for name, topic in (await kafka.topics(consumer, self.topics)).items()}
        for tp in sorted(partitions):
            if tp.topic not in ids:
                raise OSError(f"the broker does not say which topic {tp.topic} is")
            row = await self._database.fetchrow(_CHECKPOINT, self.name, tp.topic, tp.partition, ids[tp.topic])
            if row is None or row["topic_id"] != ids[tp.topic]:
                raise Stopped(f"{tp.topic} is not the topic this reader has read: it was made anew")
            self._next[tp] = row["next_offset"]
            consumer.seek(tp, row["next_offset"])
        self._trouble = None

    async def _apply_until_done(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        clock = asyncio.get_running_loop()
        rest = batch
        failures = 0
        one_by_one = False
        delay = 0.02
        while rest:
            part, later = _first(rest, min(self._most, AT_ONCE_ONE_BY_ONE) if one_by_one else self._most)
            began = clock.time()
            try:
                await self._apply_batch(part, one_by_one=one_by_one)
            except _Lost:
                await self._find_place(consumer, batch)
                return
            except KeysMissing as missing:
                await self._await_keys(missing)
                continue
            except AGAIN as error:
                log.info("batch_again", reader=self.name, error=type(error).__name__)
                self._trouble = None if isinstance(error, Conflict) else f"cannot write: {type(error).__name__}"
                if clock.time() - began > SLOW_S:
                    self._most = max(1, min(self._most, _size(part)) // 2)
            except Stopped:
                raise
            except Exception as error:
                failures += 1
                log.warning("batch_failed", reader=self.name, tries=failures, error=described(error))
                if failures == TRIES and one_by_one:
                    raise Stopped(
                        f"a batch cannot be applied, nor its bad events be parked: {described(error)}"
                    ) from error
                if failures == TRIES:
                    one_by_one, failures = True, 0
            else:
                self._trouble = None
                self._gone.clear()
                self._on_commit()
                if clock.time() - began < QUICK_S:
                    self._most = min(self._most * 2, MAX_RECORDS)
                rest, failures, delay = later, 0, 0.02
                continue
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def _find_place(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        """Go on from where the database says this reader has come to."""
        for tp in batch:
            if tp in consumer.assignment():
                row = await self._database.fetchrow(_POSITION, self.name, tp.topic, tp.partition)
                self._next[tp] = row["next_offset"] if row else 0
                consumer.seek(tp, self._next[tp])

    async def _apply_batch(self, batch: Batch, *, one_by_one: bool) -> None:
        messages = [message for records in batch.values() for message in records]
        async with self._database.transaction() as connection:
            await self._move_checkpoints(connection, batch)
            parked = await self._taker.take(connection, messages, one_by_one=one_by_one)
        self._taker.count(parked)
        for tp, records in batch.items():
            self._next[tp] = records[-1].offset + 1

    async def _move_checkpoints(self, connection: Connection, batch: Batch) -> None:
        partitions = sorted(batch)
        if not all(tp in self._next for tp in partitions):  # they went to another copy since they were fetched
            raise _Lost
        moved = await connection.fetch(
            _MOVE,
            self.name,
            [tp.topic for tp in partitions],
            [tp.partition for tp in partitions],
            [self._next[tp] for tp in partitions],
            [batch[tp][-1].offset + 1 for tp in partitions],
        )
        if len(moved) < len(partitions):
            raise _Lost

    async def _look_after_held(self) -> None:
        """Watch the gaps and feed the dead letters, until cancelled."""
        while True:
            try:
                await held.watch(self._database, self.name)
                await held.feed_dead_letters(self._database, self.name, self._broker)
            except INTERRUPTIONS as error:
                log.info("tending_interrupted", reader=self.name, error=type(error).__name__)
            await asyncio.sleep(TEND_S)

    async def _replay_asked_for(self) -> None:
        try:
            await self._replay()
        except INTERRUPTIONS as error:
            log.info("replay_interrupted", reader=self.name, error=type(error).__name__)

    async def _replay(self) -> None:
        for subject in await held.subjects_to_replay(self._database, self.name):
            try:
                async with self._database.transaction() as connection:
                    messages, tries = await held.take_back(connection, self.name, subject)
                    await self._taker.take(connection, messages, one_by_one=True, tries=tries + 1)
            except KeysMissing as missing:
                await self._await_keys(missing)
                continue
            except Conflict:
                continue  # asked for again in a second
            self._on_commit()


def _size(batch: Batch) -> int:
    return sum(map(len, batch.values()))


def _first(batch: Batch, most: int) -> tuple[Batch, Batch]:
    """The first messages of a batch, at most so many, and the rest; each partition's in order."""
    first: Batch = {}
    rest: Batch = {}
    for tp, messages in batch.items():
        taken, left = messages[:most], messages[most:]
        most -= len(taken)
        if taken:
            first[tp] = taken
        if left:
            rest[tp] = left
    return first, rest


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Takes up new partitions where the database says, before anything of them is fetched."""

    def __init__(self, reader: SharedReader, consumer: AIOKafkaConsumer) -> None:
        self._reader = reader
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Nothing: a batch under way finds its checkpoint moved if another copy was quicker."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        await self._reader.assigned(self._consumer, set(assigned))
