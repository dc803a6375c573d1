"""An own reader: every copy reads every partition, with no group, into memory only.

It serves what each copy must know by itself: the directory in a router, the waits of an intake. It stands duplicates:
`on_event` may see an event twice, and, after a relay was paused, an older one after a newer one. A reader from the
start drops both, by version, and says where it sees a fork (a source restored from a backup).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from libs.events.envelope import Event, Malformed, from_message
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.errors import described

log = structlog.get_logger(__name__)


class OwnReader:
    """Calls `on_event(event)` for each event, in the event loop, each partition's in order.

    `from_start=True` reads all that is kept, then what comes; False only what comes after it started. What `on_event`
    raises is logged, and the reader goes on: nothing here can be parked.
    """

    def __init__(
        self,
        *,
        name: str,
        topics: Sequence[str],
        on_event: Callable[[Event], None],
        broker: Broker,
        from_start: bool,
    ) -> None:
        self.name = name
        self.topics = tuple(topics)
        self.caught_up = asyncio.Event()
        """Set once all that was there at the start has been read."""
        self._on_event = on_event
        self._broker = broker
        self._from_start = from_start
        self._next: dict[TopicPartition, int] = {}
        self._seen: dict[tuple[str, str], tuple[int, UUID]] = {}
        self._heard = time.monotonic()
        self._trouble: str | None = "the reader has not started"

    def age_s(self) -> float:
        """Seconds since this copy last knew that it had all there is."""
        return time.monotonic() - self._heard

    def trouble(self) -> str | None:
        """For readiness: why this reader does not read now, or None."""
        return self._trouble

    async def run(self) -> None:
        """Read until cancelled; after an interruption go on where it was."""
        while True:
            try:
                await self._read()
            except kafka.UNREACHABLE as error:
                self._trouble = f"does not read: {await self._broker.why(error)}"
                log.warning("own_reader_interrupted", reader=self.name, error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _read(self) -> None:
        async with kafka.started(kafka.consumer(self._broker, self.name)) as consumer:
            await self._take_up(consumer)
            ends = await consumer.end_offsets(list(self._next))
            self._trouble = None
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=200, max_records=2000)).items():
                    for record in records:
                        self._take(record)
                    self._next[tp] = records[-1].offset + 1
                if not self.caught_up.is_set() and all(self._next[tp] >= end for tp, end in ends.items()):
                    self.caught_up.set()
                if self.caught_up.is_set() and self._has_all(consumer):
                    self._heard = time.monotonic()

    async def _take_up(self, consumer: AIOKafkaConsumer) -> None:
        topics = await kafka.topics(consumer, self.topics)
        if missing := set(self.topics) - topics.keys():
            raise OSError(f"there is no topic {', '.join(sorted(missing))}")
        partitions = [TopicPartition(name, number) for name, topic in topics.items() for number in topic.partitions]
        first = await (consumer.beginning_offsets if self._from_start else consumer.end_offsets)(partitions)
        consumer.assign(partitions)
        for tp in partitions:
            self._next.setdefault(tp, first[tp])
            consumer.seek(tp, self._next[tp])

    def _has_all(self, consumer: AIOKafkaConsumer) -> bool:
        """What the broker said with its last answer: nothing lies beyond what was read."""
        for tp, offset in self._next.items():
            end = consumer.highwater(tp)
            if end is None or end > offset:
                return False
            answered = consumer.last_poll_timestamp(tp)
            if answered is not None and time.time() - answered / 1000 > 5:
                return False
        return True

    def _take(self, record: ConsumerRecord) -> None:
        try:
            event = from_message([(name, value or b"") for name, value in record.headers], record.value)
        except Malformed as error:
            log.error("unreadable", reader=self.name, topic=record.topic, offset=record.offset, error=str(error))
            return
        if self._from_start:
            stream = (event.source, event.subject)
            version, event_id = self._seen.get(stream, (0, None))
            if event.version == version and event.id != event_id:
                log.error("fork", reader=self.name, source=event.source, subject=event.subject, version=version)
            if event.version <= version:
                return
            self._seen[stream] = (event.version, event.id)
        try:
            self._on_event(event)
        except Exception as error:
            log.error("own_reader_failed", reader=self.name, type=event.type, id=str(event.id), error=described(error))
