"""Committed, then published: carries a database's events to Kafka, in order.

Invariants
  * One relay a database: a session-level advisory lock. Its copies stand by.
  * Position after position: an event is sent when all before it were read, and the position moves when Kafka has
    acknowledged. After a crash some events are sent again; none is left out.
  * A stream's key is acknowledged before the first event that needs it is sent, and its end is told after the event
    that says so. What Kafka gets is the key as it stands now: destroyed meanwhile, it is not sent any more.
  * A relay that was paused and wakes may send old events after newer ones: readers tell duplicates by version and id.
    What it sends of a key that was destroyed since, the reader of keys (key_copies.py) has sent over again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer

from libs.events.envelope import Event, to_headers
from libs.events.log import kafka, metrics
from libs.events.log.broker import Broker
from libs.events.log.database import CONNECT_TIMEOUT_S, UNREACHABLE
from libs.events.log.key_copies import written_key
from libs.events.log.keyring import DESTROYED
from libs.events.log.roles import RELAY, Address, Login
from libs.events.log.store import event_of
from libs.events.types import BY_TYPE, keys

log = structlog.get_logger(__name__)

POLL_S = 0.05
"""How often an idle relay looks for what another copy has committed; what its own copy commits wakes it."""
STANDBY_S = 0.5
PACE_S = 0.04
"""From one sending to the next, unless there is more than one sending holds. Who comes first does not wait; who comes
just after goes with the next. A request to Kafka costs as much for one event as for fifty, here and in the broker: sent
one by one, a busy hour's contacts would wait for the processor that sends them (at 750 a second a quarter of it)."""
BATCH = 250
"""Events read at once. Making their messages takes some 10 µs each, and requests wait meanwhile: so not more."""

RESEND_S = 1.0
"""How often an idle relay looks for keys to send again."""


class UnknownTopic(Exception):
    """An event of a type this copy does not know: a newer copy wrote it, and must publish it."""


INTERRUPTIONS: tuple[type[BaseException], ...] = (*UNREACHABLE, *kafka.UNREACHABLE, UnknownTopic)

_LOCK = "SELECT pg_try_advisory_lock(1285, 1)"
_POSITION = "SELECT position FROM relay"
_ADVANCE = "UPDATE relay SET position = $1 WHERE position < $1"
_NEXT = """
SELECT e.position, e.version, e.time, e.id, e.causation_id, e.subject, e.type, e.force, e.traceparent, e.data,
       (SELECT s.key FROM stream AS s WHERE s.subject = e.subject AND s.key_version = e.version) AS key
FROM event AS e WHERE e.position > $1 ORDER BY e.position LIMIT $2
"""
# Index stream_to_resend.
_TO_RESEND = """
SELECT s.subject, s.key, e.type
FROM stream AS s LEFT JOIN event AS e ON e.subject = s.subject AND e.version = s.key_version
WHERE s.resend ORDER BY s.subject LIMIT $1
"""
# Not one that has changed again meanwhile.
_RESENT = """
UPDATE stream AS s SET resend = false FROM unnest($1::text[], $2::bytea[]) AS k (subject, key)
WHERE s.subject = k.subject AND s.key IS NOT DISTINCT FROM k.key
"""


class Relay:
    """Publishes one database's events. Run one in each copy; one of them works, the others stand by."""

    def __init__(self, address: Address | Login, *, broker: Broker, source: str) -> None:
        self._login = address if isinstance(address, Login) else Login(address)
        self._broker = broker
        self._source = source
        self._wake = asyncio.Event()
        self._trouble: str | None = "the relay has not started"

    def wake(self) -> None:
        """Something was committed in this copy."""
        self._wake.set()

    def trouble(self) -> str | None:
        """For readiness: why nothing is published now, or None. A copy that stands by is well."""
        return self._trouble

    async def run(self) -> None:
        """Publish until cancelled, whatever goes away and comes back."""
        while True:
            try:
                await self._stand_by_then_publish()
            except INTERRUPTIONS as error:
                self._trouble = f"nothing is published: {await self._broker.why(error)}"
                log.warning("relay_interrupted", error=type(error).__name__, source=self._source)
            finally:
                metrics.RELAY_HOLDS_LOCK.set(0)
            await asyncio.sleep(STANDBY_S)

    async def _stand_by_then_publish(self) -> None:
        connection = await self._login.connect(
            RELAY,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=10,
            server_settings={
                "tcp_keepalives_idle": "1",
                "tcp_keepalives_interval": "1",
                "tcp_keepalives_count": "3",
                "synchronous_commit": "off",  # a position lost in a crash is events sent again
                "application_name": f"relay {self._source}",
            },
        )
        try:
            while not await connection.fetchval(_LOCK):
                self._trouble = None
                await asyncio.sleep(STANDBY_S)
            # What is sent and not acknowledged when this ends, the next holder of the lock sends again.
            async with kafka.started(kafka.producer(self._broker, f"relay{self._source}")) as producer:
                metrics.RELAY_HOLDS_LOCK.set(1)
                self._trouble = None
                await self._publish(connection, producer)
        finally:
            connection.terminate()

    async def _publish(self, connection: asyncpg.Connection[asyncpg.Record], producer: AIOKafkaProducer) -> None:
        position: int = await connection.fetchval(_POSITION)
        resent = 0.0
        while True:
            self._wake.clear()
            began = time.monotonic()
            if began - resent > RESEND_S and not await self._resend(connection, producer):
                resent = began
            rows = await connection.fetch(_NEXT, position, BATCH)
            if not rows:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._wake.wait()
                continue
            changed = [(row["subject"], row["key"], row["type"]) for row in rows if row["key"] is not None]
            await self._send_keys(producer, [one for one in changed if one[1] != DESTROYED])
            await self._send(producer, [event_of(row, self._source) for row in rows])
            await self._send_keys(producer, [one for one in changed if one[1] == DESTROYED])
            position = rows[-1]["position"]
            await connection.execute(_ADVANCE, position)
            metrics.RELAYED.inc(len(rows))
            metrics.RELAY_POSITION.set(position)
            if len(rows) < BATCH:
                await asyncio.sleep(PACE_S - (time.monotonic() - began))

    async def _resend(self, connection: asyncpg.Connection[asyncpg.Record], producer: AIOKafkaProducer) -> int:
        """Send keys once more that were rewrapped, or of which Kafka has another; how many."""
        rows = await connection.fetch(_TO_RESEND, BATCH)
        if rows:
            await self._send_keys(producer, [(row["subject"], row["key"] or DESTROYED, row["type"]) for row in rows])
            await connection.execute(_RESENT, [row["subject"] for row in rows], [row["key"] for row in rows])
        return len(rows)

    async def _send_keys(self, producer: AIOKafkaProducer, changed: list[tuple[str, bytes, str | None]]) -> None:
        """Send the keys of streams, by subject, with the type of event they are for; wait for every acknowledgement."""
        if not changed:
            return
        count = len(await producer.partitions_for(keys.TOPIC))
        grouped: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
        for subject, key, kind in changed:
            name = written_key(self._source, subject)
            message = (name, key, _topic_of(kind).encode() if kind else b"")
            grouped.setdefault(kafka.partition_of(name, count), []).append(message)
        now = int(time.time() * 1000)
        acknowledgements = []
        for partition, messages in grouped.items():
            batch = producer.create_batch()
            for name, key, topic in messages:
                # At most BATCH of them, of some 200 bytes each: they always fit.
                batch.append(timestamp=now, key=name, value=key or None, headers=[(keys.OF_TOPIC, topic)])
            batch.close()
            acknowledgements.append(await producer.send_batch(batch, keys.TOPIC, partition=partition))
        await asyncio.gather(*acknowledgements)
        metrics.KEYS_SENT.inc(len(changed))

    async def _send(self, producer: AIOKafkaProducer, events: list[Event]) -> None:
        """Send in order within each partition, and wait for every acknowledgement."""
        made: list[tuple[object, str, int]] = []
        for (topic, partition), messages in (await self._by_partition(producer, events)).items():
            made += [(batch, topic, partition) for batch in _batches(producer, messages)]
            await asyncio.sleep(0)  # whoever waits for an answer goes first
        # In one turn, so that all partitions go in one request: the first in one and the rest in another cost the
        # broker a fifth more (p99 of intake at half its peak 7.4 ms, now 7.0).
        await asyncio.gather(
            *[await producer.send_batch(batch, topic, partition=number) for batch, topic, number in made]
        )

    async def _by_partition(
        self, producer: AIOKafkaProducer, events: list[Event]
    ) -> dict[tuple[str, int], list[Event]]:
        grouped: dict[tuple[str, int], list[Event]] = {}
        counts: dict[str, int] = {}
        for event in events:
            topic = _topic_of(event.type)
            if topic not in counts:
                counts[topic] = len(await producer.partitions_for(topic))
            partition = kafka.partition_of(event.subject.encode(), counts[topic])
            grouped.setdefault((topic, partition), []).append(event)
        return grouped


def _topic_of(kind: str) -> str:
    try:
        return BY_TYPE[kind].TOPIC
    except KeyError:
        raise UnknownTopic(kind) from None


def _batches(producer: AIOKafkaProducer, events: list[Event]) -> Iterator[object]:
    batch = producer.create_batch()
    now = time.time()
    for event in events:
        message = {
            # Not in the future: a broker refuses what is over an hour ahead, and all that follows would wait for it.
            "timestamp": int(min(event.time.timestamp(), now) * 1000),
            "key": event.subject.encode(),
            "value": event.data,
            "headers": to_headers(event),
        }
        if batch.append(**message) is None:
            batch.close()
            yield batch
            batch = producer.create_batch()
            if batch.append(**message) is None:
                raise ValueError(f"{event.id} is larger than a batch")
    if batch.record_count():
        batch.close()
        yield batch
