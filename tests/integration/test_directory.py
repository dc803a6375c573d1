"""The directory on the real PostgreSQL and Kafka: loaded, followed, published, switched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
import shapely

from deploy.local.postgres import Postgres
from libs.alliance import Alliance
from libs.alliance.copy import AllianceCopy
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from libs.events.log.relay import Relay
from libs.events.log.store import load as load_stream
from libs.events.log.store import read_after
from libs.events.types.directory import AreaChunkPublished, EntityWithdrawn
from services.directory.alliance_file import SHIPPED, read
from services.directory.areas import Areas
from services.directory.known import known_forces
from services.directory.load import Loaded, load
from services.directory.stored import Picture
from tests.conftest import NewDatabase
from tests.integration.logs import running, until
from tests.unit.libs.alliance.areas import square

THREE = read(SHIPPED / "bedfordshire-cambridgeshire-hertfordshire.toml")
EAST = read(SHIPPED / "east-midlands.toml")
FORCES = ("bedfordshire", "cambridgeshire", "hertfordshire", "leicestershire", "nottinghamshire", "northamptonshire")
TABLES = ("defined", "forces", "sites", "queues", "lines", "boundaries", "position")


def areas(generation: str = "squares-1", **other: shapely.Geometry) -> Areas:
    """A square of 10 km a force, in a row eastwards from (500000, 250000)."""
    by_force = {force: square(column) for column, force in enumerate(FORCES)}
    return Areas(generation, "squares of our own", 20.0, by_force | other)


@pytest_asyncio.fixture
async def url(database: NewDatabase) -> str:
    return (await database("directory")).url


@pytest_asyncio.fixture
async def store(url: str) -> AsyncIterator[Database]:
    opened = await Database.connect(url, source="/directory")
    yield opened
    await opened.close()


async def load_three(store: Database, of: Areas | None = None) -> Loaded:
    return await load(store, THREE, known_forces(), of or areas())


async def load_east(store: Database) -> Loaded:
    return await load(store, EAST, known_forces(), areas())


async def last_position(store: Database) -> int:
    position: int = await store.fetchval("SELECT coalesce(max(position), 0) FROM event")
    return position


async def picture_of(store: Database) -> Alliance:
    picture = Picture(store)
    await picture.look()
    return picture.current


def owner_at(alliance: Alliance, easting: float) -> str | None:
    assert alliance.atlas is not None
    found = alliance.atlas.locate_grid(easting, 255_000)
    return found.candidates[0].force if found.candidates else None


@pytest.mark.parametrize("file", [THREE, EAST], ids=lambda file: file.alliance.id)
async def test_an_alliance_is_loaded_whole_and_places_are_found_in_it(store: Database, file) -> None:  # type: ignore[no-untyped-def]
    loaded = await load(store, file, known_forces(), areas())
    assert loaded.chunks == 6
    assert loaded.activated == "squares-1"
    assert not loaded.withdrawn
    alliance = await picture_of(store)
    assert alliance.defined is not None
    assert alliance.defined.id == file.alliance.id
    assert len(alliance.forces) == 48
    assert {force.id for force in alliance.members} == {force.id for force in file.forces}
    for column, force in enumerate(FORCES):
        assert owner_at(alliance, 505_000 + 10_000 * column) == force


async def test_loading_again_appends_nothing(store: Database) -> None:
    await load_three(store)
    before = await last_position(store)
    again = await load_three(store)
    assert await last_position(store) == before
    assert list(again.sentences()) == ["Bedfordshire, Cambridgeshire and Hertfordshire: nothing changed."]


async def test_a_load_that_broke_off_is_finished_by_the_next(store: Database) -> None:
    half = areas()
    with pytest.raises(RuntimeError, match="broken off"):
        await load(_Breaking(store, after=1), THREE, known_forces(), half)
    assert (await picture_of(store)).boundaries is None
    rest = await load_three(store)
    assert not rest.changes  # the entities were there
    assert rest.activated == "squares-1"
    assert owner_at(await picture_of(store), 505_000) == "bedfordshire"


class _Breaking(Database):
    """A database whose process is cut off after a number of transactions."""

    def __init__(self, store: Database, *, after: int) -> None:
        super().__init__(store.dsn, source=store.source)
        self._pool = store.pool
        self._left = after

    def transaction(self):  # type: ignore[no-untyped-def]
        if self._left == 0:
            raise RuntimeError("broken off")
        self._left -= 1
        return super().transaction()


async def test_two_loads_at_once_say_everything_once(url: str, store: Database) -> None:
    other = await Database.connect(url, source="/directory")
    try:
        await asyncio.gather(load_three(store), load_three(other))
    finally:
        await other.close()
    subjects = [event.subject for _, event in await read_after(store, 0, 10_000)]
    assert len(subjects) == len(set(subjects))


async def test_switching_to_another_alliance_withdraws_what_is_gone_and_says_so(store: Database) -> None:
    await load_three(store)
    switched = await load_east(store)
    sentences = list(switched.sentences())
    assert sentences[0] == "Switched from Bedfordshire, Cambridgeshire and Hertfordshire to East Midlands."
    assert "queue/bedfordshire-999" in sentences[2]
    assert "alliance/bedfordshire-cambridgeshire-hertfordshire" in sentences[2]
    alliance = await picture_of(store)
    assert alliance.defined is not None
    assert alliance.defined.id == "east-midlands"
    assert "bedfordshire-999" not in alliance.queues
    assert not alliance.is_member("bedfordshire")
    assert alliance.forces["bedfordshire"].name == "Bedfordshire"
    assert alliance.generation == "squares-1"  # the same areas: nothing was published again
    assert switched.chunks == 0
    history = await load_stream(store, "queue/bedfordshire-999")
    assert isinstance(history[-1].fact, EntityWithdrawn)
    assert history[-1].fact.reason == "not in East Midlands as it was last loaded"


async def test_a_later_generation_publishes_only_what_is_new(store: Database) -> None:
    await load_three(store)
    before = await last_position(store)
    loaded = await load_three(store, areas("squares-2", hertfordshire=square(20)))
    assert (loaded.chunks, loaded.activated) == (1, "squares-2")
    new = [event.fact for _, event in await read_after(store, before)]
    assert isinstance(new[0], AreaChunkPublished)
    assert len(new) == 2
    assert owner_at(await picture_of(store), 705_000) == "hertfordshire"


async def test_other_areas_under_the_name_of_the_generation_in_force_are_not_taken(store: Database) -> None:
    await load_three(store)
    before = await last_position(store)
    loaded = await load_three(store, areas(hertfordshire=square(20)))
    assert "a generation never changes" in list(loaded.sentences())[-1]
    assert await last_position(store) == before


async def test_a_force_without_an_area_is_named(store: Database) -> None:
    given = areas()
    without = Areas(given.generation, given.attribution, given.accuracy_m, {"bedfordshire": square(0)})
    loaded = await load_three(store, without)
    assert list(loaded.sentences())[-1].startswith("No area belongs to cambridgeshire, hertfordshire:")


async def test_another_copy_sees_within_a_second_what_was_loaded(url: str, store: Database) -> None:
    other = await Database.connect(url, source="/directory")
    picture = Picture(other)
    try:
        async with running(picture.run()):
            await asyncio.sleep(0.3)
            assert picture.trouble() is not None
            assert picture.current.defined is None
            await load_three(store)
            await until(lambda: picture.trouble() is None, patience_s=1)
            assert owner_at(picture.current, 505_000) == "bedfordshire"
            await load_three(store, areas("squares-2", bedfordshire=square(20)))
            await until(lambda: picture.current.generation == "squares-2", patience_s=1)
            assert owner_at(picture.current, 505_000) is None
    finally:
        await other.close()


async def test_what_is_published_makes_the_same_picture(store: Database, empty_topics: Broker) -> None:
    relay = Relay(store.dsn, broker=empty_topics, source="/directory")
    copy = AllianceCopy(name="test", broker=empty_topics)
    async with running(relay.run(), copy.run()):
        for step in (load_three, load_east, load_three):
            await step(store)
            own = await picture_of(store)
            await until(lambda own=own: copy.current is not None and copy.current.position == own.position)  # type: ignore[misc]
            await asyncio.wait_for(copy.until_ready(), 10)
            assert copy.current is not None
            assert copy.current.generation == own.generation
            for table in TABLES:
                assert getattr(copy.current, table) == getattr(own, table)
            for column in range(len(FORCES)):
                easting = 505_000 + 10_000 * column
                assert owner_at(copy.current, easting) == owner_at(own, easting)


async def test_the_picture_stays_while_the_database_is_away_and_follows_when_it_is_back(
    url: str, store: Database, postgres: Postgres
) -> None:
    name = url.rpartition("/")[2]
    await load_three(store)
    picture = Picture(store)
    admin = await asyncpg.connect(postgres.admin_url)
    try:
        async with running(picture.run()) as [following]:
            await until(lambda: picture.trouble() is None)
            await admin.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            with pytest.raises(Unavailable):
                await picture.look()
            await asyncio.sleep(1)
            assert not following.done()
            assert owner_at(picture.current, 505_000) == "bedfordshire"
            await admin.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
            await load_three(store, areas("squares-2", bedfordshire=square(20)))
            await until(lambda: picture.current.generation == "squares-2")
    finally:
        await admin.close()
