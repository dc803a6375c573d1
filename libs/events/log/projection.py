"""Read models that can be rebuilt beside the live one.

A read model has generations. Each is a schema `<name>_<generation>` with the model's tables, filled by a shared reader
of its own, so a generation is as exact as any reader. One is live: the views of the same names in `public` show it.

Invariant: the views change to a new generation in one transaction, and only when it has read at least as far as the
live one, which stands still meanwhile. So nobody sees the model go back in time, or be empty.

Making and dropping generations needs the owner's role; filling them the consumer's, reading them the reader's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import structlog

from libs.events.envelope import Event
from libs.events.log.broker import Broker
from libs.events.log.consumer import SharedReader
from libs.events.log.database import TRANSIENT, Connection, Database
from libs.events.log.errors import described
from libs.events.log.key_copies import KeyCopies
from libs.events.log.roles import CONSUMER, READER, SECURED, policies, role_of
from libs.events.log.store import Append

log = structlog.get_logger(__name__)

Project: TypeAlias = Callable[[Connection, Sequence[Event]], Awaitable[None]]

POLL_S = 1.0
FLIP_WAIT_S = 1.0
"""How long the live generation stands still, at most, for the new one to draw level."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A read model: what it reads, its tables, how events fill them.

    `schema_sql` and `apply` name tables without a schema. `apply` runs in the reader's transaction, and again after a
    rollback. A new `version` (any change of `schema_sql` or of what `apply` writes) is rebuilt at the next migration.
    """

    name: str
    version: int
    topics: tuple[str, ...]
    schema_sql: str
    tables: tuple[str, ...]
    apply: Project
    opened: bool = False
    """Whether what is sealed in the events is opened for it."""

    def schema(self, generation: int) -> str:
        return f"{self.name}_{generation}"

    def reader(self, generation: int) -> str:
        return f"{self.name}.{generation}"


# As the service ------------------------------------------------------------------------------------------------------


class Projector:
    """Fills every generation there is, the live one and one that is building."""

    def __init__(
        self, projections: Iterable[Projection], *, database: Database, broker: Broker, keys: KeyCopies | None = None
    ) -> None:
        """`keys` are needed where a read model holds what identifies a person."""
        self._projections = {projection.name: projection for projection in projections}
        self._database = database
        self._broker = broker
        self._keys = keys
        self._readers: dict[tuple[str, int], tuple[SharedReader, asyncio.Task[None]]] = {}

    def trouble(self) -> str | None:
        """For readiness: why a generation is not filled now, or None."""
        if not self._readers:
            return "no read model has been made yet; run the migrations"
        troubles = [
            trouble
            for reader, task in self._readers.values()
            if (trouble := f"ended: {_why(task)}" if task.done() else reader.trouble())
        ]
        return "; ".join(troubles) or None

    async def run(self) -> None:
        """Fill until cancelled; look every second which generations there are."""
        try:
            while True:
                try:
                    rows = await self._database.fetch("SELECT name, generation FROM projection")
                except TRANSIENT as error:
                    log.info("projector_waits", error=type(error).__name__)
                else:
                    await self._follow({(r["name"], r["generation"]) for r in rows if r["name"] in self._projections})
                await asyncio.sleep(POLL_S)
        finally:
            await self._follow(set())

    async def _follow(self, wanted: set[tuple[str, int]]) -> None:
        for key, (_, task) in [*self._readers.items()]:
            if task.done():  # it raised what no reader expects; it begins anew at its checkpoint
                log.error("projector_reader_ended", name=key[0], generation=key[1], error=_why(task))
                del self._readers[key]
        for key in wanted - self._readers.keys():
            reader = self._reader(*key)
            self._readers[key] = (reader, asyncio.create_task(reader.run()))
        for key in self._readers.keys() - wanted:
            _, task = self._readers.pop(key)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _reader(self, name: str, generation: int) -> SharedReader:
        projection = self._projections[name]
        search_path = f"SET LOCAL search_path TO {projection.schema(generation)}, public"

        async def apply(connection: Connection, events: Sequence[Event]) -> Sequence[Append]:
            await connection.execute(search_path)
            await projection.apply(connection, events)
            return ()

        return SharedReader(
            name=projection.reader(generation),
            topics=projection.topics,
            apply=apply,
            database=self._database,
            broker=self._broker,
            keys=self._keys if projection.opened else None,
        )


def _why(ended: asyncio.Task[None]) -> str:
    error = None if ended.cancelled() else ended.exception()
    return "cancelled" if error is None else described(error)


# As the owner --------------------------------------------------------------------------------------------------------

_GENERATIONS = "SELECT generation, version, state FROM projection WHERE name = $1 ORDER BY generation"
_BEHIND = """
SELECT coalesce(sum(greatest(l.next_offset - coalesce(b.next_offset, 0), 0)), 0)::bigint
FROM checkpoint AS l
LEFT JOIN checkpoint AS b ON b.reader = $2 AND (b.topic, b.partition) = (l.topic, l.partition)
WHERE l.reader = $1
"""
_HOLD_LIVE = "SELECT FROM checkpoint WHERE reader = $1 ORDER BY topic, partition FOR UPDATE"


async def ensure(owner: Connection, projection: Projection, *, role: str) -> None:
    """Make the first generation where there is none, or start a new one where the definition has a new version.

    Idempotent: part of every migration. `role` is the service's.
    """
    rows = await owner.fetch(_GENERATIONS, projection.name)
    if not rows:
        async with owner.transaction():
            await _make(owner, projection, 1, "live", role)
            await _show(owner, projection, 1, role)
    elif max(row["version"] for row in rows) < projection.version:
        await start_rebuild(owner, projection, role=role)


async def start_rebuild(owner: Connection, projection: Projection, *, role: str) -> int:
    """Begin a new generation beside the live one; one that was building already is given up. Returns its number."""
    rows = await owner.fetch(_GENERATIONS, projection.name)
    for row in rows:
        if row["state"] == "building":
            await _drop(owner, projection, row["generation"])
    generation = int(max((row["generation"] for row in rows), default=0)) + 1
    async with owner.transaction():
        await _make(owner, projection, generation, "building", role)
    return generation


async def finish_rebuild(
    owner: Connection, projection: Projection, *, role: str, progress: Callable[[int], None] = lambda behind: None
) -> int:
    """Wait until the building generation has drawn level, then show it, then drop the old one.

    The services fill it meanwhile; `progress` is told how many messages it is behind. Returns the generation shown.
    Raises LookupError where none is building.
    """
    rows = await owner.fetch(_GENERATIONS, projection.name)
    states = {row["state"]: row["generation"] for row in rows}
    if "building" not in states:
        raise LookupError(f"no generation of {projection.name} is building")
    live, building = states["live"], states["building"]
    readers = (projection.reader(live), projection.reader(building))
    while True:
        behind = await owner.fetchval(_BEHIND, *readers)
        progress(behind)
        try:
            shown = behind < 1000 and await _flip(owner, projection, live, building, role)
        except asyncpg.DeadlockDetectedError:  # with a batch of the live one: whichever has to give way, tries again
            shown = False
        if shown:
            await _drop(owner, projection, live)
            return int(building)
        await asyncio.sleep(0.2)


async def _flip(owner: Connection, projection: Projection, live: int, building: int, role: str) -> bool:
    """Show the building generation, unless it does not draw level while the live one stands still."""
    async with owner.transaction():
        await owner.execute(_HOLD_LIVE, projection.reader(live))
        deadline = asyncio.get_running_loop().time() + FLIP_WAIT_S
        while await owner.fetchval(_BEHIND, projection.reader(live), projection.reader(building)):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        await owner.execute("DELETE FROM projection WHERE name = $1 AND generation = $2", projection.name, live)
        await owner.execute(
            "UPDATE projection SET state = 'live' WHERE name = $1 AND generation = $2", projection.name, building
        )
        await _show(owner, projection, building, role)
    return True


async def _make(owner: Connection, projection: Projection, generation: int, state: str, role: str) -> None:
    schema = projection.schema(generation)
    await owner.execute(f"CREATE SCHEMA {schema}")
    await owner.execute(f"SET LOCAL search_path TO {schema}, public")
    await owner.execute(projection.schema_sql)
    await owner.execute("SET LOCAL search_path TO DEFAULT")
    reader, consumer = role_of(role, READER), role_of(role, CONSUMER)
    await owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {reader}, {consumer}")
    await owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}")
    await owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {consumer}")
    await owner.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {consumer}")
    for statement in policies(role, await owner.fetch(SECURED)):
        await owner.execute(statement)
    await owner.execute(
        "INSERT INTO projection (name, generation, version, state) VALUES ($1, $2, $3, $4)",
        projection.name,
        generation,
        projection.version,
        state,
    )


async def _show(owner: Connection, projection: Projection, generation: int, role: str) -> None:
    for table in projection.tables:
        await owner.execute(f"DROP VIEW IF EXISTS public.{table}")
        # As whoever asks, not as the view's owner: his scope counts.
        await owner.execute(
            f"CREATE VIEW public.{table} WITH (security_invoker) AS "
            f"SELECT * FROM {projection.schema(generation)}.{table}"
        )
        readers = f"{role_of(role, READER)}, {role_of(role, CONSUMER)}"
        await owner.execute(f"GRANT SELECT ON public.{table} TO {readers}")


async def _drop(owner: Connection, projection: Projection, generation: int) -> None:
    """Forget a generation: first as a reader, so that copies stop filling it, then its tables."""
    reader = projection.reader(generation)
    async with owner.transaction():
        await owner.execute("DELETE FROM projection WHERE name = $1 AND generation = $2", projection.name, generation)
    await asyncio.sleep(2 * POLL_S)  # every copy has seen it by then, and has stopped writing to it
    while True:
        try:
            async with owner.transaction():
                await owner.execute("SET LOCAL lock_timeout TO '500ms'")
                await owner.execute(f"DROP SCHEMA IF EXISTS {projection.schema(generation)} CASCADE")
                await owner.execute("DELETE FROM held WHERE reader = $1", reader)
                await owner.execute(
                    "DELETE FROM inbox USING reader_stream AS s WHERE inbox.stream = s.id AND s.reader = $1", reader
                )
                await owner.execute("DELETE FROM reader_stream WHERE reader = $1", reader)
                await owner.execute("DELETE FROM checkpoint WHERE reader = $1", reader)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(0.2)  # somebody is still reading it
        else:
            return
