"""Every Kafka topic, in one table: how it is divided, how long it is kept, who writes it and who reads it.

The table makes the topics, here, and who may do what with them (`kafka_access.py`).

Invariant: a topic exists because it stands here; making them is idempotent, and partitions are for life (a key's order
would break with their number).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

from deploy.local.process import Trouble
from libs.events.log import kafka
from libs.events.log.broker import Broker

ORDERED = 12
"""Partitions where the key orders: enough for as many copies of a reader, for ever."""
DAY_MS = 24 * 60 * 60 * 1000
HOUR_MS = DAY_MS // 24

SERVICES = ("intake", "router", "directory", "recording")
KEEPING = ("intake", "router", "recording")
"""The services that keep anything of a contact."""

READERS = {
    "intake": "intake",
    "router": "router",
    "recording": "recording",
    "audit": "recording",
    "incidents": "recording",
    "intake-erasures": "intake",
    "router-erasures": "router",
    "recording-erasures": "recording",
    "access": "recording",
}
"""The shared readers, which park what they cannot process, and whose they are. A read model's generations are one."""


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...] = ()
    """Principals: a service, or a force (`principal_of`). The operator sees to all of them."""
    partitions: int = ORDERED
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int = -1
    """-1: for ever."""

    @property
    def settings(self) -> Mapping[str, str]:
        """Messages bear the broker's time: by their own a clock that is an hour ahead would have them refused."""
        clock = {"message.timestamp.type": "LogAppendTime"}
        if self.cleanup == "compact":
            lag = {"segment.ms": str(6 * HOUR_MS), "max.compaction.lag.ms": str(12 * HOUR_MS)}
            return {"cleanup.policy": "compact", **clock, **lag}
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            **clock,
        }
        if self.retention_ms > 0:
            settings["segment.ms"] = str(HOUR_MS)  # a closed segment is what retention can remove
        return settings


TOPICS = (
    Topic("hueandcry.contacts", written_by=("intake",), read_by=("router", "recording")),
    Topic("hueandcry.routing", written_by=("router",), read_by=("intake", "recording")),
    Topic("hueandcry.directory", written_by=("directory",), read_by=("router", "recording"), partitions=1),
    Topic("hueandcry.areas", written_by=("directory",), read_by=("router", "recording"), partitions=1),
    Topic("hueandcry.recording", written_by=("recording",), read_by=("recording", "intake")),
    Topic("hueandcry.erasures", written_by=KEEPING, read_by=KEEPING, partitions=1),
    Topic("hueandcry.access", written_by=("intake", "recording"), read_by=("recording",)),
    Topic(
        "hueandcry.keys",
        written_by=("intake", "recording"),
        read_by=("intake", "router", "recording"),
        partitions=1,  # every copy reads all of it: more would only be more to send and to append
        cleanup="compact",
    ),
    *(Topic(f"hueandcry.deadletter.{reader}", written_by=(service,)) for reader, service in READERS.items()),
)


def topics_of(force: str) -> tuple[Topic, ...]:
    """A member force's own two: what its systems may see, and what they answer."""
    feed, its = f"hueandcry.force.{force}", (principal_of(force),)
    return (
        Topic(feed, written_by=("router",), read_by=its, retention_ms=7 * DAY_MS),
        Topic(f"{feed}.inbound", written_by=its, read_by=("router",), retention_ms=7 * DAY_MS),
    )


def principal_of(force: str) -> str:
    """A member force's name on Kafka, and the beginning of its systems' consumer groups (`force-<slug>.…`)."""
    return f"force-{force}"


def all_topics(forces: Iterable[str]) -> list[Topic]:
    return [*TOPICS, *(topic for force in forces for topic in topics_of(force))]


async def create_topics(broker: Broker, forces: Iterable[str]) -> list[str]:
    """Make the topics that are missing and return their names.

    Raises Trouble where Kafka cannot be reached, refuses, or has one of them with another number of partitions.
    """
    admin = AIOKafkaAdminClient(**broker.options(), client_id="hueandcry-topics")
    try:
        await admin.start()
        return await _create_missing(admin, all_topics(forces))
    except KafkaConnectionError as error:
        raise Trouble(
            f"Kafka at {broker.servers} cannot be used ({await broker.why(error)}): see that it runs and that "
            "KAFKA_BOOTSTRAP_SERVERS is right, or leave that unset to have one started here."
        ) from error
    except KafkaError as error:
        raise Trouble(f"Kafka at {broker.servers} did not make the topics: {error}") from error
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, wanted: list[Topic]) -> list[str]:
    existing = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    for topic in wanted:
        if existing.get(topic.name, topic.partitions) != topic.partitions:
            raise Trouble(
                f"The topic {topic.name} has {existing[topic.name]} partitions and must have {topic.partitions}: "
                "its keys' order depends on the number, so use another Kafka, or `make reset` for a local one."
            )
    missing = [topic for topic in wanted if topic.name not in existing]
    if not missing:
        return []
    answer = await admin.create_topics(
        # -1 copies: as many as the broker's own default says; aiokafka wants an empty assignment beside it
        [NewTopic(topic.name, topic.partitions, -1, {}, dict(topic.settings)) for topic in missing]
    )
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Trouble(f"Kafka did not make the topic {name}: {error.__name__}.")
    return [topic.name for topic in missing]


async def recreate_topics(broker: Broker, forces: Iterable[str]) -> None:
    """Empty the topics that hold anything, by removing and making them anew; for tests that share a broker."""
    forces = list(forces)
    admin = AIOKafkaAdminClient(**broker.options(), client_id="hueandcry-topics")
    await admin.start()
    try:
        if full := await _full_topics(broker, admin):
            await admin.delete_topics(full)
        while not full.isdisjoint(await admin.list_topics()):
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await create_topics(broker, forces)


async def _full_topics(broker: Broker, admin: AIOKafkaAdminClient) -> set[str]:
    """Our topics that hold a message."""
    names = [name for name in await admin.list_topics() if name.startswith("hueandcry.")]
    described = await admin.describe_topics(names) if names else []
    partitions = [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]
    async with kafka.started(AIOKafkaConsumer(**broker.options())) as consumer:
        await consumer._client.set_topics(names)  # all at once: else it asks for one after the other's leaders
        ends = await consumer.end_offsets(partitions) if partitions else {}
    return {partition.topic for partition, end in ends.items() if end}
