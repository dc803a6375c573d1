"""Who may do what on Kafka: every principal tries every topic and every group, by the table that the ACLs come from."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from deploy.local import kafka_access
from deploy.local.kafka import Kafka
from deploy.local.kafka_access import furnish, grant, librdkafka_options, principals, rules, set_passwords
from deploy.local.topics import READERS, all_topics, create_topics, topics_of
from libs.events.envelope import Event
from libs.events.log import kafka as clients
from libs.events.log.broker import Broker, Watch
from libs.events.log.own_reader import OwnReader
from tests.conftest import FORCES, PASSWORD
from tests.integration.logs import running, until

TOPICS = [topic.name for topic in all_topics(FORCES)]
GROUPS = [
    *(f"{reader}@{service}" for reader, service in READERS.items()),
    "audit.2@recording",
    "intake@intake.north",
    *(f"force-{force}.command-and-control" for force in FORCES),
    "somebody",
]


@pytest_asyncio.fixture(scope="module")
async def seeded(kafka: Kafka, topics: Broker) -> Kafka:
    """Something to read in partition 0 of every topic."""
    async with clients.started(clients.producer(topics, "test")) as producer:
        for name in TOPICS:
            await producer.send_and_wait(name, b"seeded", key=b"seed", partition=0)
    return kafka


def may(principal: str, operation: str, on: str, name: str) -> bool:
    return any(
        rule[:3] == (principal, operation, on) and (name.startswith(rule.name) if rule.prefix else name == rule.name)
        for rule in rules(FORCES)
    )


@pytest.mark.parametrize("principal", principals(FORCES))
async def test_a_principal_writes_what_the_table_says_and_nothing_else(seeded: Kafka, principal: str) -> None:
    written = set()
    async with clients.started(clients.producer(seeded.broker(principal), principal)) as producer:
        for name in TOPICS:
            try:
                await producer.send_and_wait(name, b"tried", key=b"try", partition=0)
                written.add(name)
            except TopicAuthorizationFailedError:
                continue
    assert written == {name for name in TOPICS if may(principal, "WRITE", "TOPIC", name)}


@pytest.mark.parametrize("principal", principals(FORCES))
async def test_a_principal_reads_what_the_table_says_and_nothing_else(seeded: Kafka, principal: str) -> None:
    read = set()
    async with clients.started(clients.consumer(seeded.broker(principal), principal)) as consumer:
        for name in TOPICS:
            try:
                await clients.topics(consumer, [name])
                consumer.assign([TopicPartition(name, 0)])
                consumer.seek(TopicPartition(name, 0), 0)
                async with asyncio.timeout(10):
                    assert (await consumer.getone()).topic == name
                read.add(name)
            except TopicAuthorizationFailedError:
                continue
    assert read == {name for name in TOPICS if may(principal, "READ", "TOPIC", name)}


@pytest.mark.parametrize("principal", principals(FORCES))
async def test_a_principal_reads_as_its_own_groups_and_no_other(seeded: Kafka, principal: str) -> None:
    admin = AIOKafkaAdminClient(**seeded.broker(principal).options())
    await admin.start()
    try:
        for group in GROUPS:
            allowed = True
            try:
                await admin.find_coordinator(group)
            except GroupAuthorizationFailedError:
                allowed = False
            except GroupCoordinatorNotAvailableError:
                pass  # allowed to ask, and the broker is still making the topic of groups
            assert allowed == may(principal, "READ", "GROUP", group), group
    finally:
        await admin.close()


def test_the_table_gives_a_force_its_feed_and_its_answers_alone() -> None:
    for force in FORCES:
        feed, inbound = topics_of(force)
        assert {rule[1:] for rule in rules(FORCES) if rule.principal == f"force-{force}"} == {
            ("READ", "TOPIC", feed.name, False),
            ("WRITE", "TOPIC", inbound.name, False),
            ("READ", "GROUP", f"force-{force}.", True),
        }


@pytest.mark.parametrize("principal", ["intake", "router", "force-bedfordshire"])
def test_nobody_but_the_operator_makes_topics_principals_or_rules(seeded: Kafka, principal: str) -> None:
    broker = seeded.broker(principal)
    admin = kafka_access.AdminClient(librdkafka_options(broker))
    with pytest.raises(KafkaException) as refused:
        admin.create_topics([NewTopic("hueandcry.mine", 1, 1)])["hueandcry.mine"].result(10)
    assert refused.value.args[0].code() in (Code.TOPIC_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException) as refused:
        admin.delete_topics(["hueandcry.contacts"])["hueandcry.contacts"].result(10)
    assert refused.value.args[0].code() == Code.TOPIC_AUTHORIZATION_FAILED
    for change in (lambda: grant(broker, FORCES), lambda: set_passwords(broker, {"operator": "taken-over"})):
        with pytest.raises(kafka_access.Trouble, match="KAFKA_USERNAME"):
            change()


async def test_who_gives_no_name_or_a_wrong_password_is_refused_and_told_what_to_mend(seeded: Kafka) -> None:
    servers = seeded.broker().servers
    for broker, mend in (
        (Broker(servers), "KAFKA_USERNAME"),
        (Broker(servers, "intake", "guessed"), "KAFKA_PASSWORD"),
        (Broker(servers, "nobody", PASSWORD), "KAFKA_PASSWORD"),
    ):
        producer: AIOKafkaProducer = clients.producer(broker, "test")
        with pytest.raises(KafkaConnectionError) as refused:
            await producer.start()
        await producer.stop()
        said = await broker.why(refused.value)
        assert mend in said
        assert "guessed" not in said
        watch = Watch(broker)
        async with running(watch.run()):
            await until(lambda watch=watch, mend=mend: mend in (watch.trouble() or ""))  # type: ignore[misc]


async def test_the_controller_takes_nobody_without_its_own_password(seeded: Kafka) -> None:
    controller = f"127.0.0.1:{seeded.controller_port}"
    for broker in (
        Broker(controller),
        Broker(controller, "operator", PASSWORD),
        Broker(controller, "intake", PASSWORD),
    ):
        with pytest.raises((KafkaError, OSError, TimeoutError)):
            await broker.knock()


async def test_a_rule_that_comes_late_is_said_and_waited_for(seeded: Kafka, topics: Broker) -> None:
    """A principal whose ACL is missing says so, and reads when it comes; taken away again, it is refused again."""
    more = [*FORCES, "wessex"]
    feed, _ = topics_of("wessex")
    await create_topics(topics, more)
    await asyncio.to_thread(set_passwords, topics, {"force-wessex": PASSWORD})
    seen: list[Event] = []
    reader = OwnReader(
        name="wessex", topics=[feed.name], on_event=seen.append, broker=seeded.broker("force-wessex"), from_start=True
    )
    async with running(reader.run()):
        await until(lambda: "does not let force-wessex use the topic" in (reader.trouble() or ""))
        assert "deploy.local.kafka_access" in (reader.trouble() or "")
        await asyncio.to_thread(furnish, topics, more, lambda _: PASSWORD)
        await until(lambda: reader.trouble() is None)
        await asyncio.to_thread(grant, topics, FORCES)
        assert not any(rule.principal == "force-wessex" for rule in rules(FORCES))

        async def refused() -> bool:
            try:
                async with clients.started(clients.consumer(seeded.broker("force-wessex"), "again")) as again:
                    await clients.topics(again, [feed.name])
            except KafkaError:
                return True
            return False

        await until(refused)
