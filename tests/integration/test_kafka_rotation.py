"""Passwords that change while events flow, on a Kafka that asks every connection for its password again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from aiokafka.errors import SaslAuthenticationFailed

from deploy.local.kafka import Kafka
from deploy.local.kafka_access import furnish, set_passwords
from deploy.local.process import free_port
from deploy.local.topics import create_topics
from libs.events.envelope import Event
from libs.events.log import store
from libs.events.log.broker import Broker, Watch
from libs.events.log.consumer import SharedReader
from libs.events.log.database import Connection, Database
from libs.events.log.own_reader import OwnReader
from libs.events.log.relay import Relay
from libs.events.log.store import Append
from libs.events.types.contacts import TOPIC
from tests.conftest import FORCES, PASSWORD, NewDatabase
from tests.integration.logs import SOURCE, an_append, running, until

REAUTHENTICATE_MS = 1000
"""How long a connection stands before Kafka ends it for not proving its password again, which aiokafka does not."""


@pytest.fixture(scope="module")
def strict(parts_folder: Path) -> Iterator[Kafka]:
    node = Kafka(
        parts_folder / "strict-kafka",
        free_port(),
        free_port(),
        parts_folder / "strict-kafka.log",
        lambda _: PASSWORD,
        {"connections.max.reauth.ms": str(REAUTHENTICATE_MS)},
    )
    node.start()
    yield node
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
    await owner.execute("GRANT ALL ON shown, shown_nth_seq TO router")
    await owner.close()
    db = await Database.connect(logins.url, source="/router")
    yield db
    await db.close()


async def show(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
    await connection.executemany(
        "INSERT INTO shown (id, subject, version) VALUES ($1, $2, $3)",
        [(event.id, event.subject, event.version) for event in events],
    )
    return ()


async def test_passwords_that_change_while_contacts_arrive_lose_nothing_and_the_old_ones_are_refused(
    strict: Kafka, source: Database, target: Database, tmp_path: Path
) -> None:
    """Intake's and the router's are changed twice; for a second the files still say the old ones."""
    operator = strict.broker()
    await create_topics(operator, FORCES)
    await asyncio.to_thread(furnish, operator, FORCES, strict.password)
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
        for word in ("the-second", "the-third"):
            await asyncio.to_thread(set_passwords, operator, dict.fromkeys(files, word))
            await asyncio.sleep(1)  # connections end meanwhile, and new ones are refused
            for path in files.values():
                path.write_text(word + "\n")
            await asyncio.sleep(2 * REAUTHENTICATE_MS / 1000)
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
            await Broker(operator.servers, name, "the-second").knock()


async def test_a_client_that_runs_and_is_refused_says_so_and_goes_on_when_its_file_is_right(
    strict: Kafka, source: Database, tmp_path: Path
) -> None:
    operator = strict.broker()
    await create_topics(operator, FORCES)
    await asyncio.to_thread(furnish, operator, FORCES, strict.password)
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
