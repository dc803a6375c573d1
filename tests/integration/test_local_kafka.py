"""Kafka as `make run` has it: the table's topics, a group that may be quick, and data that outlives a kill."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from deploy.local.kafka import YIELDING, Kafka
from deploy.local.process import Trouble, free_port
from deploy.local.topics import all_topics, create_topics
from libs.events.log.broker import Broker
from tests.conftest import FORCES, PASSWORD


@pytest.fixture(scope="module")
def broker(parts_folder: Path) -> Kafka:
    """A broker of this module's own, which is not started yet."""
    return Kafka(
        parts_folder / "kafka-of-its-own", free_port(), free_port(), parts_folder / "own.log", lambda _: PASSWORD
    )


async def test_it_yields_to_those_who_take_contacts(kafka: Kafka) -> None:
    assert kafka.child is not None
    assert os.getpriority(os.PRIO_PROCESS, kafka.child.pid) == YIELDING
    group = Path(f"/proc/{kafka.child.pid}/autogroup")
    said = group.read_text().split() if group.exists() else []
    assert not said or said[1:] == ["nice", str(YIELDING)]


async def test_topics_are_made_once_and_made_as_the_table_says(topics: Broker) -> None:
    assert await create_topics(topics, FORCES) == []
    admin = AIOKafkaAdminClient(**topics.options())
    await admin.start()
    try:
        made = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    finally:
        await admin.close()
    for topic in all_topics(FORCES):
        assert made[topic.name] == topic.partitions


async def test_a_typing_error_makes_no_topic(topics: Broker) -> None:
    producer = AIOKafkaProducer(**topics.options())
    await producer.start()
    with pytest.raises((KafkaError, TimeoutError)):
        await asyncio.wait_for(producer.send_and_wait("hueandcry.contcats", b"lost"), 3)
    await producer.stop()
    admin = AIOKafkaAdminClient(**topics.options())
    await admin.start()
    assert "hueandcry.contcats" not in await admin.list_topics()
    await admin.close()


async def test_a_group_may_ask_to_be_given_up_after_three_seconds(topics: Broker) -> None:
    quick = {"group_id": "quick", "session_timeout_ms": 3000, "heartbeat_interval_ms": 500}
    consumer = AIOKafkaConsumer("hueandcry.access", **topics.options(), **quick)
    await consumer.start()
    try:
        await consumer.getmany(timeout_ms=100)
        assert consumer.assignment()
    finally:
        await consumer.stop()


async def test_what_was_acknowledged_is_there_after_a_kill_and_wrong_partitions_are_told(broker: Kafka) -> None:
    broker.start()
    try:
        admin = AIOKafkaAdminClient(**broker.broker().options())
        await admin.start()
        await admin.create_topics([NewTopic("hueandcry.contacts", 3, 1)])
        await admin.close()
        with pytest.raises(Trouble, match=r"hueandcry\.contacts has 3 partitions and must have 12"):
            await create_topics(broker.broker(), FORCES)
        producer = AIOKafkaProducer(**broker.broker().options(), acks="all")
        await producer.start()
        await producer.send_and_wait("hueandcry.contacts", b"kept", partition=0)
        await producer.stop()
        broker.kill()
        broker.start()
        consumer = AIOKafkaConsumer("hueandcry.contacts", **broker.broker().options(), auto_offset_reset="earliest")
        await consumer.start()
        assert (await consumer.getone()).value == b"kept"
        await consumer.stop()
    finally:
        broker.kill()


async def test_a_kafka_that_does_not_answer_is_told_with_the_way_out() -> None:
    with pytest.raises(Trouble, match="KAFKA_BOOTSTRAP_SERVERS"):
        await create_topics(Broker(f"127.0.0.1:{free_port()}"), FORCES)
