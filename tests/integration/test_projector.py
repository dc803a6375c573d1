"""Read models' readers on the real PostgreSQL and Kafka: one that ends is begun anew."""

from __future__ import annotations

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


async def test_a_reader_that_met_what_nobody_expected_is_begun_anew(
    database: NewDatabase, empty_topics: Broker
) -> None:
    """Somebody takes a right away from the service and gives it back: the read model misses nothing."""
    logins = await database("recording")
    owner = await asyncpg.connect(logins.owner_url)
    await owner.execute("DELETE FROM projection")
    await owner.execute("DROP SCHEMA audit_1, incidents_1 CASCADE")
    await projection.ensure(owner, AUDIT, role="recording")
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
