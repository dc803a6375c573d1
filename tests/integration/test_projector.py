"""Read models' readers on the real PostgreSQL and Kafka: one that ends is begun anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from libs.events.envelope import Event
from libs.events.log import projection
from libs.events.log.broker import Broker
from libs.events.log.database import Connection, Database
from libs.events.log.projection import Projection, Projector
from libs.events.log.roles import CONSUMER
from libs.events.types.contacts import TOPIC
from tests.conftest import NewDatabase
from tests.integration.logs import an_append, running, until
from tests.integration.test_reader_strain import publish


async def enter(connection: Connection, events: Sequence[Event]) -> None:
    await connection.executemany("INSERT INTO seen (id) VALUES ($1)", [(event.id,) for event in events])


AUDIT = Projection(
    name="audit",  # a group that has a dead-letter topic
    version=2,
    topics=(TOPIC,),
    schema_sql="CREATE TABLE seen (id uuid PRIMARY KEY)",
    tables=("seen",),
    apply=enter,
)


async def made(owner: asyncpg.Connection) -> None:
    """The read model above, and none of recording's own."""
    await owner.execute("DELETE FROM projection")
    await owner.execute("DROP SCHEMA audit_1, incidents_1 CASCADE")
    await projection.ensure(owner, AUDIT, role="recording")


async def test_a_reader_that_met_what_nobody_expected_is_begun_anew(
    database: NewDatabase, empty_topics: Broker
) -> None:
    """Somebody takes a right away from the service and gives it back: the read model misses nothing."""
    logins = await database("recording")
    owner = await asyncpg.connect(logins.owner_url)
    await made(owner)
    db = await Database.connect(logins.url, source="/recording", part=CONSUMER)
    projector = Projector([AUDIT], database=db, broker=empty_topics)
    first, second = an_append(), an_append()

    async def seen() -> list[UUID]:
        return [row["id"] for row in await owner.fetch("SELECT id FROM seen")]

    async def sees(*ids: UUID) -> bool:
        return set(await seen()) == set(ids)

    try:
        async with running(projector.run()):
            await publish(empty_topics, [first])
            await until(lambda: sees(first.events[0].id))
            await owner.execute("REVOKE SELECT ON held FROM recording_consumer")
            await until(lambda: (projector.trouble() or "").startswith("ended"), patience_s=15)
            await owner.execute("GRANT SELECT ON held TO recording_consumer")
            await publish(empty_topics, [second])
            await until(lambda: sees(first.events[0].id, second.events[0].id))
            await until(lambda: projector.trouble() is None)
    finally:
        await db.close()
        await owner.close()


async def test_a_rebuild_that_meets_a_batch_in_a_deadlock_is_finished_all_the_same(database: NewDatabase) -> None:
    """The batch has moved one partition's checkpoint and waits for the other, which the rebuild holds."""
    logins = await database("recording")
    owner, batch, watching = [await asyncpg.connect(logins.owner_url) for _ in range(3)]
    await made(owner)
    building = await projection.start_rebuild(owner, AUDIT, role="recording")
    await owner.execute(
        "INSERT INTO checkpoint (reader, topic, partition, topic_id, next_offset) "
        "SELECT reader, $1, partition, gen_random_uuid(), 7 "
        "FROM unnest($2::text[]) AS reader, generate_series(0, 1) AS partition",
        TOPIC,
        [AUDIT.reader(1), AUDIT.reader(building)],
    )

    async def moves(partition: int) -> None:
        await batch.execute(
            "UPDATE checkpoint SET next_offset = next_offset WHERE reader = $1 AND partition = $2",
            AUDIT.reader(1),
            partition,
        )

    async def waits() -> bool:
        blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
        return bool(await watching.fetchval(blocked, owner.get_server_pid()))

    async with batch.transaction():
        await moves(1)
        finishing = asyncio.create_task(projection.finish_rebuild(owner, AUDIT, role="recording"))
        await until(waits)
        await moves(0)
    assert await finishing == building
    for connection in (owner, batch, watching):
        await connection.close()
