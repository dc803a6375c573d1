"""What a service does when somebody is erased: it refuses every key of his for ever, and says so.

Invariants
  * The keys, and the word that they are gone, are one transaction; so who has confirmed can show nothing any more.
    (What a service's own tables hold of a person they hold sealed: without the key there is nothing in them to blank.)
  * Nothing is opened before it: `known` returns when every erasure that was on the topic at that moment is obeyed in
    this database, whichever copy of the service did it. A database that was set back to an earlier day hears of them
    again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import structlog
from aiokafka import TopicPartition

from libs.events.envelope import Event, events_of
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.log.consumer import SharedReader
from libs.events.log.database import TRANSIENT, Connection, Database
from libs.events.log.store import Append, load_many
from libs.events.types import BY_TYPE, Fact
from libs.events.types.erasures import TOPIC, ErasureConfirmed, Service, SubjectErased, stream_of

log = structlog.get_logger(__name__)

LOOK_S = 0.1
"""How often a service that starts looks whether its copies have come to the end."""

_REFUSE = "SELECT refuse_key(subject) FROM (SELECT unnest($1::text[]) AS subject ORDER BY 1) AS s"
_COME_TO = "SELECT partition, next_offset FROM checkpoint WHERE (reader, topic) = ($1, $2)"

Hear: TypeAlias = Callable[[Connection, Sequence[Event]], Awaitable[None]]


async def nothing_to_hear(_connection: Connection, _events: Sequence[Event]) -> None:
    """For a service to which it is all one what the others have confirmed."""


def reader_of(service: Service) -> str:
    """The name of the shared reader by which a service hears of erasures."""
    return f"{service}-erasures"


class Erasures:
    """Hears of erasures for one service, and obeys. Run one in each copy."""

    def __init__(
        self,
        service: Service,
        *,
        database: Database,
        broker: Broker,
        on_commit: Callable[[], None],
        hear: Hear = nothing_to_hear,
    ) -> None:
        """`hear` has every event of the topic, once each."""
        self._service = service
        self._database = database
        self._broker = broker
        self._hear = hear
        self._known = asyncio.Event()
        self.reader = SharedReader(
            name=reader_of(service),
            topics=(TOPIC,),
            apply=self.apply,
            database=database,
            broker=broker,
            on_commit=on_commit,
        )

    async def run(self) -> None:
        """Obey until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._find_out())
            both.create_task(self.reader.run())

    def trouble(self) -> str | None:
        """For readiness: why erasures are not heard of, or what waits for them."""
        waits = None if self._known.is_set() else "nothing is opened until every erasure is known"
        return self.reader.trouble() or waits

    async def apply(self, connection: Connection, events: Sequence[Event]) -> list[Append]:
        """Obey what is new; what is confirmed by it."""
        await self._hear(connection, events)
        erased: dict[str, Event] = {
            event.fact.erased: event for event in events if BY_TYPE.get(event.type) is SubjectErased
        }
        if not erased:
            return []
        await connection.execute(_REFUSE, list(erased))
        told = await load_many(connection, [stream_of(subject) for subject in erased])
        appends = []
        for subject, event in erased.items():
            before = told[stream_of(subject)]
            if not any(_confirms(one) for one in before):
                appends.append(self._confirmed(subject, event, len(before)))
        log.info("subjects_erased", count=len(erased))
        return appends

    def _confirmed(self, subject: str, because: Event, after: int) -> Append:
        stream = stream_of(subject)
        facts: list[Fact] = [ErasureConfirmed(erased=subject, service=self._service)]
        events = events_of(
            facts,
            source=self._database.source,
            subject=stream,
            after=after,
            force=because.force,
            caused_by=because.id,
            traceparent=because.traceparent,
        )
        return Append(stream, after, events)

    async def known(self) -> None:
        """Return when every erasure that was on the topic at the start is obeyed here. However long that takes:
        without it nobody may open anything."""
        await self._known.wait()

    async def _find_out(self) -> None:
        ends: dict[int, int] | None = None
        while not self._known.is_set():
            try:
                if ends is None:
                    ends = await self._ends()
                rows = await self._database.fetch(_COME_TO, self.reader.name, TOPIC)
                come_to = {row["partition"]: row["next_offset"] for row in rows}
                if all(come_to.get(partition, 0) >= end for partition, end in ends.items()):
                    self._known.set()
                    return
            except (*kafka.UNREACHABLE, *TRANSIENT) as error:
                log.info("erasures_wait", service=self._service, error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def _ends(self) -> dict[int, int]:
        async with kafka.started(kafka.consumer(self._broker, self.reader.name)) as consumer:
            topic = (await kafka.topics(consumer, [TOPIC])).get(TOPIC)
            if topic is None:
                raise OSError(f"there is no topic {TOPIC}")
            partitions = [TopicPartition(TOPIC, number) for number in topic.partitions]
            return {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}


def _confirms(event: Event) -> bool:
    return BY_TYPE.get(event.type) is ErasureConfirmed
