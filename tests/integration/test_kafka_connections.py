"""How one comes to Kafka: passwords that change while events flow, and TLS.

On a Kafka that ends every connection after two seconds, so that each must be made again and again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from deploy.local.kafka import OPERATOR, SETTINGS, Kafka
from deploy.local.kafka_access import furnish, set_passwords
from deploy.local.process import free_port
from deploy.local.topics import create_topics
from libs.events.envelope import Event
from libs.events.log import kafka, store
from libs.events.log.broker import Broker, Watch
from libs.events.log.consumer import SharedReader
from libs.events.log.database import Connection, Database
from libs.events.log.own_reader import OwnReader
from libs.events.log.relay import Relay
from libs.events.log.roles import CONSUMER
from libs.events.log.store import Append
from libs.events.types.contacts import TOPIC
from tests.certificates import Authority
from tests.conftest import FORCES, PASSWORD, NewDatabase
from tests.integration.logs import SOURCE, an_append, running, until

REAUTHENTICATE_MS = 2000
"""How long a connection stands before Kafka ends it for not proving its password again, which aiokafka does not."""


@dataclass(frozen=True)
class Strict:
    node: Kafka
    authority: Authority
    tls: str
    """Where it takes a name and password under TLS alone."""
    mutual: str
    """The same, of those alone who have a certificate too."""

    def broker(self, principal: str = OPERATOR) -> Broker:
        return self.node.broker(principal)


@pytest.fixture(scope="module")
def strict(parts_folder: Path) -> Iterator[Strict]:
    folder = parts_folder / "strict-kafka"
    folder.mkdir()
    authority = Authority(folder, "authority")
    certificate, key = authority.issue("kafka", "127.0.0.1")
    (folder / "keystore.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    port, controller, tls, mutual = (free_port() for _ in range(4))
    places = {"BROKER": port, "CONTROLLER": controller, "TLS": tls, "MUTUAL": mutual}
    listeners = ",".join(f"{name}://127.0.0.1:{number}" for name, number in places.items())
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    settings = {
        "connections.max.reauth.ms": str(REAUTHENTICATE_MS),
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": SETTINGS["listener.security.protocol.map"] + ",TLS:SASL_SSL,MUTUAL:SASL_SSL",
        **{f"listener.name.{name}.scram-sha-512.sasl.jaas.config": login for name in ("tls", "mutual")},
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "keystore.pem"),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.truststore.type": "PEM",
        "listener.name.mutual.ssl.truststore.location": str(authority.ca),
    }
    node = Kafka(folder / "node", port, controller, parts_folder / "strict-kafka.log", lambda _: PASSWORD, settings)
    node.start()
    yield Strict(node, authority, f"127.0.0.1:{tls}", f"127.0.0.1:{mutual}")
    node.stop()


@pytest_asyncio.fixture
async def source(database: NewDatabase) -> AsyncIterator[Database]:
    db = await Database.connect((await database("intake")).url, source=SOURCE)
    yield db
    await db.close()


@pytest_asyncio.fixture
async def target(database: NewDatabase) -> AsyncIterator[Database]:
    logins = await database("router")
    owner = await asyncpg.connect(logins.owner_url)
    await owner.execute("CREATE TABLE shown (id uuid, subject text, version bigint, nth bigserial)")
    await owner.execute("GRANT ALL ON shown, shown_nth_seq TO router_consumer")
    await owner.close()
    db = await Database.connect(logins.url, source="/router", part=CONSUMER)
    yield db
    await db.close()


async def show(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    await connection.executemany(
        "INSERT INTO shown (id, subject, version) VALUES ($1, $2, $3)",
        [(event.id, event.subject, event.version) for event in events],
    )
    return ()


async def test_passwords_that_change_while_contacts_arrive_lose_nothing_and_the_old_ones_are_refused(
    strict: Strict, source: Database, target: Database, tmp_path: Path
) -> None:
    """Intake's and the router's are changed; the files still say the old ones while every connection ends."""
    operator = strict.broker()
    await create_topics(operator, FORCES)
    await asyncio.to_thread(furnish, operator, FORCES, strict.node.password)
    files = {name: tmp_path / f"{name}.password" for name in ("intake", "router")}
    for path in files.values():
        path.write_text(PASSWORD)
    intake, router = (Broker(operator.servers, name, path) for name, path in files.items())
    heard: list[Event] = []
    relay = Relay(source.dsn, broker=intake, source=SOURCE)
    reader = SharedReader(name="router", topics=[TOPIC], apply=show, database=target, broker=router)
    waits = OwnReader(name="router.test", topics=[TOPIC], on_event=heard.append, broker=router, from_start=True)
    written: list[Event] = []
    enough = asyncio.Event()

    async def contacts_arrive() -> None:
        while not enough.is_set():
            append = an_append()
            async with source.transaction() as connection:
                await store.append(connection, [append])
            written.extend(append.events)
            await asyncio.sleep(0.01)

    async with running(relay.run(), reader.run(), waits.run()):
        await until(lambda: waits.caught_up.is_set() and reader.trouble() is None)
        arriving = asyncio.create_task(contacts_arrive())
        await asyncio.to_thread(set_passwords, operator, dict.fromkeys(files, "the-second"))
        with pytest.raises(SaslAuthenticationFailed):
            await intake.knock()
        await asyncio.sleep(1.2 * REAUTHENTICATE_MS / 1000)  # every connection ends meanwhile, and new ones are refused
        for path in files.values():
            path.write_text("the-second\n")
        await asyncio.sleep(1.2 * REAUTHENTICATE_MS / 1000)
        enough.set()
        await arriving

        async def all_are_there() -> bool:
            return await target.fetchval("SELECT count(*) FROM shown") == len(written)

        await until(all_are_there, patience_s=30)
        await until(lambda: len(heard) == len(written), patience_s=30)
        assert (relay.trouble(), reader.trouble(), waits.trouble()) == (None, None, None)
    assert len(written) > 100
    rows = await target.fetch("SELECT id, subject, version FROM shown")
    assert {row["id"] for row in rows} == {event.id for event in written}
    assert {event.id for event in heard} == {event.id for event in written}
    for name in files:
        with pytest.raises(SaslAuthenticationFailed):
            await Broker(operator.servers, name, PASSWORD).knock()


async def test_a_client_that_runs_and_is_refused_says_so_and_goes_on_when_its_file_is_right(
    strict: Strict, source: Database, tmp_path: Path
) -> None:
    operator = strict.broker()
    await create_topics(operator, FORCES)
    await asyncio.to_thread(furnish, operator, FORCES, strict.node.password)
    path = tmp_path / "intake.password"
    path.write_text("of yesterday")
    intake = Broker(operator.servers, "intake", path)
    relay, watch = Relay(source.dsn, broker=intake, source=SOURCE), Watch(intake)
    async with running(relay.run(), watch.run()):
        for one in (relay, watch):
            await until(lambda one=one: "refuses the name intake or its password" in (one.trouble() or ""))  # type: ignore[misc]
            assert "yesterday" not in (one.trouble() or "")
        path.write_text(PASSWORD)
        await until(lambda: relay.trouble() is None and watch.trouble() is None)


async def test_under_tls_kafka_is_known_by_its_authority_and_works(strict: Strict) -> None:
    broker = replace(strict.broker(), servers=strict.tls, ca_file=strict.authority.ca)
    assert broker.protocol == "SASL_SSL"
    await create_topics(broker, FORCES)
    await asyncio.to_thread(furnish, broker, FORCES, strict.node.password)
    intake = replace(strict.broker("intake"), servers=strict.tls, ca_file=strict.authority.ca)

    async def writes() -> bool:
        try:
            async with kafka.started(kafka.producer(intake, "test")) as producer:
                await producer.send_and_wait(TOPIC, b"under TLS", partition=0)
        except TopicAuthorizationFailedError:  # the ACL has not arrived
            return False
        return True

    await until(writes)


async def test_a_kafka_that_another_authority_speaks_for_is_not_believed(strict: Strict, tmp_path: Path) -> None:
    broker = replace(strict.broker("intake"), servers=strict.tls, ca_file=Authority(tmp_path, "another").ca)
    producer = kafka.producer(broker, "test")
    with pytest.raises(KafkaConnectionError) as refused:
        await producer.start()
    await producer.stop()
    assert "KAFKA_CA_FILE" in await broker.why(refused.value)


async def test_a_certificate_is_good_for_the_host_that_it_names(strict: Strict) -> None:
    elsewhere = f"localhost:{strict.tls.rpartition(':')[2]}"
    with pytest.raises(ssl.SSLCertVerificationError):
        await replace(strict.broker("intake"), servers=elsewhere, ca_file=strict.authority.ca).knock()


async def test_without_tls_nobody_is_served_where_it_is_asked_for(strict: Strict) -> None:
    for broker in (replace(strict.broker("intake"), servers=strict.tls), Broker(strict.tls)):
        assert "PLAINTEXT" in broker.protocol
        with pytest.raises((KafkaError, OSError, TimeoutError)):
            await broker.knock()


async def test_where_kafka_asks_for_our_certificate_it_serves_nobody_without_it(strict: Strict, tmp_path: Path) -> None:
    ours = replace(strict.broker(), servers=strict.mutual, ca_file=strict.authority.ca)
    certificate, key = strict.authority.issue("intake")
    await replace(ours, certificate_file=certificate, key_file=key).knock()
    with pytest.raises((KafkaError, OSError)):
        await ours.knock()
    certificate, key = Authority(tmp_path, "another").issue("intake")
    with pytest.raises((KafkaError, OSError)):
        await replace(ours, certificate_file=certificate, key_file=key).knock()
