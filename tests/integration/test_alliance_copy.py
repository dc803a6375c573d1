"""A process's own copy of the directory, on the real Kafka: never half a picture, never half a generation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from libs.alliance.copy import AllianceCopy
from libs.events.envelope import Event, to_headers
from libs.events.log import kafka
from libs.events.log.broker import Broker
from libs.events.types import Fact
from libs.events.types.directory import (
    AllianceDefined,
    AreaChunkPublished,
    BoundariesActivated,
    EntityWithdrawn,
    ForceDefined,
    QueueDefined,
)
from tests.integration.logs import running, until
from tests.unit.libs.alliance.areas import generation, square

FIRST, FIRST_CHUNKS = generation("1", {"north": square(0), "south": square(1)})
SECOND, SECOND_CHUNKS = generation("2", {"north": square(0), "south": square(2)})
THIRD, THIRD_CHUNKS = generation("3", {"north": square(0), "south": square(3)})
ENTITIES: tuple[Fact, ...] = (
    AllianceDefined(id="two", name="Two", default_queue="alliance-default"),
    QueueDefined(id="north-999", name="North", uri="sip:north-999@queues.example", force="north", line="999"),
    ForceDefined(id="north", name="North"),
    ForceDefined(id="south", name="South"),
    QueueDefined(id="alliance-default", name="Not placed", uri="sip:alliance-default@queues.example"),
)


def subject_of(fact: Fact) -> str:
    match fact:
        case AllianceDefined():
            return f"alliance/{fact.id}"
        case ForceDefined():
            return f"force/{fact.id}"
        case QueueDefined():
            return f"queue/{fact.id}"
        case EntityWithdrawn():
            return fact.entity
        case AreaChunkPublished():
            return f"area/{fact.sha256}"
        case BoundariesActivated():
            return "boundaries/all"
    raise AssertionError(fact)


class Publisher:
    """Puts facts on their topics in the order given, each stream with its versions."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._versions: dict[str, int] = {}

    async def say(self, *facts: Fact) -> None:
        for fact in facts:
            subject = subject_of(fact)
            version = self._versions[subject] = self._versions.get(subject, 0) + 1
            await self.send(Event.of(fact, source="/directory", subject=subject, version=version), fact.TOPIC)

    async def send(self, event: Event, topic: str) -> None:
        await self._producer.send_and_wait(
            topic, event.data, key=event.subject.encode(), headers=to_headers(event), partition=0
        )


@asynccontextmanager
async def a_directory(broker: Broker) -> AsyncIterator[Publisher]:
    producer = kafka.producer(broker, "test")
    await producer.start()
    try:
        yield Publisher(producer)
    finally:
        await producer.stop()


def generation_of(copy: AllianceCopy) -> str | None:
    return copy.current.generation if copy.current else None


def owner_at(copy: AllianceCopy, easting: float) -> str | None:
    assert copy.current is not None
    assert copy.current.atlas is not None
    found = copy.current.atlas.locate_grid(easting, 255_000)
    return found.candidates[0].force if found.candidates else None


async def test_a_copy_is_ready_when_the_first_generation_is_whole_and_not_before(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    assert copy.age_s() == float("inf")
    async with a_directory(empty_topics) as directory:
        await directory.say(*ENTITIES, FIRST, FIRST_CHUNKS["north"])
        async with running(copy.run()):
            await until(lambda: copy.current is not None)
            await asyncio.sleep(1)
            assert not copy.ready()
            assert generation_of(copy) is None
            assert "1 of their pieces are missing" in (copy.trouble() or "")
            await asyncio.wait_for(copy.until_usable(0.5), 5)
            assert copy.knows_queues(), "contacts can be taken to where they were presented"
            await directory.say(FIRST_CHUNKS["south"])
            await asyncio.wait_for(copy.until_ready(), 10)
            assert copy.ready()
            assert copy.trouble() is None
            assert generation_of(copy) == "1"
            assert copy.current is not None
            assert copy.current.position == len(ENTITIES) + 1
            assert copy.age_s() < 2


async def test_a_generation_whose_piece_comes_late_is_not_switched_to_before(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    async with a_directory(empty_topics) as directory:
        await directory.say(*FIRST_CHUNKS.values(), *ENTITIES, FIRST)
        async with running(copy.run()):
            await asyncio.wait_for(copy.until_ready(), 10)
            await directory.say(SECOND)
            await until(lambda: copy.current is not None and copy.current.boundaries == SECOND)
            await asyncio.sleep(1)
            assert generation_of(copy) == "1"
            assert owner_at(copy, 515_000) == "south"
            assert copy.ready()
            await directory.say(SECOND_CHUNKS["south"])
            await until(lambda: generation_of(copy) == "2", patience_s=10)
            assert owner_at(copy, 515_000) is None
            assert owner_at(copy, 525_000) == "south"


async def test_a_copy_can_go_back_to_a_generation_whose_pieces_it_let_go(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    async with a_directory(empty_topics) as directory:
        await directory.say(*ENTITIES, *FIRST_CHUNKS.values(), FIRST)
        async with running(copy.run()):
            await asyncio.wait_for(copy.until_ready(), 10)
            await directory.say(SECOND_CHUNKS["south"], SECOND)
            await until(lambda: generation_of(copy) == "2", patience_s=10)
            assert copy.prepared == "1", "what was in force before may be gone back to"
            await directory.say(THIRD_CHUNKS["south"], THIRD)
            await until(lambda: generation_of(copy) == "3", patience_s=10)
            assert copy.prepared == "2"
            await directory.say(FIRST)  # and no geometry: it was published before
            await until(lambda: generation_of(copy) == "1", patience_s=10)
            assert owner_at(copy, 515_000) == "south"


async def test_a_copy_that_starts_late_takes_up_the_last_generation_alone(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    async with a_directory(empty_topics) as directory:
        await directory.say(*ENTITIES, *FIRST_CHUNKS.values(), FIRST, SECOND_CHUNKS["south"], SECOND)
        seen: set[str | None] = set()
        async with running(copy.run()):
            await until(lambda: seen.add(generation_of(copy)) is None and copy.ready())
        assert seen <= {None, "2"}


async def test_areas_that_cannot_be_read_leave_the_ones_in_use(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    broken, _ = generation("3", {"north": square(0)})
    later, later_chunks = generation("4", {"north": square(5)})
    async with a_directory(empty_topics) as directory:
        await directory.say(*ENTITIES, *FIRST_CHUNKS.values(), FIRST)
        async with running(copy.run()):
            await asyncio.wait_for(copy.until_ready(), 10)
            # An accuracy that is no length: the pieces are whole, and no atlas can be made of them.
            unusable = BoundariesActivated(generation="3", source="test", accuracy_m=-1.0, areas=broken.areas)
            await directory.say(unusable)
            await until(lambda: "cannot be read" in (copy.trouble() or ""), patience_s=10)
            assert generation_of(copy) == "1"
            assert copy.ready()
            await directory.say(*later_chunks.values(), later)
            await until(lambda: generation_of(copy) == "4", patience_s=10)
            assert copy.trouble() is None


async def test_what_a_newer_directory_says_is_passed_over(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    async with a_directory(empty_topics) as directory:
        await directory.say(*ENTITIES, *FIRST_CHUNKS.values())
        known = Event.of(ENTITIES[0], source="/directory", subject="holiday/easter", version=1)
        await directory.send(
            Event(
                id=known.id,
                type="uk.hueandcry.directory.holiday-defined.v1",
                source=known.source,
                subject=known.subject,
                version=1,
                time=known.time,
                data=b'{"id": "easter"}',
            ),
            ENTITIES[0].TOPIC,
        )
        await directory.say(FIRST, EntityWithdrawn(entity="queue/north-999", reason="closed"))
        async with running(copy.run()):
            await asyncio.wait_for(copy.until_ready(), 10)
            assert copy.current is not None
            assert "north-999" not in copy.current.queues
            assert copy.current.position == len(ENTITIES) + 3


async def test_without_an_alliance_there_is_nothing_to_decide_from(empty_topics: Broker) -> None:
    copy = AllianceCopy(name="test", broker=empty_topics)
    async with running(copy.run()):
        await until(lambda: copy.trouble() == "the directory has not been read yet, or holds no alliance")
        await asyncio.sleep(0.5)
        assert copy.current is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(copy.until_ready(), 0.2)
